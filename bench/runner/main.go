// Command runner measures comfy-runner beside the raw ComfyUI protocol on the
// same stub engine, and prints the ratios. One client process drives both; the
// engine and the runner are processes of their own, so that their memory can
// be told.
//
//	go run ./bench/runner -runner bin/comfy-runner
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"
	"github.com/google/uuid"

	"github.com/comfyctl/comfyctl/pkg/contract"
	"github.com/comfyctl/comfyctl/pkg/runner/engine/stub"
)

func main() {
	runner := flag.String("runner", "", "the comfy-runner binary")
	n := flag.Int("n", 300, "requests of each kind and concurrency")
	serve := flag.String("serve-stub", "", "be the engine: its folder (used by the command itself)")
	flag.Parse()
	var err error
	if *serve != "" {
		err = beEngine(*serve)
	} else {
		err = measure(*runner, *n)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

func beEngine(dir string) error {
	s, err := stub.New(stub.Options{Version: "v0.3.64", Dir: dir})
	if err != nil {
		return err
	}
	if err := s.Start(context.Background()); err != nil {
		return err
	}
	fmt.Println(s.URL())
	<-s.Done()
	return s.Err()
}

const graph = `{"1":{"class_type":"EmptyImage","inputs":{"width":384,"height":384,"batch_size":1,"color":%d}},
	"2":{"class_type":"ImageInvert","inputs":{"image":["1",0]}},"3":{"class_type":"SaveImage","inputs":{"images":["2",0],"filename_prefix":"%s"}}}`

func measure(runner string, n int) error {
	if runner == "" {
		return errors.New("name the comfy-runner binary with -runner")
	}
	dir, err := os.MkdirTemp("", "comfyctl-bench-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	self, err := os.Executable()
	if err != nil {
		return err
	}
	eng := exec.Command(self, "-serve-stub", filepath.Join(dir, "engine"))
	out, err := eng.StdoutPipe()
	if err != nil {
		return err
	}
	if err := eng.Start(); err != nil {
		return err
	}
	defer func() { _ = eng.Process.Kill(); _ = eng.Wait() }()
	line := make([]byte, 64)
	k, err := out.Read(line)
	if err != nil {
		return fmt.Errorf("starting the engine: %w", err)
	}
	base := strings.TrimSpace(string(line[:k]))
	run, api, err := startRunner(runner, dir, base)
	if err != nil {
		return err
	}
	defer func() { _ = run.Process.Signal(os.Interrupt); _ = run.Wait() }()
	idle := rss(run.Process.Pid)
	fmt.Printf("384×384 picture, %d requests each, engine: stub at pace 0; runner idle: %.1f MB\n\n", n, idle)
	fmt.Printf("%-5s %-9s %9s %9s %10s %12s\n", "conc", "client", "p50 ms", "p99 ms", "req/s", "runner RSS")
	for _, c := range []int{1, 32} {
		raw, err := load(n, c, func(i int) error { return rawRequest(base, i) })
		if err != nil {
			return fmt.Errorf("raw protocol: %w", err)
		}
		ours, err := load(n, c, func(i int) error { return runnerRequest(api, i) })
		if err != nil {
			return fmt.Errorf("runner: %w", err)
		}
		fmt.Printf("%-5d %-9s %9.1f %9.1f %10.1f\n", c, "raw", raw.p50, raw.p99, raw.rate)
		fmt.Printf("%-5d %-9s %9.1f %9.1f %10.1f %9.1f MB\n", c, "runner", ours.p50, ours.p99, ours.rate, rss(run.Process.Pid))
		fmt.Printf("%-5s %-9s %8.2f× %8.2f× %9.2f×\n\n", "", "ratio", ours.p50/raw.p50, ours.p99/raw.p99, ours.rate/raw.rate)
	}
	return nil
}

func startRunner(binary, dir, engineURL string) (*exec.Cmd, string, error) {
	c := &contract.Contract{Schema: contract.Schema, Name: "bench", Engine: contract.Engine{Kind: contract.EngineComfyUI, Version: "v0.3.64"}, Models: []contract.Model{},
		Workflows: []contract.Workflow{{Name: "bench", Version: "1", Graph: json.RawMessage(fmt.Sprintf(graph, 0, "b")),
			Inputs:  []contract.Input{{Name: "color", Type: contract.TypeInt, To: []contract.Target{{Node: "1", Input: "color"}}}},
			Outputs: []contract.Output{{Name: "image", Node: "3"}}}},
		Runner: contract.Runner{Queue: contract.Queue{Max: 1000}}}
	b, err := c.Encode()
	if err != nil {
		return nil, "", err
	}
	file := filepath.Join(dir, "contract.json")
	if err := os.WriteFile(file, b, 0o600); err != nil {
		return nil, "", err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, "", err
	}
	addr := l.Addr().String()
	_ = l.Close()
	cmd := exec.Command(binary, "serve", "--contract", file, "--state", filepath.Join(dir, "state"), "--listen", addr, "--admin", "", "--engine-url", engineURL)
	log, err := os.Create(filepath.Join(dir, "runner.log"))
	if err != nil {
		return nil, "", err
	}
	cmd.Stderr = log
	if err := cmd.Start(); err != nil {
		return nil, "", err
	}
	for range 200 {
		if resp, err := http.Get("http://" + addr + "/readyz"); err == nil {
			_ = resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return cmd, "http://" + addr, nil
			}
		}
		time.Sleep(50 * time.Millisecond)
	}
	text, _ := os.ReadFile(log.Name())
	return nil, "", fmt.Errorf("the runner was not ready:\n%s", text)
}

type result struct{ p50, p99, rate float64 }

func load(n, conc int, do func(i int) error) (result, error) {
	var next atomic.Int64
	times := make([]float64, n)
	var first error
	var once sync.Once
	var wg sync.WaitGroup
	began := time.Now()
	for range conc {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for {
				i := int(next.Add(1)) - 1
				if i >= n {
					return
				}
				start := time.Now()
				if err := do(i); err != nil {
					once.Do(func() { first = err })
					return
				}
				times[i] = float64(time.Since(start).Microseconds()) / 1000
			}
		}()
	}
	wg.Wait()
	took := time.Since(began).Seconds()
	sort.Float64s(times)
	return result{times[n/2], times[n*99/100], float64(n) / took}, first
}

var unique atomic.Int64

// color differs in every request, so that nothing comes from the engine's cache.
func color() int64 { return unique.Add(1) & 0xffffff }

// rawRequest is what a careful client of the raw protocol does: socket, POST,
// wait for the end, history, view.
func rawRequest(base string, _ int) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	client := uuid.NewString()
	conn, _, err := websocket.Dial(ctx, base+"/ws?clientId="+client, nil)
	if err != nil {
		return err
	}
	defer func() { _ = conn.CloseNow() }()
	conn.SetReadLimit(64 << 20)
	if _, _, err := conn.Read(ctx); err != nil {
		return err
	}
	id := uuid.NewString()
	body := fmt.Sprintf(`{"prompt":%s,"client_id":%q,"prompt_id":%q}`, fmt.Sprintf(graph, color(), "raw/"+id), client, id)
	if _, err := post(base+"/prompt", body); err != nil {
		return err
	}
	end := []byte(`"node": null`)
	for {
		_, b, err := conn.Read(ctx)
		if err != nil {
			return err
		}
		if bytes.Contains(b, end) && bytes.Contains(b, []byte(id)) {
			break
		}
	}
	hist, err := get(base + "/history/" + id)
	if err != nil {
		return err
	}
	var h map[string]struct {
		Outputs map[string]struct {
			Images []struct{ Filename, Subfolder, Type string }
		}
	}
	if err := json.Unmarshal(hist, &h); err != nil {
		return err
	}
	for _, o := range h[id].Outputs {
		if len(o.Images) == 0 {
			continue
		}
		f := o.Images[0]
		q := url.Values{"filename": {f.Filename}, "subfolder": {f.Subfolder}, "type": {f.Type}}
		b, err := get(base + "/view?" + q.Encode())
		if err == nil && !bytes.HasPrefix(b, []byte("\x89PNG")) {
			err = errors.New("no picture came back")
		}
		return err
	}
	return errors.New("no output")
}

