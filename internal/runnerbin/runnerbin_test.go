package runnerbin

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/comfyctl/comfyctl/internal/diag"
)

func TestCompileIsRepeatable(t *testing.T) {
	build := func(cache string) []byte {
		t.Helper()
		r, err := Open(t.Context(), Options{Platform: "linux/amd64", CacheDir: cache, NoEmbedded: true})
		if err != nil {
			t.Fatal(err)
		}
		if r.Origin != OriginCompiled {
			t.Fatalf("origin %s", r.Origin)
		}
		return r.Bytes
	}
	cache := t.TempDir()
	first := build(cache)
	if !bytes.Equal(first, build(t.TempDir())) {
		t.Error("two builds of one source differ")
	}
	// The second time comes from the cache: what lies there is given back.
	list, err := filepath.Glob(filepath.Join(cache, "runner", "*"))
	if err != nil || len(list) != 1 {
		t.Fatalf("the cache holds %v, %v", list, err)
	}
	marked := append(bytes.Clone(first), 0)
	if err := os.WriteFile(list[0], marked, 0o600); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(marked, build(cache)) {
		t.Error("the cache was not used")
	}
}

func TestOverride(t *testing.T) {
	dir := t.TempDir()
	text := filepath.Join(dir, "runner.sh")
	if err := os.WriteFile(text, []byte("#!/bin/sh\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, o := range map[string]Options{
		"not an executable":  {Platform: "linux/amd64", Override: text},
		"another platform":   {Platform: "windows/amd64"},
		"other architecture": {Platform: "linux/s390x"},
	} {
		var e *diag.Error
		if _, err := Open(t.Context(), o); !errors.As(err, &e) || e.Help == "" {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := Open(t.Context(), Options{Platform: "linux/amd64", Override: filepath.Join(dir, "none")}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no such file: %v", err)
	}
}
