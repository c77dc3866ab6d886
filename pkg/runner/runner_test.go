package runner

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"io"
	"mime/multipart"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/comfyctl/comfyctl/pkg/contract"
	"github.com/comfyctl/comfyctl/pkg/runner/engine"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fake is an Executor whose runs a test scripts.
type fake struct {
	mu    sync.Mutex
	stage engine.Stage
	run   func(ctx context.Context, p engine.Prompt, on func(engine.Event)) (*engine.Result, error)
	put   map[string][]byte
	seen  []engine.Prompt
	file  []byte // what outputs hold; nil means a picture
	freed int
	known string // the prompt that an earlier runner sent and that is still there
}

func (f *fake) Run(ctx context.Context, p engine.Prompt, on func(engine.Event)) (*engine.Result, error) {
	f.mu.Lock()
	if p.Sent && p.ID != f.known {
		defer f.mu.Unlock()
		return nil, engine.ErrLost
	}
	f.seen = append(f.seen, p)
	run := f.run
	f.mu.Unlock()
	return run(ctx, p, on)
}

func (f *fake) Put(_ context.Context, sub, name string, r io.Reader) (string, error) {
	b, err := io.ReadAll(r)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.put[sub+"/"+name] = b
	return sub + "/" + name, err
}

func (f *fake) Open(context.Context, engine.File) (io.ReadCloser, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.file != nil {
		return io.NopCloser(bytes.NewReader(f.file)), nil
	}
	return io.NopCloser(bytes.NewReader(picture(8, 6))), nil
}
func (f *fake) Forget(context.Context, string) error { return nil }

func (f *fake) Free(context.Context) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.freed++
	return nil
}

func (f *fake) Status() engine.Status {
	f.mu.Lock()
	defer f.mu.Unlock()
	return engine.Status{Stage: f.stage, Since: time.Now(), Reason: "booting"}
}

func picture(w, h int) []byte {
	img := image.NewRGBA(image.Rect(0, 0, w, h))
	img.Set(0, 0, color.RGBA{255, 0, 0, 255})
	var b bytes.Buffer
	_ = png.Encode(&b, img)
	return b.Bytes()
}

func draws(_ context.Context, _ engine.Prompt, on func(engine.Event)) (*engine.Result, error) {
	on(engine.Event{Kind: engine.EventNode, Node: "3"})
	on(engine.Event{Kind: engine.EventProgress, Node: "3", Value: 1, Max: 2})
	on(engine.Event{Kind: engine.EventPreview, Node: "3", ContentType: "image/jpeg", Data: []byte("j")})
	return &engine.Result{Outputs: []engine.Output{{Node: "9", Key: "images", File: &engine.File{Name: "a.png", Type: "output"}}}, NodeTime: map[string]time.Duration{"3": time.Second}}, nil
}

func theContract() *contract.Contract {
	raw := func(s string) json.RawMessage { return json.RawMessage(s) }
	return &contract.Contract{Schema: contract.Schema, Name: "portrait", Engine: contract.Engine{Kind: contract.EngineStub, Version: "v0.3.64"}, Models: []contract.Model{},
		Workflows: []contract.Workflow{{Name: "portrait", Version: "1", Aliases: []string{"p"},
			Graph: raw(`{"3":{"class_type":"KSampler","inputs":{"seed":1,"steps":20,"text":"x","image":"a.png"},"_meta":{"title":"Face"}},"9":{"class_type":"SaveImage","inputs":{"images":["3",0],"filename_prefix":"out/x"},"_meta":{"title":"Save"}}}`),
			Inputs: []contract.Input{
				{Name: "prompt", Type: contract.TypeText, Required: true, MaxLength: 10, To: []contract.Target{{Node: "3", Input: "text"}}},
				{Name: "seed", Type: contract.TypeSeed, Random: true, To: []contract.Target{{Node: "3", Input: "seed"}}},
				{Name: "steps", Type: contract.TypeInt, Min: "1", Max: "50", Default: raw("20"), To: []contract.Target{{Node: "3", Input: "steps"}}},
				{Name: "sampler", Type: contract.TypeEnum, Enum: []json.RawMessage{raw(`"euler"`), raw(`"dpmpp_2m"`)}, To: []contract.Target{{Node: "3", Input: "sampler"}}},
				{Name: "photo", Type: contract.TypeImage, To: []contract.Target{{Node: "3", Input: "image"}}},
			},
			Outputs: []contract.Output{{Name: "image", Node: "9"}}}},
		Runner: contract.Runner{Queue: contract.Queue{Max: 2}, Limits: contract.Limits{Body: 4096, File: 1 << 20, Pixels: 10000, JSONDepth: 8}, Timeouts: contract.Timeouts{DrainMS: 200}}}
}

