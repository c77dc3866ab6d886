package registry

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/comfyctl/comfyctl/internal/diag"
)

const mib = 1 << 20

// once lets the first n requests that match through to act.
func once(n int, method, in string, act func(w http.ResponseWriter, r *http.Request)) func(http.ResponseWriter, *http.Request) bool {
	var mu sync.Mutex
	return func(w http.ResponseWriter, r *http.Request) bool {
		mu.Lock()
		hit := n > 0 && r.Method == method && strings.Contains(r.URL.Path, in)
		if hit {
			n--
		}
		mu.Unlock()
		if hit {
			act(w, r)
		}
		return hit
	}
}

func code(c int) func(http.ResponseWriter, *http.Request) {
	return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(c) }
}

// Whatever goes wrong on the way, the blob arrives; most bytes cross once.
func TestPushFaults(t *testing.T) {
	const uploads = "/blobs/uploads/"
	early := false
	for _, tc := range []struct {
		name  string
		fake  *fake
		extra int64 // bytes that may cross again
	}{
		{"nothing", &fake{}, 0},
		{"drop inside a chunk that is kept", &fake{keeps: true, drop: []int64{200_000}}, 10_000},
		{"drop inside a chunk that loses the upload", &fake{drop: []int64{200_000}}, 200_000},
		{"six drops, each further on", &fake{keeps: true, drop: []int64{100_000, 200_000, 300_000, 400_000, 500_000, 600_000, 700_000}}, 70_000},
		{"500 on the first request", &fake{fault: once(2, "POST", uploads, code(500))}, 0},
		{"429 with a date", &fake{fault: once(2, "PATCH", uploads, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", time.Now().UTC().Format(http.TimeFormat))
			w.WriteHeader(429)
		})}, 70_000},
		{"416 on the first piece", &fake{fault: once(1, "PATCH", uploads, code(416))}, 70_000},
		{"400 for every piece", &fake{fault: once(99, "PATCH", uploads, code(400))}, 70_000},
		{"503 at the end", &fake{fault: once(1, "PUT", uploads, code(503))}, 0},
		{"500 on the manifest", &fake{fault: once(1, "PUT", "/manifests/", code(500))}, 0},
		{"500 when asked what is there", &fake{fault: once(1, "HEAD", "/blobs/", code(500))}, 0},
		{"201 after the first piece", &fake{fault: once(1, "PATCH", uploads, func(w http.ResponseWriter, r *http.Request) {
			early = true
			_, _ = io.Copy(io.Discard, r.Body)
			w.WriteHeader(201)
		})}, 70_000},
		{"a piece is counted and not kept", &fake{fault: once(1, "PATCH", uploads, func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			w.WriteHeader(202)
		})}, 140_000},
		{"a proxy bounds bodies", &fake{fault: func(w http.ResponseWriter, r *http.Request) bool {
			if r.ContentLength > 40_000 {
				w.WriteHeader(413)
				return true
			}
			return false
		}}, 140_000},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f := newFake()
			f.keeps, f.drop, f.fault = tc.fake.keeps, tc.fake.drop, tc.fake.fault
			c, host := f.start(t)
			img, b := random(t, mib, 1)
			ref, _ := Parse(host + "/acme/portrait:1")
			var last Progress
			got, err := c.Push(t.Context(), ref, img, func(p Progress) { last = p })
			if err != nil {
				t.Fatal(err)
			}
			d, _ := img.Digest()
			if !strings.HasSuffix(got, "@"+d.String()) {
				t.Errorf("reference %s", got)
			}
			f.check(t, img, b)
			if over := f.received.Load() - mib - 2000; over > tc.extra {
				t.Errorf("%d bytes crossed again, expected at most %d", over, tc.extra)
			}
			if last.Done != last.Total || last.Sending != last.Total {
				t.Errorf("progress ended at %+v", last)
			}
		})
	}
	if !early {
		t.Error("the early 201 was never given")
	}
}

func (f *fake) check(t *testing.T, img v1.Image, layer []byte) {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	if !bytes.Equal(f.blobs[digestOf(layer)], layer) {
		t.Error("the layer is not what was sent")
	}
	raw, _ := img.RawManifest()
	if !bytes.Equal(f.manifests["1"], raw) {
		t.Error("the manifest is not what was sent")
	}
}

