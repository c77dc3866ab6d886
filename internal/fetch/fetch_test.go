package fetch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/comfyctl/comfyctl/internal/cas"
	"github.com/comfyctl/comfyctl/internal/diag"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const helloSum = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"

func serve(t *testing.T, h http.HandlerFunc) string {
	t.Helper()
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	return srv.URL
}

func text(body string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/octet-stream")
		_, _ = io.WriteString(w, body)
	}
}

func client(t *testing.T) *Client {
	tr := &http.Transport{}
	t.Cleanup(tr.CloseIdleConnections)
	return &Client{Store: cas.Open(t.TempDir()), HTTP: &http.Client{Transport: tr}, pause: time.Millisecond}
}

func TestGet(t *testing.T) {
	c := client(t)
	var done, total int64
	big := strings.Repeat("x", 3<<20)
	b, _, err := c.Get(t.Context(), Request{URL: serve(t, text(big)), Name: "m", Progress: func(d, n int64) { done, total = d, n }})
	if err != nil || b.Size != int64(len(big)) {
		t.Fatalf("%+v, %v", b, err)
	}
	if done != b.Size || total != 0 && total != b.Size {
		t.Errorf("progress ended at %d of %d", done, total)
	}
	b, _, err = c.Get(t.Context(), Request{URL: serve(t, text("hello")), Name: "m", SHA256: helloSum})
	if err != nil || b.SHA256 != helloSum {
		t.Fatalf("%+v, %v", b, err)
	}
}

func TestRefusals(t *testing.T) {
	page := func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "<!DOCTYPE html><title>Sign in</title>")
	}
	for _, tc := range []struct {
		name  string
		h     http.HandlerFunc
		req   Request
		code  string
		class diag.Class
	}{
		{"wrong hash", text("jello"), Request{SHA256: helloSum}, "wrong_hash", diag.ClassCheck},
		{"page by type", page, Request{}, "not_a_model", diag.ClassCheck},
		{"page by content", text("\n <html>"), Request{}, "not_a_model", diag.ClassCheck},
		{"not there", http.NotFound, Request{}, "model_not_found", diag.ClassCheck},
		{"not allowed", func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(403) }, Request{AuthName: "HF_TOKEN", Token: "s3cret"}, "not_signed_in", diag.ClassAuth},
		{"server trouble", func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(502) }, Request{}, "fetch_failed", diag.ClassFailed},
		{"cut short", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "100")
			_, _ = io.WriteString(w, "hello")
		}, Request{}, "fetch_failed", diag.ClassFailed},
		{"cut short later", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", fmt.Sprint(1<<20))
			_, _ = io.WriteString(w, strings.Repeat("x", 500<<10))
		}, Request{}, "fetch_failed", diag.ClassFailed},
		{"refused by the check", text("hello"), Request{Check: func(io.ReaderAt, int64) error {
			return &diag.Error{Code: "bad", Class: diag.ClassCheck, Message: "bad"}
		}}, "bad", diag.ClassCheck},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := client(t)
			tc.req.URL, tc.req.Name = serve(t, tc.h)+"/m.bin?token=s3cret", "m.bin"
			_, _, err := c.Get(t.Context(), tc.req)
			var e *diag.Error
			if !errors.As(err, &e) || e.Code != tc.code || e.Class != tc.class {
				t.Fatalf("got %v", err)
			}
			if strings.Contains(e.Error()+e.Help+fmt.Sprint(e.Facts), "s3cret") {
				t.Errorf("the secret is in the message: %v %s", e, e.Help)
			}
			kept, err := filepath.Glob(filepath.Join(c.Store.Dir(), "sha256", "*"))
			if err != nil || len(kept) != 0 {
				t.Errorf("kept %v, %v", kept, err)
			}
		})
	}
}

func TestTokenStaysWithItsHost(t *testing.T) {
	got := map[string]string{}
	other := serve(t, func(w http.ResponseWriter, r *http.Request) {
		got["other"] = r.Header.Get("Authorization")
		text("hello")(w, r)
	})
	here := serve(t, func(w http.ResponseWriter, r *http.Request) {
		got[r.URL.Path] = r.Header.Get("Authorization")
		switch r.URL.Path {
		case "/a":
			http.Redirect(w, r, "/b", http.StatusFound)
		case "/b":
			http.Redirect(w, r, other, http.StatusFound)
		}
	})
	if _, _, err := client(t).Get(t.Context(), Request{URL: here + "/a", Name: "m", Token: "s3cret"}); err != nil {
		t.Fatal(err)
	}
	if got["/a"] != "Bearer s3cret" || got["/b"] != "Bearer s3cret" || got["other"] != "" {
		t.Errorf("Authorization seen: %v", got)
	}
}

func TestNotModified(t *testing.T) {
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", `"1"`)
		if r.Header.Get("If-None-Match") == `"1"` {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		text("hello")(w, r)
	})
	c := client(t)
	_, etag, err := c.Get(t.Context(), Request{URL: url, Name: "m"})
	if err != nil || etag != `"1"` {
		t.Fatalf("%q, %v", etag, err)
	}
	if _, _, err = c.Get(t.Context(), Request{URL: url, Name: "m", ETag: etag}); !errors.Is(err, ErrNotModified) {
		t.Errorf("got %v", err)
	}
}

func TestCanceled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, strings.Repeat("x", 1<<20))
		w.(http.Flusher).Flush()
		cancel()
		<-r.Context().Done()
	})
	c := client(t)
	if _, _, err := c.Get(ctx, Request{URL: url, Name: "m"}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if list, _ := filepath.Glob(filepath.Join(c.Store.Dir(), "sha256", "*")); len(list) != 0 {
		t.Error("a part of the file is in the store")
	}
}

func TestRedact(t *testing.T) {
	for in, want := range map[string]string{
		"https://u:p@h.example/x?token=1#f": "https://…@h.example/x?…",
		"https://h.example/x":               "https://h.example/x",
		"http://[::1":                       "an unreadable address",
	} {
		if got := Redact(in); got != want {
			t.Errorf("Redact(%q) = %q, want %q", in, got, want)
		}
	}
}