type service struct {
	*testing.T
	url    string
	fake   *fake
	server *Server
	stop   func()
}

func start(t *testing.T, dir string, f *fake, keys string) *service {
	t.Helper()
	c := Config{Contract: theContract(), Keys: keys}
	if keys != "" {
		c.Auth = AuthKey
	}
	return startWith(t, dir, f, c)
}

func startWith(t *testing.T, dir string, f *fake, c Config) *service {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	if f.put == nil {
		f.put = map[string][]byte{}
	}
	if f.stage == "" {
		f.stage = engine.StageReady
	}
	c.Executor, c.StateDir, c.Backoff = f, dir, time.Millisecond
	s, err := New(ctx, c)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, l, nil) }()
	if f.stage == engine.StageReady {
		<-s.Ready()
	}
	var once sync.Once
	stop := func() {
		once.Do(func() {
			cancel()
			if err := <-done; err != nil {
				t.Error(err)
			}
			_ = s.Close()
			http.DefaultClient.CloseIdleConnections()
		})
	}
	t.Cleanup(stop)
	return &service{T: t, url: "http://" + l.Addr().String(), fake: f, server: s, stop: stop}
}

type answer struct {
	status int
	header http.Header
	body   []byte
	json   map[string]any
}

func (s *service) do(method, path, body string, headers ...string) answer {
	s.Helper()
	req, _ := http.NewRequest(method, s.url+path, strings.NewReader(body))
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	if h := req.Header.Get("Host"); h != "" {
		req.Host = h
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		s.Fatal(err)
	}
	defer resp.Body.Close()
	b, _ := io.ReadAll(resp.Body)
	a := answer{status: resp.StatusCode, header: resp.Header, body: b}
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.UseNumber()
	_ = dec.Decode(&a.json)
	return a
}

func (a answer) at(path string) string {
	var v any = a.json
	for _, k := range strings.Split(path, ".") {
		switch x := v.(type) {
		case map[string]any:
			v = x[k]
		case []any:
			var i int
			fmt.Sscan(k, &i)
			if i >= len(x) {
				return ""
			}
			v = x[i]
		default:
			return ""
		}
	}
	return fmt.Sprint(v)
}

const create = "/v1/workflows/portrait/jobs"

func TestJobFromRequestToBytes(t *testing.T) {
	s := start(t, t.TempDir(), &fake{run: draws}, "")
	a := s.do("POST", create, `{"input":{"prompt":"a fox","seed":18446744073709551615},"metadata":{"customer":"42"}}`)
	if a.status != 201 || a.at("status") != "succeeded" || a.at("input.seed") != "18446744073709551615" || a.at("input.steps") != "20" || a.at("engine") != "stub" {
		t.Fatalf("%d %s", a.status, a.body)
	}
	if a.at("outputs.0.name") != "image" || a.at("outputs.0.width") != "8" || a.at("outputs.0.content_type") != "image/png" || a.at("timings.nodes.3") != "1000" {
		t.Errorf("%s", a.body)
	}
	graph := string(s.fake.seen[0].Graph)
	if !strings.Contains(graph, `"seed":18446744073709551615`) || !strings.Contains(graph, `"filename_prefix":"jobs/`+a.at("id")+`/1/x"`) || !strings.Contains(graph, `"text":"a fox"`) {
		t.Errorf("the engine got %s", graph)
	}
	got := s.do("GET", a.at("outputs.0.url"), "", "Range", "bytes=0-7")
	if got.status != 206 || string(got.body) != "\x89PNG\r\n\x1a\n" || !strings.Contains(got.header.Get("Cache-Control"), "immutable") {
		t.Errorf("%d %q %v", got.status, got.body, got.header)
	}
	if got := s.do("GET", a.at("outputs.0.url"), "", "If-None-Match", `"`+a.at("outputs.0.hash")+`"`); got.status != 304 {
		t.Errorf("%d", got.status)
	}
	if l := s.do("GET", "/v1/jobs?status=succeeded", ""); l.at("data.0.id") != a.at("id") {
		t.Errorf("%s", l.body)
	}
	if d := s.do("DELETE", a.at("links.self"), ""); d.status != 204 {
		t.Errorf("%d", d.status)
	}
	if g := s.do("GET", a.at("links.self"), ""); g.status != 404 || g.at("code") != "not_found" {
		t.Errorf("%s", g.body)
	}
}

