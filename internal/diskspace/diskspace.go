// Package diskspace says how many bytes are free where something is about to
// be written, and refuses early when they cannot be enough.
package diskspace

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/docker/go-units"

	"github.com/comfyctl/comfyctl/internal/diag"
)

// Free is the number of bytes that this user may still write on the file
// system of path. Of a path that does not exist yet, the nearest parent that
// does is asked.
func Free(path string) (int64, error) {
	p, err := filepath.Abs(path)
	if err != nil {
		return 0, fmt.Errorf("finding %s: %w", path, err)
	}
	for {
		_, err := os.Stat(p)
		if err == nil {
			break
		}
		parent := filepath.Dir(p)
		if !errors.Is(err, fs.ErrNotExist) || parent == p {
			return 0, fmt.Errorf("finding %s: %w", path, err)
		}
		p = parent
	}
	n, err := free(p)
	if err != nil {
		return 0, fmt.Errorf("asking for the free space of %s: %w", p, err)
	}
	return n, nil
}

// Require returns an error of code disk_full when fewer than need bytes are
// free at path; at names what the bytes are for. A file system that cannot be
// asked is taken to have room.
func Require(path string, need int64, at, help string) error {
	have, err := Free(path)
	if err != nil || have >= need {
		return nil //nolint:nilerr // the write itself will tell
	}
	return Full(path, need, have, at, help)
}

// Full is the error of Require, for callers that know the free bytes.
func Full(path string, need, have int64, at, help string) error {
	return &diag.Error{
		Code: "disk_full", Class: diag.ClassFailed,
		Message: fmt.Sprintf("needs %s free in %s, %s are free", units.HumanSize(float64(need)), path, units.HumanSize(float64(have))),
		Facts:   [][2]string{{"at", at}}, Help: help, Retryable: true,
		Details: map[string]any{"path": path, "need": need, "free": have},
	}
}
