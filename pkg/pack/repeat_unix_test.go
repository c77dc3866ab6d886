//go:build !windows

package pack

import (
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
	"time"
)

// The digest of an image is a function of its content: not of the folder, the
// times and modes of files, the umask, the time zone or the number of cores.
func TestSameContentSameDigest(t *testing.T) {
	first := build(t, stub(t, t.TempDir()), t.TempDir())

	old := syscall.Umask(0o077)
	defer syscall.Umask(old)
	zone := time.Local
	time.Local = time.FixedZone("far", 13*3600)
	defer func() { time.Local = zone }()
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))

	dir := t.TempDir()
	r := stub(t, dir)
	for _, f := range []string{"big.safetensors", "small.safetensors"} {
		if err := os.Chmod(filepath.Join(dir, f), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	second := build(t, r, t.TempDir())
	if a, b := digest(t, first.Image), digest(t, second.Image); a != b {
		t.Errorf("two packs of one recipe: %s and %s", a, b)
		for i := range first.Layers {
			if first.Layers[i].Digest != second.Layers[i].Digest {
				t.Errorf("layer %s %s: %s and %s", first.Layers[i].Kind, first.Layers[i].Name, first.Layers[i].Digest, second.Layers[i].Digest)
			}
		}
	}
}