func TestRefusals(t *testing.T) {
	s := start(t, t.TempDir(), &fake{run: draws}, "")
	lie := "data:image/png;base64," + base64.StdEncoding.EncodeToString([]byte("<html>not a picture</html>"))
	big := "data:image/png;base64," + base64.StdEncoding.EncodeToString(picture(200, 200))
	for _, tt := range []struct {
		name, body string
		status     int
		pointer    string
		code       string
	}{
		{"missing", `{"input":{}}`, 422, "/input/prompt", "required"},
		{"unknown", `{"input":{"prompt":"x","step":3}}`, 422, "/input/step", "unknown_input"},
		{"range", `{"input":{"prompt":"x","steps":99}}`, 422, "/input/steps", "out_of_range"},
		{"whole", `{"input":{"prompt":"x","steps":1.5}}`, 422, "/input/steps", "wrong_type"},
		{"huge exponent", `{"input":{"prompt":"x","steps":1e999999999}}`, 422, "/input/steps", "wrong_type"},
		{"long", `{"input":{"prompt":"01234567890"}}`, 422, "/input/prompt", "too_long"},
		{"list", `{"input":{"prompt":"x","sampler":"dpmpp2m"}}`, 422, "/input/sampler", "not_in_list"},
		{"seed", `{"input":{"prompt":"x","seed":"18446744073709551616"}}`, 422, "/input/seed", "out_of_range"},
		{"plain http", `{"input":{"prompt":"x","photo":"http://example.com/x.png"}}`, 422, "/input/photo", "bad_file"},
		{"loopback URL", `{"input":{"prompt":"x","photo":"https://127.0.0.1:1/x.png"}}`, 422, "/input/photo", "private_address"},
		{"loopback name", `{"input":{"prompt":"x","photo":"https://localhost:1/x.png"}}`, 422, "/input/photo", "private_address"},
		{"mapped address", `{"input":{"prompt":"x","photo":"https://[::ffff:10.0.0.1]/x.png"}}`, 422, "/input/photo", "private_address"},
		{"metadata URL", `{"input":{"prompt":"x","photo":"https://169.254.169.254/latest"}}`, 422, "/input/photo", "private_address"},
		{"lying type", `{"input":{"prompt":"x","photo":"` + lie + `"}}`, 422, "/input/photo", "bad_file"},
		{"pixels", `{"input":{"prompt":"x","photo":"` + big + `"}}`, 422, "/input/photo", "too_many_pixels"},
		{"no such file", `{"input":{"prompt":"x","photo":"file_01"}}`, 422, "/input/photo", "bad_file"},
		{"unknown field", `{"inputs":{},"input":{"prompt":"x"}}`, 422, "/inputs", "unknown_field"},
		{"webhook in the clear", `{"webhook":{"url":"http://x"},"input":{"prompt":"x"}}`, 422, "/webhook/url", "bad_url"},
		{"webhook without an address", `{"webhook":{},"input":{"prompt":"x"}}`, 422, "/webhook/url", "required"},
		{"webhook event", `{"webhook":{"url":"https://x","events":["job.succeded"]},"input":{"prompt":"x"}}`, 422, "/webhook/events/0", "not_in_list"},
		{"unserved option", `{"outputs":{"format":{"type":"webp"}},"input":{"prompt":"x"}}`, 422, "/outputs/format", "not_supported"},
		{"mode", `{"outputs":{"mode":"urls"},"input":{"prompt":"x"}}`, 422, "/outputs/mode", "not_in_list"},
		{"timeout", `{"queue":{"timeout_s":-1},"input":{"prompt":"x"}}`, 422, "/queue/timeout_s", "out_of_range"},
		{"list for a value", `{"input":["prompt"]}`, 422, "/input", "wrong_type"},
		{"list for a body", `[1]`, 422, "", "wrong_type"},
		{"not JSON", `{"input":`, 400, "", ""},
		{"too deep", `{"input":{"prompt":[[[[[[[[[1]]]]]]]]]}}`, 400, "", ""},
		{"too large", `{"input":{"prompt":"` + strings.Repeat("x", 5000) + `"}}`, 413, "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := s.do("POST", create, tt.body)
			if a.status != tt.status || a.at("errors.0.pointer") != tt.pointer && tt.pointer != "" || a.at("errors.0.code") != tt.code && tt.code != "" {
				t.Errorf("%d %s", a.status, a.body)
			}
			if ct := a.header.Get("Content-Type"); ct != "application/problem+json" {
				t.Errorf("Content-Type %s", ct)
			}
			if v := s.do("POST", "/v1/workflows/portrait/validate", tt.body); v.status != tt.status {
				t.Errorf("validate says %d", v.status)
			}
		})
	}
	if a := s.do("POST", create, `{"input":{"prompt":"x","steps":99,"sampler":"zz","step":1}}`); len(a.json["errors"].([]any)) != 3 {
		t.Errorf("not every problem at once: %s", a.body)
	}
	if a := s.do("POST", create, `{"input":{"prompt":"x","sampler":"dpmpp2m"}}`); a.at("errors.0.suggestion") != "dpmpp_2m" {
		t.Errorf("%s", a.body)
	}
	if a := s.do("POST", "/v1/workflows/nope/jobs", `{}`); a.status != 404 {
		t.Errorf("%d", a.status)
	}
	if a := s.do("POST", create, `x`, "Content-Type", "text/plain"); a.status != 415 {
		t.Errorf("%d", a.status)
	}
	if len(s.fake.seen) != 0 {
		t.Error("a refused request reached the engine")
	}
}

