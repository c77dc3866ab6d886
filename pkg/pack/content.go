package pack

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"path"
	"strings"

	"github.com/comfyctl/comfyctl/internal/diag"
)

// maxHeader bounds the JSON in front of a safetensors file, as its format does.
const maxHeader = 100_000_000

// checkContent refuses what cannot be the model that its name says: a web
// page, a pointer of Git LFS, or a file that lacks its end.
func checkContent(name string, content io.ReaderAt, size int64) error {
	head := make([]byte, min(size, 512))
	if _, err := content.ReadAt(head, 0); err != nil && err != io.EOF { //nolint:errorlint // io.ReaderAt gives it bare
		return fmt.Errorf("reading %s: %w", name, err)
	}
	text := strings.ToLower(string(bytes.TrimLeft(head, " \t\r\n")))
	switch {
	case size == 0:
		return notAModel(name, "it is empty", "")
	case strings.HasPrefix(text, "<!doctype html"), strings.HasPrefix(text, "<html"):
		return notAModel(name, "it is a web page", "use the address of the download itself; a page that asks to sign in needs `auth:`")
	case strings.HasPrefix(text, "version https://git-lfs"):
		return notAModel(name, "it is a pointer of Git LFS", "run `git lfs pull` in the repository that it comes from")
	}
	switch strings.ToLower(path.Ext(name)) {
	case ".safetensors", ".sft":
		return checkSafetensors(name, content, size)
	case ".gguf":
		if !bytes.HasPrefix(head, []byte("GGUF")) {
			return notAModel(name, "a GGUF file begins with GGUF", "")
		}
	}
	return nil
}

// checkSafetensors compares the size that the header promises with the file's.
func checkSafetensors(name string, content io.ReaderAt, size int64) error {
	var n [8]byte
	if size < 8 {
		return notAModel(name, "it is too short to be safetensors", "")
	}
	if _, err := content.ReadAt(n[:], 0); err != nil {
		return fmt.Errorf("reading %s: %w", name, err)
	}
	length := binary.LittleEndian.Uint64(n[:])
	if length > maxHeader {
		return notAModel(name, "it is not in the safetensors format", "")
	}
	if int64(length) > size-8 {
		return truncated(name, size, int64(length)+8)
	}
	header := make([]byte, length)
	if _, err := content.ReadAt(header, 8); err != nil && err != io.EOF { //nolint:errorlint // io.ReaderAt gives it bare
		return fmt.Errorf("reading %s: %w", name, err)
	}
	var tensors map[string]json.RawMessage
	if err := json.Unmarshal(header, &tensors); err != nil {
		return notAModel(name, "its safetensors header cannot be read", "")
	}
	var end int64
	for key, raw := range tensors {
		if key == "__metadata__" {
			continue
		}
		var t struct {
			Offsets []int64 `json:"data_offsets"`
		}
		if err := json.Unmarshal(raw, &t); err != nil || len(t.Offsets) != 2 {
			return notAModel(name, "its safetensors header cannot be read", "")
		}
		end = max(end, t.Offsets[1])
	}
	if want := 8 + int64(length) + end; size < want {
		return truncated(name, size, want)
	}
	return nil
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

func checkOf(name string) func(io.ReaderAt, int64) error {
	return func(content io.ReaderAt, size int64) error { return checkContent(name, content, size) }
}
