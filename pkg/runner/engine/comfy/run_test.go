package comfy

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/comfyctl/comfyctl/pkg/runner/engine"
)

func TestRun(t *testing.T) {
	f := newFake(t)
	f.onPrompt = func(f *fake, id string) {
		f.begin(id)
		f.tell("progress", id, `"node":"1","value":1,"max":4`)
		meta := fmt.Sprintf(`{"node_id":"1","display_node_id":"1","prompt_id":%q,"image_type":"image/jpeg"}`, id)
		b := binary.BigEndian.AppendUint32(nil, 4)
		b = binary.BigEndian.AppendUint32(b, uint32(len(meta)))
		f.send(websocket.MessageBinary, append(append(b, meta...), "JPEG"...))
		f.say(`{"type":"custom.of.a.node","data":[1,2]}`)
		f.send(websocket.MessageBinary, []byte{0, 0, 0, 9, 1})
		f.tell("executing", id, `"node":"2","display_node":"2"`)
		f.tell("executed", id, `"node":"2","display_node":"2","output":{"images":[{"filename":"a_00001_.png","subfolder":"job","type":"output"}],"v":[NaN]}`)
		f.tell("execution_success", id, "")
		f.finish(id, "success", `["execution_cached",{"nodes":[]}]`, oneFile)
	}
	s := f.client(Options{})
	p := onePrompt
	p.Preview = true
	var events []engine.Event
	res, err := s.Run(t.Context(), p, func(e engine.Event) { events = append(events, e) })
	if err != nil {
		t.Fatal(err)
	}
	file := &engine.File{Name: "a_00001_.png", Subfolder: "job", Type: "output"}
	out := []engine.Output{{Node: "2", Key: "images", File: file}}
	want := []engine.Event{
		{Kind: engine.EventStarted},
		{Kind: engine.EventCached, Nodes: []string{}},
		{Kind: engine.EventNode, Node: "1"},
		{Kind: engine.EventProgress, Node: "1", Value: 1, Max: 4},
		{Kind: engine.EventPreview, Node: "1", ContentType: "image/jpeg", Data: []byte("JPEG")},
		{Kind: engine.EventNode, Node: "2"},
		{Kind: engine.EventOutput, Node: "2", Outputs: out},
	}
	if d := cmp.Diff(want, events); d != "" {
		t.Errorf("events (-want +got):\n%s", d)
	}
	if d := cmp.Diff(&engine.Result{Outputs: out}, res, cmpopts.IgnoreFields(engine.Result{}, "NodeTime")); d != "" {
		t.Errorf("result (-want +got):\n%s", d)
	}
	if len(res.NodeTime) != 2 {
		t.Errorf("node times are %v", res.NodeTime)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	sent := f.posted[0]
	if sent.PromptID != thisPrompt || sent.ClientID != f.clientID || sent.ClientID == "" || sent.Extra["preview_method"] != "auto" {
		t.Errorf("posted %+v, socket is %s", sent, f.clientID)
	}
	if !strings.Contains(string(sent.Prompt), "18446744073709551615") {
		t.Errorf("the seed lost digits: %s", sent.Prompt)
	}
	for _, h := range f.headers {
		if h.Get("Origin") != "" || h.Get("Sec-WebSocket-Extensions") != "" {
			t.Errorf("sent %v", h)
		}
	}
}

// Every way in which a prompt can end, told through the history entry.
func TestEndings(t *testing.T) {
	errorMessage := func(kind, text string) string {
		return fmt.Sprintf(`["execution_error",{"node_id":"1","node_type":"X","exception_type":%q,"exception_message":%q,"traceback":["t"]}]`, kind, text)
	}
	failed := func(kind, text string, memory bool) error {
		return &engine.RunError{NodeID: "1", NodeType: "X", ExceptionType: kind, Message: text, Traceback: []string{"t"}, OutOfMemory: memory}
	}
	for name, c := range map[string]struct {
		status, messages string
		want             error
	}{
		"error":            {"error", errorMessage("ValueError", "no\n"), failed("ValueError", "no", false)},
		"error as success": {"success", errorMessage("graph.DependencyCycleError", "cycle"), failed("graph.DependencyCycleError", "cycle", false)},
		"blocked":          {"success", errorMessage("ExecutionBlocked", "not now"), nil},
		"out of memory":    {"error", errorMessage("torch.OutOfMemoryError", "Allocation on device \n"), failed("torch.OutOfMemoryError", "Allocation on device", true)},
		"old type":         {"error", errorMessage("torch.cuda.OutOfMemoryError", "x"), failed("torch.cuda.OutOfMemoryError", "x", true)},
		"by text":          {"error", errorMessage("torch.AcceleratorError", "CUDA error: out of memory"), failed("torch.AcceleratorError", "CUDA error: out of memory", true)},
		"on the host":      {"error", errorMessage("RuntimeError", "[enforce fail] DefaultCPUAllocator: can't allocate memory"), failed("RuntimeError", "[enforce fail] DefaultCPUAllocator: can't allocate memory", true)},
		"by somebody else": {"error", `["execution_interrupted",{}]`, engine.ErrInterrupted},
		"without words":    {"error", ``, &engine.RunError{ExceptionType: "unknown", Message: "the engine reported an error without a message"}},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake(t)
			f.onPrompt = func(f *fake, id string) {
				f.begin(id)
				if strings.Contains(c.messages, "execution_error") {
					// Sent at once; for a blocked branch the prompt goes on.
					f.tell("execution_error", id, `"node_id":"1","exception_type":"ExecutionBlocked"`)
				}
				f.finish(id, c.status, c.messages, oneFile)
			}
			res, err := f.client(Options{}).Run(t.Context(), onePrompt, nil)
			if want := (*engine.RunError)(nil); errors.As(c.want, &want) {
				if d := cmp.Diff(error(want), err); d != "" {
					t.Errorf("error (-want +got):\n%s", d)
				}
			} else if !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
			if err == nil && len(res.Outputs) != 1 {
				t.Errorf("outputs are %v", res.Outputs)
			}
		})
	}
}

