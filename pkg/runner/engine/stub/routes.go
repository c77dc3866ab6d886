package stub

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"sort"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"github.com/comfyctl/comfyctl/pkg/catalog"
)

// maxUpload is the limit of every request body, in bytes.
const maxUpload = 100 << 20

func (c *core) handler() http.Handler {
	m := http.NewServeMux()
	m.HandleFunc("GET /ws", c.ws)
	m.HandleFunc("POST /prompt", c.postPrompt)
	m.HandleFunc("GET /prompt", c.getPrompt)
	m.HandleFunc("GET /queue", c.getQueue)
	m.HandleFunc("POST /queue", c.postQueue)
	m.HandleFunc("POST /interrupt", c.postInterrupt)
	m.HandleFunc("GET /history", c.getHistory)
	m.HandleFunc("GET /history/{id}", c.getHistoryOf)
	m.HandleFunc("POST /history", c.postHistory)
	m.HandleFunc("POST /free", c.postFree)
	m.HandleFunc("GET /object_info", c.getObjectInfo)
	m.HandleFunc("GET /object_info/{class}", c.getObjectInfo)
	m.HandleFunc("GET /system_stats", c.getStats)
	m.HandleFunc("GET /features", func(w http.ResponseWriter, _ *http.Request) { answer(w, 200, c.features()) })
	m.HandleFunc("GET /embeddings", c.getEmbeddings)
	m.HandleFunc("GET /models", c.getModels)
	m.HandleFunc("GET /models/{folder}", c.getModelsOf)
	m.HandleFunc("GET /extensions", func(w http.ResponseWriter, _ *http.Request) { answer(w, 200, []any{}) })
	m.HandleFunc("GET /userdata", getUserdata)
	m.HandleFunc("GET /internal/logs", c.getLogs)
	m.HandleFunc("GET /internal/files/{folder}", c.getFiles)
	m.HandleFunc("GET /view", c.view)
	m.HandleFunc("POST /upload/image", c.upload)
	m.HandleFunc("POST /upload/mask", c.upload)
	if c.since(26) {
		m.HandleFunc("POST /api/jobs/{id}/cancel", c.cancelJob)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodOptions {
			w.WriteHeader(http.StatusOK)
			return
		}
		if !sameOrigin(r) || c.since(19) && r.Header.Get("Sec-Fetch-Site") == "cross-site" {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, maxUpload)
		if rest, ok := strings.CutPrefix(r.URL.Path, "/api/"); ok && !strings.HasPrefix(rest, "jobs/") && !strings.HasPrefix(rest, "internal/") {
			r.URL.Path = "/" + rest
			if p, ok := strings.CutPrefix(r.URL.RawPath, "/api/"); ok {
				r.URL.RawPath = "/" + p
			}
		}
		m.ServeHTTP(w, r)
	})
}

// since reports whether the release is 0.minor or newer.
func (c *core) since(minor int) bool {
	var x, y int
	if _, err := fmt.Sscanf(strings.TrimPrefix(c.version(), "v"), "%d.%d", &x, &y); err != nil {
		return true
	}
	return x > 0 || y >= minor
}

func (c *core) version() string {
	if c.o.Version == "" {
		return catalog.Newest()
	}
	return c.o.Version
}

func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(dump(v))
}

// broken is aiohttp's answer to an exception.
func broken(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(http.StatusInternalServerError)
	_, _ = io.WriteString(w, "500 Internal Server Error\n\nServer got itself in trouble")
}

// body reads a JSON body; false means that the answer was given.
func body(w http.ResponseWriter, r *http.Request) (any, bool) {
	b, err := io.ReadAll(r.Body)
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		http.Error(w, "the body is too large", http.StatusRequestEntityTooLarge)
		return nil, false
	}
	v, perr := parseJSON(b)
	if err != nil || perr != nil {
		broken(w)
		return nil, false
	}
	return v, true
}

func failure(typ, message, details string, extra *object) *object {
	return obj("type", typ, "message", message, "details", details, "extra_info", extra)
}

