package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestOrphans(t *testing.T) {
	proc := t.TempDir()
	for pid, stat := range map[string]string{
		"7":  "7 (python3) Z 1 5 5 0 -1",  // an orphan of the engine's group
		"8":  "8 (a) b) Z 1 5 5 0 -1",     // a name with a bracket
		"5":  "5 (python3) Z 1 5 5 0 -1",  // the engine itself
		"9":  "9 (python3) S 1 5 5 0 -1",  // alive
		"10": "10 (python3) Z 5 5 5 0 -1", // somebody else's child
		"11": "11 (nonsense",              // unreadable
	} {
		if err := os.MkdirAll(filepath.Join(proc, pid), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(proc, pid, "stat"), []byte(stat), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff([]int{7, 8}, orphans(proc)); diff != "" {
		t.Error(diff)
	}
}