func TestSocketDropsMidRun(t *testing.T) {
	f := newFake(t)
	f.onPrompt = func(f *fake, id string) {
		f.begin(id)
		f.drop()
		f.record(id, "success", "", oneFile)
	}
	res, err := f.client(Options{}).Run(t.Context(), onePrompt, nil)
	if err != nil || len(res.Outputs) != 1 {
		t.Fatalf("got %+v, %v", res, err)
	}
}

// After a lost socket the next prompt must be heard again, under a new id.
func TestSocketReturns(t *testing.T) {
	f := newFake(t)
	s := f.client(Options{})
	f.mu.Lock()
	first := f.clientID
	f.onPrompt = func(f *fake, id string) {
		f.begin(id)
		f.finish(id, "success", "", oneFile)
	}
	f.mu.Unlock()
	f.drop()
	heard := false
	for range 50 {
		if _, err := s.Run(t.Context(), onePrompt, func(e engine.Event) { heard = heard || e.Kind == engine.EventStarted }); err != nil {
			t.Fatal(err)
		}
		if heard {
			break
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if !heard || f.clientID == first {
		t.Errorf("heard %v, client id %s then %s", heard, first, f.clientID)
	}
}

func TestHistoryIsLate(t *testing.T) {
	f := newFake(t)
	f.onPrompt = func(f *fake, id string) {
		f.begin(id)
		f.tell("execution_success", id, "")
		f.tell("executing", id, `"node":null`)
		time.Sleep(200 * time.Millisecond)
		f.record(id, "success", "", oneFile)
	}
	res, err := f.client(Options{}).Run(t.Context(), onePrompt, nil)
	if err != nil || len(res.Outputs) != 1 {
		t.Fatalf("got %+v, %v", res, err)
	}
}

// A server that started anew knows nothing of the prompt.
func TestPromptIsLost(t *testing.T) {
	f := newFake(t)
	f.onPrompt = func(f *fake, id string) {
		f.begin(id)
		f.mu.Lock()
		f.running = nil
		f.mu.Unlock()
		f.drop()
	}
	if _, err := f.client(Options{}).Run(t.Context(), onePrompt, nil); !errors.Is(err, engine.ErrLost) {
		t.Fatalf("got %v, want %v", err, engine.ErrLost)
	}
}

func TestStall(t *testing.T) {
	f := newFake(t)
	f.onPrompt = func(f *fake, id string) { f.begin(id) }
	f.onStrike = interrupted
	p := onePrompt
	p.Stall = 50 * time.Millisecond
	if _, err := f.client(Options{}).Run(t.Context(), p, nil); !errors.Is(err, engine.ErrStalled) {
		t.Fatalf("got %v, want %v", err, engine.ErrStalled)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if d := cmp.Diff([]string{thisPrompt}, f.struck); d != "" {
		t.Errorf("interrupts (-want +got):\n%s", d)
	}
}

// The worker died on a node without inputs: HTTP answers, nothing runs.
func TestWedge(t *testing.T) {
	f := newFake(t)
	f.onPrompt = func(f *fake, id string) {
		f.mu.Lock()
		f.pending, f.running = nil, []string{id}
		f.mu.Unlock()
		f.tell("execution_start", id, "")
	}
	s := f.client(Options{Wedge: 50 * time.Millisecond})
	if _, err := s.Run(t.Context(), onePrompt, nil); !errors.Is(err, engine.ErrLost) || !errors.As(err, new(*wedgedError)) {
		t.Fatalf("got %v", err)
	}
	await(t, s, engine.StageStarting)
	if _, err := s.Run(t.Context(), onePrompt, nil); !errors.Is(err, engine.ErrNotReady) {
		t.Errorf("a wedged engine took a prompt: %v", err)
	}
	// Its owner restarts it: the queue is empty again.
	f.mu.Lock()
	f.running = nil
	f.mu.Unlock()
	await(t, s, engine.StageReady)
}

func TestRefusals(t *testing.T) {
	const nodes = `"node_errors":{"3":{"class_type":"SaveImage","dependent_outputs":["3"],"errors":[{"type":"required_input_missing","message":"m","details":"images","extra_info":{"input_name":"images"}}]}}`
	node := map[string]engine.NodeErrors{"3": {ClassType: "SaveImage", Errors: []engine.NodeError{{Type: "required_input_missing", Message: "m", Details: "images", Input: "images"}}}}
	for name, c := range map[string]struct {
		code   int
		answer string
		want   *engine.RefusedError
		delete bool
	}{
		"all": {400, `{"error":{"type":"prompt_outputs_failed_validation","message":"bad","details":"","extra_info":{}},` + nodes + `}`,
			&engine.RefusedError{Type: "prompt_outputs_failed_validation", Message: "bad", Nodes: node}, false},
		"some with 200": {200, `{"prompt_id":"x","number":1,` + nodes + `}`,
			&engine.RefusedError{Type: "prompt_outputs_failed_validation", Message: "some outputs failed validation", Nodes: node}, true},
		"a list of none": {400, `{"error":{"type":"prompt_no_outputs","message":"none","details":"d"},"node_errors":[]}`,
			&engine.RefusedError{Type: "prompt_no_outputs", Message: "none: d"}, false},
		"in words":  {500, `Internal Server Error`, &engine.RefusedError{Type: "server_error", Message: "the engine answered 500: Internal Server Error"}, false},
		"too large": {413, `x`, &engine.RefusedError{Type: "request_too_large", Message: "the prompt is larger than the engine accepts"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake(t)
			f.code, f.answer = c.code, c.answer
			_, err := f.client(Options{}).Run(t.Context(), onePrompt, nil)
			var got *engine.RefusedError
			if !errors.As(err, &got) {
				t.Fatalf("got %v", err)
			}
			if d := cmp.Diff(c.want, got); d != "" {
				t.Errorf("refusal (-want +got):\n%s", d)
			}
			f.mu.Lock()
			defer f.mu.Unlock()
			if len(f.pending) != 0 {
				t.Errorf("still waiting: %v", f.pending)
			}
		})
	}
}

func TestCancel(t *testing.T) {
	for name, c := range map[string]struct {
		jobs bool
		play func(f *fake, id string)
		want []string
	}{
		"running, old release": {false, (*fake).begin, []string{thisPrompt}},
		"running, new release": {true, (*fake).begin, []string{"job " + thisPrompt}},
		"waiting":              {false, func(f *fake, id string) { f.say(`{"type":"status","data":{}}`) }, nil},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake(t)
			f.jobs = c.jobs
			played := make(chan struct{})
			f.onPrompt = func(f *fake, id string) { c.play(f, id); close(played) }
			f.onStrike = interrupted
			s := f.client(Options{})
			ctx, cancel := context.WithCancel(t.Context())
			go func() { <-played; cancel() }()
			if _, err := s.Run(ctx, onePrompt, nil); !errors.Is(err, context.Canceled) {
				t.Fatalf("got %v", err)
			}
			f.mu.Lock()
			defer f.mu.Unlock()
			if len(f.pending)+len(f.running) != 0 {
				t.Errorf("not stopped: %v %v", f.pending, f.running)
			}
			if d := cmp.Diff(c.want, f.struck); d != "" {
				t.Errorf("interrupts (-want +got):\n%s", d)
			}
		})
	}
}

// A prompt that runs on after its interrupt costs the engine its life.
func TestCancelIsIgnored(t *testing.T) {
	f := newFake(t)
	played := make(chan struct{})
	f.onPrompt = func(f *fake, id string) { f.begin(id); close(played) }
	s := f.client(Options{CancelTimeout: 50 * time.Millisecond})
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-played; cancel() }()
	if _, err := s.Run(ctx, onePrompt, nil); !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v", err)
	}
	for s.Status().Restarts == 0 {
		<-s.Changed()
	}
}

