//go:build unix

package durable

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// Free is how many bytes a folder's disk has left for us.
func Free(dir string) (int64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, fmt.Errorf("asking for the room left on disk: %w", err)
	}
	return int64(st.Bavail) * int64(st.Bsize), nil //nolint:gosec,unconvert // the types differ between systems
}
