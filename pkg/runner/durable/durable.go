// Package durable has what the runner asks of a file system beyond files:
// names that survive a power cut, and how much room is left.
package durable

import (
	"fmt"
	"os"
	"runtime"
)

// Folder waits until the disk has a folder's names. Windows has no such call.
func Folder(dir string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	f, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("writing a folder to disk: %w", err)
	}
	defer f.Close()
	if err := f.Sync(); err != nil {
		return fmt.Errorf("writing a folder to disk: %w", err)
	}
	return nil
}