func TestMultipartAndFiles(t *testing.T) {
	s := start(t, t.TempDir(), &fake{run: draws}, "")
	var b bytes.Buffer
	m := multipart.NewWriter(&b)
	_ = m.WriteField("request", `{"input":{"prompt":"x"}}`)
	_ = m.WriteField("steps", "7")
	p, _ := m.CreateFormFile("photo", "cat.exe")
	_, _ = p.Write(picture(5, 5))
	_ = m.Close()
	a := s.do("POST", create, b.String(), "Content-Type", m.FormDataContentType())
	if a.status != 201 || a.at("input.steps") != "7" || !strings.HasPrefix(a.at("input.photo"), "sha256:") {
		t.Fatalf("%d %s", a.status, a.body)
	}
	hash := strings.TrimPrefix(a.at("input.photo"), "sha256:")
	if got := s.fake.put["comfyctl/"+hash+".png"]; !bytes.Equal(got, picture(5, 5)) {
		t.Errorf("the engine got %d bytes", len(got))
	}
	if h := s.do("HEAD", "/v1/files/by-hash/"+hash, ""); h.status != 200 {
		t.Errorf("%d", h.status)
	}
	if again := s.do("POST", create, `{"input":{"prompt":"x","photo":"sha256:`+hash+`"}}`); again.status != 201 {
		t.Errorf("%s", again.body)
	}
	if chained := s.do("POST", create, `{"input":{"prompt":"x","photo":"`+a.at("outputs.0.url")+`"}}`); chained.status != 201 {
		t.Errorf("%s", chained.body)
	}
}

