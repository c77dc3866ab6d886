package comfy

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"image/png"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/comfyctl/comfyctl/pkg/runner/engine"
	"github.com/comfyctl/comfyctl/pkg/runner/engine/stub"
)

// onEngines runs a test against the stub engine, by folders and over HTTP, and
// against the ComfyUI at COMFYUI_URL where that is set.
func onEngines(t *testing.T, test func(t *testing.T, s *Supervisor)) {
	t.Helper()
	for _, byFolder := range []bool{true, false} {
		t.Run(fmt.Sprintf("stub, by folder %v", byFolder), func(t *testing.T) {
			dir := t.TempDir()
			p, err := stub.New(stub.Options{Version: "v0.3.64", Dir: dir, Pace: 0.2})
			if err != nil {
				t.Fatal(err)
			}
			o := Options{}
			if byFolder {
				o.Folders = &Folders{Input: filepath.Join(dir, "input"), Output: filepath.Join(dir, "output"), Temp: filepath.Join(dir, "temp")}
			}
			s := NewSupervisor(p, o)
			supervise(t, s)
			test(t, s)
		})
	}
	if url := os.Getenv("COMFYUI_URL"); url != "" {
		t.Run("ComfyUI", func(t *testing.T) {
			s := NewSupervisor(Remote(url), Options{StartTimeout: time.Minute})
			supervise(t, s)
			t.Logf("%+v", s.Status())
			test(t, s)
		})
	}
}

// picture is a canvas of a colour, saved under a prefix of its own.
func picture(color int, prefix string) json.RawMessage {
	return json.RawMessage(fmt.Sprintf(`{
 "1":{"class_type":"EmptyImage","inputs":{"width":48,"height":32,"batch_size":1,"color":%d},"_meta":{"title":"Canvas"}},
 "2":{"class_type":"ImageInvert","inputs":{"image":["1",0]},"_meta":{"title":"Invert"}},
 "3":{"class_type":"SaveImage","inputs":{"images":["2",0],"filename_prefix":%q},"_meta":{"title":"Save"}}}`, color, prefix))
}

// slow takes many seconds and reports progress.
func slow(color int) json.RawMessage {
	return json.RawMessage(fmt.Sprintf(`{
 "1":{"class_type":"EmptyImage","inputs":{"width":4096,"height":4096,"batch_size":1,"color":%d},"_meta":{"title":"big"}},
 "2":{"class_type":"VAELoader","inputs":{"vae_name":"pixel_space"},"_meta":{"title":"vae"}},
 "3":{"class_type":"VAEEncode","inputs":{"pixels":["1",0],"vae":["2",0]},"_meta":{"title":"encode"}},
 "4":{"class_type":"VAEDecodeTiled","inputs":{"samples":["3",0],"vae":["2",0],"tile_size":64,"overlap":0,"temporal_size":64,"temporal_overlap":8},"_meta":{"title":"decode"}},
 "5":{"class_type":"SaveImage","inputs":{"images":["4",0],"filename_prefix":"slow"},"_meta":{"title":"Save"}}}`, color))
}

func TestEnginePictureAndReuse(t *testing.T) { onEngines(t, pictureAndReuse) }

func pictureAndReuse(t *testing.T, s *Supervisor) {
	color := int(time.Now().UnixNano() % 0xffffff)
	var kinds []string
	var before string
	for i, wantReused := range []bool{false, true} {
		id := uuid.NewString()
		res, err := s.Run(t.Context(), engine.Prompt{ID: id, Graph: picture(color, "live/"+id)}, func(e engine.Event) {
			kinds = append(kinds, string(e.Kind)+":"+e.Node)
		})
		if err != nil {
			t.Fatal(err)
		}
		if res.Reused != wantReused || len(res.Outputs) != 1 || res.Outputs[0].File == nil {
			t.Fatalf("run %d: %+v, want one file and reused %v", i, res, wantReused)
		}
		f := *res.Outputs[0].File
		if name := f.Subfolder + "/" + f.Name; name == before {
			t.Errorf("both runs name %s", name)
		} else {
			before = name
		}
		r, err := s.Open(t.Context(), f)
		if err != nil {
			t.Fatal(err)
		}
		b, _ := io.ReadAll(r)
		r.Close()
		img, err := png.DecodeConfig(bytes.NewReader(b))
		if err != nil || img.Width != 48 || img.Height != 32 {
			t.Errorf("picture is %dx%d, %v", img.Width, img.Height, err)
		}
		if err := s.Forget(t.Context(), id); err != nil {
			t.Error(err)
		}
	}
	if got := strings.Join(kinds, " "); !strings.HasPrefix(got, "started: cached: node:1 node:2 node:3 output:3 started: cached: node:3 output:3") {
		t.Errorf("events are %s", got)
	}
}

func TestEngineUpload(t *testing.T) { onEngines(t, upload) }

