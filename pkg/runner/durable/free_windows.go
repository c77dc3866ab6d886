package durable

import (
	"fmt"

	"golang.org/x/sys/windows"
)

// Free is how many bytes a folder's disk has left for us.
func Free(dir string) (int64, error) {
	name, err := windows.UTF16PtrFromString(dir)
	if err != nil {
		return 0, fmt.Errorf("asking for the room left on disk: %w", err)
	}
	var free uint64
	if err := windows.GetDiskFreeSpaceEx(name, &free, nil, nil); err != nil {
		return 0, fmt.Errorf("asking for the room left on disk: %w", err)
	}
	return int64(free), nil //nolint:gosec // no disk is that large
}
