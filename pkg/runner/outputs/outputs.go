// Package outputs takes what a run gave out of the engine, tells what each
// file is by its content, and keeps it under the runner's own folder.
package outputs

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"github.com/comfyctl/comfyctl/pkg/runner/engine"
	"github.com/comfyctl/comfyctl/pkg/runner/jobs"
	"github.com/comfyctl/comfyctl/pkg/runner/problem"
)

// Store keeps outputs in Dir/JOB/FILE.
type Store struct {
	Dir string
}

// Collect implements jobs.Outputs: every output of every output node. Previews
// are kept where the service names their node, or where nothing else came.
func (s *Store) Collect(ctx context.Context, ex engine.Executor, r *jobs.Record, res *engine.Result) ([]jobs.Output, error) {
	dir := filepath.Join(s.Dir, r.Job.ID)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("keeping outputs: %w", err)
	}
	kept := wanted(res.Outputs, r.Work.Names)
	if len(kept) == 0 {
		return nil, problem.New("no_output", "the engine finished the workflow and reported no output")
	}
	titles := titles(r.Work.Graph)
	used := map[string]int{}
	var list []jobs.Output
	for _, o := range kept {
		name := r.Work.Names[o.Node]
		if name == "" {
			name = slug(titles[o.Node], o.Key)
		}
		used[name]++
		if n := used[name]; n > 1 {
			name += "-" + strconv.Itoa(n)
		}
		out, err := s.keep(ctx, ex, dir, name, o)
		if err != nil {
			p := problem.New("output_unreadable", fmt.Sprintf("output %s of node %s: %v", name, o.Node, err))
			p.Node = &problem.Node{ID: o.Node, Title: titles[o.Node]}
			return nil, p
		}
		out.URL = "/v1/jobs/" + r.Job.ID + "/outputs/" + name
		list = append(list, *out)
	}
	return list, nil
}

func wanted(all []engine.Output, names map[string]string) []engine.Output {
	var kept, previews []engine.Output
	for _, o := range all {
		if o.File != nil && o.File.Type == "temp" && names[o.Node] == "" {
			previews = append(previews, o)
			continue
		}
		kept = append(kept, o)
	}
	if len(kept) == 0 {
		return previews
	}
	return kept
}

func titles(graph json.RawMessage) map[string]string {
	var g map[string]struct {
		Class string `json:"class_type"`
		Meta  struct {
			Title string `json:"title"`
		} `json:"_meta"`
	}
	out := map[string]string{}
	if json.Unmarshal(graph, &g) != nil {
		return out
	}
	for id, n := range g {
		out[id] = n.Meta.Title
		if out[id] == "" {
			out[id] = n.Class
		}
	}
	return out
}

var notSlug = regexp.MustCompile(`[^a-z0-9]+`)

func slug(title, key string) string {
	s := strings.Trim(notSlug.ReplaceAllString(strings.ToLower(title), "-"), "-")
	if s == "" {
		s = notSlug.ReplaceAllString(strings.ToLower(key), "-")
	}
	if s == "" {
		s = "output"
	}
	return s
}

// keep stores one output and describes it.
func (s *Store) keep(ctx context.Context, ex engine.Executor, dir, name string, o engine.Output) (*jobs.Output, error) {
	out := &jobs.Output{Name: name, NodeID: o.Node}
	var src io.Reader = strings.NewReader(o.Text)
	if o.File != nil {
		f, err := ex.Open(ctx, *o.File)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		src = f
		out.Filename, out.Temporary = filepath.Base(o.File.Name), o.File.Type == "temp"
	} else {
		out.Text = o.Text
	}
	tmp, err := os.CreateTemp(dir, ".part-*")
	if err != nil {
		return nil, err
	}
	defer os.Remove(tmp.Name())
	sum := sha256.New()
	head := &headWriter{max: 1 << 16}
	out.SizeBytes, err = io.Copy(io.MultiWriter(tmp, sum, head), src)
	if err = errors.Join(err, tmp.Close()); err != nil {
		return nil, err
	}
	out.Hash = "sha256:" + hex.EncodeToString(sum.Sum(nil))
	kind := Sniff(head.Bytes(), out.Filename)
	if o.File == nil {
		kind = Kind{ContentType: "text/plain; charset=utf-8", Type: "text", Ext: ".txt"}
	}
	out.ContentType, out.Type = kind.ContentType, kind.Type
	if kind.Type == "image" {
		out.Width, out.Height = Dimensions(tmp.Name())
	}
	if err := os.Rename(tmp.Name(), filepath.Join(dir, name)); err != nil {
		return nil, err
	}
	return out, os.Chmod(filepath.Join(dir, name), 0o644)
}

// Path is where an output of a job is kept. Names come from callers, so they
// are checked: an unknown or evil one gives an error.
func (s *Store) Path(jobID, name string) (string, error) {
	if !plainName.MatchString(jobID) || !plainName.MatchString(name) {
		return "", os.ErrNotExist
	}
	return filepath.Join(s.Dir, jobID, name), nil
}

var plainName = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]*$`)

// Remove implements jobs.Outputs.
func (s *Store) Remove(jobID string) error {
	if !plainName.MatchString(jobID) {
		return os.ErrNotExist
	}
	return os.RemoveAll(filepath.Join(s.Dir, jobID))
}

// headWriter keeps the first bytes that are written to it.
type headWriter struct {
	bytes.Buffer
	max int
}

func (h *headWriter) Write(p []byte) (int, error) {
	if room := h.max - h.Len(); room > 0 {
		h.Buffer.Write(p[:min(room, len(p))])
	}
	return len(p), nil
}
