package source

import (
	"crypto/sha1" //nolint:gosec // git's ids are made of it
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/comfyctl/comfyctl/internal/cas"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const token, commit = "s3cret", "0123456789abcdef0123456789abcdef01234567"

func sumOf(b []byte) string {
	s := sha256.Sum256(b)
	return hex.EncodeToString(s[:])
}

// safetensors makes a file of n bytes of numbers.
func safetensors(n int) []byte {
	h, _ := json.Marshal(map[string]any{"w": map[string]any{"dtype": "F16", "shape": []int{n / 2}, "data_offsets": []int{0, n}}})
	b := binary.LittleEndian.AppendUint64(nil, uint64(len(h)))
	b = append(b, h...)
	for i := range n {
		b = append(b, byte(i*7))
	}
	return b
}

// storage is the host behind a hub: signed addresses that hold for a while, and
// that answer 400 to a request with a secret in it.
type storage struct {
	*httptest.Server
	mu     sync.Mutex
	files  map[string][]byte
	signed int
	left   int // requests that the last address is good for, if not negative
	leaked []string
	bytes  int
	gets   int
}

func newStorage(t *testing.T) *storage {
	s := &storage{files: map[string][]byte{}, left: -1}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	return s
}

func (s *storage) sign(path string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.signed++
	return fmt.Sprintf("%s/%s?X-Sig=%d", s.URL, path, s.signed)
}

func (s *storage) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if a := r.Header.Get("Authorization"); a != "" || strings.Contains(r.URL.String(), token) {
		s.leaked = append(s.leaked, r.URL.String()+" "+a)
		http.Error(w, "Only one auth mechanism allowed", http.StatusBadRequest)
		return
	}
	if r.URL.Query().Get("X-Sig") != fmt.Sprint(s.signed) || s.left == 0 {
		s.left = -1
		http.Error(w, "expired", http.StatusForbidden)
		return
	}
	s.left--
	s.gets++
	b, ok := s.files[strings.TrimPrefix(r.URL.Path, "/")]
	if !ok {
		http.NotFound(w, r)
		return
	}
	s.bytes += len(b)
	w.Header().Set("ETag", `"`+sumOf(b)[:16]+`"`)
	http.ServeContent(w, r, "", time.Time{}, strings.NewReader(string(b)))
}

// hub speaks like Hugging Face, from its documented headers and answers.
type hub struct {
	*httptest.Server
	storage *storage
	mu      sync.Mutex
	files   map[string][]byte // by path in the repository o/r
	small   map[string]bool   // not in the storage, so without a SHA-256
	gated   bool
	busy    int // requests to answer with 429
	seen    []string
}

func newHub(t *testing.T) *hub {
	h := &hub{storage: newStorage(t), files: map[string][]byte{}, small: map[string]bool{}}
	h.Server = httptest.NewServer(h)
	t.Cleanup(h.Close)
	return h
}

func (h *hub) put(path string, b []byte) {
	h.files[path] = b
	h.storage.files["blob/"+sumOf(b)] = b
}

func (h *hub) refuse(w http.ResponseWriter, code int, name, says string) {
	w.Header().Set("X-Error-Code", name)
	w.Header().Set("X-Error-Message", says)
	w.WriteHeader(code)
}

