package pack

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/comfyctl/comfyctl/internal/runnerbin"
)

// testRunner is a real comfy-runner, compiled once for all tests of this
// machine: its cache is keyed by its source.
func testRunner(t *testing.T) string {
	t.Helper()
	r, err := runnerbin.Open(t.Context(), runnerbin.Options{Platform: "linux/amd64", CacheDir: sharedCache})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "comfy-runner")
	if err := os.WriteFile(file, r.Bytes, 0o755); err != nil {
		t.Fatal(err)
	}
	return file
}
