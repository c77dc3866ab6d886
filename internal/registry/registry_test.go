package registry

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	ggcrrandom "github.com/google/go-containerregistry/pkg/v1/random"
	"go.uber.org/goleak"

	"github.com/comfyctl/comfyctl/internal/diag"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// serve starts a registry in memory behind a gate.
func serve(t *testing.T, gate func(w http.ResponseWriter, r *http.Request) bool) (Client, string) {
	t.Helper()
	inner := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if gate == nil || gate(w, r) {
			inner.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(srv.Close)
	tr := &http.Transport{}
	t.Cleanup(tr.CloseIdleConnections)
	return Client{ConfigDir: t.TempDir(), Transport: tr}, strings.TrimPrefix(srv.URL, "http://")
}

func TestPush(t *testing.T) {
	var uploads atomic.Int32
	c, host := serve(t, func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodPost {
			uploads.Add(1)
		}
		return true
	})
	img, err := ggcrrandom.Image(100_000, 3)
	if err != nil {
		t.Fatal(err)
	}
	ref, err := Parse(host + "/acme/portrait:1")
	if err != nil {
		t.Fatal(err)
	}
	var done, total int64
	got, err := c.Push(t.Context(), ref, img, func(p Progress) { done, total = p.Done, p.Total })
	if err != nil {
		t.Fatal(err)
	}
	digest, _ := img.Digest()
	if want := host + "/acme/portrait@" + digest.String(); got != want {
		t.Errorf("reference %s, want %s", got, want)
	}
	if done != total || total < 300_000 {
		t.Errorf("progress ended at %d of %d", done, total)
	}
	first := uploads.Load()
	if _, err := c.Push(t.Context(), ref, img, nil); err != nil {
		t.Fatal(err)
	}
	if uploads.Load() != first {
		t.Error("blobs that are there were sent again")
	}
	back, err := c.Image(t.Context(), ref, v1.Platform{OS: "linux", Architecture: "amd64"})
	if err != nil {
		t.Fatal(err)
	}
	if d, _ := back.Digest(); d != digest {
		t.Errorf("read back %s", d)
	}
}

func TestRefusals(t *testing.T) {
	deny := func(code int) func(http.ResponseWriter, *http.Request) bool {
		return func(w http.ResponseWriter, r *http.Request) bool {
			w.WriteHeader(code)
			return false
		}
	}
	img, err := ggcrrandom.Image(10, 1)
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name  string
		gate  func(http.ResponseWriter, *http.Request) bool
		login string
		class diag.Class
		code  string
		says  string
	}{
		{"401, nothing stored", deny(401), "", diag.ClassAuth, "not_signed_in", "not signed in"},
		{"403, signed in", deny(403), "acme:s3cret", diag.ClassAuth, "not_signed_in", "does not let acme"},
		{"405", deny(405), "", diag.ClassFailed, "registry_refused", "405"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c, host := serve(t, tc.gate)
			if tc.login != "" {
				b := fmt.Sprintf(`{"auths":{%q:{"auth":%q}}}`, host, base64.StdEncoding.EncodeToString([]byte(tc.login)))
				if err := os.WriteFile(c.ConfigFile(), []byte(b), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			ref, err := Parse(host + "/acme/portrait")
			if err != nil {
				t.Fatal(err)
			}
			_, err = c.Push(t.Context(), ref, img, nil)
			var e *diag.Error
			if !errors.As(err, &e) || e.Class != tc.class || e.Code != tc.code || !strings.Contains(e.Message, tc.says) {
				t.Fatalf("got %v", err)
			}
			if tc.class == diag.ClassAuth && (!strings.Contains(e.Message, c.ConfigFile()) || !strings.Contains(e.Help, "docker login "+host)) {
				t.Errorf("message %q, help %q", e.Message, e.Help)
			}
			if strings.Contains(e.Error()+e.Help, "s3cret") {
				t.Error("the password is in the message")
			}
		})
	}
}

func TestStoredLoginIsSent(t *testing.T) {
	var seen atomic.Value
	c, host := serve(t, func(w http.ResponseWriter, r *http.Request) bool {
		if u, p, ok := r.BasicAuth(); ok {
			seen.Store(u + ":" + p)
			return true
		}
		w.Header().Set("WWW-Authenticate", `Basic realm="x"`)
		w.WriteHeader(401)
		return false
	})
	b := fmt.Sprintf(`{"auths":{%q:{"auth":%q}}}`, host, base64.StdEncoding.EncodeToString([]byte("acme:s3cret")))
	if err := os.WriteFile(c.ConfigFile(), []byte(b), 0o600); err != nil {
		t.Fatal(err)
	}
	img, err := ggcrrandom.Image(10, 1)
	if err != nil {
		t.Fatal(err)
	}
	ref, err := Parse(host + "/acme/x")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Push(t.Context(), ref, img, nil); err != nil {
		t.Fatal(err)
	}
	if seen.Load() != "acme:s3cret" {
		t.Errorf("sent %v", seen.Load())
	}
}

func TestUnreachableAndUnreadable(t *testing.T) {
	img, err := ggcrrandom.Image(10, 1)
	if err != nil {
		t.Fatal(err)
	}
	ref, err := Parse("127.0.0.1:1/acme/x")
	if err != nil {
		t.Fatal(err)
	}
	c := Client{ConfigDir: t.TempDir()}
	var e *diag.Error
	if _, err := c.Push(t.Context(), ref, img, nil); !errors.As(err, &e) || e.Code != "registry_unreachable" {
		t.Errorf("no listener: %v", err)
	}
	if err := os.WriteFile(filepath.Join(c.ConfigDir, "config.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Login("ghcr.io"); !errors.As(err, &e) || e.Code != "docker_config" || e.Class != diag.ClassAuth {
		t.Errorf("broken config: %v", err)
	}
	if _, err := Parse("UPPER/case"); !errors.As(err, &e) || e.Class != diag.ClassUsage {
		t.Errorf("bad name: %v", err)
	}
}
