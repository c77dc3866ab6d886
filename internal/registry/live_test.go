package registry

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// distribution starts the registry that Docker's own runs on.
func distribution(t *testing.T) string {
	t.Helper()
	if os.Getenv("COMFYCTL_TEST_DOCKER") != "1" {
		t.Skip("COMFYCTL_TEST_DOCKER is not 1")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	_ = l.Close()
	dir := t.TempDir()
	cfg := filepath.Join(dir, "config.yml")
	text := fmt.Sprintf("version: 0.1\nlog: {level: error}\nstorage: {filesystem: {rootdirectory: %s}}\nhttp: {addr: %q}\n", dir, addr)
	if err := os.WriteFile(cfg, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("docker-registry", "serve", cfg)
	if err := cmd.Start(); err != nil {
		t.Fatalf("starting docker-registry: %v (make test installs it)", err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	for range 200 {
		if c, err := net.Dial("tcp", addr); err == nil {
			_ = c.Close()
			return addr
		}
		time.Sleep(25 * time.Millisecond)
	}
	t.Fatal("docker-registry does not listen")
	return ""
}

// cutter passes connections on and breaks one when so many bytes have gone to
// the registry since the last break, for so many times.
func cutter(t *testing.T, to string, every, times int64) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var cuts, passed atomic.Int64
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				pass(in, to, func(n int64) bool {
					if passed.Add(n) < every || cuts.Load() >= times {
						return false
					}
					passed.Store(0)
					cuts.Add(1)
					return true
				})
			})
		}
	})
	t.Cleanup(func() { _ = l.Close(); wg.Wait() })
	return l.Addr().String()
}

func pass(in net.Conn, to string, cut func(n int64) bool) {
	defer in.Close()
	out, err := net.Dial("tcp", to)
	if err != nil {
		return
	}
	defer out.Close()
	done := make(chan struct{})
	go func() {
		_, _ = io.Copy(in, out)
		_ = in.Close()
		close(done)
	}()
	buf := make([]byte, 16<<10)
	for {
		n, err := in.Read(buf)
		if n > 0 {
			if _, werr := out.Write(buf[:n]); werr != nil {
				break
			}
		}
		if cut(int64(n)) {
			break
		}
		if err != nil {
			break
		}
	}
	_ = out.Close()
	<-done
}

// The real registry, behind a line that breaks, and a push that is killed
// between two pieces: what it kept is not sent again.
func TestPushToDistribution(t *testing.T) {
	addr := cutter(t, distribution(t), 5*mib, 2)
	tr := &http.Transport{}
	t.Cleanup(tr.CloseIdleConnections)
	c := Client{ConfigDir: t.TempDir(), Transport: tr, Sessions: t.TempDir(), tuning: small()}
	c.tuning.chunk, c.tuning.chunkFrom = mib, mib
	img, content := random(t, 12*mib, 9)
	ref, err := Parse(addr + "/acme/portrait:1")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	_, err = c.Push(ctx, ref, img, func(p Progress) {
		if p.Done >= 3*mib && p.Done < 3*mib+mib/2 {
			cancel()
		}
	})
	cancel()
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("the first push: %v", err)
	}
	if _, err := c.Push(t.Context(), ref, img, nil); err != nil {
		t.Fatal(err)
	}
	back, err := c.Image(t.Context(), ref, v1.Platform{OS: "linux", Architecture: "amd64"})
	if err != nil {
		t.Fatal(err)
	}
	layers, err := back.Layers()
	if err != nil {
		t.Fatal(err)
	}
	r, err := layers[0].Compressed()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, content) {
		t.Errorf("read back %d bytes, %v", len(got), err)
	}
	again := int64(0)
	if _, err := c.Push(t.Context(), ref, img, func(p Progress) { again = p.Sending }); err != nil || again > 2000 {
		t.Errorf("pushed again: %d bytes to send, %v", again, err)
	}
}
