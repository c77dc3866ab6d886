package files

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/comfyctl/comfyctl/pkg/runner/problem"
)

// engineFolder is the folder of the engine's inputs that is ours.
const engineFolder = "comfyctl"

func missing(hash string) error {
	return problem.New("input_missing", "the input file sha256:"+hash+" is no longer kept")
}

// Delete removes an id; the bytes go with the last id that has them.
func (s *Store) Delete(id string, o Owner) error {
	info, err := s.Get(id, o)
	if err != nil {
		return err
	}
	return s.drop(info.Hash[7:], func(i *Info) bool { return i.ID == info.ID })
}

// Release implements jobs.Inputs.
func (s *Store) Release(hash string) error {
	if !hashForm.MatchString(hash) {
		return ErrNotFound
	}
	err := s.drop(hash, func(i *Info) bool { return i.Passing })
	return errors.Join(err, s.recall(hash))
}

// Sweep implements jobs.Inputs.
func (s *Store) Sweep(before time.Time, used func(sha256 string) bool) error {
	hashes, err := os.ReadDir(filepath.Join(s.Dir, "infos"))
	if err != nil {
		return fmt.Errorf("listing files: %w", err)
	}
	var errs []error
	for _, h := range hashes {
		if hash := h.Name(); hashForm.MatchString(hash) && !used(hash) {
			errs = append(errs, s.drop(hash, func(i *Info) bool { return i.CreatedAt.Before(before) }))
			if !s.Have(hash) {
				errs = append(errs, s.recall(hash))
			}
		}
	}
	// Uploads that were cut off leave these.
	parts, _ := filepath.Glob(filepath.Join(s.Dir, ".part-*"))
	for _, p := range parts {
		if st, err := os.Stat(p); err == nil && st.ModTime().Before(before) {
			errs = append(errs, remove(p))
		}
	}
	return errors.Join(errs...)
}

// drop removes the documents of a hash that gone picks, and the bytes where
// none is left.
func (s *Store) drop(hash string, gone func(*Info) bool) error {
	var errs []error
	left := 0
	for _, i := range s.infos(hash) {
		if !gone(i) {
			left++
			continue
		}
		errs = append(errs, remove(filepath.Join(s.Dir, "ids", i.ID)), remove(filepath.Join(s.Dir, "infos", hash, i.ID)))
	}
	if left == 0 {
		errs = append(errs, remove(filepath.Join(s.Dir, "infos", hash)), remove(s.blob(hash)))
	}
	return errors.Join(errs...)
}

// recall removes the engine's copies of a file.
func (s *Store) recall(hash string) error {
	if s.Engine == "" {
		return nil
	}
	copies, _ := filepath.Glob(filepath.Join(s.Engine, engineFolder, hash+"*"))
	var errs []error
	for _, c := range copies {
		errs = append(errs, remove(c))
	}
	return errors.Join(errs...)
}

func remove(file string) error {
	if err := os.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("removing a file: %w", err)
	}
	return nil
}