var canonical = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$`)

func (c *core) postPrompt(w http.ResponseWriter, r *http.Request) {
	v, ok := body(w, r)
	if !ok {
		return
	}
	req, ok := v.(*object)
	if !ok {
		if list, isList := v.([]any); !isList || len(list) > 0 {
			broken(w)
			return
		}
		req = obj()
	}
	c.mu.Lock()
	number := any(new(big.Int).SetInt64(c.counter))
	order := float64(c.counter)
	if n, ok := req.get("number"); ok {
		f, err := pyFloat(n)
		if err != nil {
			c.mu.Unlock()
			broken(w)
			return
		}
		number, order = n, f
	} else {
		if front, _ := req.get("front"); pyBool(front) {
			number, order = new(big.Int).SetInt64(-c.counter), -order
		}
		c.counter++
	}
	c.mu.Unlock()
	prompt, ok := req.get("prompt")
	if !ok {
		answer(w, 400, obj("error", failure("no_prompt", "No prompt provided", "No prompt provided", obj()), "node_errors", obj()))
		return
	}
	p, ok := prompt.(*object)
	if !ok {
		broken(w)
		return
	}
	id := uuid.NewString()
	if given, ok := req.get("prompt_id"); ok && given != nil {
		id = pyStr(given)
		if c.since(25) && !canonical.MatchString(id) {
			answer(w, 400, obj("error", failure("invalid_prompt_id", "The prompt id is not a canonical UUID", "send a lower-case UUID", obj()), "node_errors", obj()))
			return
		}
	}
	extra := obj()
	if e, ok := req.get("extra_data"); ok {
		if extra, ok = e.(*object); !ok {
			broken(w)
			return
		}
	}
	if cl, ok := req.get("client_id"); ok {
		extra.set("client_id", cl)
	}
	v2, err := c.validate(p, req)
	if err != nil {
		broken(w)
		return
	}
	if v2.err != nil {
		answer(w, 400, obj("error", v2.err, "node_errors", v2.nodes))
		return
	}
	c.enqueue(&item{number: number, order: order, id: id, prompt: p, extra: extra, outputs: v2.good})
	answer(w, 200, obj("prompt_id", id, "number", number, "node_errors", v2.nodes))
}

func (c *core) getPrompt(w http.ResponseWriter, _ *http.Request) {
	c.mu.Lock()
	n := c.remaining()
	c.mu.Unlock()
	answer(w, 200, obj("exec_info", obj("queue_remaining", n)))
}

func (it *item) tuple() any {
	outputs := []any{}
	for _, o := range it.outputs {
		outputs = append(outputs, o)
	}
	return []any{it.number, it.id, it.prompt, it.extra, outputs}
}

func (c *core) getQueue(w http.ResponseWriter, _ *http.Request) {
	c.mu.Lock()
	running, pending := []any{}, []any{}
	if c.running != nil {
		running = append(running, c.running.tuple())
	}
	for _, it := range c.pending {
		pending = append(pending, it.tuple())
	}
	b := dump(obj("queue_running", running, "queue_pending", pending))
	c.mu.Unlock()
	answer(w, 200, json.RawMessage(b))
}

func (c *core) postQueue(w http.ResponseWriter, r *http.Request) {
	v, ok := body(w, r)
	if !ok {
		return
	}
	o, _ := v.(*object)
	c.mu.Lock()
	defer c.mu.Unlock()
	if clear, _ := o.get("clear"); pyBool(clear) {
		c.pending = nil
		c.status()
	}
	c.drop(ids(o))
}

func ids(o *object) []string {
	var list []string
	v, _ := o.get("delete")
	l, _ := v.([]any)
	for _, id := range l {
		list = append(list, pyStr(id))
	}
	return list
}

// drop takes prompts out of the queue. The caller holds mu.
func (c *core) drop(list []string) (dropped bool) {
	kept := c.pending[:0:0]
	for _, it := range c.pending {
		if slices.Contains(list, it.id) {
			dropped = true
			continue
		}
		kept = append(kept, it)
	}
	if dropped {
		c.pending = kept
		c.status()
	}
	return dropped
}

func (c *core) postInterrupt(w http.ResponseWriter, r *http.Request) {
	b, err := io.ReadAll(r.Body)
	var v any
	if err == nil && len(b) > 0 {
		v, err = parseJSON(b)
	}
	o, isObject := v.(*object)
	if err != nil || v != nil && !isObject {
		broken(w)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if id, ok := o.get("prompt_id"); ok && id != nil && (c.running == nil || c.running.id != pyStr(id)) {
		return
	}
	c.interrupt = true
}

func (c *core) cancelJob(w http.ResponseWriter, r *http.Request) {
	id := r.PathValue("id")
	c.mu.Lock()
	hit := c.drop([]string{id})
	if c.running != nil && c.running.id == id {
		c.interrupt, hit = true, true
	}
	c.mu.Unlock()
	answer(w, 200, obj("cancelled", hit))
}

func (c *core) getHistory(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	num := func(name string, fallback int) (int, bool) {
		s := q.Get(name)
		if s == "" {
			return fallback, true
		}
		n, err := strconv.Atoi(s)
		return n, err == nil
	}
	maxItems, ok1 := num("max_items", -1)
	offset, ok2 := num("offset", -1)
	if !ok1 || !ok2 {
		broken(w)
		return
	}
	c.mu.Lock()
	keys := c.history.keys
	if maxItems >= 0 && offset < 0 {
		offset = max(0, len(keys)-maxItems)
	}
	offset = min(max(offset, 0), len(keys))
	end := len(keys)
	if maxItems >= 0 {
		end = min(end, offset+maxItems)
	}
	out := obj()
	for _, k := range keys[offset:end] {
		out.set(k, c.history.values[k])
	}
	b := dump(out)
	c.mu.Unlock()
	answer(w, 200, json.RawMessage(b))
}

func (c *core) getHistoryOf(w http.ResponseWriter, r *http.Request) {
	out := obj()
	c.mu.Lock()
	if e, ok := c.history.get(r.PathValue("id")); ok {
		out.set(r.PathValue("id"), e)
	}
	b := dump(out)
	c.mu.Unlock()
	answer(w, 200, json.RawMessage(b))
}

func (c *core) postHistory(w http.ResponseWriter, r *http.Request) {
	v, ok := body(w, r)
	if !ok {
		return
	}
	o, _ := v.(*object)
	c.mu.Lock()
	defer c.mu.Unlock()
	if clear, _ := o.get("clear"); pyBool(clear) {
		c.history = obj()
	}
	for _, id := range ids(o) {
		c.history.del(id)
	}
}

func (c *core) postFree(w http.ResponseWriter, r *http.Request) {
	v, ok := body(w, r)
	if !ok {
		return
	}
	o, _ := v.(*object)
	if f, _ := o.get("free_memory"); pyBool(f) {
		c.mu.Lock()
		c.free = true
		c.mu.Unlock()
	}
}

// files lists what combos offer: model files by folder, uploads under input/.
func (c *core) files() map[string][]string {
	out := map[string][]string{}
	for folder, names := range c.o.ModelFiles {
		out[folder] = append(out[folder], names...)
	}
	for _, folder := range catalog.Folders() {
		root := filepath.Join(c.o.Dir, "models", folder)
		_ = filepath.WalkDir(root, func(p string, d os.DirEntry, err error) error {
			if err == nil && !d.IsDir() {
				if rel, err := filepath.Rel(root, p); err == nil {
					out[folder] = append(out[folder], filepath.ToSlash(rel))
				}
			}
			return nil
		})
		sort.Strings(out[folder])
		out[folder] = slices.Compact(out[folder])
	}
	list, _ := os.ReadDir(filepath.Join(c.o.Dir, "input"))
	for _, e := range list {
		if !e.IsDir() {
			out["input"] = append(out["input"], e.Name())
		}
	}
	return out
}

func (c *core) getObjectInfo(w http.ResponseWriter, r *http.Request) {
	files := c.files()
	out := obj()
	if class := r.PathValue("class"); class != "" {
		if b, ok := c.cat.ObjectInfoOf(class, files); ok {
			out.set(class, b)
		}
		answer(w, 200, out)
		return
	}
	all := c.cat.ObjectInfo(files)
	for _, name := range c.cat.Names() {
		out.set(name, all[name])
	}
	answer(w, 200, out)
}

func (c *core) features() *object {
	return obj("supports_preview_metadata", true, "max_upload_size", maxUpload)
}

// getStats says what runs, and in the device's name that it is the stub.
func (c *core) getStats(w http.ResponseWriter, _ *http.Request) {
	osName := "posix"
	if c.since(4) {
		osName = "linux"
	}
	answer(w, 200, obj("system", obj("os", osName, "ram_total", int64(0), "ram_free", int64(0), "comfyui_version", strings.TrimPrefix(c.version(), "v"),
		"python_version", "STUB", "pytorch_version", "STUB", "required_frontend_version", nil, "installed_templates_version", nil,
		"required_templates_version", nil, "embedded_python", false, "argv", []any{"comfyctl stub engine"}),
		"devices", []any{obj("name", "STUB "+runtime.GOARCH, "type", "cpu", "index", nil, "vram_total", 0, "vram_free", 0, "torch_vram_total", 0, "torch_vram_free", 0)}))
}

func (c *core) getEmbeddings(w http.ResponseWriter, _ *http.Request) {
	list := []any{}
	for _, n := range c.files()["embeddings"] {
		list = append(list, strings.TrimSuffix(n, filepath.Ext(n)))
	}
	answer(w, 200, list)
}

func (c *core) getModels(w http.ResponseWriter, _ *http.Request) { answer(w, 200, c.folders()) }

func (c *core) getModelsOf(w http.ResponseWriter, r *http.Request) {
	f := r.PathValue("folder")
	if !slices.Contains(c.folders(), f) {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	list := []any{}
	for _, n := range c.files()[f] {
		list = append(list, n)
	}
	answer(w, 200, list)
}
