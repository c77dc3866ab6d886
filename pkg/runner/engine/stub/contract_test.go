package stub

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"image"
	"io"
	"mime/multipart"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// recorded is the folder with the recordings of a real ComfyUI.
func recorded(t *testing.T) string {
	t.Helper()
	dir := os.Getenv("COMFYCTL_RECORDED")
	if dir == "" {
		dir = filepath.Join("..", "..", "..", "..", "..", "shared", "recorded")
	}
	dir = filepath.Join(dir, "comfyui-0.3.64")
	if _, err := os.Stat(dir); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("the recordings are not at %s; set COMFYCTL_RECORDED", dir)
		}
		t.Skipf("no recordings at %s; set COMFYCTL_RECORDED", dir)
	}
	return dir
}

type transcript struct {
	Name     string          `json:"name"`
	Prompt   json.RawMessage `json:"prompt"`
	Status   int             `json:"post_status"`
	Response map[string]any  `json:"post_response"`
	Events   []struct {
		Text   *message `json:"text"`
		Binary any      `json:"binary"`
	} `json:"events"`
	History map[string]map[string]any `json:"history"`
	Views   []struct {
		Params      map[string]string `json:"params"`
		Status      int               `json:"status"`
		ContentType string            `json:"content_type"`
	} `json:"views"`
}

type message struct {
	Type string         `json:"type"`
	Data map[string]any `json:"data"`
}

// live is a running stub and a socket on it.
type live struct {
	t    *testing.T
	stub *Stub
	conn *websocket.Conn
}

func startLive(t *testing.T, o Options) *live {
	t.Helper()
	if o.Dir == "" {
		o.Dir = t.TempDir()
	}
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	l := &live{t: t, stub: s}
	t.Cleanup(func() {
		if l.conn != nil {
			_ = l.conn.CloseNow()
		}
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := s.Stop(ctx); err != nil {
			t.Error(err)
		}
		http.DefaultClient.CloseIdleConnections()
	})
	return l
}

func (l *live) dial() {
	l.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	conn, _, err := websocket.Dial(ctx, l.stub.URL()+"/ws?clientId=tester", nil)
	if err != nil {
		l.t.Fatal(err)
	}
	conn.SetReadLimit(64 << 20)
	if _, _, err := conn.Read(ctx); err != nil { // the first frame says that the server knows the client
		l.t.Fatal(err)
	}
	l.conn = conn
}

func (l *live) call(method, path, contentType string, body io.Reader) (int, http.Header, []byte) {
	l.t.Helper()
	req, _ := http.NewRequest(method, l.stub.URL()+path, body)
	req.Header.Set("Content-Type", contentType)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		l.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, _ := io.ReadAll(resp.Body)
	return resp.StatusCode, resp.Header, b
}

func (l *live) post(prompt json.RawMessage) (int, map[string]any) {
	l.t.Helper()
	body := fmt.Sprintf(`{"prompt": %s, "client_id": "tester"}`, prompt)
	status, _, b := l.call("POST", "/prompt", "application/json", strings.NewReader(body))
	var v map[string]any
	_ = json.Unmarshal(b, &v)
	return status, v
}

// until reads messages to the end of a prompt; binary frames are "binary".
func (l *live) until(id string) []message {
	l.t.Helper()
	var list []message
	for {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		typ, b, err := l.conn.Read(ctx)
		cancel()
		if err != nil {
			l.t.Fatalf("after %v: %v", types(list), err)
		}
		if typ == websocket.MessageBinary {
			list = append(list, message{Type: "binary"})
			continue
		}
		var m message
		if err := json.Unmarshal(b, &m); err != nil {
			l.t.Fatal(err)
		}
		list = append(list, m)
		if m.Type == "executing" && m.Data["node"] == nil && m.Data["prompt_id"] == id {
			return list
		}
	}
}

// types is the order of messages. Progress and previews depend on speed, so
// runs of them count once.
func types(list []message) []string {
	var out []string
	for _, m := range list {
		t := m.Type
		switch t {
		case "progress_state", "progress", "binary":
			t = "progress"
		case "executing", "executed":
			t += fmt.Sprint(":", m.Data["node"])
		}
		if len(out) == 0 || out[len(out)-1] != t || t != "progress" {
			out = append(out, t)
		}
	}
	return out
}

