package pack

import (
	"github.com/comfyctl/comfyctl/pkg/contract"
	"github.com/comfyctl/comfyctl/pkg/lock"
)

// Recipe is all that an image is made from. Equal recipes over equal files
// give images of equal digests, except for an environment that Docker builds.
type Recipe struct {
	// Contract is baked in; its Models are filled from Models.
	Contract *contract.Contract
	// Dir is the service file's folder; relative paths start there.
	Dir string
	// Models are the model files, in the service file's order.
	Models []Model
	// Environment is nil for the stub engine, whose image starts from nothing.
	Environment *Environment
	// Platform is os/arch, such as linux/amd64; empty means linux/amd64.
	Platform string
	// Runner is a comfy-runner to use in place of the built-in one.
	Runner string
}

// Model is a model file and where it comes from.
type Model struct {
	// Path is under ComfyUI's models folder, such as checkpoints/x.safetensors.
	Path string
	// Sources are tried in order; internal/source reads them.
	Sources []string
	// SHA256 is 64 hex digits; Models checks it, or fills it in.
	SHA256 string
	// Auth is the name of a secret for the source.
	Auth string
	// Load is contract.LoadBake, LoadMount or LoadStart.
	Load string
	// AllowPickle accepts formats that can run code when loaded.
	AllowPickle bool

	// File is where the bytes are on this machine and Size how many; Models
	// fills both in.
	File string
	Size int64 // bytes
}

// Environment is what ComfyUI runs in.
type Environment struct {
	// Base is an image in Docker's store or in a registry.
	Base    string
	ComfyUI ComfyUI
	// Python is the wanted version, such as 3.12; empty takes the base's.
	Python string
	// Torch is cpu, cu128 …, or system for the one that the base has.
	Torch          string
	SystemPackages []string
	PythonPackages []string
	Nodes          []NodePack
	// CA is a file with further certificate authorities, Proxy an HTTP proxy;
	// both are for building only.
	CA    string
	Proxy string
	// Lock pins base, sources and Python packages; nil takes them as they are
	// today.
	Lock *lock.Lock
	// Pip are pip's settings by the name of their environment variable, such
	// as PIP_INDEX_URL.
	Pip map[string]string
}

// ComfyUI is the engine's source.
type ComfyUI struct {
	Source  string // a folder or a git URL
	Version string // tag, branch or commit, for a git URL
}

// NodePack is a set of custom nodes: Path, or Repo at Ref.
type NodePack struct {
	Name string // of its folder under custom_nodes
	Path string
	Repo string
	Ref  string
	Auth string // name of a secret
	// Install is skip or run.
	Install string
}
