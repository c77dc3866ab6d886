package registry

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// fake is a registry that keeps unfinished uploads as distribution does and
// can be told to misbehave.
type fake struct {
	// keeps is true where the bytes of a broken chunk stay, as in distribution
	// 3; without it the upload is lost, as in 2.8.
	keeps bool
	// fault looks at a request first and may answer it itself.
	fault func(w http.ResponseWriter, r *http.Request) (handled bool)
	// drop cuts the connection after so many bytes of all bodies; each counts once.
	drop []int64

	mu        sync.Mutex
	blobs     map[string][]byte
	uploads   map[string][]byte
	manifests map[string][]byte
	next      int
	received  atomic.Int64
	requests  []string
}

func newFake() *fake {
	return &fake{blobs: map[string][]byte{}, uploads: map[string][]byte{}, manifests: map[string][]byte{}}
}

// small are numbers that let a test push in pieces.
func small() *tuning {
	return &tuning{chunkFrom: 128 << 10, chunk: 64 << 10, least: 4 << 10, fresh: time.Minute, wait: time.Millisecond, idle: 5 * time.Second, answer: 5 * time.Second, tries: 6}
}

func (f *fake) start(t *testing.T) (c Client, host string) {
	t.Helper()
	srv := httptest.NewServer(f)
	t.Cleanup(srv.Close)
	tr := &http.Transport{WriteBufferSize: 4 << 10}
	t.Cleanup(tr.CloseIdleConnections)
	return Client{ConfigDir: t.TempDir(), Transport: tr, tuning: small()}, strings.TrimPrefix(srv.URL, "http://")
}

func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	f.requests = append(f.requests, r.Method+" "+r.URL.Path)
	f.mu.Unlock()
	if f.fault != nil && f.fault(w, r) {
		return
	}
	parts := strings.Split(strings.TrimPrefix(r.URL.Path, "/v2/"), "/")
	last := parts[len(parts)-1]
	switch {
	case r.URL.Path == "/v2/":
	case strings.Contains(r.URL.Path, "/manifests/"):
		b, _ := io.ReadAll(r.Body)
		f.mu.Lock()
		f.manifests[last] = b
		f.mu.Unlock()
		w.WriteHeader(http.StatusCreated)
	case strings.Contains(r.URL.Path, "/blobs/uploads/"):
		f.upload(w, r, last)
	default:
		f.mu.Lock()
		_, ok := f.blobs[last]
		f.mu.Unlock()
		if !ok {
			w.WriteHeader(http.StatusNotFound)
		}
	}
}

func (f *fake) upload(w http.ResponseWriter, r *http.Request, id string) {
	if r.Method == http.MethodPost {
		f.mu.Lock()
		f.next++
		id = "u" + strconv.Itoa(f.next)
		f.uploads[id] = []byte{}
		f.mu.Unlock()
		f.say(w, r, id, http.StatusAccepted)
		return
	}
	f.mu.Lock()
	have, ok := f.uploads[id]
	f.mu.Unlock()
	if !ok {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	if cr := r.Header.Get("Content-Range"); cr != "" {
		if from, _, _ := strings.Cut(cr, "-"); from != strconv.Itoa(len(have)) {
			w.Header().Set("Range", fmt.Sprintf("0-%d", max(len(have)-1, 0)))
			w.WriteHeader(http.StatusRequestedRangeNotSatisfiable)
			return
		}
	}
	if r.Method == http.MethodGet {
		f.say(w, r, id, http.StatusNoContent)
		return
	}
	f.take(r, id, have)
	if r.Method == http.MethodPatch {
		f.say(w, r, id, http.StatusAccepted)
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	sum := sha256.Sum256(f.uploads[id])
	if want := r.URL.Query().Get("digest"); want != "sha256:"+hex.EncodeToString(sum[:]) {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	f.blobs[r.URL.Query().Get("digest")] = f.uploads[id]
	delete(f.uploads, id)
	w.WriteHeader(http.StatusCreated)
}

// take reads a body into the upload; a cut or short one breaks the connection.
func (f *fake) take(r *http.Request, id string, have []byte) {
	buf, broken := make([]byte, 4<<10), false
	for !broken {
		n, err := r.Body.Read(buf)
		have = append(have, buf[:n]...)
		total := f.received.Add(int64(n))
		f.mu.Lock()
		if len(f.drop) > 0 && total >= f.drop[0] {
			f.drop, broken = f.drop[1:], true
		}
		f.mu.Unlock()
		if err == io.EOF { //nolint:errorlint // io.Reader's contract
			break
		}
		broken = broken || err != nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case !broken || f.keeps:
		f.uploads[id] = have
	default:
		delete(f.uploads, id)
	}
	if broken {
		panic(http.ErrAbortHandler)
	}
}

func (f *fake) say(w http.ResponseWriter, r *http.Request, id string, code int) {
	f.mu.Lock()
	n := len(f.uploads[id])
	f.mu.Unlock()
	repo, _, _ := strings.Cut(r.URL.Path, "/blobs/")
	w.Header().Set("Location", repo+"/blobs/uploads/"+id+"?state=x")
	w.Header().Set("Range", fmt.Sprintf("0-%d", max(n-1, 0)))
	w.WriteHeader(code)
}

// random is an image with one layer of that many bytes, and the bytes.
func random(t testing.TB, size int, seed byte) (v1.Image, []byte) {
	t.Helper()
	b := make([]byte, size)
	x := uint32(seed) + 1
	for i := range b {
		x = x*1664525 + 1013904223
		b[i] = byte(x >> 24)
	}
	img, err := mutate.AppendLayers(empty.Image, static.NewLayer(b, types.OCIUncompressedLayer))
	if err != nil {
		t.Fatal(err)
	}
	return img, b
}

func digestOf(b []byte) string {
	sum := sha256.Sum256(b)
	return "sha256:" + hex.EncodeToString(sum[:])
}
