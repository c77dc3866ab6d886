//go:build linux

package faults

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"image/png"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/comfyctl/comfyctl/pkg/contract"
)

// world is a runner with its engine, in folders of its own.
type world struct {
	*testing.T
	dir     string
	url     string
	control control
	http    *http.Client
	remote  bool
	// settings of the runner's process.
	settings runnerSettings
	log      *os.File

	mu       sync.Mutex
	runner   *process
	engine   *process // where it is not the runner's child
	accepted map[string]string
}

// process is one that we started, and its end.
type process struct {
	cmd  *exec.Cmd
	done chan struct{}
}

func start(cmd *exec.Cmd) (*process, error) {
	// Nothing of ours outlives a test that is killed.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &process{cmd: cmd, done: make(chan struct{})}
	go func() {
		defer close(p.done)
		_ = cmd.Wait()
	}()
	return p, nil
}

func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	<-p.done
}

// option changes a world before it starts.
type option func(w *world, c *contract.Contract)

// remotely has the engine run beside the runner and outlive it.
func remotely(w *world, _ *contract.Contract) { w.remote = true }

const graph = `{
	"1":{"class_type":"EmptyImage","inputs":{"width":16,"height":16,"batch_size":1,"color":0},"_meta":{"title":"Canvas"}},
	"2":{"class_type":"ImageInvert","inputs":{"image":["1",0]},"_meta":{"title":"Invert"}},
	"3":{"class_type":"SaveImage","inputs":{"images":["2",0],"filename_prefix":"out"},"_meta":{"title":"Save"}}}`

func newWorld(t *testing.T, options ...option) *world {
	t.Helper()
	dir := t.TempDir()
	w := &world{T: t, dir: dir, control: control(filepath.Join(dir, "control")), accepted: map[string]string{},
		http: &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 64}}}
	self, err := os.Executable()
	must(t, err)
	must(t, os.MkdirAll(string(w.control), 0o755))
	must(t, os.WriteFile(filepath.Join(dir, "main.py"), nil, 0o600))
	number := func(name, node, to string) contract.Input {
		return contract.Input{Name: name, Type: contract.TypeInt, To: []contract.Target{{Node: node, Input: to}}}
	}
	retries := 10
	c := &contract.Contract{
		Schema: contract.Schema, Name: "faults", Models: []contract.Model{},
		Engine: contract.Engine{Kind: contract.EngineComfyUI, Version: "v0.3.64", Python: self, Dir: dir},
		Workflows: []contract.Workflow{{Name: "draw", Version: "1", Graph: json.RawMessage(graph),
			Inputs:  []contract.Input{number("color", "1", "color"), number("size", "1", "width")},
			Outputs: []contract.Output{{Name: "image", Node: "3"}}}},
		Runner: contract.Runner{Queue: contract.Queue{Max: 2000}, Retries: &contract.Retries{Max: &retries}},
	}
	w.settings = runnerSettings{Contract: filepath.Join(dir, "contract.json"), State: filepath.Join(dir, "state"), Listen: freeAddress(t), Backoff: 10 * time.Millisecond}
	for _, o := range options {
		o(w, c)
	}
	b, err := c.Encode()
	must(t, err)
	must(t, os.WriteFile(filepath.Join(dir, "contract.json"), b, 0o600))
	w.log, err = os.Create(filepath.Join(dir, "log"))
	must(t, err)
	w.url = "http://" + w.settings.Listen
	if w.remote {
		w.settings.EngineURL = "http://" + freeAddress(t)
		w.startEngine()
	}
	w.startRunner()
	t.Cleanup(w.end)
	return w
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer l.Close()
	return l.Addr().String()
}

func (w *world) startRunner() {
	b, err := json.Marshal(w.settings)
	must(w.T, err)
	self, err := os.Executable()
	must(w.T, err)
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), role+"=runner", settingsVariable+"="+string(b), controlVariable+"="+string(w.control))
	cmd.Stdout, cmd.Stderr = w.log, w.log
	p, err := start(cmd)
	must(w.T, err)
	w.mu.Lock()
	w.runner = p
	w.mu.Unlock()
}

// startEngine starts one that the runner does not own.
func (w *world) startEngine() {
	self, err := os.Executable()
	must(w.T, err)
	_, port, err := net.SplitHostPort(strings.TrimPrefix(w.settings.EngineURL, "http://"))
	must(w.T, err)
	cmd := exec.Command(self, "main.py", "--listen", "127.0.0.1", "--port", port, "--output-directory", filepath.Join(w.dir, "engine", "output"), "-")
	cmd.Env = append(os.Environ(), role+"=engine", controlVariable+"="+string(w.control))
	cmd.Stdout, cmd.Stderr = w.log, w.log
	p, err := start(cmd)
	must(w.T, err)
	w.mu.Lock()
	w.engine = p
	w.mu.Unlock()
}

// killRunner ends the runner as a kill -9 does, and starts it again.
func (w *world) killRunner() {
	w.runner.kill()
	w.startRunner()
}

// killEngine ends the engine as the kernel would. Whoever owns it starts it
// again.
func (w *world) killEngine() {
	if w.remote {
		w.engine.kill()
		w.startEngine()
		return
	}
	pid, err := strconv.Atoi(w.control.read("pid"))
	// The number may be another process's by now.
	if cmd, e := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid)); err == nil && e == nil && bytes.Contains(cmd, []byte(w.dir)) {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
}

func (w *world) end() {
	w.http.CloseIdleConnections()
	if w.Failed() {
		if b, err := os.ReadFile(w.log.Name()); err == nil {
			w.Logf("log of runner and engine, its end:\n%s", b[max(0, len(b)-20000):])
		}
	}
	w.runner.kill()
	if w.engine != nil {
		w.engine.kill()
	}
	_ = w.log.Close()
}

