package validate

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/comfyctl/comfyctl/internal/diag"
	"github.com/comfyctl/comfyctl/pkg/catalog"
	"github.com/comfyctl/comfyctl/pkg/runner/engine/stub"
	"github.com/comfyctl/comfyctl/pkg/workflow"
)

// server is something that answers POST /prompt.
type server struct {
	url string
	// cat is what its GET /object_info says.
	cat *catalog.Catalog
	// files are the options of its file inputs, models those of model inputs.
	files, models map[string]bool
}

// connect reads what a server knows.
func connect(t testing.TB, url, version string) *server {
	t.Helper()
	s := &server{url: url, files: map[string]bool{"": true}, models: map[string]bool{}}
	status, body := s.call(t, http.MethodGet, "/object_info", nil)
	if status != http.StatusOK {
		t.Fatalf("GET /object_info: status %d", status)
	}
	cat, err := catalog.ParseObjectInfo(body)
	if err != nil {
		t.Fatal(err)
	}
	cat.Version, s.cat = version, cat
	for _, name := range cat.Names() {
		cl, _ := cat.Class(name)
		for _, in := range cl.Inputs {
			for _, e := range in.Enum {
				if in.File != "" {
					s.files[text(e)] = true
				}
				for _, path := range catalog.ModelFiles(name, in.Name, text(e)) {
					s.models[path] = true
				}
			}
		}
	}
	return s
}

func (s *server) call(t testing.TB, method, path string, body []byte) (int, []byte) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, s.url+path, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	out, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, out
}

// ask posts a prompt and empties the queue.
func (s *server) ask(t testing.TB, prompt []byte) answer {
	t.Helper()
	status, body := s.call(t, http.MethodPost, "/prompt", slices.Concat([]byte(`{"client_id":"differential","prompt":`), prompt, []byte("}")))
	a, err := parseAnswer(status, body)
	if err != nil {
		t.Fatalf("%v: %s", err, body)
	}
	if status == http.StatusOK {
		s.call(t, http.MethodPost, "/queue", []byte(`{"clear":true}`))
	}
	return a
}

// options tell Graph what lies on the server's disk.
func (s *server) options() GraphOptions {
	return GraphOptions{HasModel: func(p string) bool { return s.models[p] }, HasFile: func(_, _, name string) bool { return s.files[name] }}
}

// verdict is what we say about a prompt.
func verdict(src []byte, cat *catalog.Catalog, o GraphOptions) (*workflow.Graph, []diag.Diagnostic) {
	g, list := workflow.Parse("prompt.json", src)
	if g == nil {
		return nil, list
	}
	return g, append(named(list, cat), Graph(g, cat, o)...)
}

// tally counts what was compared.
type tally struct {
	prompts, refused, partial, broken, hidden int
	types, ours                               map[string]int
}

func newTally() *tally { return &tally{types: map[string]int{}, ours: map[string]int{}} }

// compare holds our verdict against an answer and lists the differences.
func compare(src []byte, cat *catalog.Catalog, o GraphOptions, a answer, n *tally) []string {
	g, list := verdict(src, cat, o)
	n.prompts++
	if g == nil {
		n.ours["no graph: "+list[0].Code]++
		if !a.refused() {
			return []string{"we read no graph, ComfyUI takes it"}
		}
		return nil
	}
	for _, node := range g.Nodes {
		if !node.HasInputs && node.Class != "" {
			n.ours[noInputs]++
			return nil
		}
	}
	f := foresee(g, cat, list)
	diff := f.differ(a)
	for _, d := range f.ours {
		if a.Status >= 500 {
			continue
		}
		why := oursAlone(g, cat, d)
		n.ours[d.Code+" "+why]++
		if why == "" {
			diff = append(diff, "an error that ComfyUI does not have: "+d.Code+" "+d.Message)
		}
	}
	n.hidden += len(f.hidden)
	switch {
	case a.Status >= 500:
		n.broken++
	case a.Status == http.StatusOK && len(a.Nodes) > 0:
		n.partial++
	case a.refused():
		n.refused++
	}
	for _, k := range a.Nodes {
		n.types[k[strings.LastIndexByte(k, ' ')+1:]]++
	}
	if a.Error != "" {
		n.types[a.Error]++
	}
	return diff
}

