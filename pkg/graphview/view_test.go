package graphview

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/comfyctl/comfyctl/internal/diag"
	"github.com/comfyctl/comfyctl/pkg/catalog"
	"github.com/comfyctl/comfyctl/pkg/contract"
	"github.com/comfyctl/comfyctl/pkg/workflow"
)

var update = flag.Bool("update", false, "write the golden files")

// nasty is what a stranger may put into a title.
const nasty = "</text><script>alert(1)</script> \"#quot; `b` \\N %% | end --> [x] 日本 \x1b[31m\u202e"

func parse(t testing.TB, src string) *workflow.Graph {
	t.Helper()
	g, _ := workflow.Parse("w.json", []byte(src))
	if g == nil {
		t.Fatalf("no graph in %s", src)
	}
	return g
}

func quoted(t testing.TB, s string) string {
	t.Helper()
	b, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// sample has a shared node, a link to nowhere, a cycle, a node from a pack, a
// long link, marks of every kind and text that wants to break out.
func sample(t testing.TB) *View {
	t.Helper()
	g := parse(t, `{
	"4": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "x.safetensors"}},
	"6": {"class_type": "CLIPTextEncode", "inputs": {"text": "a", "clip": ["4", 1]}, "_meta": {"title": `+quoted(t, nasty)+`}},
	"3": {"class_type": "KSampler", "inputs": {"seed": 1, "positive": ["6", 0], "model": ["4", 0], "latent_image": ["77", 0]}},
	"8": {"class_type": "VAEDecode", "inputs": {"samples": ["3", 0], "vae": ["4", 2]}},
	"9": {"class_type": "SaveImage", "inputs": {"images": ["8", 0]}},
	"a": {"class_type": "Not|Known+", "inputs": {"x": ["b", 0]}},
	"b": {"class_type": "ImageInvert", "inputs": {"image": ["c", 0]}},
	"c": {"class_type": "ImageInvert", "inputs": {"image": ["b", 0]}}}`)
	c, err := catalog.For("v0.3.64")
	if err != nil {
		t.Fatal(err)
	}
	return New(g, About{Name: "portrait", Catalog: c,
		Inputs:  []contract.Input{{Name: "prompt", To: []contract.Target{{Node: "6", Input: "text"}}}, {Name: "seed", To: []contract.Target{{Node: "3", Input: "seed"}, {Node: "nowhere", Input: "seed"}}}},
		Outputs: []contract.Output{{Name: "image", Node: "9"}},
		Findings: []diag.Diagnostic{
			{Code: "CW004", Severity: diag.SeverityError, Message: "no node `77`", Span: diag.Span{File: "w.json"}, Node: &diag.Node{ID: "3"}},
			{Code: "CW009", Severity: diag.SeverityWarning, Message: "feeds nothing", Span: diag.Span{File: "w.json"}, Node: &diag.Node{ID: "a"}},
			{Code: "CW009", Severity: diag.SeverityWarning, Message: "of another file", Span: diag.Span{File: "x.json"}, Node: &diag.Node{ID: "4"}},
		}})
}

type writer = func(*View, io.Writer) error

var writers = map[string]writer{
	"tree":    func(v *View, w io.Writer) error { return v.Tree(w, TreeStyle{}) },
	"ascii":   func(v *View, w io.Writer) error { return v.Tree(w, TreeStyle{ASCII: true}) },
	"svg":     (*View).SVG,
	"mermaid": (*View).Mermaid,
	"dot":     (*View).DOT,
}

func written(t testing.TB, v *View, name string) string {
	t.Helper()
	var b bytes.Buffer
	if err := writers[name](v, &b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestGoldens(t *testing.T) {
	for name := range writers {
		got := written(t, sample(t), name)
		golden := filepath.Join("testdata", "sample."+name)
		if *update {
			if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), got); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func TestFindAndOnly(t *testing.T) {
	v := sample(t)
	for what, want := range map[string][]string{"3": {"3"}, "KSampler": {"3"}, nasty: {"6"}, "ImageInvert": {"b", "c"}, "nothing": nil} {
		if diff := cmp.Diff(want, v.Find(what)); diff != "" {
			t.Errorf("%q: %s", what, diff)
		}
	}
	var ids []string
	only := v.Only("3")
	for _, n := range only.Nodes {
		ids = append(ids, n.ID)
	}
	if diff := cmp.Diff([]string{"4", "6", "3", "77"}, ids); diff != "" || len(only.Links) != 4 {
		t.Errorf("%s %v", diff, only.Links)
	}
	plain := v.Keep(Marks{})
	for _, n := range plain.Nodes {
		if n.Params != nil || n.Problems != nil || n.Pack != "" {
			t.Errorf("%+v", n)
		}
	}
	if len(v.Nodes[2].Params) != 1 {
		t.Error("Keep changed the view it was made from")
	}
}

// elements reads an SVG as XML and returns its elements by name, and its text.
func elements(t testing.TB, svg string) (map[string]int, string) {
	t.Helper()
	count := map[string]int{}
	var text strings.Builder
	d := xml.NewDecoder(strings.NewReader(svg))
	for {
		tok, err := d.Token()
		if errors.Is(err, io.EOF) {
			return count, text.String()
		}
		if err != nil {
			t.Fatalf("not XML: %v", err)
		}
		switch tok := tok.(type) {
		case xml.StartElement:
			count[tok.Name.Local]++
			for _, a := range tok.Attr {
				if strings.HasPrefix(a.Name.Local, "on") || strings.Contains(a.Name.Local, "href") && a.Value != "" {
					t.Errorf("attribute %s", a.Name.Local)
				}
			}
		case xml.CharData:
			text.Write(tok)
		}
	}
}

// TestSVGIsSafe: text of a stranger stays text, and the drawing says what it is.
func TestSVGIsSafe(t *testing.T) {
	svg := written(t, sample(t), "svg")
	count, text := elements(t, svg)
	if count["script"] != 0 || count["g"] != 9 || count["path"] != 10 || count["title"] != 1+9+10 || count["desc"] != 1 {
		t.Errorf("%v", count)
	}
	if !strings.Contains(text, "<script>alert(1)</script>") || strings.ContainsAny(svg, "\x1b\u202e") || !strings.Contains(svg, `role="img"`) {
		t.Error(svg)
	}
}

// TestDOT asks Graphviz.
func TestDOT(t *testing.T) {
	if _, err := exec.LookPath("dot"); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("dot of Graphviz is missing")
		}
		t.Skip("dot of Graphviz is missing")
	}
	for name, v := range map[string]*View{"sample": sample(t), "empty": {}} {
		out := graphviz(t, "json0", written(t, v, "dot"))
		var g struct {
			Objects []struct{ Label string } `json:"objects"`
			Edges   []struct{ Label string } `json:"edges"`
		}
		if err := json.Unmarshal(out, &g); err != nil {
			t.Fatal(err)
		}
		if len(g.Objects) != len(v.Nodes) || len(g.Edges) != len(v.Links) {
			t.Errorf("%s: %d nodes, %d links", name, len(g.Objects), len(g.Edges))
		}
	}
	// What it draws is the text as it was.
	v := &View{Nodes: []Node{{ID: "1", Class: "A", Title: nasty + " &amp; \\n"}}}
	_, text := elements(t, string(graphviz(t, "svg", written(t, v, "dot"))))
	if want := oneLine(v.Nodes[0].Title); !strings.Contains(strings.ReplaceAll(text, "\u00a0", " "), want) {
		t.Errorf("%q lacks %q", text, want)
	}
}

func graphviz(t *testing.T, format, src string) []byte {
	t.Helper()
	cmd := exec.Command("dot", "-T"+format)
	cmd.Stdin = strings.NewReader(src)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("dot -T%s: %v\n%s", format, err, src)
	}
	return out
}

// boxes reads the rectangles of the nodes back from an SVG.
var boxes = regexp.MustCompile(`<rect class="b" x="([-\d.]+)" y="([-\d.]+)" width="([\d.]+)" height="([\d.]+)"`)

func checkLayout(t testing.TB, svg string, nodes int) {
	t.Helper()
	type box struct{ x, y, w, h float64 }
	var list []box
	for _, m := range boxes.FindAllStringSubmatch(svg, -1) {
		var b box
		if _, err := fmt.Sscan(m[1]+" "+m[2]+" "+m[3]+" "+m[4], &b.x, &b.y, &b.w, &b.h); err != nil {
			t.Fatal(err)
		}
		if b.x < 0 || b.y < 0 {
			t.Errorf("a box at %v, %v", b.x, b.y)
		}
		for _, o := range list {
			if b.x < o.x+o.w && o.x < b.x+b.w && b.y < o.y+o.h && o.y < b.y+b.h {
				t.Fatalf("boxes overlap: %+v %+v", o, b)
			}
		}
		list = append(list, b)
	}
	if len(list) != nodes {
		t.Errorf("%d boxes of %d nodes", len(list), nodes)
	}
}

// random makes a graph of n nodes with links in both directions, to themselves
// and to nowhere.
func random(seed uint64, n int) *View {
	r := rand.New(rand.NewPCG(seed, 1))
	v := &View{Name: "random"}
	for i := range n {
		v.Nodes = append(v.Nodes, Node{ID: fmt.Sprint(i), Class: strings.Repeat("X", r.IntN(40)), Output: r.IntN(9) == 0})
	}
	for i := range n {
		for range r.IntN(4) {
			from := r.IntN(n)
			if r.IntN(8) > 0 && i > 0 {
				from = r.IntN(i)
			}
			v.Links = append(v.Links, Link{From: fmt.Sprint(from), To: fmt.Sprint(i), Input: fmt.Sprint("in", r.IntN(100))})
		}
	}
	return v
}

// TestAnyGraph: whatever the graph, every node is drawn once and boxes do not
// overlap.
func TestAnyGraph(t *testing.T) {
	for seed := range uint64(60) {
		v := random(seed, 1+int(seed)%30)
		svg := written(t, v, "svg")
		elements(t, svg)
		checkLayout(t, svg, len(v.Nodes))
		tree := written(t, v, "tree")
		for _, n := range v.Nodes {
			full := 0
			for _, line := range strings.Split(tree, "\n") {
				head := n.ID + " " + n.Class
				if (line == head || strings.HasSuffix(line, "← "+head)) && !strings.Contains(line, "(") {
					full++
				}
			}
			if full != 1 {
				t.Fatalf("seed %d: node %s is drawn %d times\n%s", seed, n.ID, full, tree)
			}
		}
	}
}

func TestEmptyAndOne(t *testing.T) {
	for _, v := range []*View{{}, {Nodes: []Node{{ID: "1", Class: "SaveImage"}}}} {
		for name := range writers {
			written(t, v, name)
		}
		checkLayout(t, written(t, v, "svg"), len(v.Nodes))
	}
}

// TestThousand draws a chain with one node that all of them take from, and a
// tangle.
func TestThousand(t *testing.T) {
	chain := &View{Nodes: []Node{{ID: "0", Class: "CheckpointLoaderSimple"}}}
	for i := 1; i < 1000; i++ {
		chain.Nodes = append(chain.Nodes, Node{ID: fmt.Sprint(i), Class: "KSampler"})
		chain.Links = append(chain.Links, Link{From: "0", To: fmt.Sprint(i), Input: "model"}, Link{From: fmt.Sprint(i - 1), To: fmt.Sprint(i), Input: "latent_image"})
	}
	for _, v := range []*View{chain, random(7, 1000)} {
		for name := range writers {
			if name != "svg" {
				written(t, v, name)
			}
		}
		checkLayout(t, written(t, v, "svg"), len(v.Nodes))
	}
}

func FuzzView(f *testing.F) {
	f.Add([]byte(`{"1":{"class_type":"A","inputs":{"x":["1",0],"y":["2",-1]}},"2":{"class_type":"<b>","inputs":{"":["1",9]},"_meta":{"title":"\u0000"}}}`))
	f.Add([]byte(`{"":{"class_type":"","inputs":{"a":["",0]}}}`))
	f.Fuzz(func(t *testing.T, src []byte) {
		g, list := workflow.Parse("w.json", src)
		if g == nil {
			return
		}
		v := New(g, About{Findings: list})
		for name := range writers {
			written(t, v, name)
		}
		svg := written(t, v, "svg")
		elements(t, svg)
		checkLayout(t, svg, len(v.Nodes))
	})
}

func BenchmarkSVG(b *testing.B) {
	v := random(7, 1000)
	for b.Loop() {
		if err := v.SVG(io.Discard); err != nil {
			b.Fatal(err)
		}
	}
}
