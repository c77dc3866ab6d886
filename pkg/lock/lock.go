package lock

import (
	"github.com/comfyctl/comfyctl/pkg/lock/python"
)

// FileName is the lock's file, beside the service file.
const FileName = "comfyctl.lock"

// Version is the format of the lock that this package reads and writes.
const Version = 1

// Lock is everything that enters an image. Lists are sorted and hold no times,
// so that equal choices give equal bytes. Fields that repeat what the service
// file asked for are what Check compares.
type Lock struct {
	Version int `json:"version"`
	// Packer names the way layers are made; another one gives other digests from
	// the same files.
	Packer string `json:"packer"`
	// Platform is os/arch.
	Platform string `json:"platform"`
	// Inputs are digests of what the service file asks for, by name: the plan's
	// LockInputs at the time.
	Inputs  map[string]string `json:"inputs"`
	ComfyUI ComfyUI           `json:"comfyui"`
	Base    Base              `json:"base"`
	Python  Python            `json:"python"`
	System  []string          `json:"system,omitempty"` // Debian packages, as asked for
	Wheels  []Wheel           `json:"wheels"`
	Nodes   []Node            `json:"nodes"`
	Models  []Model           `json:"models"`
	Notes   []Note            `json:"notes,omitempty"`
	Sources []Feed            `json:"data_sources,omitempty"`
}

// Packer is the present way of making layers.
const Packer = "layers/1"

// ComfyUI is the engine's source.
type ComfyUI struct {
	Source string `json:"source"`
	// Ref is what was asked for; Moves is set where it may mean another commit
	// tomorrow.
	Ref    string `json:"ref,omitempty"`
	Moves  bool   `json:"moves,omitempty"`
	Commit string `json:"commit,omitempty"`
	// Tree is git's tree hash, or the SHA-256 of a folder's files.
	Tree string `json:"tree"`
}

// Base is the image below.
type Base struct {
	Image string `json:"image,omitempty"`
	// Digest is that of a registry, or the id in Docker of an image that has
	// none.
	Digest string `json:"digest,omitempty"`
}

// Python is what the packages were chosen for.
type Python struct {
	Version string `json:"version"`
	// Torch is the build of torch: cpu, cu128 …, system.
	Torch string `json:"torch"`
	// Asked are the service file's own packages.
	Asked []string `json:"asked,omitempty"`
	// Resolver is who chose, Requirements the SHA-256 of what it chose from.
	Resolver     string `json:"resolver,omitempty"`
	Requirements string `json:"requirements,omitempty"`
}

// Wheel is a Python package, by the one file that is installed.
type Wheel = python.Package

// Note is a requirement line that was changed or left out.
type Note = python.Note

// Where a node pack comes from.
const (
	FromGit      = "git"
	FromRegistry = "registry"
	FromFolder   = "folder"
)

// Node is a node pack.
type Node struct {
	// Dir is its folder under custom_nodes. Packs find one another by it.
	Dir  string `json:"dir"`
	From string `json:"from"`

	URL    string `json:"url,omitempty"` // of a repository or an archive
	Ref    string `json:"ref,omitempty"` // as asked for
	Moves  bool   `json:"moves,omitempty"`
	Commit string `json:"commit,omitempty"`
	// Tree is git's tree hash, or the SHA-256 of a folder's files.
	Tree       string      `json:"tree,omitempty"`
	Submodules []Submodule `json:"submodules,omitempty"`
	LFS        []Large     `json:"lfs,omitempty"`

	ID      string `json:"id,omitempty"` // in the registry
	Version string `json:"version,omitempty"`
	SHA256  string `json:"sha256,omitempty"` // of an archive
	Size    int64  `json:"size,omitempty"`   // bytes

	Path string `json:"path,omitempty"` // of a folder, as written
	Auth string `json:"auth,omitempty"` // name of a secret

	// Classes are those of the workflows that it gives, Owns those that the
	// service file says are its own, Defines all that its source names.
	Classes []string `json:"classes,omitempty"`
	Owns    []string `json:"owns,omitempty"`
	Defines []string `json:"defines,omitempty"`
	// Rule says why it was taken, Candidates how many could have been.
	Rule       string `json:"rule"`
	Candidates int    `json:"candidates,omitempty"`
	// Inferred is set where the service file does not name it.
	Inferred bool `json:"inferred,omitempty"`

	Install    *Script `json:"install,omitempty"`
	Prestart   *Script `json:"prestart,omitempty"`
	ForComfyUI string  `json:"requires_comfyui,omitempty"`
}

// Submodule is a repository inside of a pack.
type Submodule struct {
	Path   string `json:"path"`
	URL    string `json:"url"`
	Commit string `json:"commit"`
}

// Large is a file that Git LFS keeps.
type Large struct {
	Path   string `json:"path"`
	SHA256 string `json:"sha256"`
	Size   int64  `json:"size"` // bytes
}

// Script is a file of a pack that wants to be run.
type Script struct {
	SHA256 string `json:"sha256"`
	// Policy is skip or run.
	Policy string `json:"policy"`
	// Effects are what its text says that it would do.
	Effects []string `json:"effects,omitempty"`
}

// Model is a model file.
type Model struct {
	Path   string `json:"path"`
	SHA256 string `json:"sha256,omitempty"`
	Size   int64  `json:"size,omitempty"` // bytes
	// Sources are tried in order; all must have these bytes.
	Sources []string `json:"sources,omitempty"`
	// From says where the hash is known from: the service file, its hub, the
	// file itself.
	From string `json:"from,omitempty"`
	// Pinned is the first source as its hub pins it, such as by a commit.
	Pinned string `json:"pinned,omitempty"`
	// License is the hub's word; Gated files need an account that accepted
	// their terms.
	License string `json:"license,omitempty"`
	Gated   bool   `json:"gated,omitempty"`
	// Params is how many numbers the file holds, where its header says so, and
	// DTypes how many bytes there are of each type.
	Params int64            `json:"params,omitempty"`
	DTypes map[string]int64 `json:"dtypes,omitempty"`
	Auth   string           `json:"auth,omitempty"`
	Load   string           `json:"load"`
}

// Feed is public data that a choice was made from.
type Feed struct {
	Name   string `json:"name"`
	URL    string `json:"url"`
	SHA256 string `json:"sha256"`
}

// NodeOf is the pack that gives a class, or nil.
func (l *Lock) NodeOf(class string) *Node {
	if l == nil {
		return nil
	}
	for i := range l.Nodes {
		for _, c := range l.Nodes[i].Classes {
			if c == class {
				return &l.Nodes[i]
			}
		}
	}
	return nil
}

// Model is the locked model of a path, or nil.
func (l *Lock) Model(path string) *Model {
	for i := range l.Models {
		if l.Models[i].Path == path {
			return &l.Models[i]
		}
	}
	return nil
}
