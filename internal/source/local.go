package source

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/comfyctl/comfyctl/internal/diag"
	"github.com/comfyctl/comfyctl/internal/modelfile"
	"github.com/comfyctl/comfyctl/internal/tee"
)

// local uses a file in place. It is read only when the index does not know its
// hash.
func (c *Client) local(ctx context.Context, w Want, ref Ref) (Got, error) {
	file := ref.Rest
	if abs, err := filepath.Abs(file); err == nil {
		file = abs
	}
	fi, err := os.Stat(file)
	if errors.Is(err, fs.ErrNotExist) {
		return Got{}, &diag.Error{Code: "model_missing", Class: diag.ClassCheck, Err: err,
			Message: "the model file " + file + " does not exist",
			Facts:   [][2]string{{"for", w.Path}},
			Help:    "put it there, give `source:` another place, or use `load: mount` when the target has it"}
	}
	if err != nil {
		return Got{}, fmt.Errorf("finding the model %s: %w", w.Path, err)
	}
	if !fi.Mode().IsRegular() {
		return Got{}, &diag.Error{Code: "not_a_model", Class: diag.ClassCheck, Message: file + " is not a model file: it is no regular file", Help: "check where it comes from"}
	}
	if _, err := readFile(w.Path, file, fi.Size()); err != nil {
		return Got{}, err
	}
	sum, known := c.store.Lookup(file, fi)
	if !known {
		if sum, err = hashFile(ctx, w, file, fi.Size()); err != nil {
			return Got{}, err
		}
		if err := c.store.Remember(file, fi, sum); err != nil {
			return Got{}, err
		}
	}
	if w.SHA256 != "" && w.SHA256 != sum {
		return Got{}, &diag.Error{Code: "wrong_hash", Class: diag.ClassCheck,
			Message: file + " is not the file that the service file asks for",
			Facts:   [][2]string{{"expected", w.SHA256}, {"got", sum}},
			Help:    "correct the sha256, or bring the right file"}
	}
	return Got{File: file, Size: fi.Size(), SHA256: sum, Source: ref.Raw, Cached: known}, nil
}

// hashFile reads a file once, for its hash and for w.Also.
func hashFile(ctx context.Context, w Want, file string, size int64) (string, error) {
	f, err := os.Open(file)
	if err != nil {
		return "", fmt.Errorf("hashing: %w", err)
	}
	defer f.Close()
	h := sha256.New()
	writers := []io.Writer{h}
	if w.Also != nil {
		also, err := w.Also(size)
		if err != nil {
			return "", err
		}
		writers = append(writers, also)
	}
	progress := func(done int64) {
		if w.Progress != nil {
			w.Progress(done, size)
		}
	}
	if err := tee.Copy(ctx, f, progress, writers...); err != nil {
		return "", fmt.Errorf("hashing %s: %w", file, err)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

func readFile(name, file string, size int64) (*modelfile.Info, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, fmt.Errorf("reading the model %s: %w", name, err)
	}
	defer f.Close()
	return modelfile.Read(name, f, size)
}
