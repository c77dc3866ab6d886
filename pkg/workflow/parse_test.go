package workflow

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/comfyctl/comfyctl/internal/diag"
)

// found writes findings as "CODE line:column-line:column message".
func found(list []diag.Diagnostic) []string {
	var out []string
	for _, d := range list {
		out = append(out, fmt.Sprintf("%s %d:%d-%d:%d %s", d.Code, d.Start.Line, d.Start.Column, d.End.Line, d.End.Column, d.Message))
	}
	return out
}

const small = `{
  "3": {
    "class_type": "ImageScale",
    "inputs": {"image": ["1:7", 0], "näme": "ü", "width": 18446744073709551615},
    "_meta": {"title": "Scale"}
  },
  "1:7": {"inputs": {}, "class_type": "EmptyImage"}
}`

func TestParse(t *testing.T) {
	for _, tc := range []struct{ name, src string }{
		{"bare", small},
		{"byte order mark", "\xef\xbb\xbf" + small},
		{"CRLF", strings.ReplaceAll(small, "\n", "\r\n")},
		{"request body", `{"client_id":"x","prompt":` + small + `}`},
		{"worker request", `{"input":{"workflow":` + small + `}}`},
		{"list of one", `{"workflows":[{"workflowApiJSON":` + small + `}]}`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			g, list := Parse("w.json", []byte(tc.src))
			if len(list) > 0 {
				t.Fatalf("findings: %q", found(list))
			}
			n := g.Node("3")
			if len(g.Nodes) != 2 || n == nil || n.Class != "ImageScale" || n.Title != "Scale" {
				t.Fatalf("node 3 = %+v", n)
			}
			in := n.Input("width")
			if string(in.Raw) != "18446744073709551615" {
				t.Errorf("width = %s", in.Raw)
			}
			if got := string(g.Source[in.KeySpan.Start.Offset:in.KeySpan.End.Offset]); got != `"width"` {
				t.Errorf("key span covers %q", got)
			}
			if got := string(g.Source[in.ValueSpan.Start.Offset:in.ValueSpan.End.Offset]); got != string(in.Raw) {
				t.Errorf("value span covers %q", got)
			}
			if want := g.Pointer + "/3/inputs/width"; in.Pointer != want {
				t.Errorf("pointer = %q, want %q", in.Pointer, want)
			}
			if diff := cmp.Diff(&Link{Node: "1:7"}, n.Input("image").Link); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestColumnsCountCharacters(t *testing.T) {
	g, _ := Parse("w.json", []byte(small))
	in := g.Node("3").Input("width")
	want := diag.Position{Line: 4, Column: 59, Offset: strings.Index(small, "1844")}
	if diff := cmp.Diff(want, in.ValueSpan.Start); diff != "" {
		t.Error(diff)
	}
}

func TestParseFindings(t *testing.T) {
	for _, tc := range []struct {
		name, src string
		want      []string
	}{
		{"empty", " \n", []string{"CW001 0:0-0:0 the file is empty"}},
		{"trailing comma", "{\"1\": {\"class_type\": \"A\",\n }}", []string{"CW001 1:25-1:26 this is not JSON: trailing comma before `}`"}},
		{"trailing comma in a list", `{"1": ["a", ]}`, []string{"CW001 1:11-1:12 this is not JSON: trailing comma before `]`"}},
		{"single quotes", `{'1': {}}`, []string{"CW001 1:2-1:3 this is not JSON: single quotes in JSON"}},
		{"single quoted value", `{"1": 'a'}`, []string{"CW001 1:7-1:8 this is not JSON: single quotes in JSON"}},
		{"Python", `{"1": True}`, []string{"CW001 1:7-1:11 this is not JSON: `True` is Python, not JSON"}},
		{"Python None", `{"1": None}`, []string{"CW001 1:7-1:11 this is not JSON: `None` is Python, not JSON"}},
		{"comment", "{ // x\n}", []string{"CW001 1:3-1:5 this is not JSON: a comment in JSON"}},
		{"cut off", `{"1": {"class_type": "A"`, []string{"CW001 1:7-1:8 this is not JSON: `{` is never closed"}},
		{"open string", `{"1": "a`, []string{"CW001 1:7-1:8 this is not JSON: a string is never closed"}},
		{"missing comma", `{"1": {} "2": {}}`, []string{"CW001 1:10-1:11 this is not JSON: a comma or `}` is missing"}},
		{"bad escape", `{"1": "D:\models"}`, []string{"CW001 1:7-1:18 this is not JSON: a string holds an escape that JSON does not have"}},
		{"text after", `{} x`, []string{"CW001 1:4-1:5 this is not JSON: text follows the end of the JSON document"}},
		{"HTML", `<html>`, []string{"CW001 1:1-1:2 this is not JSON: this is HTML or XML, not JSON"}},
		{"bad number", `{"1": 01}`, []string{"CW001 1:7-1:9 this is not JSON: not a JSON number"}},
		{"too deep", strings.Repeat("[", 600), []string{"CW001 1:513-1:514 this is not JSON: JSON is nested deeper than 512 levels"}},
		{"UTF-16", "\xff\xfe{\x00}\x00", []string{"CW001 0:0-0:0 this is not JSON: the file is UTF-16"}},
		{"UTF-16 without mark", "{\x00}\x00", []string{"CW001 0:0-0:0 this is not JSON: the file is UTF-16"}},
		{"Latin-1", "{\"\xe4\": 1}", []string{"CW001 1:3-1:4 this is not JSON: the file is not UTF-8"}},
		{"a list", `[1]`, []string{"CW001 1:1-1:2 this JSON is no workflow"}},
		{"no node", `{"a": 1}`, []string{"CW007 1:1-1:2 no entry of this file is a node"}},
		{"editor save", `{"last_node_id": 3, "nodes": [], "links": []}`, []string{"CW002 1:1-1:2 this is ComfyUI's editor save, not the API export"}},
		{"editor save, version 1", `{"version": 1, "links": []}`, []string{"CW002 1:1-1:2 this is ComfyUI's editor save, not the API export"}},
		{"NaN", `{"1": {"class_type": "A", "inputs": {"x": NaN}, "is_changed": [-Infinity]}}`,
			[]string{"CW003 1:43-1:46 `NaN` is not JSON", "CW003 1:64-1:73 `-Infinity` is not JSON"}},
		{"id twice", "{\"1\": {\"class_type\": \"A\", \"inputs\": {}},\n\"1\": {\"class_type\": \"B\", \"inputs\": {}}}",
			[]string{"CW006 2:1-2:4 node id `1` is set twice"}},
		{"input twice", `{"1": {"class_type": "A", "inputs": {"x": 1, "x": 2}}}`, []string{"CW006 1:46-1:49 input `x` is set twice in node `1`"}},
		{"no class", `{"1": {"class_type": "A", "inputs": {}}, "2": {"inputs": {}}, "3": 4}`,
			[]string{"CW007 1:42-1:45 node `2` has no class", "CW007 1:63-1:66 node `3` has no class"}},
		{"no inputs", `{"1": {"class_type": "A"}}`, []string{"CW007 1:2-1:5 node `1` has no `inputs`"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, list := Parse("w.json", []byte(tc.src))
			if diff := cmp.Diff(tc.want, found(list)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestLastOfTwoCounts(t *testing.T) {
	g, _ := Parse("w.json", []byte(`{"1": {"class_type": "A", "inputs": {"x": 1, "x": 2}}, "1": {"class_type": "B", "inputs": {"x": 1, "x": 2}}}`))
	if len(g.Nodes) != 1 || g.Node("1").Class != "B" || len(g.Nodes[0].Inputs) != 1 || string(g.Nodes[0].Input("x").Raw) != "2" {
		t.Errorf("kept %+v", g.Nodes)
	}
}

func TestJSON(t *testing.T) {
	g, _ := Parse("w.json", []byte(`{"b": {"class_type": "A<B", "is_changed": [NaN], "inputs": {
		"seed": 18446744073709551615, "x": 1.50, "n": NaN, "w": {"__value__": [1, Infinity]}, "l": ["a", 0], "t": "\u00e9<"}},
		"a": {"class_type": "C", "_meta": {"title": "T"}}}`))
	want := `{"b":{"class_type":"A<B","inputs":{"seed":18446744073709551615,"x":1.50,"n":null,"w":{"__value__":[1,null]},"l":["a",0],"t":"\u00e9<"},"_meta":{"title":"A<B"}},` +
		`"a":{"class_type":"C","inputs":{},"_meta":{"title":"T"}}}`
	if diff := cmp.Diff(want, string(g.JSON())); diff != "" {
		t.Error(diff)
	}
	if got := string(g.Node("b").Input("w").Value()); got != "[1, Infinity]" {
		t.Errorf("value = %s", got)
	}
}

func TestVersionIgnoresLayout(t *testing.T) {
	a, _ := Parse("a", []byte(`{"1": {"class_type": "A", "inputs": {"x": 1, "y": ["2", 0]}}, "2": {"class_type": "B", "inputs": {}}}`))
	b, _ := Parse("b", []byte(`{"2": {"inputs": {}, "class_type": "B", "_meta": {"title": "T"}}, "1": {"class_type": "A", "inputs": {"y": ["2",0], "x":1}}}`))
	c, _ := Parse("c", []byte(`{"1": {"class_type": "A", "inputs": {"x": 2, "y": ["2", 0]}}, "2": {"class_type": "B", "inputs": {}}}`))
	if len(a.Version()) != 12 || a.Version() != b.Version() {
		t.Errorf("versions %q and %q differ", a.Version(), b.Version())
	}
	if a.Version() == c.Version() {
		t.Error("another value gives the same version")
	}
}

// corpus is the folder of real workflow files.
func corpus(t testing.TB) string {
	dir := os.Getenv("COMFYCTL_CORPUS")
	if dir == "" {
		dir = "../../../shared/corpus"
	}
	if _, err := os.Stat(dir); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("no corpus: %v", err)
		}
		t.Skipf("no corpus: %v (set COMFYCTL_CORPUS)", err)
	}
	return dir
}

func TestCorpus(t *testing.T) {
	index, err := os.ReadFile(filepath.Join(corpus(t), "workflows", "index.tsv"))
	if err != nil {
		t.Fatal(err)
	}
	rows := strings.Split(strings.TrimSpace(string(index)), "\n")
	if len(rows) < 100 {
		t.Fatalf("only %d rows", len(rows))
	}
	for _, row := range rows[1:] {
		col := strings.Split(row, "\t")
		id, format := col[0], col[5]
		src, err := os.ReadFile(filepath.Join(corpus(t), "workflows", id+".json"))
		if err != nil {
			t.Fatal(err)
		}
		g, list := Parse(id, src)
		switch format {
		case "api":
			if g == nil || len(g.Nodes) == 0 {
				t.Errorf("%s: no graph: %q", id, found(list))
			} else if !json.Valid(g.JSON()) {
				t.Errorf("%s: output is not JSON", id)
			}
		case "ui":
			if len(list) != 1 || list[0].Code != "CW002" {
				t.Errorf("%s: want CW002, got %q", id, found(list))
			}
		default:
			if !diag.HasErrors(list) {
				t.Errorf("%s: no error for a file that is no workflow", id)
			}
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{small, `{"prompt":` + small + `}`, `{"1": NaN}`, "\xff\xfe{\x00", "{'a'", `{"a":"\ud800"}`, `{"nodes":[]}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		g, list := Parse("f", src)
		for _, d := range list {
			if d.Start.Offset > d.End.Offset {
				t.Fatalf("span runs backwards: %+v", d)
			}
		}
		if g == nil {
			if !diag.HasErrors(list) {
				t.Fatal("neither graph nor error")
			}
			return
		}
		out := g.JSON()
		if !json.Valid(out) {
			t.Fatalf("not JSON: %s", out)
		}
		again, _ := Parse("f", out)
		if len(g.Nodes) > 0 && anyClass(g) && (again == nil || again.Version() != g.Version()) {
			t.Fatalf("%s does not come back the same", out)
		}
		g.Order()
		g.Cycles()
		for _, n := range g.Nodes {
			for _, in := range n.Inputs {
				if got := g.Source[in.ValueSpan.Start.Offset:in.ValueSpan.End.Offset]; !bytes.Equal(got, in.Raw) {
					t.Fatalf("span %q, raw %q", got, in.Raw)
				}
			}
		}
	})
}

func anyClass(g *Graph) bool {
	for _, n := range g.Nodes {
		if n.Class != "" {
			return true
		}
	}
	return false
}

func BenchmarkParse(b *testing.B) {
	src := big(1000)
	b.SetBytes(int64(len(src)))
	for b.Loop() {
		if g, _ := Parse("w", src); len(g.Nodes) != 1000 {
			b.Fatal(len(g.Nodes))
		}
	}
}

// big is a chain of n nodes on one line.
func big(n int) []byte {
	var b bytes.Buffer
	b.WriteByte('{')
	for i := range n {
		if i > 0 {
			fmt.Fprintf(&b, `,"%d":{"class_type":"ImageScale","inputs":{"image":["%d",0],"width":64,"height":64,"upscale_method":"lanczos","crop":"disabled"},"_meta":{"title":"Grösse"}}`, i, i-1)
		} else {
			b.WriteString(`"0":{"class_type":"EmptyImage","inputs":{"width":64,"height":64,"batch_size":1,"color":0}}`)
		}
	}
	b.WriteByte('}')
	return b.Bytes()
}