// In old releases an interrupt can hit the next prompt. That one runs again.
func TestInnocentRunsAgain(t *testing.T) {
	f := newFake(t)
	const other = "7d3e1c52-5b0e-4f7c-8f5d-2f1f8f6c2a10"
	started := make(chan struct{}, 2)
	runs := 0
	f.onPrompt = func(f *fake, id string) {
		if id == thisPrompt {
			f.begin(id)
			started <- struct{}{}
			return
		}
		runs++
		if runs == 2 {
			f.begin(id)
			f.finish(id, "success", "", oneFile)
		}
		started <- struct{}{}
	}
	f.onStrike = func(f *fake, id string) {
		// The first ends by itself; its interrupt falls on the second.
		f.finish(id, "success", "", oneFile)
		f.begin(other)
		interrupted(f, other)
	}
	s := f.client(Options{})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	first := make(chan error, 1)
	second := make(chan error, 1)
	go func() { _, err := s.Run(ctx, onePrompt, nil); first <- err }()
	<-started
	go func() {
		p := onePrompt
		p.ID = other
		_, err := s.Run(t.Context(), p, nil)
		second <- err
	}()
	<-started
	cancel()
	if err := <-first; !errors.Is(err, context.Canceled) {
		t.Errorf("the cancelled prompt: %v", err)
	}
	if err := <-second; err != nil {
		t.Errorf("the innocent prompt: %v", err)
	}
}

