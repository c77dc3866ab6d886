package cas

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/gofrs/flock"
)

// ErrInUse says that another process works with the store.
var ErrInUse = errors.New("another process uses the content store")

// Hold keeps Prune of other processes from removing anything until release is
// called, or the process ends.
func (s *Store) Hold(ctx context.Context) (release func() error, err error) {
	if err := os.MkdirAll(s.dir, 0o755); err != nil {
		return nil, fmt.Errorf("making the content store: %w", err)
	}
	l := s.lock()
	if _, err := l.TryRLockContext(ctx, lockPoll); err != nil {
		return nil, fmt.Errorf("waiting for the content store: %w", err)
	}
	return l.Unlock, nil
}

func (s *Store) lock() *flock.Flock { return flock.New(filepath.Join(s.dir, "lock")) }

// Limits say what Prune removes.
type Limits struct {
	// Max is how many bytes may stay; what was of use longest ago goes first.
	// 0 sets no limit.
	Max int64
	// Before removes what was of use before then. Zero removes nothing for age.
	Before time.Time
	// Keep spares a blob whatever its age; nil spares none.
	Keep func(sum string) bool
	// Dry only says what would go.
	Dry bool
}

// Prune removes what the limits say, and returns it. Interrupted downloads are
// treated like blobs. While another process uses the store, it is ErrInUse.
func (s *Store) Prune(ctx context.Context, l Limits) ([]Item, error) {
	if _, err := os.Stat(s.dir); errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	lock := s.lock()
	ok, err := lock.TryLock()
	if err != nil {
		return nil, fmt.Errorf("locking the content store: %w", err)
	}
	if !ok {
		return nil, ErrInUse
	}
	defer func() { _ = lock.Unlock() }() // closing it is all
	items, err := s.Items()
	if err != nil {
		return nil, err
	}
	gone := l.choose(items)
	for i, it := range gone {
		if err := ctx.Err(); err != nil {
			return gone[:i], err
		}
		if l.Dry {
			continue
		}
		if err := it.remove(); err != nil {
			return gone[:i], err
		}
	}
	return gone, nil
}

// choose is pure: which of the items have to go.
func (l Limits) choose(items []Item) []Item {
	slices.SortFunc(items, func(a, b Item) int { return cmp.Or(a.Used.Compare(b.Used), cmp.Compare(a.path, b.path)) })
	var stays int64
	for _, it := range items {
		stays += it.Size
	}
	var out []Item
	for _, it := range items {
		if l.Keep != nil && it.SHA256 != "" && l.Keep(it.SHA256) {
			continue
		}
		if it.Used.Before(l.Before) || l.Max > 0 && stays > l.Max {
			out = append(out, it)
			stays -= it.Size
		}
	}
	return out
}

func (i Item) remove() error {
	for _, p := range []string{i.path, i.path + ".json"} {
		if err := os.Remove(p); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("removing a file of the content store: %w", err)
		}
	}
	return nil
}
