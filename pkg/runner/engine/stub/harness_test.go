package stub_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"io"
	"mime/multipart"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/google/uuid"

	"github.com/comfyctl/comfyctl/pkg/runner/engine/stub"
)

// patience is how long a test waits for what must come.
const patience = time.Minute

type rig struct {
	t    testing.TB
	stub *stub.Stub
	http *http.Client
}

func start(t testing.TB, o stub.Options) *rig {
	t.Helper()
	if o.Dir == "" {
		o.Dir = t.TempDir()
	}
	if o.Version == "" {
		o.Version = "v0.3.64"
	}
	s, err := stub.New(o)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, stub: s, http: &http.Client{Transport: &http.Transport{}, Timeout: patience}}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := s.Stop(ctx); err != nil {
			t.Error(err)
		}
		r.http.CloseIdleConnections()
	})
	return r
}

type reply struct {
	status int
	kind   string
	body   []byte
	header http.Header
}

func (r *rig) do(method, path, kind string, body []byte) reply {
	r.t.Helper()
	req, err := http.NewRequest(method, r.stub.URL()+path, bytes.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	if kind != "" {
		req.Header.Set("Content-Type", kind)
	}
	return r.send(req)
}

func (r *rig) send(req *http.Request) reply {
	r.t.Helper()
	res, err := r.http.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer res.Body.Close() //nolint:errcheck // only read
	b, err := io.ReadAll(res.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return reply{res.StatusCode, res.Header.Get("Content-Type"), b, res.Header}
}

func (r *rig) get(path string) reply { r.t.Helper(); return r.do("GET", path, "", nil) }

func (r *rig) getJSON(path string) any {
	r.t.Helper()
	res := r.get(path)
	if res.status != http.StatusOK {
		r.t.Fatalf("GET %s: %d %s", path, res.status, res.body)
	}
	return decode(r.t, res.body)
}

func decode(t testing.TB, b []byte) any {
	t.Helper()
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		t.Fatalf("%v in %.300s", err, b)
	}
	return v
}

func (r *rig) post(body any) reply {
	r.t.Helper()
	b, ok := body.([]byte)
	if !ok {
		var err error
		if b, err = json.Marshal(body); err != nil {
			r.t.Fatal(err)
		}
	}
	return r.do("POST", "/prompt", "application/json", b)
}

// upload sends a multipart form with the file under the name image.
func (r *rig) upload(path, name string, file []byte, fields map[string]string) reply {
	r.t.Helper()
	var buf bytes.Buffer
	w := multipart.NewWriter(&buf)
	for k, v := range fields {
		_ = w.WriteField(k, v)
	}
	if file != nil {
		p, err := w.CreatePart(map[string][]string{
			"Content-Disposition": {fmt.Sprintf(`form-data; name="image"; filename="%s"`, name)}, "Content-Type": {"image/png"}})
		if err != nil {
			r.t.Fatal(err)
		}
		_, _ = p.Write(file)
	}
	_ = w.Close()
	return r.do("POST", path, w.FormDataContentType(), buf.Bytes())
}

// event is one frame as a client sees it.
type event struct {
	Type   string
	Data   map[string]any
	Binary []byte
}

type socketClient struct {
	t     testing.TB
	conn  *websocket.Conn
	first *event
}

func (r *rig) dial(client string) *socketClient {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	conn, res, err := websocket.Dial(ctx, r.stub.URL()+"/ws?clientId="+url.QueryEscape(client), &websocket.DialOptions{HTTPClient: r.http})
	if err != nil {
		r.t.Fatal(err, res)
	}
	conn.SetReadLimit(-1)
	r.t.Cleanup(func() { _ = conn.CloseNow() })
	c := &socketClient{t: r.t, conn: conn}
	// Only the first frame says that the server knows the client.
	first := c.read()
	c.first = &first
	return c
}

func (c *socketClient) read() event {
	c.t.Helper()
	if e := c.first; e != nil {
		c.first = nil
		return *e
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	kind, b, err := c.conn.Read(ctx)
	if err != nil {
		c.t.Fatal(err)
	}
	if kind == websocket.MessageBinary {
		return event{Binary: b}
	}
	m, _ := decode(c.t, b).(map[string]any)
	data, _ := m["data"].(map[string]any)
	return event{Type: m["type"].(string), Data: data}
}

// until reads events up to the one that want accepts, which comes last.
func (c *socketClient) until(want func(event) bool) []event {
	c.t.Helper()
	var list []event
	for {
		e := c.read()
		list = append(list, e)
		if want(e) {
			return list
		}
	}
}

// ended accepts the last event of a prompt.
func ended(e event) bool {
	v, has := e.Data["node"]
	return e.Type == "executing" && has && v == nil
}

// run posts a prompt that must be accepted, and gives its events and its
// history entry.
func (r *rig) run(prompt any) ([]event, map[string]any) {
	r.t.Helper()
	// A name of its own: the server forgets a name when the socket that had it
	// before closes, also if another has it by then.
	client := uuid.NewString()
	c := r.dial(client)
	defer func() { _ = c.conn.Close(websocket.StatusNormalClosure, "") }()
	res := r.post(map[string]any{"prompt": prompt, "client_id": client})
	if res.status != http.StatusOK {
		r.t.Fatalf("refused: %s", res.body)
	}
	id := decode(r.t, res.body).(map[string]any)["prompt_id"].(string)
	events := c.until(ended)
	entry, _ := r.getJSON("/history/" + id).(map[string]any)[id].(map[string]any)
	if entry == nil {
		r.t.Fatal("no history entry")
	}
	return events, entry
}

// node is one node of a prompt.
func node(class string, inputs map[string]any) map[string]any {
	return map[string]any{"class_type": class, "inputs": inputs}
}

func link(id string, slot int) []any { return []any{id, slot} }

// files lists the files that an output node of an entry shows under a key.
func (r *rig) files(entry map[string]any, id, key string) []reply {
	r.t.Helper()
	outputs, _ := entry["outputs"].(map[string]any)
	ui, _ := outputs[id].(map[string]any)
	list, _ := ui[key].([]any)
	if len(list) == 0 {
		r.t.Fatalf("node %s shows no %s: %v", id, key, entry["status"])
	}
	var out []reply
	for _, f := range list {
		m := f.(map[string]any)
		q := url.Values{}
		for k, v := range m {
			q.Set(k, v.(string))
		}
		res := r.get("/view?" + q.Encode())
		if res.status != http.StatusOK {
			r.t.Fatalf("GET /view %v: %d", m, res.status)
		}
		out = append(out, res)
	}
	return out
}

func testPicture(w, h int) *image.NRGBA {
	img := image.NewNRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			img.SetNRGBA(x, y, color.NRGBA{uint8(x * 16), uint8(y * 16), uint8(x*y + 3), 255})
		}
	}
	return img
}

func pngBytes(t testing.TB, img image.Image) []byte {
	t.Helper()
	var buf bytes.Buffer
	if err := png.Encode(&buf, img); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func writeTo(t testing.TB, dir, name string, b []byte) {
	t.Helper()
	p := filepath.Join(dir, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(p, b, 0o644); err != nil {
		t.Fatal(err)
	}
}
