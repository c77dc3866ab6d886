// Package comfy drives ComfyUI: as a child process or at a URL, through its
// HTTP and WebSocket protocol.
//
// The WebSocket is a hint that makes things fast; the truth about a prompt is
// its history entry, which is polled too, so that a lost socket costs progress
// events and never a result. The Supervisor keeps the engine alive and is the
// engine.Executor that the job queue drives.
package comfy
