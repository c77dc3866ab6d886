package cas

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// record is what the index knows of a file outside the store.
type record struct {
	Path   string `json:"path"`
	Size   int64  `json:"size"`
	MTime  int64  `json:"mtime_ns"`
	Inode  uint64 `json:"inode,omitempty"`
	SHA256 string `json:"sha256"`
}

// settled is how old a change must be for the index to trust the time of a
// file: file systems count time in steps, so two changes within one look alike.
const settled = 2 * time.Second

// Lookup is the hash of the file at path, if it is known and the file has the
// size, time and inode that it had then.
func (s *Store) Lookup(path string, fi fs.FileInfo) (sum string, ok bool) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return "", false
	}
	var r record
	if !s.Fact("file", abs, &r) {
		return "", false
	}
	same := r.Path == abs && r.Size == fi.Size() && r.MTime == fi.ModTime().UnixNano() && r.Inode == inode(fi)
	return r.SHA256, same && len(r.SHA256) == 64
}

// Remember records the hash of a file, given its state from before it was
// read. A file that changed a moment ago is not recorded.
func (s *Store) Remember(path string, fi fs.FileInfo, sum string) error {
	if time.Since(fi.ModTime()) < settled {
		return nil
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		return fmt.Errorf("finding %s: %w", path, err)
	}
	return s.SetFact("file", abs, record{Path: abs, Size: fi.Size(), MTime: fi.ModTime().UnixNano(), Inode: inode(fi), SHA256: sum})
}

// Fact reads what SetFact recorded under the kind and key into v; what cannot
// be read counts as unknown.
func (s *Store) Fact(kind, key string, v any) bool {
	b, err := os.ReadFile(s.factPath(kind, key))
	return err == nil && json.Unmarshal(b, v) == nil
}

// SetFact records v under the kind and key.
func (s *Store) SetFact(kind, key string, v any) error {
	path := s.factPath(kind, key)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("making the content store: %w", err)
	}
	return writeJSON(path, v)
}

// writeJSON makes a file appear at once, or not at all.
func writeJSON(path string, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encoding a fact: %w", err)
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".new-")
	if err != nil {
		return fmt.Errorf("writing to the content store: %w", err)
	}
	_, err = f.Write(append(b, '\n'))
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name())
		return fmt.Errorf("writing to the content store: %w", err)
	}
	return nil
}

func (s *Store) factPath(kind, key string) string {
	sum := sha256.Sum256([]byte(key))
	h := hex.EncodeToString(sum[:])
	return filepath.Join(s.dir, "index", kind, h[:2], h[2:]+".json")
}