func upload(t *testing.T, s *Supervisor) {
	var b bytes.Buffer
	if err := png.Encode(&b, testImage(20, 10)); err != nil {
		t.Fatal(err)
	}
	id := uuid.NewString()
	value, err := s.Put(t.Context(), "live/"+id, "a b+c#d.png", &b)
	if err != nil {
		t.Fatal(err)
	}
	graph, _ := json.Marshal(map[string]any{
		"1": map[string]any{"class_type": "LoadImage", "inputs": map[string]any{"image": value}, "_meta": map[string]any{"title": "in"}},
		"2": map[string]any{"class_type": "SaveImage", "inputs": map[string]any{"images": []any{"1", 0}, "filename_prefix": "live/" + id + "/o"}, "_meta": map[string]any{"title": "out"}},
	})
	res, err := s.Run(t.Context(), engine.Prompt{ID: id, Graph: graph}, nil)
	if err != nil {
		t.Fatal(err)
	}
	r, err := s.Open(t.Context(), *res.Outputs[0].File)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if c, err := png.DecodeConfig(r); err != nil || c.Width != 20 || c.Height != 10 {
		t.Errorf("picture is %+v, %v", c, err)
	}
}

func TestEngineRefusals(t *testing.T) { onEngines(t, refusals) }

func refusals(t *testing.T, s *Supervisor) {
	for name, c := range map[string]struct {
		graph, kind, node string
	}{
		"value": {`{"1":{"class_type":"EmptyImage","inputs":{"width":0,"height":8,"batch_size":1,"color":0},"_meta":{"title":"a"}},
			"2":{"class_type":"SaveImage","inputs":{"images":["1",0],"filename_prefix":"x"},"_meta":{"title":"b"}}}`, "prompt_outputs_failed_validation", "1"},
		"half": {`{"1":{"class_type":"EmptyImage","inputs":{"width":8,"height":8,"batch_size":1,"color":0},"_meta":{"title":"a"}},
			"2":{"class_type":"SaveImage","inputs":{"images":["1",0],"filename_prefix":"half/ok"},"_meta":{"title":"b"}},
			"3":{"class_type":"SaveImage","inputs":{"filename_prefix":"half/bad"},"_meta":{"title":"c"}}}`, "prompt_outputs_failed_validation", "3"},
		"empty": {`{}`, "prompt_no_outputs", ""},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := s.Run(t.Context(), engine.Prompt{ID: uuid.NewString(), Graph: json.RawMessage(c.graph)}, nil)
			var refused *engine.RefusedError
			if !errors.As(err, &refused) || refused.Type != c.kind {
				t.Fatalf("got %v, want a refusal of type %s", err, c.kind)
			}
			if _, ok := refused.Nodes[c.node]; c.node != "" && !ok {
				t.Errorf("nodes are %v, want %s among them", refused.Nodes, c.node)
			}
		})
	}
}

func TestEngineNodeError(t *testing.T) { onEngines(t, nodeError) }

func nodeError(t *testing.T, s *Supervisor) {
	graph := json.RawMessage(`{"1":{"class_type":"EmptyImage","inputs":{"width":64,"height":64,"batch_size":1,"color":0},"_meta":{"title":"img"}},
 "2":{"class_type":"SaveImage","inputs":{"images":["1",0],"filename_prefix":"../escape"},"_meta":{"title":"bad path"}}}`)
	_, err := s.Run(t.Context(), engine.Prompt{ID: uuid.NewString(), Graph: graph}, nil)
	var failed *engine.RunError
	if !errors.As(err, &failed) || failed.NodeID != "2" || failed.NodeType != "SaveImage" || failed.ExceptionType != "Exception" || failed.Message == "" {
		t.Fatalf("got %#v", err)
	}
}

func TestEngineCancel(t *testing.T) { onEngines(t, cancelRunning) }

func cancelRunning(t *testing.T, s *Supervisor) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	progress := make(chan struct{})
	var once bool
	victim := make(chan error, 1)
	behind := make(chan error, 1)
	color := int(time.Now().UnixNano() % 0xffffff)
	go func() {
		_, err := s.Run(ctx, engine.Prompt{ID: uuid.NewString(), Graph: slow(color)}, func(e engine.Event) {
			if e.Kind == engine.EventProgress && !once {
				once = true
				close(progress)
			}
		})
		victim <- err
	}()
	<-progress
	id := uuid.NewString()
	go func() {
		_, err := s.Run(t.Context(), engine.Prompt{ID: id, Graph: picture(color, "live/"+id)}, nil)
		behind <- err
	}()
	time.Sleep(100 * time.Millisecond)
	from := time.Now()
	cancel()
	if err := <-victim; !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled run ended with %v", err)
	}
	t.Logf("cancelled in %s", time.Since(from))
	if err := <-behind; err != nil {
		t.Errorf("the prompt behind it ended with %v", err)
	}
}
