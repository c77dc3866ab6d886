package cas

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Item is a file that takes room in the store.
type Item struct {
	// SHA256 is empty for a part of a download that was interrupted.
	SHA256 string
	// Name is what the bytes were fetched as, if that is known.
	Name string
	Size int64     // bytes on disk
	Used time.Time // the last time that it was of use
	path string
}

// Items lists what takes room: blobs and interrupted downloads.
func (s *Store) Items() ([]Item, error) {
	var out []Item
	for _, dir := range []string{"sha256", "tmp"} {
		err := filepath.WalkDir(filepath.Join(s.dir, dir), func(p string, d fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrNotExist) || err == nil && d.IsDir() {
				return nil
			}
			if err != nil {
				return err
			}
			fi, err := d.Info()
			if errors.Is(err, fs.ErrNotExist) {
				return nil // removed by another process
			}
			if err != nil {
				return err
			}
			it := Item{Size: onDisk(fi), Used: fi.ModTime(), path: p}
			if dir == "sha256" {
				it.SHA256 = d.Name()
				s.Fact("name", it.SHA256, &it.Name)
			}
			if dir == "sha256" || !strings.HasSuffix(p, ".json") {
				out = append(out, it)
			}
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("looking through the content store: %w", err)
		}
	}
	return out, nil
}

// Size is how many bytes on disk the store takes.
func (s *Store) Size() (int64, error) {
	items, err := s.Items()
	var n int64
	for _, it := range items {
		n += it.Size
	}
	return n, err
}

// Touch notes that a blob was of use. A store that cannot be written to is used
// all the same.
func (s *Store) Touch(sum string) {
	now := time.Now()
	_ = os.Chtimes(s.Path(sum), now, now)
}

// Name records what a blob was fetched as, for people.
func (s *Store) Name(sum, name string) error { return s.SetFact("name", sum, name) }
