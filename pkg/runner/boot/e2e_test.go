package boot

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"io"
	"mime/multipart"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/comfyctl/comfyctl/pkg/contract"
)

// workflow is one of a test's graphs.
func workflow(name, graph string, inputs []contract.Input, outputs ...contract.Output) contract.Workflow {
	return contract.Workflow{Name: name, Version: "1", Graph: json.RawMessage(graph), Inputs: inputs, Outputs: outputs}
}

func target(node, input string) []contract.Target {
	return []contract.Target{{Node: node, Input: input}}
}

var colour = []contract.Input{
	{Name: "color", Type: contract.TypeInt, Min: "0", Max: "16777215", Default: json.RawMessage("0"), To: target("1", "color")},
	{Name: "width", Type: contract.TypeInt, Min: "1", Max: "4096", Default: json.RawMessage("48"), To: target("1", "width")},
}

// theContract is a service of core nodes, which need no weights.
func theContract(kind string) *contract.Contract {
	return &contract.Contract{
		Schema: contract.Schema, Name: "core", Engine: contract.Engine{Kind: kind, Version: "v0.3.64"}, Models: []contract.Model{},
		Workflows: []contract.Workflow{
			workflow("invert", `{
				"1":{"class_type":"EmptyImage","inputs":{"width":48,"height":32,"batch_size":1,"color":0},"_meta":{"title":"Canvas"}},
				"2":{"class_type":"ImageInvert","inputs":{"image":["1",0]},"_meta":{"title":"Invert"}},
				"3":{"class_type":"SaveImage","inputs":{"images":["2",0],"filename_prefix":"out/invert"},"_meta":{"title":"Save"}}}`,
				colour, contract.Output{Name: "image", Node: "3"}),
			workflow("preview", `{
				"1":{"class_type":"EmptyImage","inputs":{"width":48,"height":32,"batch_size":2,"color":0},"_meta":{"title":"Canvas"}},
				"2":{"class_type":"ImageInvert","inputs":{"image":["1",0]},"_meta":{"title":"Invert"}},
				"3":{"class_type":"PreviewImage","inputs":{"images":["2",0]},"_meta":{"title":"Look"}}}`,
				colour, contract.Output{Name: "look", Node: "3"}),
			workflow("photo", `{
				"1":{"class_type":"LoadImage","inputs":{"image":"example.png"},"_meta":{"title":"Photo"}},
				"2":{"class_type":"ImageInvert","inputs":{"image":["1",0]},"_meta":{"title":"Invert"}},
				"3":{"class_type":"SaveImage","inputs":{"images":["2",0],"filename_prefix":"photo"},"_meta":{"title":"Saved photo"}}}`,
				[]contract.Input{{Name: "photo", Type: contract.TypeImage, Required: true, To: target("1", "image")}}),
			workflow("slow", `{
				"1":{"class_type":"EmptyImage","inputs":{"width":3072,"height":3072,"batch_size":1,"color":0},"_meta":{"title":"big"}},
				"2":{"class_type":"VAELoader","inputs":{"vae_name":"pixel_space"},"_meta":{"title":"vae"}},
				"3":{"class_type":"VAEEncode","inputs":{"pixels":["1",0],"vae":["2",0]},"_meta":{"title":"encode"}},
				"4":{"class_type":"VAEDecodeTiled","inputs":{"samples":["3",0],"vae":["2",0],"tile_size":64,"overlap":0,"temporal_size":64,"temporal_overlap":8},"_meta":{"title":"decode"}},
				"5":{"class_type":"SaveImage","inputs":{"images":["4",0],"filename_prefix":"slow"},"_meta":{"title":"Save"}}}`,
				colour[:1], contract.Output{Name: "image", Node: "5"}),
			workflow("broken", `{
				"1":{"class_type":"EmptyImage","inputs":{"width":48,"height":32,"batch_size":1,"color":0},"_meta":{"title":"Canvas"}},
				"2":{"class_type":"SaveImage","inputs":{"images":["1",0],"filename_prefix":"../escape"},"_meta":{"title":"Bad place"}}}`,
				colour, contract.Output{Name: "image", Node: "2"}),
		},
		Runner: contract.Runner{Limits: contract.Limits{Body: 4096}},
	}
}

// run starts a service and returns it once it is ready.
type service struct {
	*testing.T
	url  string
	stop func()
}