// pattern of a transcript or a run: keys of each type of message.
func keysOf(list []message) map[string][]string {
	out := map[string][]string{}
	for _, m := range list {
		for k := range m.Data {
			if !slices.Contains(out[m.Type], k) {
				out[m.Type] = append(out[m.Type], k)
			}
		}
		sort.Strings(out[m.Type])
	}
	return out
}

// order in which the recordings follow one another on one server: a cached run
// needs the run before it.
var order = []string{"text_to_image", "text_to_image_again_all_cached", "text_to_image_new_seed_partly_cached"}

// prepare puts there what the recording server had.
func prepare(t *testing.T, o *Options) {
	o.Dir = t.TempDir()
	o.Version = "v0.3.64"
	o.ModelFiles = map[string][]string{"checkpoints": {"random-sd15-small.safetensors"}}
	if err := os.MkdirAll(filepath.Join(o.Dir, "input"), 0o755); err != nil {
		t.Fatal(err)
	}
	_ = os.WriteFile(filepath.Join(o.Dir, "input", "broken.png"), []byte("not a picture"), 0o600)
}

// exempt names what the stub does otherwise, and why.
var exempt = map[string]string{}

func TestTranscripts(t *testing.T) {
	dir := recorded(t)
	files, _ := filepath.Glob(filepath.Join(dir, "transcripts", "*.json"))
	if len(files) < 30 {
		t.Fatalf("only %d transcripts", len(files))
	}
	shared := startShared(t)
	for _, name := range order {
		t.Run(name, func(t *testing.T) { replay(t, shared, load(t, dir, name)) })
	}
	for _, f := range files {
		name := strings.TrimSuffix(filepath.Base(f), ".json")
		if slices.Contains(order, name) {
			continue
		}
		t.Run(name, func(t *testing.T) {
			if why := exempt[name]; why != "" {
				t.Log("exempt: " + why)
				return
			}
			l, tr := startShared(t), load(t, dir, name)
			warm(t, l, tr)
			replay(t, l, tr)
		})
	}
}

func startShared(t *testing.T) *live {
	var o Options
	prepare(t, &o)
	l := startLive(t, o)
	l.dial()
	return l
}

func load(t *testing.T, dir, name string) *transcript {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, "transcripts", name+".json"))
	if err != nil {
		t.Fatal(err)
	}
	var tr transcript
	if err := json.Unmarshal(b, &tr); err != nil {
		t.Fatal(err)
	}
	return &tr
}

// warm runs a prompt that shares with the recorded one just the nodes that
// were in the real server's cache.
func warm(t *testing.T, l *live, tr *transcript) {
	t.Helper()
	var inCache []any
	for _, e := range tr.Events {
		if e.Text != nil && e.Text.Type == "execution_cached" {
			inCache, _ = e.Text.Data["nodes"].([]any)
		}
	}
	if len(inCache) == 0 {
		return
	}
	uploadPicture(t, l, "warm.png")
	var graph map[string]map[string]any
	dec := json.NewDecoder(bytes.NewReader(tr.Prompt))
	dec.UseNumber()
	if err := dec.Decode(&graph); err != nil {
		t.Fatal(err)
	}
	for id, n := range graph {
		if slices.Contains(inCache, any(id)) {
			continue
		}
		inputs := n["inputs"].(map[string]any)
		for k, v := range map[string]any{"text": "warm", "seed": 99, "width": 64, "image": "warm.png", "filename_prefix": "warm", "steps": 1} {
			if old, ok := inputs[k]; ok {
				if _, linked := old.([]any); !linked {
					inputs[k] = v
				}
			}
		}
	}
	b, _ := json.Marshal(graph)
	status, got := l.post(b)
	if status != 200 {
		t.Fatalf("warming up: %d %v", status, got)
	}
	l.until(got["prompt_id"].(string))
}