// A token that ends in the middle of an upload is renewed by a question
// without a body: a piece that is refused after it was sent is lost in 2.8.
func TestPushSignsInAgain(t *testing.T) {
	f := newFake()
	tokens, left := 0, 0
	var mu sync.Mutex
	f.fault = func(w http.ResponseWriter, r *http.Request) bool {
		mu.Lock()
		defer mu.Unlock()
		switch {
		case r.URL.Path == "/token":
			tokens++
			left = 5
			_, _ = io.WriteString(w, `{"token":"t`+strings.Repeat("x", tokens)+`"}`)
			return true
		case r.Header.Get("Authorization") != "Bearer t"+strings.Repeat("x", tokens) || left < 0 || left == 0 && r.Method != "PATCH":
			w.Header().Set("WWW-Authenticate", `Bearer realm="http://`+r.Host+`/token",service="r"`)
			w.WriteHeader(401)
			return true
		}
		left--
		return false
	}
	c, host := f.start(t)
	c.tuning.fresh = 0
	img, b := random(t, mib, 2)
	ref, _ := Parse(host + "/acme/portrait:1")
	if _, err := c.Push(t.Context(), ref, img, nil); err != nil {
		t.Fatal(err)
	}
	f.check(t, img, b)
	if tokens < 3 {
		t.Errorf("%d tokens: none ended on the way", tokens)
	}
}

// A push that was killed goes on where it was, in another process.
func TestPushGoesOn(t *testing.T) {
	for _, keeps := range []bool{true, false} {
		f := newFake()
		f.keeps = keeps
		c, host := f.start(t)
		c.Sessions = t.TempDir()
		img, b := random(t, mib, 3)
		ref, _ := Parse(host + "/acme/portrait:1")
		for cut := int64(150_000); cut < mib; cut += 300_000 {
			ctx, cancel := context.WithCancel(t.Context())
			_, err := c.Push(ctx, ref, img, func(p Progress) {
				if p.Done >= cut {
					cancel()
				}
			})
			cancel()
			if !errors.Is(err, context.Canceled) {
				t.Fatalf("cut at %d: %v", cut, err)
			}
			f.settle()
		}
		if _, err := c.Push(t.Context(), ref, img, nil); err != nil {
			t.Fatal(err)
		}
		f.check(t, img, b)
		// Cut inside a chunk, 2.8 loses the upload; then it begins anew.
		most := int64(mib + 4*(64<<10) + 4000)
		if !keeps {
			most = 3 * mib
		}
		if n := f.received.Load(); n > most {
			t.Errorf("keeps=%v: %d bytes crossed for %d", keeps, n, mib)
		}
	}
}

// settle waits until the fake has noticed that its client is gone.
func (f *fake) settle() {
	for last := int64(-1); last != f.received.Load(); time.Sleep(20 * time.Millisecond) {
		last = f.received.Load()
	}
}

// Any row of faults ends with the right bytes or with an error.
func TestPushProperty(t *testing.T) {
	failed := 0
	for seed := range uint64(60) {
		rnd := rand.New(rand.NewPCG(seed, 7))
		f := newFake()
		f.keeps = rnd.IntN(2) == 0
		var mu sync.Mutex
		f.fault = func(w http.ResponseWriter, r *http.Request) bool {
			mu.Lock()
			defer mu.Unlock()
			if r.URL.Path == "/v2/" || rnd.IntN(5) > 0 {
				return false
			}
			switch rnd.IntN(6) {
			case 0:
				panic(http.ErrAbortHandler)
			case 1:
				w.WriteHeader([]int{400, 404, 413, 416, 429, 500, 503}[rnd.IntN(7)])
			case 2:
				_, _ = io.CopyN(io.Discard, r.Body, rnd.Int64N(60_000))
				panic(http.ErrAbortHandler)
			case 3:
				w.Header().Set("Range", "0-"+[]string{"x", "999999999", "-5", ""}[rnd.IntN(4)])
				w.WriteHeader(202)
			case 4:
				w.WriteHeader([]int{200, 201, 202, 204}[rnd.IntN(4)])
			default:
				return false
			}
			return true
		}
		c, host := f.start(t)
		c.Sessions = t.TempDir()
		img, b := random(t, 300_000, byte(seed))
		ref, _ := Parse(host + "/acme/portrait:1")
		_, err := c.Push(t.Context(), ref, img, nil)
		if err != nil {
			failed++
			continue
		}
		f.mu.Lock()
		got, there := f.blobs[digestOf(b)]
		f.mu.Unlock()
		if there && !bytes.Equal(got, b) {
			t.Fatalf("seed %d: the registry has other bytes", seed)
		}
	}
	t.Logf("%d of 60 gave an error", failed)
	if failed == 60 {
		t.Error("no push ever worked")
	}
}