func start(t *testing.T, o Options) *service {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ready := make(chan struct{})
	o.API, o.OnReady = l, func() { close(ready) }
	if o.StateDir == "" {
		o.StateDir = t.TempDir()
	}
	ended := make(chan error, 1)
	go func() { ended <- Run(ctx, o) }()
	var once sync.Once
	stop := func() {
		once.Do(func() {
			cancel()
			if err := <-ended; err != nil {
				t.Error(err)
			}
			http.DefaultClient.CloseIdleConnections()
		})
	}
	t.Cleanup(stop)
	select {
	case <-ready:
	case err := <-ended:
		t.Fatalf("it ended before it was ready: %v", err)
	case <-time.After(2 * time.Minute):
		t.Fatal("it did not get ready")
	}
	return &service{T: t, url: "http://" + l.Addr().String(), stop: stop}
}

type answer struct {
	status int
	header http.Header
	body   []byte
	json   struct {
		ID, Code string
		// A job's status is text, a problem's a number.
		Status   any
		Reused   bool
		Attempts int
		Outputs  []struct {
			Name, Type, URL string
			Width, Height   int
			ContentType     string `json:"content_type"`
		}
		Error *struct {
			Code, Message, Exception string
			Node                     struct {
				ID, Title string
				ClassType string `json:"class_type"`
			}
		}
		Progress struct{ Step int }
	}
}

func (s *service) do(method, path, contentType, body string, headers ...string) answer {
	s.Helper()
	req, err := http.NewRequest(method, s.url+path, strings.NewReader(body))
	if err != nil {
		s.Fatal(err)
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		s.Fatal(err)
	}
	defer resp.Body.Close()
	a := answer{status: resp.StatusCode, header: resp.Header}
	if a.body, err = io.ReadAll(resp.Body); err != nil {
		s.Fatal(err)
	}
	if strings.Contains(resp.Header.Get("Content-Type"), "json") {
		if err := json.Unmarshal(a.body, &a.json); err != nil {
			s.Fatalf("%v: %s", err, a.body)
		}
	}
	return a
}

func (s *service) create(workflow, body string, headers ...string) answer {
	s.Helper()
	return s.do("POST", "/v1/workflows/"+workflow+"/jobs", "application/json", body, headers...)
}

// picture decodes an output and fails unless it is a PNG.
func (s *service) picture(url string) image.Image {
	s.Helper()
	a := s.do("GET", url, "", "")
	img, err := png.Decode(bytes.NewReader(a.body))
	if err != nil {
		s.Fatalf("%s: %d %v", url, a.status, err)
	}
	return img
}

// engines are those that the tests run against: a ComfyUI that COMFYUI_URL
// names, and the stub.
func engines(t *testing.T, test func(t *testing.T, o Options)) {
	t.Run("stub", func(t *testing.T) {
		test(t, Options{Contract: theContract(contract.EngineStub)})
	})
	t.Run("comfyui", func(t *testing.T) {
		url := os.Getenv("COMFYUI_URL")
		if url == "" {
			t.Skip("COMFYUI_URL is not set: it names a real ComfyUI to run against")
		}
		test(t, Options{Contract: theContract(contract.EngineComfyUI), EngineURL: url})
	})
}

// near allows for the engine's floating point.
func near(a, b color.NRGBA) bool {
	off := func(x, y uint8) bool { return int(x)-int(y) > 1 || int(y)-int(x) > 1 }
	return !off(a.R, b.R) && !off(a.G, b.G) && !off(a.B, b.B) && a.A == b.A
}

// fresh is a colour that no run before had, so that nothing is cached.
func fresh() int { return int(time.Now().UnixNano() & 0xffffff) }

func TestPictureAndReuse(t *testing.T) {
	engines(t, func(t *testing.T, o Options) {
		s := start(t, o)
		c := fresh()
		want := color.NRGBA{R: 255 - byte(c>>16), G: 255 - byte(c>>8), B: 255 - byte(c), A: 255}
		body := fmt.Sprintf(`{"input":{"color":%d,"width":40}}`, c)
		for i, name := range []string{"invert", "invert", "preview", "preview"} {
			a := s.create(name, body)
			outputs := 1 + i/2
			if a.status != 201 || a.json.Status != "succeeded" || len(a.json.Outputs) != outputs {
				t.Fatalf("%d %s", a.status, a.body)
			}
			if wantReused := i%2 == 1; a.json.Reused != wantReused {
				t.Errorf("run %d of %s: reused %v", i, name, a.json.Reused)
			}
			for _, out := range a.json.Outputs {
				img := s.picture(out.URL)
				if got := color.NRGBAModel.Convert(img.At(3, 3)).(color.NRGBA); img.Bounds().Dx() != 40 || img.Bounds().Dy() != 32 || !near(got, want) {
					t.Errorf("%s is %v %v, want %v", out.Name, img.Bounds(), got, want)
				}
				if out.Width != 40 || out.ContentType != "image/png" || out.Type != "image" {
					t.Errorf("%+v", out)
				}
			}
		}
		if a := s.create("invert", fmt.Sprintf(`{"input":{"color":%d,"width":40}}`, c^1)); a.json.Status != "succeeded" || a.json.Reused {
			t.Errorf("another colour: %s", a.body)
		}
	})
}