// runnerRequest is the same through the runner: POST and wait, GET the output.
func runnerRequest(api string, _ int) error {
	b, err := post(api+"/v1/workflows/bench/jobs", fmt.Sprintf(`{"input":{"color":%d}}`, color()))
	if err != nil {
		return err
	}
	var job struct {
		Status  string
		Outputs []struct{ URL string }
	}
	if err := json.Unmarshal(b, &job); err != nil {
		return err
	}
	if job.Status != "succeeded" || len(job.Outputs) != 1 {
		return fmt.Errorf("job: %s", b)
	}
	out, err := get(api + job.Outputs[0].URL)
	if err == nil && !bytes.HasPrefix(out, []byte("\x89PNG")) {
		err = errors.New("no picture came back")
	}
	return err
}

func post(u, body string) ([]byte, error) {
	resp, err := http.Post(u, "application/json", strings.NewReader(body))
	return read(resp, err)
}

func get(u string) ([]byte, error) {
	resp, err := http.Get(u)
	return read(resp, err)
}

func read(resp *http.Response, err error) ([]byte, error) {
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode/100 != 2 {
		err = fmt.Errorf("%s: %s", resp.Status, b)
	}
	return b, err
}

// rss is a process's resident memory in MB (Linux); 0 elsewhere.
func rss(pid int) float64 {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	for _, line := range strings.Split(string(b), "\n") {
		if v, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			var kb float64
			_, _ = fmt.Sscan(v, &kb)
			return kb / 1000
		}
	}
	return 0
}
