package files

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"image"
	"image/png"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/comfyctl/comfyctl/pkg/contract"
)

func picture(t *testing.T, w, h int) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := png.Encode(&b, image.NewGray(image.Rect(0, 0, w, h))); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func open(t *testing.T) *Store {
	t.Helper()
	s, err := Open(filepath.Join(t.TempDir(), "files"), Limits{Size: 4096, Pixels: 1000})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// site is a web site on this machine, and a fetcher that takes its address for
// a public one; calls counts the connections that were looked at.
func site(t *testing.T) (f *Fetcher, url string, calls *int) {
	t.Helper()
	img := picture(t, 4, 4)
	mux := http.NewServeMux()
	mux.HandleFunc("/cat.png", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(img) })
	mux.HandleFunc("/lie.png", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "image/png")
		_, _ = fmt.Fprint(w, "<html>sign in first</html>")
	})
	mux.HandleFunc("/huge", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "1000000")
		_, _ = w.Write(make([]byte, 10))
	})
	mux.HandleFunc("/endless", func(w http.ResponseWriter, _ *http.Request) {
		for range 100 {
			if _, err := w.Write(make([]byte, 1000)); err != nil {
				return
			}
			w.(http.Flusher).Flush()
		}
	})
	mux.HandleFunc("/slow", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	mux.HandleFunc("/to", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, r.URL.Query().Get("u"), http.StatusFound)
	})
	mux.HandleFunc("/circle", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/circle", http.StatusFound) })
	srv := httptest.NewTLSServer(mux)
	t.Cleanup(srv.Close)
	pool := x509.NewCertPool()
	pool.AddCert(srv.Certificate())
	calls = new(int)
	own := srv.Listener.Addr().String()
	f = &Fetcher{MaxSize: 2000, Timeout: 10 * time.Second, trust: pool, safe: func(_, address string, c syscall.RawConn) error {
		if c != nil {
			*calls++
		}
		if address == own {
			return nil
		}
		return errors.New("private")
	}}
	return f, srv.URL, calls
}

func TestFetch(t *testing.T) {
	f, url, calls := site(t)
	s := open(t)
	info, err := f.Fetch(t.Context(), s, url+"/cat.png", 0, Owner{})
	if err != nil || info.Type != "image" || info.Width != 4 || info.Name != "cat.png" || *calls != 1 {
		t.Fatalf("%+v %v after %d connections", info, err, *calls)
	}
	for _, tt := range []struct{ name, url, want string }{
		{"plain http", "http://example.com/", "only https"},
		{"file", "file:///etc/passwd", "only https"},
		{"user name", "https://me:pw@example.com/", "user name"},
		{"no host", "https:///x", "only https"},
		{"not there", url + "/none", "answered 404"},
		{"a page, not a picture", url + "/lie.png", "is sent as image/png, and its content is"},
		{"too large", url + "/huge", "larger than allowed"},
		{"too large, not said", url + "/endless", "larger than allowed"},
		{"redirect to plain http", url + "/to?u=http://example.com/", "only https"},
		{"redirect to loopback", url + "/to?u=https://127.0.0.1:1/", "private address"},
		{"redirect to a name of this machine", url + "/to?u=https://localhost:1/", "private address"},
		{"redirect in a circle", url + "/circle", "too many redirects"},
		{"no such name", "https://no-such-name.invalid/", "cannot be resolved"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			info, err := f.Fetch(t.Context(), s, tt.url, 0, Owner{})
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%+v %v", info, err)
			}
		})
	}
	quick := *f
	quick.Timeout = 20 * time.Millisecond
	if _, err := quick.Fetch(t.Context(), s, url+"/slow", 0, Owner{}); err == nil || !strings.Contains(err.Error(), "did not answer within") {
		t.Errorf("%v", err)
	}
	narrow := *f
	narrow.Hosts = []string{"*.example.com"}
	if _, err := narrow.Fetch(t.Context(), s, url+"/cat.png", 0, Owner{}); err == nil || !strings.Contains(err.Error(), "not among the hosts") {
		t.Errorf("%v", err)
	}
	if left, _ := filepath.Glob(filepath.Join(s.Dir, ".part-*")); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

// Every address that is not public is refused when the connection is made, so
// a name that changes its address between two look-ups gains nothing.
func TestGuard(t *testing.T) {
	guard := (&Fetcher{}).guard()
	for _, a := range []string{
		"127.0.0.1:443", "127.9.9.9:443", "10.0.0.1:443", "172.16.0.1:443", "192.168.1.1:443", "169.254.169.254:80", "100.64.0.1:443", "0.0.0.0:443",
		"198.18.0.1:443", "224.0.0.1:443", "255.255.255.255:443",
		"[::1]:443", "[::]:443", "[fe80::1]:443", "[fc00::1]:443", "[fd00:ec2::254]:80", "[::ffff:127.0.0.1]:443", "[64:ff9b::7f00:1]:443", "[ff02::1]:443", "[2002:7f00:1::]:443",
	} {
		network := "tcp4"
		if a[0] == '[' {
			network = "tcp6"
		}
		if err := guard(network, a, nil); !errors.Is(err, ErrPrivate) {
			t.Errorf("%s is let through: %v", a, err)
		}
	}
	for _, a := range []string{"93.184.216.34:443", "8.8.8.8:8443"} {
		if err := guard("tcp4", a, nil); err != nil {
			t.Errorf("%s is refused", a)
		}
	}
}

