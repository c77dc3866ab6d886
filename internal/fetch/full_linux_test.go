package fetch

import (
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/comfyctl/comfyctl/internal/cas"
	"github.com/comfyctl/comfyctl/internal/diag"
)

// tmpfs mounts a file system of a megabyte. That takes root; CI has it.
func tmpfs(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=1m"); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("CI=true, and no file system can be mounted: %v", err)
		}
		t.Skipf("mounting a small file system: %v", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(dir, 0) })
	return dir
}

// A disk that fills up is an error that says how much is missing; what has
// arrived is of use when there is room again.
func TestDiskFull(t *testing.T) {
	dir := tmpfs(t)
	content := noise(11, 900<<10)
	o := &origin{versions: [][]byte{content}}
	url := o.start(t)
	r := Request{URL: url, Name: "m.bin", SHA256: sumOf(content)}
	c := small(t)
	c.Store = cas.Open(filepath.Join(dir, "cas"))

	// Too little from the start: nothing is asked for but the first range.
	ballast := filepath.Join(dir, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 400<<10), 0o600); err != nil {
		t.Fatal(err)
	}
	_, _, err := c.Get(t.Context(), r)
	var e *diag.Error
	if !errors.As(err, &e) || e.Code != "disk_full" || !e.Retryable {
		t.Fatalf("got %v", err)
	}
	if n := o.asked(); n != 1 {
		t.Errorf("%d requests", n)
	}
	// Somebody else fills the disk on the way.
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	o.begin(func(n int, _ *http.Request) fault {
		if n == 12 {
			_ = os.WriteFile(ballast, make([]byte, 900<<10), 0o600) // as much as fits
		}
		return none
	})
	_, _, err = c.Get(t.Context(), r)
	if !errors.As(err, &e) || e.Code != "disk_full" || !strings.Contains(e.Help, "are kept") {
		t.Fatalf("got %v", err)
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	o.begin(nil)
	b, _, err := c.Get(t.Context(), r)
	if err != nil || b.SHA256 != r.SHA256 {
		t.Fatalf("%+v, %v", b, err)
	}
	if n := o.sent.Load(); n >= int64(len(content)) {
		t.Errorf("all %d bytes were fetched again", n)
	}
	if err := c.Store.Verify(b.SHA256); err != nil {
		t.Error(err)
	}
}