const noInputs = "a node without an inputs object: ComfyUI's worker dies on it, comfyctl packs an empty one"

// oursAlone says why we find an error where ComfyUI takes the prompt; empty
// where there is no reason.
func oursAlone(g *workflow.Graph, cat *catalog.Catalog, d diag.Diagnostic) string {
	var spec *catalog.InputSpec
	if d.Node != nil {
		c := checkerOf(g, cat)
		if cl := c.classes[d.Node.ID]; cl != nil {
			for _, s := range cl.Expand(values(c.g.Node(d.Node.ID))) {
				if s.Name == d.Input {
					spec = &s
				}
			}
		}
	}
	switch {
	case d.Code == "CW003":
		return "NaN and Infinity: Python reads them, but JSON has no such number"
	case d.Code == "CW109":
		return "one output of several cannot run: ComfyUI answers 200 and leaves it out"
	case spec != nil && spec.Choices != nil && (d.Code == "CW103" || d.Code == "CW105"):
		return "a dynamic combo without a known choice: ComfyUI takes the prompt, and the node fails when it runs"
	case spec != nil && !spec.Literal && !checkerOf(g, cat).since(0, 8) && (d.Code == "CM001" || d.Code == "CW105"):
		return "a file that is not there: before 0.8.0 ComfyUI takes any value of a new-style list, and the node fails when it runs"
	case spec == nil && d.Code == "CW004":
		return "a link of an input that the class does not have: ComfyUI's worker dies on it after it took the prompt"
	case d.Code == "CW005":
		return "a cycle through inputs that the class does not have: the prompt is taken and fails when it runs"
	}
	return ""
}

func (n *tally) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d prompts: %d refused, %d in part, %d answered 500; %d findings that ComfyUI would say only after others are mended", n.prompts, n.refused, n.partial, n.broken, n.hidden)
	for _, k := range slices.Sorted(maps.Keys(n.types)) {
		fmt.Fprintf(&b, "\n  %6d %s", n.types[k], k)
	}
	for _, k := range slices.Sorted(maps.Keys(n.ours)) {
		fmt.Fprintf(&b, "\n  %6d ours alone: %s", n.ours[k], k)
	}
	return b.String()
}

// coreGraphs are the graphs of the corpus without nodes of packs.
func coreGraphs(t testing.TB) map[string]document {
	t.Helper()
	dir := filepath.Join(outside(t, "COMFYCTL_CORPUS", "corpus"), "workflows")
	index, err := os.ReadFile(filepath.Join(dir, "index.tsv"))
	if err != nil {
		t.Fatal(err)
	}
	graphs := map[string]document{}
	for _, row := range strings.Split(strings.TrimSpace(string(index)), "\n")[1:] {
		col := strings.Split(row, "\t")
		if col[5] != "api" || col[10] != "no" {
			continue
		}
		src, err := os.ReadFile(filepath.Join(dir, col[0]+".json"))
		if err != nil {
			t.Fatal(err)
		}
		g, _ := workflow.Parse(col[0], src)
		if g == nil {
			t.Fatalf("%s: no graph", col[0])
		}
		d, err := decodeDocument(src)
		if err != nil {
			t.Fatal(err)
		}
		var at any = map[string]any(d)
		for _, seg := range strings.Split(g.Pointer, "/")[1:] {
			switch v := at.(type) {
			case map[string]any:
				at = v[seg]
			case []any:
				i := 0
				_, _ = fmt.Sscan(seg, &i)
				at = v[i]
			}
		}
		graphs[col[0]] = at.(map[string]any)
	}
	if len(graphs) < 30 {
		t.Fatalf("only %d core-only graphs", len(graphs))
	}
	return graphs
}

// mutants makes n seeded changes of the graphs, of one to three steps each.
func mutants(graphs map[string]document, cat *catalog.Catalog, seed uint64, n int, each func(seed uint64, from string, steps []string, d document)) {
	names := slices.Sorted(maps.Keys(graphs))
	for i := range n {
		own := seed + uint64(i)
		m := newMutator(own, cat)
		from := names[m.r.IntN(len(names))]
		d := graphs[from].clone()
		var steps []string
		for range 1 + m.r.IntN(3) {
			if s := m.mutate(d); s != "" {
				steps = append(steps, s)
			}
		}
		each(own, from, steps, d)
	}
}