func TestUploadedPicture(t *testing.T) {
	engines(t, func(t *testing.T, o Options) {
		s := start(t, o)
		src := image.NewNRGBA(image.Rect(0, 0, 20, 10))
		c := fresh()
		for i := range src.Pix {
			src.Pix[i] = byte(c >> (8 * (i % 3)))
			if i%4 == 3 {
				src.Pix[i] = 255
			}
		}
		var file, form bytes.Buffer
		if err := png.Encode(&file, src); err != nil {
			t.Fatal(err)
		}
		m := multipart.NewWriter(&form)
		part, err := m.CreateFormFile("photo", "../../cat.png")
		if err == nil {
			_, err = part.Write(file.Bytes())
		}
		if err == nil {
			err = m.Close()
		}
		if err != nil {
			t.Fatal(err)
		}
		for i := range 2 {
			a := s.do("POST", "/v1/workflows/photo/jobs", m.FormDataContentType(), form.String())
			if a.status != 201 || a.json.Status != "succeeded" || len(a.json.Outputs) != 1 || a.json.Outputs[0].Name != "saved-photo" {
				t.Fatalf("%d %s", a.status, a.body)
			}
			if a.json.Reused != (i > 0) {
				t.Errorf("run %d: reused %v", i, a.json.Reused)
			}
			got := color.NRGBAModel.Convert(s.picture(a.json.Outputs[0].URL).At(7, 7)).(color.NRGBA)
			was := src.NRGBAAt(7, 7)
			if !near(got, color.NRGBA{R: 255 - was.R, G: 255 - was.G, B: 255 - was.B, A: 255}) {
				t.Errorf("%v became %v", was, got)
			}
		}
		if a := s.create("photo", `{"input":{"photo":"https://127.0.0.1/x.png"}}`); a.status != 422 {
			t.Errorf("a private URL: %d %s", a.status, a.body)
		}
		if a := s.create("photo", `{"input":{"photo":"data:image/png;base64,bm8gcGljdHVyZQ=="}}`); a.status != 422 {
			t.Errorf("no picture: %d %s", a.status, a.body)
		}
	})
}

// TestCancel stops a job in the middle and sees that the engine is free again.
func TestCancel(t *testing.T) {
	engines(t, func(t *testing.T, o Options) {
		o.Pace = 1
		s := start(t, o)
		a := s.create("slow", fmt.Sprintf(`{"input":{"color":%d}}`, fresh()), "Prefer", "respond-async")
		if a.status != 202 {
			t.Fatalf("%d %s", a.status, a.body)
		}
		job := "/v1/jobs/" + a.json.ID
		for {
			now := s.do("GET", job, "", "")
			if now.json.Progress.Step > 0 {
				break
			}
			if now.json.Status != "queued" && now.json.Status != "running" {
				t.Fatalf("%s", now.body)
			}
			time.Sleep(5 * time.Millisecond)
		}
		began := time.Now()
		s.do("POST", job+"/cancel", "", "")
		now := s.do("GET", job+"?wait=60", "", "")
		if now.json.Status != "canceled" {
			t.Errorf("%s", now.body)
		}
		t.Logf("canceled within %s", time.Since(began).Round(time.Millisecond))
		if a := s.create("invert", fmt.Sprintf(`{"input":{"color":%d}}`, fresh())); a.json.Status != "succeeded" {
			t.Errorf("the job after: %s", a.body)
		}
	})
}

func TestFailingNode(t *testing.T) {
	engines(t, func(t *testing.T, o Options) {
		s := start(t, o)
		a := s.create("broken", `{}`)
		if a.status != 201 || a.json.Status != "failed" || a.json.Error == nil {
			t.Fatalf("%d %s", a.status, a.body)
		}
		e := a.json.Error
		if e.Code != "node_failed" || e.Node.ID != "2" || e.Node.ClassType != "SaveImage" || e.Node.Title != "Bad place" || e.Message == "" || e.Exception == "" {
			t.Errorf("%s", a.body)
		}
		if bytes.Contains(a.body, []byte("traceback")) {
			t.Errorf("the traceback is out: %s", a.body)
		}
	})
}