func replay(t *testing.T, l *live, tr *transcript) {
	l.t = t
	var graph map[string]struct {
		Class  string         `json:"class_type"`
		Inputs map[string]any `json:"inputs"`
	}
	_ = json.Unmarshal(tr.Prompt, &graph)
	for _, n := range graph { // what the recording had uploaded before
		if name, ok := n.Inputs["image"].(string); ok && n.Class == "LoadImage" && tr.Status == 200 && name != "broken.png" {
			uploadPicture(t, l, name)
		}
	}
	if tr.Name == "interrupted" {
		l.stub.core.o.Pace = 1
	}
	status, got := l.post(tr.Prompt)
	if status != tr.Status {
		t.Fatalf("status %d, recorded %d: %v", status, tr.Status, got)
	}
	if diff := cmp.Diff(shape(tr.Response), shape(got)); diff != "" {
		t.Errorf("answer (-recorded +got):\n%s", diff)
	}
	if status != 200 {
		return
	}
	id := got["prompt_id"].(string)
	if tr.Name == "node_without_inputs_unreachable" {
		dead(t, l)
		return
	}
	if tr.Name == "interrupted" {
		waitFor(t, l, "progress")
		if s, _, _ := l.call("POST", "/interrupt", "application/json", strings.NewReader(`{"prompt_id": "`+id+`"}`)); s != 200 {
			t.Errorf("interrupt: %d", s)
		}
	}
	list := l.until(id)
	var want []message
	for _, e := range tr.Events {
		if e.Text != nil {
			want = append(want, *e.Text)
		} else {
			want = append(want, message{Type: "binary"})
		}
	}
	wantTypes, gotTypes := types(want), types(list)
	if wantTypes[0] == "status" && want[0].Data["sid"] != nil {
		wantTypes, want = wantTypes[1:], want[1:]
	}
	if len(list) > 0 && list[0].Data["sid"] != nil {
		gotTypes, list = gotTypes[1:], list[1:]
	}
	if tr.Name == "interrupted" { // its start was read while waiting for a step
		at := slices.Index(wantTypes, "execution_interrupted")
		wantTypes, gotTypes = wantTypes[at:], gotTypes[max(0, slices.Index(gotTypes, "execution_interrupted")):]
	} else if diff := cmp.Diff(keysOf(want), keysOf(list)); diff != "" && !strings.Contains(tr.Name, "preview") {
		t.Errorf("fields of messages (-recorded +got):\n%s", diff)
	}
	if diff := cmp.Diff(wantTypes, gotTypes); diff != "" {
		t.Errorf("order (-recorded +got):\n%s", diff)
	}
	_, _, hb := l.call("GET", "/history/"+id, "", nil)
	var hist map[string]map[string]any
	if err := json.Unmarshal(hb, &hist); err != nil {
		t.Fatal(err)
	}
	for _, rec := range tr.History {
		if diff := cmp.Diff(shape(rec), shape(hist[id])); diff != "" {
			t.Errorf("history (-recorded +got):\n%s", diff)
		}
	}
	views(t, l, tr, hist[id])
}

func views(t *testing.T, l *live, tr *transcript, entry map[string]any) {
	files := found(entry["outputs"])
	for _, v := range tr.Views {
		if v.Status != 200 {
			continue
		}
		ext := filepath.Ext(v.Params["filename"])
		at := slices.IndexFunc(files, func(f map[string]any) bool {
			return filepath.Ext(f["filename"].(string)) == ext && f["type"] == v.Params["type"]
		})
		if at < 0 {
			t.Errorf("no %s file of type %s in %v", ext, v.Params["type"], files)
			continue
		}
		q := url.Values{}
		for _, k := range []string{"filename", "subfolder", "type"} {
			q.Set(k, files[at][k].(string))
		}
		s, h, b := l.call("GET", "/view?"+q.Encode(), "", nil)
		if s != 200 || len(b) == 0 {
			t.Errorf("%s: status %d, %d bytes", q.Encode(), s, len(b))
		}
		if got := h.Get("Content-Type"); got != v.ContentType && ext != ".latent" {
			t.Errorf("%s is %s, recorded %s", q.Encode(), got, v.ContentType)
		}
		if ext == ".png" {
			if _, _, err := image.Decode(bytes.NewReader(b)); err != nil {
				t.Error(err)
			}
		}
	}
}

func found(v any) []map[string]any {
	var list []map[string]any
	switch v := v.(type) {
	case map[string]any:
		if _, ok := v["filename"].(string); ok {
			return []map[string]any{v}
		}
		keys := make([]string, 0, len(v))
		for k := range v {
			keys = append(keys, k)
		}
		sort.Strings(keys)
		for _, k := range keys {
			list = append(list, found(v[k])...)
		}
	case []any:
		for _, e := range v {
			list = append(list, found(e)...)
		}
	}
	return list
}