// everyClass is one prompt for each class of the catalog.
//
//nolint:unused // the build that has a real ComfyUI uses it
func everyClass(cat *catalog.Catalog, seed uint64) map[string]document {
	graphs := map[string]document{}
	for i, name := range cat.Names() {
		m := &mutator{r: rand.New(rand.NewPCG(seed, uint64(i))), cat: cat}
		d := document{}
		for j, c := range []string{"CheckpointLoaderSimple", "EmptyLatentImage", "EmptyImage", "PrimitiveFloat", "PrimitiveInt", "PrimitiveString"} {
			m.add(d, c, fmt.Sprint(j))
		}
		m.add(d, name, "n")
		graphs[name] = d
	}
	return graphs
}

// stopWorker sends a prompt whose unreachable node has no inputs: the thread
// that runs prompts dies on it, and the server goes on answering.
func (s *server) stopWorker(t testing.TB, pause time.Duration) {
	t.Helper()
	post := func(prompt string) {
		if status, body := s.call(t, http.MethodPost, "/prompt", []byte(`{"prompt":`+prompt+`}`)); status != http.StatusOK {
			t.Fatalf("stopping the worker: status %d: %s", status, body)
		}
	}
	post(`{"1":{"class_type":"EmptyImage","inputs":{"width":16,"height":16,"batch_size":1,"color":0},"_meta":{"title":"a"}},
		"2":{"class_type":"PreviewImage","inputs":{"images":["1",0]},"_meta":{"title":"b"}},"3":{"class_type":"EmptyImage","_meta":{"title":"c"}}}`)
	time.Sleep(pause)
	post(`{"1":{"class_type":"EmptyImage","inputs":{"width":16,"height":16,"batch_size":1,"color":1},"_meta":{"title":"a"}},
		"2":{"class_type":"PreviewImage","inputs":{"images":["1",0]},"_meta":{"title":"b"}}}`)
	time.Sleep(3 * pause)
	_, body := s.call(t, http.MethodGet, "/queue", nil)
	var q struct {
		Pending []json.RawMessage `json:"queue_pending"`
	}
	if err := json.Unmarshal(body, &q); err != nil || len(q.Pending) == 0 {
		t.Fatalf("the worker still takes prompts: %s %v", body, err)
	}
}

// TestStubAnswersAlike holds the stub engine's answers against our verdicts,
// which the test of the same kind holds against those of real ComfyUIs.
func TestStubAnswersAlike(t *testing.T) {
	graphs := coreGraphs(t)
	for _, version := range catalog.Versions() {
		t.Run(version, func(t *testing.T) {
			p, err := stub.New(stub.Options{Version: version, Dir: t.TempDir()})
			if err != nil {
				t.Fatal(err)
			}
			if err := p.Start(t.Context()); err != nil {
				t.Fatal(err)
			}
			defer func() { _ = p.Stop(context.WithoutCancel(t.Context())) }()
			s := connect(t, p.URL(), version)
			s.stopWorker(t, 50*time.Millisecond)
			n := newTally()
			check := func(name string, d document) {
				src := d.encode()
				if diff := compare(src, s.cat, s.options(), s.ask(t, src), n); len(diff) > 0 {
					small := shrink(d, func(c document) bool {
						src := c.encode()
						return slices.Contains(compare(src, s.cat, s.options(), s.ask(t, src), newTally()), diff[0])
					}).encode()
					t.Errorf("%s:\n  %s\n  %s\n  stub: %+v", name, strings.Join(diff, "\n  "), small, s.ask(t, small))
				}
			}
			for name, d := range graphs {
				check(name, d)
			}
			mutants(graphs, s.cat, 1, 300, func(seed uint64, from string, steps []string, d document) {
				check(fmt.Sprintf("seed %d: %s: %s", seed, from, strings.Join(steps, "; ")), d)
			})
			t.Logf("%s", n)
		})
	}
}
