package diskspace

import (
	"errors"
	"path/filepath"
	"testing"

	"github.com/comfyctl/comfyctl/internal/diag"
)

func TestFreeOfAPathToCome(t *testing.T) {
	dir := t.TempDir()
	here, err := Free(dir)
	if err != nil {
		t.Fatal(err)
	}
	if here <= 0 {
		t.Fatalf("Free(%s) = %d", dir, here)
	}
	if _, err := Free(filepath.Join(dir, "not", "yet")); err != nil {
		t.Errorf("a path that does not exist yet: %v", err)
	}
}

func TestRequire(t *testing.T) {
	dir := t.TempDir()
	if err := Require(dir, 1, "a byte", ""); err != nil {
		t.Errorf("one byte: %v", err)
	}
	err := Require(dir, 1<<62, "model x", "buy a disk")
	var e *diag.Error
	if !errors.As(err, &e) || e.Code != "disk_full" || e.Class != diag.ClassFailed || e.Help == "" {
		t.Fatalf("4 EiB: %v", err)
	}
}
