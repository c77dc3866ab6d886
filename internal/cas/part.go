package cas

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/gofrs/flock"
)

// Part is a file on its way into the store that outlives the process which
// began it: what is there, the next one goes on from. One process at a time
// has it.
type Part struct {
	store *Store
	path  string
	file  *os.File
	lock  *flock.Flock
	hold  func() error // of the store
}

// lockPoll is how often a waiting process looks for the lock.
const lockPoll = 100 * time.Millisecond

// OpenPart opens, or begins, the part of a key, which says what the bytes will
// be. While another process has it, OpenPart waits, until the context ends.
func (s *Store) OpenPart(ctx context.Context, key string) (*Part, error) {
	sum := sha256.Sum256([]byte(key))
	name := hex.EncodeToString(sum[:16])
	locks := filepath.Join(s.dir, "locks")
	path := filepath.Join(s.dir, "tmp", partPrefix+name)
	for _, dir := range []string{locks, filepath.Dir(path)} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return nil, fmt.Errorf("making the content store: %w", err)
		}
	}
	hold, err := s.Hold(ctx)
	if err != nil {
		return nil, err
	}
	// Lock files stay: one that was removed under a waiting process would let
	// two in.
	lock := flock.New(filepath.Join(locks, name))
	if _, err := lock.TryLockContext(ctx, lockPoll); err != nil {
		return nil, errors.Join(fmt.Errorf("waiting for another process that fetches the same file: %w", err), hold())
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("writing to the content store: %w", err), lock.Unlock(), hold())
	}
	return &Part{store: s, path: path, file: f, lock: lock, hold: hold}, nil
}

const partPrefix = "part-"

// WriteAt writes bytes at their place.
func (p *Part) WriteAt(b []byte, off int64) (int, error) { return p.file.WriteAt(b, off) }

// ReadAt reads bytes that were written.
func (p *Part) ReadAt(b []byte, off int64) (int, error) { return p.file.ReadAt(b, off) }

// Truncate cuts off what lies behind size.
func (p *Part) Truncate(size int64) error { return p.file.Truncate(size) }

// State reads what Save recorded into v; false means nothing usable.
func (p *Part) State(v any) bool {
	b, err := os.ReadFile(p.path + ".json")
	return err == nil && json.Unmarshal(b, v) == nil
}

// Save records v beside the bytes, which are on the disk before it: after a
// crash, v never promises more than is there.
func (p *Part) Save(v any) error {
	if err := p.file.Sync(); err != nil {
		return fmt.Errorf("writing to the content store: %w", err)
	}
	return writeJSON(p.path+".json", v)
}

// Reset forgets all bytes and the state.
func (p *Part) Reset() error {
	err := os.Remove(p.path + ".json")
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	if err = errors.Join(err, p.file.Truncate(0)); err != nil {
		return fmt.Errorf("starting a file of the content store again: %w", err)
	}
	return nil
}

// Commit puts the file in its place under its hash (64 hex digits), which the
// caller has computed of all its bytes, and cuts off what lies behind size.
func (p *Part) Commit(sum string, size int64) (Blob, error) {
	b := Blob{SHA256: sum, Size: size}
	if _, b.Existed = p.store.Has(sum); b.Existed {
		return b, p.Drop()
	}
	// Read-only, because the file may be linked or bound elsewhere.
	err := errors.Join(p.file.Truncate(size), p.file.Chmod(0o444), p.file.Sync(), p.file.Close())
	if err == nil {
		err = os.MkdirAll(filepath.Dir(p.store.Path(sum)), 0o755)
	}
	if err == nil {
		err = os.Rename(p.path, p.store.Path(sum))
	}
	if err != nil {
		return b, errors.Join(fmt.Errorf("keeping a file in the content store: %w", err), p.Close())
	}
	_ = os.Remove(p.path + ".json")
	return b, p.release()
}

// Drop removes the part and gives it back.
func (p *Part) Drop() error {
	_ = p.file.Close()
	err := os.Remove(p.path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("removing a part: %w", err)
	} else {
		err = nil
	}
	_ = os.Remove(p.path + ".json")
	return errors.Join(err, p.release())
}

// Close gives the part back and leaves it for the next time. After Commit or
// Drop it does nothing.
func (p *Part) Close() error {
	if err := p.file.Close(); err != nil && !errors.Is(err, fs.ErrClosed) {
		return errors.Join(err, p.release())
	}
	return p.release()
}

func (p *Part) release() error { return errors.Join(p.lock.Unlock(), p.hold()) }
