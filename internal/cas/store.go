// Package cas is the content store of this machine: files under the SHA-256 of
// their bytes, an index that says which hash a file elsewhere has, and small
// facts that were expensive to find out. Everything in it can be deleted; what
// is needed again is fetched or computed again.
package cas

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// Store is a folder. Several processes may use one at a time: every file
// appears in it by one rename.
type Store struct{ dir string }

// Open uses dir, which is made with the first write.
func Open(dir string) *Store { return &Store{dir: dir} }

// Dir is the folder of the store.
func (s *Store) Dir() string { return s.dir }

// Path is where the bytes of a hash (64 hex digits) are, or would be.
func (s *Store) Path(sum string) string {
	return filepath.Join(s.dir, "sha256", sum[:2], sum)
}

// Has reports whether the bytes of a hash are here, and how many there are.
func (s *Store) Has(sum string) (size int64, ok bool) {
	if len(sum) != 64 {
		return 0, false
	}
	fi, err := os.Stat(s.Path(sum))
	if err != nil || !fi.Mode().IsRegular() {
		return 0, false
	}
	return fi.Size(), true
}

// Open reads the bytes of a hash.
func (s *Store) Open(sum string) (io.ReadCloser, error) { return s.OpenFile(sum) }

// OpenFile opens the bytes of a hash for reading in any order.
func (s *Store) OpenFile(sum string) (*os.File, error) {
	f, err := os.Open(s.Path(sum))
	if err != nil {
		return nil, fmt.Errorf("opening %s in the content store: %w", sum, err)
	}
	return f, nil
}

// Blob is a file of the store.
type Blob struct {
	SHA256 string
	Size   int64 // bytes
	// Existed is true where the store had it already.
	Existed bool
}

// Writer takes bytes that will be kept under their hash.
type Writer struct {
	store *Store
	file  *os.File
	sum   hash.Hash
	size  int64
}

// Create starts a file. Nothing shows in the store before Commit; call Abort
// when it will not come to that.
func (s *Store) Create() (*Writer, error) {
	dir := filepath.Join(s.dir, "tmp")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("making the content store: %w", err)
	}
	f, err := os.CreateTemp(dir, "new-")
	if err != nil {
		return nil, fmt.Errorf("writing to the content store: %w", err)
	}
	return &Writer{store: s, file: f, sum: sha256.New()}, nil
}

// Write hashes and keeps p.
func (w *Writer) Write(p []byte) (int, error) {
	n, err := w.file.Write(p)
	w.sum.Write(p[:n])
	w.size += int64(n)
	return n, err
}

// ReadAt reads what has been written so far.
func (w *Writer) ReadAt(p []byte, off int64) (int, error) { return w.file.ReadAt(p, off) }

// Size is the number of bytes written.
func (w *Writer) Size() int64 { return w.size }

// WrongHashError says that bytes are not those that were promised.
type WrongHashError struct{ Want, Got string }

// Error names both hashes.
func (e *WrongHashError) Error() string {
	return fmt.Sprintf("the bytes have sha256 %s, expected was %s", e.Got, e.Want)
}

// Commit puts the file in its place. A want that is not empty must be its
// hash, else nothing is kept and the error is a *WrongHashError.
func (w *Writer) Commit(want string) (Blob, error) {
	b := Blob{SHA256: hex.EncodeToString(w.sum.Sum(nil)), Size: w.size}
	if want != "" && want != b.SHA256 {
		w.Abort()
		return b, &WrongHashError{Want: want, Got: b.SHA256}
	}
	if _, ok := w.store.Has(b.SHA256); ok {
		w.Abort()
		b.Existed = true
		return b, nil
	}
	// Read-only, because the file may be linked or bound elsewhere.
	err := errors.Join(w.file.Chmod(0o444), w.file.Sync(), w.file.Close())
	if err == nil {
		err = os.MkdirAll(filepath.Dir(w.store.Path(b.SHA256)), 0o755)
	}
	if err == nil {
		err = os.Rename(w.file.Name(), w.store.Path(b.SHA256))
	}
	if err != nil {
		w.Abort()
		return b, fmt.Errorf("keeping a file in the content store: %w", err)
	}
	return b, nil
}

// Abort drops what was written. After a Commit it does nothing.
func (w *Writer) Abort() {
	_ = w.file.Close()
	_ = os.Remove(w.file.Name())
}

// Verify reads a blob again and removes it when its bytes have changed.
func (s *Store) Verify(sum string) error {
	f, err := s.Open(sum)
	if err != nil {
		return err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return fmt.Errorf("reading %s in the content store: %w", sum, err)
	}
	if got := hex.EncodeToString(h.Sum(nil)); got != sum {
		if err := os.Remove(s.Path(sum)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("removing a damaged file: %w", err)
		}
		return &WrongHashError{Want: sum, Got: got}
	}
	return nil
}
