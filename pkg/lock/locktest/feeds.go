package locktest

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
)

// Feeds serves files with an ETag, and counts how often each was sent.
type Feeds struct {
	*httptest.Server
	mu    sync.Mutex
	files map[string][]byte
	sent  map[string]int
}

// NewFeeds serves what Set puts in.
func NewFeeds(t testing.TB) *Feeds {
	t.Helper()
	f := &Feeds{files: map[string][]byte{}, sent: map[string]int{}}
	f.Server = httptest.NewServer(f)
	t.Cleanup(f.Close)
	return f
}

// Set puts a file in and returns its address.
func (f *Feeds) Set(t testing.TB, name string, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	must(t, err)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.files["/"+name] = b
	return f.URL + "/" + name
}

// Sent is how often a file's bytes were sent.
func (f *Feeds) Sent(name string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.sent["/"+name]
}

// ServeHTTP answers 304 to the right If-None-Match.
func (f *Feeds) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	b, ok := f.files[r.URL.Path]
	if !ok {
		http.NotFound(w, r)
		return
	}
	sum := sha256.Sum256(b)
	tag := `"` + hex.EncodeToString(sum[:8]) + `"`
	w.Header().Set("ETag", tag)
	if r.Header.Get("If-None-Match") == tag {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	f.sent[r.URL.Path]++
	_, _ = w.Write(b)
}

// Pack is an entry of the public map of packs.
type Pack struct {
	Classes          []string
	Pattern          string
	Preempts         []string
	Stars            int
	Title, LastWrite string
}

// Map gives packs, by repository, the shape of the public map.
func Map(packs map[string]Pack) map[string]any {
	out := map[string]any{}
	for repo, p := range packs {
		meta := map[string]any{"title_aux": p.Title}
		if p.Pattern != "" {
			meta["nodename_pattern"] = p.Pattern
		}
		if p.Preempts != nil {
			meta["preemptions"] = p.Preempts
		}
		out[repo] = []any{append([]string{}, p.Classes...), meta}
	}
	return out
}

// Stats gives packs the shape of the public statistics.
func Stats(packs map[string]Pack) map[string]any {
	out := map[string]any{}
	for repo, p := range packs {
		out[repo] = map[string]any{"stars": p.Stars, "last_update": "2026-01-02 03:04:05"}
	}
	return out
}

// Registered is a pack of the node registry.
type Registered struct {
	ID, Repository, Version string
	// Classes map a class to the inputs that it declares.
	Classes  map[string][]string
	Preempts []string
	// Zip is the archive of the release.
	Zip []byte
	// Status is Active, Banned, Deleted or Flagged.
	Status string
}

// Registry is a node registry. It fails the test when an installation is asked
// for, which the real one counts.
type Registry struct {
	*httptest.Server
	t     testing.TB
	packs []Registered
}

// NewRegistry serves packs.
func NewRegistry(t testing.TB, packs ...Registered) *Registry {
	t.Helper()
	r := &Registry{t: t, packs: packs}
	r.Server = httptest.NewServer(r)
	t.Cleanup(r.Close)
	return r
}

// ServeHTTP answers as the registry's description says.
func (r *Registry) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	parts := strings.Split(strings.Trim(req.URL.Path, "/"), "/")
	if strings.HasSuffix(req.URL.Path, "/install") {
		r.t.Errorf("the registry was asked for an installation: %s", req.URL)
	}
	send := func(v any) { _ = json.NewEncoder(w).Encode(v) }
	for _, p := range r.packs {
		version := map[string]any{"version": p.Version, "downloadUrl": r.URL + "/zips/" + p.ID, "status": "NodeVersionStatus" + p.status()}
		node := map[string]any{"id": p.ID, "name": p.ID, "repository": p.Repository, "status": "NodeStatusActive", "latest_version": version, "preempted_comfy_node_names": p.Preempts}
		if p.status() == "Deleted" {
			node["status"] = "NodeStatusDeleted"
		}
		_, gives := p.Classes[at(parts, 1)]
		switch {
		case len(parts) == 3 && parts[0] == "comfy-nodes" && gives:
			send(node)
			return
		case at(parts, 0) == "zips" && at(parts, 1) == p.ID:
			_, _ = w.Write(p.Zip)
			return
		case at(parts, 0) != "nodes" || !strings.EqualFold(at(parts, 1), p.ID):
			continue
		case p.status() == "Banned":
			http.Error(w, `{"message":"banned"}`, http.StatusForbidden)
			return
		case len(parts) == 2:
			send(node)
			return
		case len(parts) == 4 && parts[3] == p.Version:
			send(version)
			return
		case len(parts) == 6:
			types := map[string]map[string]any{"required": {}}
			for _, in := range p.Classes[parts[5]] {
				types["required"][in] = []any{"INT"}
			}
			b, err := json.Marshal(types)
			must(r.t, err)
			send(map[string]any{"comfy_node_name": parts[5], "input_types": string(b)})
			return
		}
	}
	http.NotFound(w, req)
}

func (p Registered) status() string {
	if p.Status == "" {
		return "Active"
	}
	return p.Status
}

func at(parts []string, i int) string {
	if i < len(parts) {
		return parts[i]
	}
	return ""
}