func TestEngineGoesAway(t *testing.T) {
	f := newFake(t)
	s := f.client(Options{})
	f.mu.Lock()
	f.down = true
	f.mu.Unlock()
	await(t, s, engine.StageStarting)
	if _, err := s.Run(t.Context(), onePrompt, nil); !errors.Is(err, engine.ErrNotReady) {
		t.Errorf("got %v, want %v", err, engine.ErrNotReady)
	}
	f.mu.Lock()
	f.down = false
	f.mu.Unlock()
	if st := await(t, s, engine.StageReady); st.Restarts == 0 {
		t.Error("the restart was not counted")
	}
}

func TestFilesOverHTTP(t *testing.T) {
	f := newFake(t)
	s := f.client(Options{})
	f.files["temp/a b/c+d#1%.png"] = "bytes"
	r, err := s.Open(t.Context(), engine.File{Name: "c+d#1%.png", Subfolder: "a b", Type: "temp"})
	if err != nil {
		t.Fatal(err)
	}
	b, _ := io.ReadAll(r)
	r.Close()
	if string(b) != "bytes" {
		t.Errorf("read %q", b)
	}
	if _, err := s.Open(t.Context(), engine.File{Name: "gone.png", Type: "output"}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v, want %v", err, fs.ErrNotExist)
	}
	value, err := s.Put(t.Context(), "job", "in.png", strings.NewReader("x"))
	if err != nil || value != "job/in.png" {
		t.Errorf("put gives %q, %v", value, err)
	}
	if err := s.Forget(t.Context(), thisPrompt); err != nil {
		t.Error(err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if d := cmp.Diff([]string{thisPrompt}, f.forgotten); d != "" {
		t.Errorf("forgotten (-want +got):\n%s", d)
	}
	if d := cmp.Diff([]string{"job/in.png"}, f.uploads); d != "" {
		t.Errorf("uploads (-want +got):\n%s", d)
	}
}

func folders(t *testing.T) *Folders {
	dir := t.TempDir()
	f := &Folders{Input: filepath.Join(dir, "input"), Output: filepath.Join(dir, "output"), Temp: filepath.Join(dir, "temp"), User: filepath.Join(dir, "user")}
	for _, d := range []string{f.Input, f.Output, f.Temp, f.User} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return f
}

func TestFilesInFolders(t *testing.T) {
	dirs := folders(t)
	f := newFake(t)
	f.onPrompt = func(f *fake, id string) {
		f.begin(id)
		f.finish(id, "success", "", strings.Replace(oneFile, `"job"`, `"jobs/1"`, 1))
	}
	s := f.client(Options{Folders: dirs})
	value, err := s.Put(t.Context(), "job/x", "in.png", strings.NewReader("x"))
	if err != nil || value != "job/x/in.png" {
		t.Errorf("put gives %q, %v", value, err)
	}
	if entries, _ := os.ReadDir(filepath.Join(dirs.Input, "job/x")); len(entries) != 1 {
		t.Errorf("the input folder holds %v", entries)
	}
	if err := os.MkdirAll(filepath.Join(dirs.Output, "jobs/1"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dirs.Output, "jobs/1/a_00001_.png"), []byte("png"), 0o644); err != nil {
		t.Fatal(err)
	}
	res, err := s.Run(t.Context(), onePrompt, nil)
	if err != nil {
		t.Fatal(err)
	}
	r, err := s.Open(t.Context(), *res.Outputs[0].File)
	if err != nil {
		t.Fatal(err)
	}
	r.Close()
	if err := s.Forget(t.Context(), thisPrompt); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dirs.Output, "jobs/1")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the output's folder is still there: %v", err)
	}
	// The engine may be about to make the next prompt's folder in it.
	if _, err := os.Stat(filepath.Join(dirs.Output, "jobs")); err != nil {
		t.Errorf("the folder of all jobs is gone: %v", err)
	}
}