func TestPushMounts(t *testing.T) {
	for _, tc := range []struct {
		name string
		code int
		sent bool
	}{{"there", 201, false}, {"not there", 202, true}, {"refused", 403, true}} {
		t.Run(tc.name, func(t *testing.T) {
			f := newFake()
			var from string
			f.fault = func(w http.ResponseWriter, r *http.Request) bool {
				if r.URL.Query().Get("mount") == "" {
					return false
				}
				from = r.URL.Query().Get("from")
				if tc.code == 202 {
					return false
				}
				w.WriteHeader(tc.code)
				return true
			}
			c, host := f.start(t)
			base, _ := Parse(host + "/acme/base:1")
			b := bytes.Repeat([]byte("layer"), 50_000)
			img, err := mutate.AppendLayers(empty.Image, &remote.MountableLayer{Layer: static.NewLayer(b, types.OCIUncompressedLayer), Reference: base})
			if err != nil {
				t.Fatal(err)
			}
			ref, _ := Parse(host + "/acme/portrait:1")
			if _, err := c.Push(t.Context(), ref, img, nil); err != nil {
				t.Fatal(err)
			}
			if from != "acme/base" {
				t.Errorf("mounted from %q", from)
			}
			f.mu.Lock()
			defer f.mu.Unlock()
			if _, sent := f.blobs[digestOf(b)]; sent != tc.sent {
				t.Errorf("sent: %v", sent)
			}
		})
	}
}

func TestPushGivesUp(t *testing.T) {
	img, _ := random(t, mib, 4)
	for _, tc := range []struct {
		name  string
		fault func(http.ResponseWriter, *http.Request) bool
		code  string
		says  string
	}{
		{"always 500", once(999, "PATCH", "/uploads/", code(500)), "registry_refused", "500"},
		{"no such repository", once(999, "POST", "/uploads/", code(404)), "repository_not_found", "acme/portrait"},
		{"denied", once(999, "POST", "/uploads/", code(403)), "not_signed_in", "not signed in"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f := newFake()
			f.fault = tc.fault
			c, host := f.start(t)
			ref, _ := Parse(host + "/acme/portrait:1")
			_, err := c.Push(t.Context(), ref, img, nil)
			var e *diag.Error
			if !errors.As(err, &e) || e.Code != tc.code || !strings.Contains(e.Message, tc.says) {
				t.Fatalf("got %v", err)
			}
			f.mu.Lock()
			defer f.mu.Unlock()
			if len(f.manifests) > 0 {
				t.Error("a manifest was sent")
			}
		})
	}
}

// broken is a layer whose file has changed.
type broken struct{ v1.Layer }

func (b broken) CompressedAt(int64) (io.ReadCloser, error) {
	return nil, errors.New("packing /m: the file changed while it was read")
}

func TestPushSourceIsBroken(t *testing.T) {
	f := newFake()
	c, host := f.start(t)
	img, err := mutate.AppendLayers(empty.Image, broken{static.NewLayer([]byte("x"), types.OCIUncompressedLayer)})
	if err != nil {
		t.Fatal(err)
	}
	ref, _ := Parse(host + "/acme/portrait:1")
	if _, err := c.Push(t.Context(), ref, img, nil); err == nil || !strings.Contains(err.Error(), "the file changed") {
		t.Fatalf("got %v", err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	posts := 0
	for _, r := range f.requests {
		if strings.HasPrefix(r, "POST") {
			posts++
		}
	}
	if posts > 2 {
		t.Errorf("tried %d times", posts)
	}
}

// A registry that stops reading does not hold the push for ever.
func TestPushIdle(t *testing.T) {
	f := newFake()
	stop := make(chan struct{})
	f.fault = once(1, "PATCH", "/uploads/", func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-stop:
		case <-r.Context().Done():
		}
	})
	c, host := f.start(t)
	t.Cleanup(func() { close(stop) })
	c.tuning.idle, c.tuning.answer = 200*time.Millisecond, 300*time.Millisecond
	img, b := random(t, mib, 5)
	ref, _ := Parse(host + "/acme/portrait:1")
	if _, err := c.Push(t.Context(), ref, img, nil); err != nil {
		t.Fatal(err)
	}
	f.check(t, img, b)
}

func TestLimits(t *testing.T) {
	big := []blob{{size: 11_000_000_000, title: "checkpoints/big.safetensors"}}
	for host, refuses := range map[string]bool{
		"ghcr.io": true, "public.ecr.aws": true, "123.dkr.ecr.eu-west-1.amazonaws.com": false,
		"europe-docker.pkg.dev": false, "registry.example.com": false, "notghcr.io": false,
	} {
		err := quirksOf(host).fits(host, big)
		var e *diag.Error
		if (err != nil) != refuses {
			t.Errorf("%s: %v", host, err)
		}
		if refuses && (!errors.As(err, &e) || e.Code != "layer_too_big" || !strings.Contains(e.Message, "checkpoints/big.safetensors")) {
			t.Errorf("%s: %v", host, err)
		}
	}
}
