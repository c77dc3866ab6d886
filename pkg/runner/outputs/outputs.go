// Package outputs takes what a run gave out of the engine, tells what each
// file is by its content, and keeps it under the runner's own folder.
package outputs

import (
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
	"syscall"

	"github.com/comfyctl/comfyctl/pkg/runner/durable"
	"github.com/comfyctl/comfyctl/pkg/runner/engine"
	"github.com/comfyctl/comfyctl/pkg/runner/jobs"
	"github.com/comfyctl/comfyctl/pkg/runner/problem"
)

// Store keeps outputs in Dir/JOB/FILE.
type Store struct {
	Dir string
	// Sync waits until the disk has them.
	Sync bool
}

// Collect implements jobs.Outputs: every output of every output node. Previews
// are kept where the service names their node, or where nothing else came.
func (s *Store) Collect(ctx context.Context, ex engine.Executor, r *jobs.Record, res *engine.Result) ([]jobs.Output, error) {
	dir := filepath.Join(s.Dir, r.Job.ID)
	// An earlier attempt to keep them may have been cut off.
	if err := os.RemoveAll(dir); err != nil {
		return nil, fmt.Errorf("keeping outputs: %w", err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("keeping outputs: %w", err)
	}
	kept := wanted(res.Outputs, r.Work.Names)
	if len(kept) == 0 {
		return nil, problem.New("no_output", "the engine finished the workflow and reported no output")
	}
	titles := titles(r.Work.Graph)
	used := map[string]bool{}
	var list []jobs.Output
	for _, o := range kept {
		name := unique(nameOf(r.Work.Names[o.Node], titles[o.Node], o.Key), used)
		out, err := s.keep(ctx, ex, dir, name, o, r.Work.Conversions[o.Node])
		if passing(err) {
			return nil, fmt.Errorf("keeping output %s: %w", name, err)
		}
		if err != nil {
			p := problem.New("output_unreadable", fmt.Sprintf("output %s of node %s: %v", name, o.Node, err))
			p.Node = &problem.Node{ID: o.Node, Title: titles[o.Node]}
			return nil, p
		}
		out.URL = "/v1/jobs/" + r.Job.ID + "/outputs/" + name
		list = append(list, *out)
	}
	if s.Sync {
		return list, durable.Folder(dir)
	}
	return list, nil
}

// passing is true for what may be otherwise soon: a full disk, and an engine
// that is away.
func passing(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, engine.ErrNotReady) || errors.Is(err, engine.ErrUnreachable)
}

// nameOf is what an output is called: what the service calls it, else a name
// made of its node's title.
func nameOf(given, title, key string) string {
	if plainName.MatchString(given) {
		return given
	}
	if given != "" {
		return slug(given, key)
	}
	return slug(title, key)
}

// unique numbers the further outputs of a name: image, image-2 and so on.
func unique(name string, used map[string]bool) string {
	got := name
	for n := 2; used[got]; n++ {
		got = name + "-" + strconv.Itoa(n)
	}
	used[got] = true
	return got
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

// maxText bounds the text that stands in a reply; the url has all of it.
const maxText = 64 << 10

// keep stores one output and describes it.
func (s *Store) keep(ctx context.Context, ex engine.Executor, dir, name string, o engine.Output, want jobs.Conversion) (*jobs.Output, error) {
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
	} else if out.Text = o.Text; len(out.Text) > maxText {
		out.Text = strings.ToValidUTF8(out.Text[:maxText], "")
	}
	tmp, err := os.CreateTemp(dir, ".part-*")
	if err != nil {
		return nil, err
	}
	defer os.Remove(tmp.Name())
	if _, err = io.Copy(tmp, src); err == nil {
		err = describe(tmp, out, o, want)
	}
	if s.Sync && err == nil {
		err = tmp.Sync()
	}
	if err = errors.Join(err, tmp.Close()); err != nil {
		return nil, err
	}
	if out.Type == "image" {
		out.Width, out.Height = Dimensions(tmp.Name())
	}
	if err := os.Chmod(tmp.Name(), 0o644); err != nil {
		return nil, err
	}
	return out, os.Rename(tmp.Name(), filepath.Join(dir, name))
}

// describe tells what a kept file is, once it is what the service wants.
func describe(tmp *os.File, out *jobs.Output, o engine.Output, want jobs.Conversion) error {
	head := make([]byte, 1<<16)
	n, err := tmp.ReadAt(head, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	kind := Kind{ContentType: "text/plain; charset=utf-8", Type: "text", Ext: ".txt"}
	if o.File != nil {
		kind = Sniff(head[:n], out.Filename)
		st, err := tmp.Stat()
		if err != nil {
			return err
		}
		if err := whole(tmp, kind, st.Size()); err != nil {
			return err
		}
		was := kind
		if kind, err = convert(tmp, kind, o.Animated, want); err != nil {
			return err
		}
		if kind != was {
			out.Filename = strings.TrimSuffix(out.Filename, filepath.Ext(out.Filename)) + kind.Ext
		}
	}
	out.ContentType, out.Type = kind.ContentType, kind.Type
	if _, err := tmp.Seek(0, io.SeekStart); err != nil {
		return err
	}
	sum := sha256.New()
	if out.SizeBytes, err = io.Copy(sum, tmp); err != nil {
		return err
	}
	out.Hash = "sha256:" + hex.EncodeToString(sum.Sum(nil))
	return nil
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
