// Package python finds one set of Python packages that ComfyUI and all node
// packs agree on, each pinned by the hash of one file for the target platform.
// Requirement files are read strictly: what could reach around the resolution
// is taken out and reported. The resolution itself is uv's.
package python
