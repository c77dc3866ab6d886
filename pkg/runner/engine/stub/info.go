package stub

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// sameOrigin is the rule for loopback hosts: an Origin, when sent, must name
// the same host, and the same port where both name one.
func sameOrigin(r *http.Request) bool {
	origin := r.Header.Get("Origin")
	if origin == "" {
		return true
	}
	host, port := splitHost(r.Host)
	if a, err := netip.ParseAddr(host); host != "localhost" && (err != nil || !a.IsLoopback()) {
		return true
	}
	u, err := url.Parse(origin)
	if err != nil {
		return false
	}
	oh, op := splitHost(u.Host)
	return oh == host && (op == "" || port == "" || op == port)
}

func splitHost(s string) (host, port string) {
	if h, p, err := net.SplitHostPort(s); err == nil {
		return strings.ToLower(h), p
	}
	return strings.ToLower(strings.Trim(s, "[]")), ""
}

// modelFolders are the keys that GET /models lists, in ComfyUI's order.
var modelFolders = []string{
	"checkpoints", "configs", "loras", "vae", "text_encoders", "diffusion_models", "clip_vision", "style_models",
	"embeddings", "diffusers", "vae_approx", "controlnet", "gligen", "upscale_models", "custom_nodes",
	"hypernetworks", "photomaker", "classifiers", "model_patches", "audio_encoders",
}

// newerFolders were added to the list by later releases.
var newerFolders = []struct {
	name  string
	since int
}{
	{"latent_upscale_models", 4}, {"frame_interpolation", 20},
	{"geometry_estimation", 22}, {"optical_flow", 23},
	{"background_removal", 23}, {"detection", 23},
}

// folders are the keys of this release.
func (c *core) folders() []string {
	list := slices.Clone(modelFolders)
	for _, f := range newerFolders {
		if c.since(f.since) {
			list = append(list, f.name)
		}
	}
	return list
}

// maxLogs is how many log lines /internal/logs remembers.
const maxLogs = 300

// log remembers a line as a real server would have printed it. The caller
// holds mu.
func (c *core) log(format string, a ...any) {
	c.logs = append(c.logs, time.Now().Format("2006-01-02T15:04:05.000000")+" - "+fmt.Sprintf(format, a...)+"\n")
	if len(c.logs) > maxLogs {
		c.logs = c.logs[len(c.logs)-maxLogs:]
	}
}

func (c *core) getLogs(w http.ResponseWriter, _ *http.Request) {
	c.mu.Lock()
	text := strings.Join(c.logs, "")
	c.mu.Unlock()
	answer(w, 200, text)
}

// getUserdata has no store behind it: there is no editor to keep files for.
func getUserdata(w http.ResponseWriter, r *http.Request) {
	if r.URL.Query().Get("dir") == "" {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.WriteHeader(http.StatusBadRequest)
		_, _ = io.WriteString(w, "Directory not provided")
		return
	}
	w.WriteHeader(http.StatusNotFound)
}

// getFiles lists the top level of a folder, newest first.
func (c *core) getFiles(w http.ResponseWriter, r *http.Request) {
	kind := r.PathValue("folder")
	if kind != "input" && kind != "output" && kind != "temp" {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	entries, err := os.ReadDir(filepath.Join(c.o.Dir, kind))
	if err != nil {
		broken(w)
		return
	}
	var list []os.FileInfo
	for _, e := range entries {
		if st, err := e.Info(); err == nil && st.Mode().IsRegular() && !strings.HasPrefix(e.Name(), ".") {
			list = append(list, st)
		}
	}
	slices.SortStableFunc(list, func(a, b os.FileInfo) int { return b.ModTime().Compare(a.ModTime()) })
	names := []string{}
	for _, st := range list {
		name := st.Name()
		if c.since(20) {
			name += " [" + kind + "]"
		}
		names = append(names, name)
	}
	answer(w, 200, names)
}
