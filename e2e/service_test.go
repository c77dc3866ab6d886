//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// service is a running runner.
type service struct {
	url string
	// out is where what it drew is kept for a look.
	out string
}

// job is the part of a reply that is looked at.
type job struct {
	ID       string  `json:"id"`
	Status   string  `json:"status"`
	Reused   bool    `json:"reused"`
	Outputs  []file  `json:"outputs"`
	Error    *failed `json:"error"`
	Progress struct {
		Node any `json:"current_node"`
		Step int `json:"step"`
	} `json:"progress"`
	Timings struct {
		Queue float64 `json:"queue_ms"`
		Run   float64 `json:"run_ms"`
	} `json:"timings"`
}

type file struct {
	Name   string `json:"name"`
	Node   string `json:"node_id"`
	Type   string `json:"type"`
	Media  string `json:"content_type"`
	Size   int64  `json:"size_bytes"`
	Width  int    `json:"width"`
	Height int    `json:"height"`
	URL    string `json:"url"`
	Text   string `json:"text"`
	Value  any    `json:"value"`
}

type failed struct {
	Code    string `json:"code"`
	Message string `json:"message"`
	Node    *struct {
		ID    string `json:"id"`
		Class string `json:"class_type"`
		Title string `json:"title"`
	} `json:"node"`
}

// do sends a request and decodes the reply into v, if v is not nil.
func (s *service) do(t *testing.T, method, path, prefer string, in, v any) (int, []byte) {
	t.Helper()
	var body io.Reader
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			t.Fatal(err)
		}
		body = bytes.NewReader(b)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, s.url+path, body)
	if err != nil {
		t.Fatal(err)
	}
	if in != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if prefer != "" {
		req.Header.Set("Prefer", prefer)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if v != nil {
		if err := json.Unmarshal(b, v); err != nil {
			t.Fatalf("%s %s: %d %s: %v", method, path, resp.StatusCode, b, err)
		}
	}
	return resp.StatusCode, b
}

// post starts a job.
func (s *service) post(t *testing.T, workflow, prefer string, input map[string]any) job {
	t.Helper()
	var j job
	code, b := s.do(t, http.MethodPost, "/v1/workflows/"+workflow+"/jobs", prefer, map[string]any{"input": input}, &j)
	if code != http.StatusCreated && code != http.StatusAccepted {
		t.Fatalf("posting to %s: %d %s", workflow, code, b)
	}
	return j
}

// run starts a job and waits for its end.
func (s *service) run(t *testing.T, workflow string, input map[string]any) job {
	t.Helper()
	return s.wait(t, s.post(t, workflow, "wait=60", input).ID)
}

// wait waits for the end of a job.
func (s *service) wait(t *testing.T, id string) job {
	t.Helper()
	for {
		var j job
		s.do(t, http.MethodGet, "/v1/jobs/"+id+"?wait=30", "", nil, &j)
		switch j.Status {
		case "queued", "running", "canceling":
			continue
		}
		t.Logf("%s %s: reused %v, queue %.0f ms, run %.0f ms", j.ID, j.Status, j.Reused, j.Timings.Queue, j.Timings.Run)
		return j
	}
}

// succeed runs a job that must succeed.
func (s *service) succeed(t *testing.T, workflow string, input map[string]any) job {
	t.Helper()
	j := s.run(t, workflow, input)
	if j.Status != "succeeded" {
		t.Fatalf("job %s ended as %s: %+v", j.ID, j.Status, j.Error)
	}
	return j
}

// fetch reads an output and keeps it for a look.
func (s *service) fetch(t *testing.T, j job, f file) []byte {
	t.Helper()
	path := f.URL
	if rest, ok := strings.CutPrefix(path, s.url); ok {
		path = rest
	}
	code, b := s.do(t, http.MethodGet, path, "", nil, nil)
	if code != http.StatusOK || int64(len(b)) != f.Size {
		t.Fatalf("%s: %d with %d bytes, want %d", path, code, len(b), f.Size)
	}
	ext := f.Media[strings.LastIndexByte(f.Media, '/')+1:]
	name := filepath.Join(s.out, fmt.Sprintf("%s-%s.%s", j.ID, f.Name, ext))
	if err := os.MkdirAll(s.out, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, b, 0o644); err != nil {
		t.Fatal(err)
	}
	t.Logf("%s: %s, %d bytes, %s", f.Name, f.Media, len(b), name)
	return b
}

// ready waits until the service says so and returns how it said it.
func (s *service) ready(t *testing.T) string {
	t.Helper()
	deadline := time.Now().Add(10 * time.Minute)
	for {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.url+"/readyz", nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.DefaultClient.Do(req)
		if err == nil {
			b, _ := io.ReadAll(resp.Body)
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				t.Logf("ready: %s", bytes.TrimSpace(b))
				return string(b)
			}
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s is not ready: %v", s.url, err)
		}
		time.Sleep(200 * time.Millisecond)
	}
}
