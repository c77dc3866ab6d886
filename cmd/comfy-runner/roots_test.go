package main

import (
	"crypto/x509"
	"os"
	"os/exec"
	"testing"
)

// An image from scratch has no file of certificate authorities: the runner
// brings its own, or no input by https URL could ever be read there.
func TestRootsWithoutSystem(t *testing.T) {
	if os.Getenv("COMFYCTL_TEST_ROOTS") == "1" {
		pool, err := x509.SystemCertPool()
		if err != nil {
			t.Fatal(err)
		}
		if pool.Equal(x509.NewCertPool()) {
			t.Fatal("no certificate authority is known")
		}
		return
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestRootsWithoutSystem$", "-test.v")
	empty := t.TempDir()
	cmd.Env = append(os.Environ(), "COMFYCTL_TEST_ROOTS=1", "SSL_CERT_FILE="+empty+"/none", "SSL_CERT_DIR="+empty)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("without the system's authorities: %v\n%s", err, out)
	}
}
