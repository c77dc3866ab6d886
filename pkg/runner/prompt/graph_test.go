package prompt

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestCheck(t *testing.T) {
	for _, tt := range []struct{ name, graph, want string }{
		{"good", `{"1":{"class_type":"EmptyImage","inputs":{"color":0}},"2":{"class_type":"SaveImage","inputs":{"images":["1",0]}}}`, ""},
		{"empty", `{}`, "the graph has no nodes"},
		{"null node", `{"1":null}`, "node 1: it is not an object"},
		{"no class", `{"1":{"inputs":{}}}`, "node 1: it has no class_type"},
		{"no inputs", `{"1":{"class_type":"A"}}`, "node 1: it has no inputs; without any they are {}"},
		{"no such node", `{"1":{"class_type":"A","inputs":{"x":["7",0]}}}`, "node 1, input x: it links to node 7, which does not exist"},
		{"negative slot", `{"1":{"class_type":"A","inputs":{"x":["2",-1]}},"2":{"class_type":"B","inputs":{}}}`, "node 1, input x: it links to a slot that is no whole number from 0 on"},
		{"half slot", `{"1":{"class_type":"A","inputs":{"x":["2",0.5]}},"2":{"class_type":"B","inputs":{}}}`, "node 1, input x: it links to a slot that is no whole number from 0 on"},
		{"list of words", `{"1":{"class_type":"A","inputs":{"x":["a","b"],"y":["a",null],"z":[null,1]}}}`, ""},
		{"circle", `{"1":{"class_type":"A","inputs":{"x":["2",0]}},"2":{"class_type":"B","inputs":{"x":["1",0]}}}`, "node 1: the links run in a circle: 1 → 2 → 1"},
		{"itself", `{"1":{"class_type":"A","inputs":{"x":["1",0]}}}`, "node 1: the links run in a circle: 1 → 1"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g, err := Decode(json.RawMessage(tt.graph))
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, f := range g.Check() {
				got = append(got, f.Error())
			}
			if diff := cmp.Diff(tt.want, strings.Join(got, "; ")); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestSeparate(t *testing.T) {
	g, err := Decode(json.RawMessage(`{
		"1":{"class_type":"EmptyImage","inputs":{"color":18446744073709551615}},
		"2":{"class_type":"SaveImage","inputs":{"images":["1",0],"filename_prefix":"out/%date%/cat"}},
		"3":{"class_type":"SaveImage","inputs":{"images":["1",0],"filename_prefix":"a/.."}},
		"4":{"class_type":"SaveImage","inputs":{"images":["1",0],"filename_prefix":["1",0]}},
		"6":{"class_type":"SaveImage","inputs":{"images":["1",0],"filename_prefix":"a/../../escape"}},
		"5":{"class_type":"PreviewImage","inputs":{"images":["1",0]}}}`))
	if err != nil {
		t.Fatal(err)
	}
	g.Separate("job_1/2", func(id string, _ *Node) bool { return id == "4" || id == "5" })
	got := map[string]string{}
	for id, n := range g {
		for name, v := range n.Inputs {
			if name != "images" {
				got[id+"."+name] = string(v)
			}
		}
	}
	want := map[string]string{
		"1.color": "18446744073709551615", "2.filename_prefix": `"jobs/job_1/2/cat"`, "3.filename_prefix": `"jobs/job_1/2/output"`,
		"6.filename_prefix": `"a/../../escape"`,
		"4.filename_prefix": `["1",0]`, "4.comfyctl_run": `"job_1/2"`, "5.comfyctl_run": `"job_1/2"`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"1":{"class_type":"A","inputs":{"x":["1",0]}}}`))
	f.Add([]byte(`{"1":{"inputs":{"filename_prefix":"a\\.."}}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		g, err := Decode(b)
		if err != nil || len(g.Check()) > 0 {
			return
		}
		g.Separate("j/1", func(string, *Node) bool { return true })
		if faults := g.Check(); len(faults) > 0 {
			t.Errorf("separating broke it: %v", faults)
		}
	})
}