// job is what the API says of one.
type job struct {
	ID       string `json:"id"`
	Status   string `json:"status"`
	Attempts int    `json:"attempts"`
	Reused   bool   `json:"reused"`
	Degraded any    `json:"degraded"`
	Input    struct {
		Color int `json:"color"`
		Size  int `json:"size"`
	} `json:"input"`
	Outputs []struct {
		URL    string `json:"url"`
		Width  int    `json:"width"`
		NodeID string `json:"node_id"`
	} `json:"outputs"`
	Error *struct {
		Code, Message string
		Retryable     bool
	} `json:"error"`
	Code string `json:"code"` // of a refusal
}

// ask sends one request; an error means that nobody answered.
func (w *world) ask(method, path string, body any, headers ...string) (int, []byte, http.Header, error) {
	var r io.Reader
	switch b := body.(type) {
	case nil:
	case string:
		r = strings.NewReader(b)
	case io.Reader:
		r = b
	}
	req, err := http.NewRequestWithContext(context.Background(), method, w.url+path, r)
	if err != nil {
		return 0, nil, nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := w.http.Do(req)
	if err != nil {
		return 0, nil, nil, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return resp.StatusCode, b, resp.Header, err
}

// patience is how long the world may take for anything at all.
const patience = 2 * time.Minute

// insist asks until somebody answers with something else than "not now".
func (w *world) insist(method, path string, body string, headers ...string) (int, []byte, http.Header) {
	w.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		code, b, h, err := w.ask(method, path, body, headers...)
		if err == nil && code != http.StatusServiceUnavailable {
			return code, b, h
		}
		if time.Now().After(end) {
			w.Fatalf("%s %s: %d %s %v", method, path, code, b, err)
		}
	}
}

// submit has a job accepted under a key.
func (w *world) submit(key string, color int) job {
	w.Helper()
	code, b, _ := w.insist("POST", "/v1/workflows/draw/jobs", fmt.Sprintf(`{"input":{"color":%d}}`, color), "Idempotency-Key", key, "Prefer", "respond-async")
	var j job
	if err := json.Unmarshal(b, &j); err != nil || code != http.StatusAccepted && code != http.StatusCreated {
		w.Fatalf("submitting: %d %s", code, b)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if was := w.accepted[key]; was != "" && was != j.ID {
		w.Errorf("the key %s made two jobs, %s and %s", key, was, j.ID)
	}
	w.accepted[key] = j.ID
	return j
}

// wait follows a job to its end.
func (w *world) wait(id string) job {
	w.Helper()
	for end := time.Now().Add(patience); ; {
		code, b, _ := w.insist("GET", "/v1/jobs/"+id+"?wait=2", "")
		var j job
		if err := json.Unmarshal(b, &j); err != nil || code != http.StatusOK {
			w.Fatalf("asking for %s: %d %s", id, code, b)
		}
		switch j.Status {
		case "succeeded", "failed", "canceled", "expired":
			return j
		}
		if time.Now().After(end) {
			w.Fatalf("%s stays %s", id, j.Status)
		}
	}
}

// until waits for something to be true.
func (w *world) until(what string, is func() bool) {
	w.Helper()
	for end := time.Now().Add(patience); !is(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			w.Fatalf("it never came to: %s", what)
		}
	}
}

// is reports a job's status.
func (w *world) is(id, status string) func() bool {
	return func() bool {
		_, b, _, err := w.ask("GET", "/v1/jobs/"+id, nil)
		var j job
		return err == nil && json.Unmarshal(b, &j) == nil && j.Status == status
	}
}

// picture checks that a job that succeeded has its own picture.
func (w *world) picture(j job, color int) {
	w.Helper()
	if j.Status != "succeeded" || len(j.Outputs) != 1 {
		w.Errorf("job %s is %s with %d outputs: %+v", j.ID, j.Status, len(j.Outputs), j.Error)
		return
	}
	code, b, _ := w.insist("GET", j.Outputs[0].URL, "")
	img, err := png.Decode(bytes.NewReader(b))
	if err != nil {
		w.Errorf("the output of %s: %d %v", j.ID, code, err)
		return
	}
	r, g, bl, _ := img.At(3, 3).RGBA()
	// The engine's arithmetic may round by one; hues differ by more.
	off := func(got uint32, shift int) bool {
		d := int(got>>8) - (255 - color>>shift&255)
		return d < -1 || d > 1
	}
	if off(r, 16) || off(g, 8) || off(bl, 0) {
		w.Errorf("job %s shows the opposite of %02x%02x%02x, not of %06x: it is another job's picture", j.ID, 255-r>>8, 255-g>>8, 255-bl>>8, color)
	}
}

// hue is a colour for the ith job, unlike all others near it in number.
func hue(i int) int {
	return (i>>12&63)<<18 | (i>>6&63)<<10 | (i&63)<<2
}

// logged reports whether runner or engine wrote a text.
func (w *world) logged(text string) bool {
	b, err := os.ReadFile(w.log.Name())
	return err == nil && bytes.Contains(b, []byte(text))
}

// ready waits for /readyz to be 200.
func (w *world) ready() {
	w.Helper()
	w.until("ready", func() bool {
		code, _, _, err := w.ask("GET", "/readyz", nil)
		return err == nil && code == http.StatusOK
	})
}

var errGone = errors.New("gone")

// metric reads one value of /metrics.
func (w *world) metric(name string) (float64, error) {
	_, b, _, err := w.ask("GET", "/metrics", nil)
	if err != nil {
		return 0, err
	}
	for line := range strings.SplitSeq(string(b), "\n") {
		if rest, ok := strings.CutPrefix(line, name+" "); ok {
			return strconv.ParseFloat(rest, 64)
		}
	}
	return 0, errGone
}
