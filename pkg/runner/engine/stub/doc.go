// Package stub is an engine without weights: an HTTP and WebSocket server that
// speaks ComfyUI's protocol and runs prompts. Nodes that need no model compute
// their true result (pictures are scaled, blended, saved); those that would
// need one give deterministic values of the right types, and every picture they
// make says STUB across its middle. It answers as ComfyUI answers, its traps
// included, so a client that works here works there.
package stub