func dead(t *testing.T, l *live) {
	waitFor(t, l, "execution_start")
	if s, _, _ := l.call("GET", "/system_stats", "", nil); s != 200 {
		t.Errorf("HTTP must go on answering: %d", s)
	}
	_, got := l.post(json.RawMessage(`{"1":{"class_type":"EmptyImage","inputs":{"width":8,"height":8,"batch_size":1,"color":0}},"2":{"class_type":"SaveImage","inputs":{"images":["1",0],"filename_prefix":"x"}}}`))
	time.Sleep(100 * time.Millisecond)
	if _, _, b := l.call("GET", fmt.Sprint("/history/", got["prompt_id"]), "", nil); string(b) != "{}" {
		t.Errorf("a dead worker ran a prompt: %s", b)
	}
}

func waitFor(t *testing.T, l *live, typ string) {
	t.Helper()
	for {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		_, b, err := l.conn.Read(ctx)
		cancel()
		if err != nil {
			t.Fatal(err)
		}
		var m message
		if json.Unmarshal(b, &m) == nil && m.Type == typ {
			return
		}
	}
}

func uploadPicture(t *testing.T, l *live, name string) {
	t.Helper()
	p := newPicture(48, 32, 3, 1)
	img, err := apng(p, 1)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	m := multipart.NewWriter(&b)
	if dir := filepath.Dir(name); dir != "." {
		_ = m.WriteField("subfolder", dir)
	}
	_ = m.WriteField("overwrite", "true")
	w, _ := m.CreateFormFile("image", filepath.Base(name))
	_, _ = w.Write(img)
	_ = m.Close()
	if s, _, body := l.call("POST", "/upload/image", m.FormDataContentType(), &b); s != 200 {
		t.Fatalf("upload: %d %s", s, body)
	}
}

// shape reduces an answer to what a client may rely on: types of errors, keys,
// file names without their numbers, but no human text, ids or times.
func shape(v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := map[string]any{}
		for k, e := range v {
			switch k {
			case "message", "details", "exception_message", "traceback", "timestamp", "prompt_id", "client_id", "number", "input_config",
				"current_inputs", "current_outputs", "create_time", "received_value":
				out[k] = "…"
			case "filename":
				out[k] = filepath.Ext(e.(string))
			case "prompt":
				if l, ok := e.([]any); ok && len(l) == 5 {
					out[k] = []any{"number", "id", shape(l[2]), shape(l[3]), shape(l[4])}
					continue
				}
				out[k] = shape(e)
			default:
				out[k] = shape(e)
			}
		}
		return out
	case []any:
		out := []any{}
		for _, e := range v {
			out = append(out, shape(e))
		}
		return out
	}
	return v
}

func TestOtherRoutes(t *testing.T) {
	b, err := os.ReadFile(filepath.Join(recorded(t), "http_misc.json"))
	if err != nil {
		t.Fatal(err)
	}
	var all map[string]struct {
		Status int    `json:"status"`
		Body   string `json:"body"`
	}
	if err := json.Unmarshal(b, &all); err != nil {
		t.Fatal(err)
	}
	l := startShared(t)
	notServed := map[string]string{
		"GET /userdata?dir=":           "the editor's own files; the runner never asks",
		"GET /internal/logs":           "the editor's log view",
		"POST /upload/image":           "tried below with a form",
		"POST /upload/image traversal": "tried below with a form",
	}
	for name, rec := range all {
		if notServed[name] != "" {
			continue
		}
		method, rest, _ := strings.Cut(name, " ")
		path, body, _ := strings.Cut(rest, " ")
		if body == "not json" {
			body = "{"
		}
		status, _, got := l.call(method, path, "application/json", strings.NewReader(body))
		if status != rec.Status {
			t.Errorf("%s: %d, recorded %d", name, status, rec.Status)
		}
		var want, have map[string]any
		if json.Unmarshal([]byte(rec.Body), &want) == nil && want["error"] != nil {
			_ = json.Unmarshal(got, &have)
			if diff := cmp.Diff(shape(want), shape(have)); diff != "" {
				t.Errorf("%s: %s", name, diff)
			}
		}
	}
	uploadPicture(t, l, "in.png")
}