func TestEventsAndReplay(t *testing.T) {
	s := start(t, t.TempDir(), &fake{run: draws}, "")
	a := s.do("POST", create, `{"input":{"prompt":"x"}}`, "Accept", "text/event-stream")
	var ids []string
	kinds := func(body []byte) (list []string, last string) {
		ids = nil
		sc := bufio.NewScanner(bytes.NewReader(body))
		for sc.Scan() {
			if k, ok := strings.CutPrefix(sc.Text(), "event: "); ok {
				list = append(list, k)
			}
			if id, ok := strings.CutPrefix(sc.Text(), "id: "); ok {
				last = id
				ids = append(ids, id)
			}
		}
		return list, last
	}
	got, last := kinds(a.body)
	want := "status status progress progress preview output status done"
	if strings.Join(got, " ") != want {
		t.Fatalf("got %v", got)
	}
	fifth := ids[4]
	loc := a.header.Get("Location")
	if again, _ := kinds(s.do("GET", loc+"/events", "", "Last-Event-ID", fifth).body); strings.Join(again, " ") != "output status done" {
		t.Errorf("replayed %v", again)
	}
	if only, _ := kinds(s.do("GET", loc+"/events?types=progress", "").body); strings.Join(only, " ") != "progress progress done" {
		t.Errorf("filtered %v", only)
	}
	if none, _ := kinds(s.do("GET", loc+"/events", "", "Last-Event-ID", last).body); len(none) != 0 {
		t.Errorf("after the end %v", none)
	}
}

func TestIdempotency(t *testing.T) {
	s := start(t, t.TempDir(), &fake{run: draws}, "")
	a := s.do("POST", create, `{"input":{"prompt":"x"}}`, "Idempotency-Key", "k")
	b := s.do("POST", create, `{"input":{"prompt":"x"}}`, "Idempotency-Key", "k")
	if a.at("id") != b.at("id") || len(s.fake.seen) != 1 || b.header.Get("Idempotent-Replayed") != "true" {
		t.Errorf("%s %s", a.body, b.body)
	}
	if c := s.do("POST", create, `{"input":{"prompt":"y"}}`, "Idempotency-Key", "k"); c.status != 409 || c.at("code") != "idempotency_conflict" {
		t.Errorf("%s", c.body)
	}
}

func TestCancelStopsTheEngine(t *testing.T) {
	stopped := make(chan struct{})
	began := make(chan struct{})
	s := start(t, t.TempDir(), &fake{run: func(ctx context.Context, _ engine.Prompt, _ func(engine.Event)) (*engine.Result, error) {
		close(began)
		<-ctx.Done()
		close(stopped)
		return nil, ctx.Err()
	}}, "")
	a := s.do("POST", create, `{"input":{"prompt":"x"}}`, "Prefer", "respond-async")
	if a.status != 202 || a.header.Get("Location") != a.at("links.self") {
		t.Fatalf("%d %s", a.status, a.body)
	}
	<-began
	if d := s.do("DELETE", a.at("links.self"), ""); d.status != 409 {
		t.Errorf("%d", d.status)
	}
	s.do("POST", a.at("links.cancel"), "")
	<-stopped
	if g := s.do("GET", a.at("links.self")+"?wait=10", ""); g.at("status") != "canceled" {
		t.Errorf("%s", g.body)
	}
	if again := s.do("POST", a.at("links.cancel"), ""); again.status != 200 {
		t.Errorf("cancelling twice: %d", again.status)
	}
}