func TestEvents(t *testing.T) {
	engines(t, func(t *testing.T, o Options) {
		s := start(t, o)
		a := s.create("invert", fmt.Sprintf(`{"input":{"color":%d}}`, fresh()), "Accept", "text/event-stream")
		var kinds []string
		lastID := 0
		sc := bufio.NewScanner(bytes.NewReader(a.body))
		sc.Buffer(nil, 1<<20)
		for sc.Scan() {
			if k, ok := strings.CutPrefix(sc.Text(), "event: "); ok && (len(kinds) == 0 || kinds[len(kinds)-1] != k) {
				kinds = append(kinds, k)
			}
			if v, ok := strings.CutPrefix(sc.Text(), "id: "); ok {
				var id int
				if _, err := fmt.Sscan(v, &id); err != nil || id <= lastID {
					t.Errorf("id %s after %d", v, lastID)
				}
				lastID = id
			}
		}
		if got := strings.Join(kinds, " "); got != "status progress output status done" {
			t.Errorf("got %s", got)
		}
	})
}

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A service that is stopped in the middle of its work goes on with it when it
// is started again.
func TestRestart(t *testing.T) {
	dir := t.TempDir()
	c := theContract(contract.EngineStub)
	c.Runner.Timeouts.DrainMS = 1
	s := start(t, Options{Contract: c, StateDir: dir, Pace: 1})
	running := s.create("slow", fmt.Sprintf(`{"input":{"color":%d}}`, fresh()), "Prefer", "respond-async")
	for s.do("GET", "/v1/jobs/"+running.json.ID, "", "").json.Progress.Step == 0 {
		time.Sleep(5 * time.Millisecond)
	}
	waiting := s.create("invert", `{}`, "Prefer", "respond-async")
	s.stop()
	s = start(t, Options{Contract: c, StateDir: dir})
	for id, attempts := range map[string]int{running.json.ID: 2, waiting.json.ID: 1} {
		a := s.do("GET", "/v1/jobs/"+id+"?wait=60", "", "")
		if a.json.Status != "succeeded" || a.json.Attempts != attempts {
			t.Errorf("%s", a.body)
		}
		s.picture(a.json.Outputs[0].URL)
	}
}

func TestOptions(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, want string
		o          Options
	}{
		{"no contract", "no contract", Options{StateDir: t.TempDir(), API: l}},
		{"no state", "no state folder", Options{Contract: theContract(contract.EngineStub), API: l}},
		{"no listener", "no listener", Options{Contract: theContract(contract.EngineStub), StateDir: t.TempDir()}},
		{"no engine", "an engine \"cuda\"", Options{Contract: theContract("cuda"), StateDir: t.TempDir(), API: l}},
	} {
		if err := Run(t.Context(), tt.o); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}

func TestEnvironment(t *testing.T) {
	c := theContract(contract.EngineComfyUI)
	c.Env, c.Auth = map[string]string{"B": "2", "A": "1"}, &[]contract.Auth{{Type: "api-key", Keys: "API_KEYS"}}
	got := environment(Options{Contract: c, Environ: []string{"PATH=/bin", "API_KEYS=me ck_1", "COMFYCTL_KEYS=x", "HF_TOKEN=t"}})
	if diff := cmp.Diff([]string{"PATH=/bin", "HF_TOKEN=t", "A=1", "B=2"}, got); diff != "" {
		t.Error(diff)
	}
}

func TestAuthFollowsTheListener(t *testing.T) {
	for _, tt := range []struct {
		addr, asked, want string
		auth              *[]contract.Auth
	}{
		{"127.0.0.1:0", "", "off", nil},
		{"0.0.0.0:0", "", "api-key", nil},
		{"0.0.0.0:0", "off", "off", nil},
		{"0.0.0.0:0", "", "off", &[]contract.Auth{}},
		{"127.0.0.1:0", "", "api-key", &[]contract.Auth{{Type: "api-key"}}},
	} {
		l, err := net.Listen("tcp", tt.addr)
		if err != nil {
			t.Fatal(err)
		}
		if got := auth(Options{API: l, Auth: tt.asked, Contract: &contract.Contract{Auth: tt.auth}}); got != tt.want {
			t.Errorf("%+v: %s", tt, got)
		}
		_ = l.Close()
	}
}

func TestPage(t *testing.T) {
	c := theContract(contract.EngineStub)
	c.Runner.Playground = true
	s := start(t, Options{Contract: c})
	if a := s.do("GET", "/", "", ""); a.status != 200 || !strings.HasPrefix(a.header.Get("Content-Type"), "text/html") {
		t.Errorf("%d %v", a.status, a.header)
	}
	if a := s.do("GET", "/v2/nothing", "", ""); a.status != 404 || a.json.Code != "not_found" {
		t.Errorf("%d %s", a.status, a.body)
	}
	s = start(t, Options{Contract: theContract(contract.EngineStub)})
	if a := s.do("GET", "/", "", ""); a.status != 404 || a.json.Code != "not_found" {
		t.Errorf("the page is off: %d %s", a.status, a.body)
	}
}