func TestTraversal(t *testing.T) {
	dirs := folders(t)
	secret := filepath.Join(filepath.Dir(dirs.Output), "secret")
	if err := os.WriteFile(secret, []byte("s"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(secret, filepath.Join(dirs.Output, "link")); err != nil {
		t.Fatal(err)
	}
	s := NewSupervisor(Remote("http://127.0.0.1:1"), Options{Folders: dirs})
	for _, f := range []engine.File{
		{Name: "secret", Subfolder: "..", Type: "output"},
		{Name: "../secret", Type: "output"},
		{Name: secret, Type: "output"},
		{Name: "secret", Subfolder: filepath.Dir(secret), Type: "output"},
		{Name: "link", Type: "output"},
		{Name: "..", Type: "output"},
		{Name: "", Type: "output"},
		{Name: "secret", Type: "models"},
	} {
		if r, err := s.Open(t.Context(), f); err == nil {
			r.Close()
			t.Errorf("opened %+v", f)
		}
	}
	for _, p := range [][2]string{{"..", "x"}, {"a/../..", "x"}, {"/tmp", "x"}, {"", "../x"}, {"", "a/b"}, {"", ".."}, {"", ""}, {"", "x [output]"}, {"", "a\x00b"}, {`..\..`, "x"}} {
		if v, err := s.Put(t.Context(), p[0], p[1], strings.NewReader("")); err == nil {
			t.Errorf("stored %q in %q as %s", p[1], p[0], v)
		}
	}
}

func TestRunBeforeReady(t *testing.T) {
	s := NewSupervisor(Remote("http://127.0.0.1:1"), Options{})
	if _, err := s.Run(t.Context(), onePrompt, nil); !errors.Is(err, engine.ErrNotReady) {
		t.Errorf("got %v", err)
	}
	if _, err := s.Open(t.Context(), engine.File{Name: "x"}); !errors.Is(err, engine.ErrNotReady) {
		t.Errorf("got %v", err)
	}
}