// holds is a run that goes on until it is released.
func holds(release <-chan struct{}) func(context.Context, engine.Prompt, func(engine.Event)) (*engine.Result, error) {
	return func(ctx context.Context, p engine.Prompt, on func(engine.Event)) (*engine.Result, error) {
		select {
		case <-release:
			return draws(ctx, p, on)
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func TestQueueIsBoundAndSurvivesARestart(t *testing.T) {
	dir := t.TempDir()
	s := start(t, dir, &fake{run: holds(nil)}, "")
	running := s.do("POST", create, `{"input":{"prompt":"x"}}`, "Prefer", "respond-async")
	for s.do("GET", running.at("links.self"), "").at("status") != "running" {
		time.Sleep(time.Millisecond)
	}
	ids := []string{running.at("id")}
	for range 2 {
		a := s.do("POST", create, `{"input":{"prompt":"x"}}`, "Prefer", "respond-async", "Idempotency-Key", fmt.Sprint(len(ids)))
		ids = append(ids, a.at("id"))
	}
	if a := s.do("POST", create, `{"input":{"prompt":"x"}}`); a.status != 503 || a.at("code") != "queue_full" || a.header.Get("Retry-After") == "" {
		t.Errorf("%d %s", a.status, a.body)
	}
	if a := s.do("POST", create, `{"input":{"prompt":"x"}}`, "Prefer", "respond-async", "Idempotency-Key", "1"); a.status != 202 || a.at("id") != ids[1] {
		t.Errorf("a repeated request at a full queue: %d %s", a.status, a.body)
	}
	if a := s.do("GET", "/v1/jobs/"+ids[2], ""); a.at("progress.queue_position") != "2" {
		t.Errorf("%s", a.body)
	}
	s.stop()
	s = start(t, dir, &fake{run: draws}, "")
	for i, id := range ids {
		g := s.do("GET", "/v1/jobs/"+id+"?wait=10", "")
		want := "1"
		if i == 0 {
			want = "2"
		}
		if g.at("status") != "succeeded" || g.at("attempts") != want {
			t.Errorf("%s", g.body)
		}
	}
	if r := s.do("GET", "/readyz", ""); r.status != 200 || r.at("engine.kind") != "stub" || !strings.Contains(r.at("engine.note"), "STUB") {
		t.Errorf("%d %s", r.status, r.body)
	}
}

func TestNotReady(t *testing.T) {
	s := start(t, t.TempDir(), &fake{stage: engine.StageStarting, run: draws}, "")
	if a := s.do("POST", create, `{"input":{"prompt":"x"}}`); a.status != 503 || a.at("code") != "not_ready" || a.header.Get("Retry-After") == "" {
		t.Errorf("%d %s", a.status, a.body)
	}
	if r := s.do("GET", "/readyz", ""); r.status != 503 || r.at("engine.reason") != "booting" || r.at("engine.stage") != "starting" {
		t.Errorf("%d %s", r.status, r.body)
	}
	if v := s.do("POST", "/v1/workflows/portrait/validate", `{"input":{"prompt":"x"}}`); v.status != 200 {
		t.Errorf("%d %s", v.status, v.body)
	}
	s.fake.mu.Lock()
	s.fake.stage = engine.StageReady
	s.fake.mu.Unlock()
	for s.do("GET", "/readyz", "").status != 200 {
		time.Sleep(time.Millisecond)
	}
	if a := s.do("POST", create, `{"input":{"prompt":"x"}}`); a.status != 201 {
		t.Errorf("%d %s", a.status, a.body)
	}
}

// A job that outlives the drain is put back and run by the next start.
func TestDrainPutsBack(t *testing.T) {
	dir := t.TempDir()
	began := make(chan struct{})
	s := start(t, dir, &fake{run: func(ctx context.Context, _ engine.Prompt, _ func(engine.Event)) (*engine.Result, error) {
		close(began)
		<-ctx.Done()
		return nil, ctx.Err()
	}}, "")
	a := s.do("POST", create, `{"input":{"prompt":"x"}}`, "Prefer", "respond-async")
	<-began
	s.stop()
	s = start(t, dir, &fake{run: draws}, "")
	if g := s.do("GET", "/v1/jobs/"+a.at("id")+"?wait=10", ""); g.at("status") != "succeeded" || g.at("attempts") != "2" {
		t.Errorf("%s", g.body)
	}
}

func TestFailures(t *testing.T) {
	for _, tt := range []struct {
		name, code string
		attempts   string
		err        error
	}{
		{"node", "node_failed", "1", &engine.RunError{NodeID: "3", NodeType: "KSampler", ExceptionType: "ValueError", Message: "bad\n", Traceback: []string{"/secret/path"}}},
		{"memory", "out_of_memory", "2", &engine.RunError{NodeID: "3", NodeType: "KSampler", ExceptionType: "torch.OutOfMemoryError", OutOfMemory: true}},
		{"refused", "engine_refused", "1", &engine.RefusedError{Message: "no", Nodes: map[string]engine.NodeErrors{"3": {ClassType: "KSampler", Errors: []engine.NodeError{{Type: "value_not_in_list", Input: "seed"}}}}}},
		{"lost thrice", "engine_lost", "3", engine.ErrLost},
		{"stalled", "engine_stalled", "3", engine.ErrStalled},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := start(t, t.TempDir(), &fake{run: func(context.Context, engine.Prompt, func(engine.Event)) (*engine.Result, error) { return nil, tt.err }}, "")
			a := s.do("POST", create, `{"input":{"prompt":"x"}}`)
			if a.status != 201 || a.at("status") != "failed" || a.at("error.code") != tt.code || a.at("attempts") != tt.attempts {
				t.Errorf("%d %s", a.status, a.body)
			}
			if tt.name == "node" && (a.at("error.node.id") != "3" || a.at("error.node.class_type") != "KSampler" || a.at("error.node.title") != "Face" || a.at("error.message") != "bad") {
				t.Errorf("%s", a.body)
			}
			if bytes.Contains(a.body, []byte("/secret/path")) {
				t.Error("the traceback got out")
			}
		})
	}
}

func TestKeysAndSites(t *testing.T) {
	keys := "me ck_1\n# x\nyou:pro sha256:" + strings.Repeat("ab", 32) + "\n"
	s := start(t, t.TempDir(), &fake{run: draws}, keys)
	for _, tt := range []struct {
		path, header, value string
		status              int
	}{
		{"/v1/jobs", "", "", 401}, {"/v1/jobs", "Authorization", "Bearer ck_2", 401}, {"/v1/jobs", "Authorization", "Bearer ck_1", 200},
		{"/v1/jobs", "X-API-Key", "ck_1", 200}, {"/healthz", "", "", 200}, {"/readyz", "", "", 200}, {"/metrics", "", "", 401},
	} {
		var headers []string
		if tt.header != "" {
			headers = []string{tt.header, tt.value}
		}
		if a := s.do("GET", tt.path, "", headers...); a.status != tt.status {
			t.Errorf("%+v: %d", tt, a.status)
		}
	}
	open := start(t, t.TempDir(), &fake{run: draws}, "")
	if a := open.do("POST", create, `{"input":{"prompt":"x"}}`, "Origin", "https://evil.example"); a.status != 403 {
		t.Errorf("another site's page: %d", a.status)
	}
	if a := open.do("GET", "/v1/jobs", "", "Host", "evil.example"); a.status != 403 {
		t.Errorf("a rebound name: %d", a.status)
	}
}

func TestOpenAPIAndDocs(t *testing.T) {
	s := start(t, t.TempDir(), &fake{run: draws}, "")
	a := s.do("GET", "/openapi.json", "")
	if a.at("openapi") != "3.1.0" || a.json["paths"].(map[string]any)["/v1/workflows/portrait/jobs"] == nil {
		t.Errorf("%.300s", a.body)
	}
	if d := s.do("GET", "/docs", ""); d.status != 200 || !bytes.Contains(d.body, []byte("/v1/workflows/portrait/jobs")) {
		t.Errorf("%d", d.status)
	}
	if d := s.do("GET", "/docs/errors/queue_full", ""); d.status != 200 {
		t.Errorf("%d", d.status)
	}
	if m := s.do("GET", "/metrics", ""); !bytes.Contains(m.body, []byte("comfyctl_engine_ready 1")) {
		t.Errorf("%s", m.body)
	}
	if w := s.do("GET", "/v1/workflows/p", ""); w.at("inputs.properties.steps.maximum") != "50" {
		t.Errorf("%s", w.body)
	}
}
