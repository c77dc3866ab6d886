// Package modelfile reads the beginning of model files: what kind they are,
// whether they can be whole, which numbers they hold, and which code a pickle
// would run. It reads through io.ReaderAt, so that a file far away is looked at
// by a few ranges.
package modelfile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	"github.com/comfyctl/comfyctl/internal/diag"
)

// The formats that Read tells apart.
const (
	Safetensors = "safetensors"
	GGUF        = "gguf"
	Pickle      = "pickle"
)

// Info is what the beginning of a file says.
type Info struct {
	// Format is safetensors, gguf, pickle, or empty for what is not read.
	Format string `json:"format,omitempty"`
	// Tensors is how many there are, Params how many numbers they hold.
	Tensors int   `json:"tensors,omitempty"`
	Params  int64 `json:"params,omitempty"`
	// Bytes says how many bytes are of each type of number, such as F16.
	Bytes map[string]int64 `json:"bytes,omitempty"`
	// Architecture is what the file calls itself, such as flux.
	Architecture string `json:"architecture,omitempty"`
	// Globals are what a pickle calls by name, sorted.
	Globals []string `json:"globals,omitempty"`
}

// pickles are the file extensions that mean a pickle.
var pickles = []string{".ckpt", ".pt", ".pt2", ".pth", ".bin", ".pkl"}

// IsPickleName reports whether a file of this name would be loaded as a pickle.
func IsPickleName(name string) bool {
	return slices.Contains(pickles, strings.ToLower(path.Ext(name)))
}

// headSize is enough to see a web page or a pointer.
const headSize = 512

// Read looks at a file of size bytes. What cannot be the model that its name
// says is an error: a web page, a pointer of Git LFS, a file that lacks its
// end, a pickle that would run code.
func Read(name string, r io.ReaderAt, size int64) (*Info, error) {
	head := make([]byte, min(size, headSize))
	if err := readAt(r, head, 0); err != nil {
		return nil, fmt.Errorf("reading %s: %w", name, err)
	}
	text := strings.ToLower(string(bytes.TrimLeft(head, " \t\r\n\ufeff")))
	switch {
	case size == 0:
		return nil, notAModel(name, "it is empty", "")
	case strings.HasPrefix(text, "<!doctype html"), strings.HasPrefix(text, "<html"):
		return nil, notAModel(name, "it is a web page", "use the address of the download itself; a page that asks to sign in needs `auth:`")
	case strings.HasPrefix(text, "version https://git-lfs"):
		return nil, notAModel(name, "it is a pointer of Git LFS", "run `git lfs pull` in the repository that it comes from")
	}
	ext := strings.ToLower(path.Ext(name))
	switch {
	case ext == ".safetensors", ext == ".sft":
		return readSafetensors(name, r, size)
	case ext == ".gguf":
		return readGGUF(name, r, size)
	case IsPickleName(name) && bytes.HasPrefix(head, []byte(magicGGUF)):
		return readGGUF(name, r, size)
	case IsPickleName(name), looksPickled(head):
		return readPickle(name, r, size)
	}
	return &Info{}, nil
}

// readAt fills b; a file that ends before is an error.
func readAt(r io.ReaderAt, b []byte, off int64) error {
	n, err := r.ReadAt(b, off)
	if n == len(b) {
		return nil
	}
	if err == nil || errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

func truncated(name string, have, want int64) error {
	return &diag.Error{Code: "model_truncated", Class: diag.ClassCheck,
		Message: fmt.Sprintf("%s is cut short: it has %d bytes, its header promises %d", name, have, want),
		Help:    "fetch or copy it again"}
}

func notAModel(name, why, help string) error {
	if help == "" {
		help = "check where it comes from"
	}
	return &diag.Error{Code: "not_a_model", Class: diag.ClassCheck, Message: fmt.Sprintf("%s is not a model file: %s", name, why), Help: help}
}