func TestResolve(t *testing.T) {
	s := open(t)
	r := &Resolver{Store: s, Owner: Owner{Caller: "me"}}
	img := picture(t, 4, 4)
	stored, err := s.Add(bytes.NewReader(img), "a.png", 0, Owner{Caller: "me"}, false)
	if err != nil {
		t.Fatal(err)
	}
	other, err := s.Add(strings.NewReader("theirs"), "b.txt", 0, Owner{Caller: "you"}, false)
	if err != nil {
		t.Fatal(err)
	}
	uri := func(ct string, b []byte) string {
		return "data:" + ct + ";base64," + base64.StdEncoding.EncodeToString(b)
	}
	for _, tt := range []struct{ name, value, typ, want string }{
		{"id", stored.ID, contract.TypeImage, ""},
		{"hash", stored.Hash, contract.TypeMask, ""},
		{"data", uri("image/png", img), contract.TypeImage, ""},
		{"data of another format", uri("image/jpeg", img), contract.TypeImage, ""},
		{"text data", "data:,hello%20there", contract.TypeFile, ""},
		{"wrong kind", uri("", []byte("RIFF1234WAVE")), contract.TypeImage, "takes an image, and the file is audio/wav"},
		{"cut off picture", uri("image/png", img[:12]), contract.TypeImage, "takes an image"},
		{"lying type", uri("image/png", []byte("hello")), contract.TypeFile, "is sent as image/png, and its content is text/plain"},
		{"too many pixels", uri("image/png", picture(t, 40, 40)), contract.TypeImage, "is a picture of 40×40 pixels"},
		{"too large", uri("", make([]byte, 5000)), contract.TypeFile, "larger than allowed"},
		{"broken base64", "data:image/png;base64,@@", contract.TypeImage, "the base64 is broken"},
		{"broken escape", "data:,%zz", contract.TypeFile, "the escapes are broken"},
		{"no comma", "data:image/png;base64", contract.TypeImage, "no comma"},
		{"another caller's id", other.ID, contract.TypeFile, "not here"},
		{"another caller's hash", other.Hash, contract.TypeFile, "not here"},
		{"a way out", "file_../../../../etc/passwd", contract.TypeFile, "not here"},
		{"a way out by hash", "sha256:../../../../etc/passwd", contract.TypeFile, "not here"},
		{"a path", "/etc/passwd", contract.TypeFile, "is not a file"},
		{"a URL where none is fetched", "https://example.com/", contract.TypeFile, "fetches none"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f, err := r.Resolve(t.Context(), tt.value, contract.Input{Type: tt.typ}, true)
			if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%+v %v", f, err)
			}
		})
	}
	if f, err := (&Resolver{Store: s, Fetcher: &Fetcher{}}).Resolve(t.Context(), "https://example.com/", contract.Input{Type: contract.TypeFile}, false); f != nil || err != nil {
		t.Errorf("looking without fetching: %v %v", f, err)
	}
}

// Bytes are kept as long as somebody names them.
func TestRemoving(t *testing.T) {
	s := open(t)
	s.Engine = t.TempDir()
	me, you := Owner{Caller: "me"}, Owner{Caller: "you"}
	add := func(o Owner, passing bool) *Info {
		i, err := s.Add(strings.NewReader("same"), "a.txt", 0, o, passing)
		if err != nil {
			t.Fatal(err)
		}
		return i
	}
	a, b, c := add(me, false), add(you, false), add(me, true)
	if again := add(me, true); again.ID != c.ID {
		t.Error("what passes twice is described twice")
	}
	hash := a.Hash[7:]
	engines := filepath.Join(s.Engine, engineFolder, hash+".txt")
	if err := os.MkdirAll(filepath.Dir(engines), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(engines, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.Delete(a.ID, you); !errors.Is(err, ErrNotFound) {
		t.Errorf("another caller deletes it: %v", err)
	}
	if err := s.Delete(a.ID, me); err != nil || !s.Have(hash) {
		t.Errorf("%v", err)
	}
	if err := s.Release(hash); err != nil || !s.Have(hash) {
		t.Errorf("released while you still name it: %v", err)
	}
	if _, err := os.Stat(engines); !os.IsNotExist(err) {
		t.Error("the engine's copy is left")
	}
	if _, err := s.Get(c.ID, me); !errors.Is(err, ErrNotFound) {
		t.Errorf("%v", err)
	}
	used := func(string) bool { return true }
	free := func(string) bool { return false }
	later := time.Now().Add(time.Hour)
	if err := errors.Join(s.Sweep(later, used), s.Sweep(time.Now().Add(-time.Hour), free)); err != nil || !s.Have(hash) {
		t.Errorf("swept too early: %v", err)
	}
	if err := s.Sweep(later, free); err != nil || s.Have(hash) {
		t.Errorf("not swept: %v", err)
	}
	if _, err := s.Get(b.ID, you); !errors.Is(err, ErrNotFound) {
		t.Errorf("%v", err)
	}
	var left []string
	_ = filepath.WalkDir(s.Dir, func(p string, d os.DirEntry, _ error) error {
		if !d.IsDir() {
			left = append(left, p)
		}
		return nil
	})
	if len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

func FuzzDataURI(f *testing.F) {
	f.Add("data:image/png;base64,iVBORw0KGgo=")
	f.Add("data:,%41")
	dir := f.TempDir()
	s, err := Open(dir, Limits{Size: 1 << 16, Pixels: 1 << 20})
	if err != nil {
		f.Fatal(err)
	}
	r := &Resolver{Store: s}
	f.Fuzz(func(t *testing.T, value string) {
		got, err := r.Resolve(context.Background(), "data:"+value, contract.Input{Type: contract.TypeImage}, false)
		if err == nil && !s.Have(got.SHA256) {
			t.Error("a file that is not stored")
		}
	})
}