func (h *hub) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.seen = append(h.seen, r.Method+" "+r.URL.Path)
	if h.busy > 0 {
		h.busy--
		w.Header().Set("RateLimit", `"resolvers";r=0;t=0`)
		w.Header().Set("Retry-After", "0")
		w.WriteHeader(http.StatusTooManyRequests)
		return
	}
	signedIn := r.Header.Get("Authorization") == "Bearer "+token
	if strings.HasPrefix(r.URL.Path, "/api/models/o/r/revision/") {
		gate := any(false)
		if h.gated {
			gate = "auto"
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"gated": gate, "cardData": map[string]any{"license": "apache-2.0"}})
		return
	}
	if rest, ok := strings.CutPrefix(r.URL.Path, "/old/name/"); ok {
		w.Header().Set("Location", "/o/r/"+rest)
		w.WriteHeader(http.StatusTemporaryRedirect)
		return
	}
	rest, ok := strings.CutPrefix(r.URL.Path, "/o/r/resolve/")
	if !ok {
		h.refuse(w, http.StatusUnauthorized, "RepoNotFound", "Repository not found")
		return
	}
	rev, path, _ := strings.Cut(rest, "/")
	b, ok := h.files[path]
	switch {
	case rev != "main" && rev != commit:
		h.refuse(w, http.StatusNotFound, "RevisionNotFound", "Invalid rev id: "+rev)
	case h.gated && !signedIn:
		h.refuse(w, http.StatusUnauthorized, "GatedRepo", "Access to model o/r is restricted")
	case !ok:
		h.refuse(w, http.StatusNotFound, "EntryNotFound", "Entry not found")
	case h.small[path]:
		git := sha1.Sum(append([]byte(fmt.Sprintf("blob %d\x00", len(b))), b...)) //nolint:gosec // git's way
		w.Header().Set("X-Repo-Commit", commit)
		w.Header().Set("ETag", `"`+hex.EncodeToString(git[:])+`"`)
		http.ServeContent(w, r, "", time.Time{}, strings.NewReader(string(b)))
	default:
		w.Header().Set("X-Repo-Commit", commit)
		w.Header().Set("X-Linked-Size", fmt.Sprint(len(b)))
		w.Header().Set("X-Linked-Etag", `"`+sumOf(b)+`"`)
		w.Header().Set("X-Xet-Hash", strings.Repeat("f", 64)) // an id of the storage, no SHA-256
		w.Header().Set("ETag", `"not the hash"`)
		w.Header().Set("Location", h.storage.sign("blob/"+sumOf(b)))
		w.WriteHeader(http.StatusFound)
	}
}

// market speaks like Civitai.
type market struct {
	*httptest.Server
	storage *storage
	files   map[string][]byte // by id
	private bool
	login   string // how a download without a key is refused: page, json, redirect, 401
}

func newMarket(t *testing.T) *market {
	m := &market{storage: newStorage(t), files: map[string][]byte{}}
	m.Server = httptest.NewServer(m)
	t.Cleanup(m.Close)
	return m
}

func (m *market) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	signedIn := r.Header.Get("Authorization") == "Bearer "+token
	switch {
	case strings.HasPrefix(r.UserAgent(), "Go-http-client"), strings.HasPrefix(r.UserAgent(), "python"):
		http.Error(w, "blocked", http.StatusForbidden)
	case r.Method == http.MethodHead:
		w.WriteHeader(http.StatusUnauthorized) // even with a key
	case r.URL.Path == "/login":
		_, _ = w.Write([]byte("<!DOCTYPE html><title>Sign in</title>"))
	case r.URL.Path == "/api/v1/model-versions/7":
		m.record(w)
	case r.URL.Path == "/api/download/models/7" && m.private && !signedIn:
		m.refuse(w, r)
	case r.URL.Path == "/api/download/models/7":
		id := r.URL.Query().Get("fileId")
		if id == "" {
			id = "2" // what this account prefers
		}
		w.Header().Set("Location", m.storage.sign(id))
		w.WriteHeader(http.StatusTemporaryRedirect)
	default:
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusNotFound)
		_, _ = w.Write([]byte(`{"error":"No model with id"}`))
	}
}

func (m *market) record(w http.ResponseWriter) {
	files := []any{}
	for _, id := range []string{"2", "1"} {
		b := m.files[id]
		m.storage.files[id] = b
		files = append(files, map[string]any{"id": json.Number(id), "name": "../../x" + id + ".safetensors", "type": "Model", "primary": id == "1",
			"sizeKB": float64(len(b)) / 1024, "hashes": map[string]string{"AutoV2": strings.ToUpper(sumOf(b)[:10]), "SHA256": strings.ToUpper(sumOf(b))}})
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"id": 7, "modelId": 3, "name": "v1", "availability": "Public", "files": files})
}

func (m *market) refuse(w http.ResponseWriter, r *http.Request) {
	switch m.login {
	case "redirect":
		http.Redirect(w, r, "/login?reason=download-auth", http.StatusFound)
	case "page":
		_, _ = w.Write([]byte("<html>Sign in</html>"))
	case "json":
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"error":"Unauthorized","message":"The creator of this asset requires you to be logged in"}`))
	default:
		w.WriteHeader(http.StatusUnauthorized)
	}
}

// client talks to the fakes.
func client(t *testing.T, e Endpoints) *Client {
	tr := &http.Transport{}
	t.Cleanup(tr.CloseIdleConnections)
	return New(cas.Open(t.TempDir()), Options{HTTP: &http.Client{Transport: tr}, Backends: Hubs(e),
		Secret: func(name string) (string, bool) { return token + "\n", name == "TOKEN" }})
}
