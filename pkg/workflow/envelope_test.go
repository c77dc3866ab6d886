package workflow

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const one = `{"1":{"class_type":"A","inputs":{}}}`

func TestEnvelopes(t *testing.T) {
	for _, tc := range []struct{ name, src, pointer string }{
		{"bare", one, ""},
		{"body of a request", `{"client_id":"x","prompt":` + one + `,"extra_data":{"extra_pnginfo":{"workflow":{"nodes":[{"type":"A"}],"links":[]}}}}`, "/prompt"},
		{"worker", `{"input":{"workflow":` + one + `,"images":[]}}`, "/input/workflow"},
		{"ViewComfy", `{"appTitle":"x","workflows":[{"viewComfyJSON":{},"workflowApiJSON":` + one + `}]}`, "/workflows/0/workflowApiJSON"},
		{"tests of a worker", `{"tests":[{"name":"a","input":{"workflow":` + one + `}}],"config":{}}`, "/tests/0/input/workflow"},
		{"list of one", `[` + one + `]`, "/0"},
		{"somewhere else", `{"data":{"runs":[{"id":1,"graph":` + one + `}]}}`, "/data/runs/0/graph"},
		{"beside the editor's save", `{"a":{"nodes":[{"type":"A"}],"links":[]},"b":` + one + `}`, "/b"},
		{"a note among the nodes", `{"_comfyuimini_meta":{"title":"x"},"1":{"class_type":"A","inputs":{}}}`, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			g, list := Parse("w.json", []byte(tc.src))
			if g == nil || g.Pointer != tc.pointer || g.Node("1") == nil {
				t.Fatalf("%+v %q", g, found(list))
			}
		})
	}
}

func TestSeveralWorkflows(t *testing.T) {
	for _, tc := range []struct{ name, src, want string }{
		{"ViewComfy", `{"workflows":[{"workflowApiJSON":` + one + `},{"workflowApiJSON":` + one + `}]}`, "/workflows/0/workflowApiJSON, /workflows/1/workflowApiJSON"},
		{"tests", `{"tests":[{"input":{"workflow":` + one + `}},{"input":{"workflow":` + one + `}}]}`, "/tests/0/input/workflow, /tests/1/input/workflow"},
		{"list", `[` + one + `,` + one + `]`, "/0, /1"},
		{"editor saves", `{"x":{"nodes":[{"type":"A"}],"links":[]},"y":{"nodes":[{"type":"A"}],"links":[]}}`, "/x, /y"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			g, list := Parse("w.json", []byte(tc.src))
			if g != nil || len(list) != 1 || list[0].Message != "this file holds 2 workflows" || !strings.HasSuffix(list[0].Help, tc.want) || len(list[0].Related) != 1 {
				t.Fatalf("%+v %+v", g, list)
			}
		})
	}
}

func TestNoWorkflow(t *testing.T) {
	for _, tc := range []struct{ name, src, want string }{
		{"list", `[1, 2]`, "CW001 1:1-1:2 this JSON is no workflow"},
		{"JSON in a text", `"{\"1\": {}}"`, "CW001 1:1-1:2 this JSON is no workflow"},
		{"pointer of Git LFS", "version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "CW001 0:0-0:0 this is not JSON: the file is a pointer of Git LFS"},
		{"packed", "PK\x03\x04xx", "CW001 0:0-0:0 this is not JSON: the file is packed"},
		{"UTF-16, little end first", "\xff\xfe{\x00}\x00", "CW001 0:0-0:0 this is not JSON: the file is UTF-16"},
		{"UTF-16, big end first", "\xfe\xff\x00{\x00}", "CW001 0:0-0:0 this is not JSON: the file is UTF-16"},
		{"UTF-16 without a mark", "\x00{\x00}", "CW001 0:0-0:0 this is not JSON: the file is UTF-16"},
		{"one node by itself", `{"class_type":"A","inputs":{}}`, "CW007 1:1-1:2 no entry of this file is a node"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, list := Parse("w.json", []byte(tc.src))
			if diff := cmp.Diff([]string{tc.want}, found(list)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestBOM wants the places behind a byte order mark right.
func TestBOM(t *testing.T) {
	g, list := Parse("w.json", []byte("\xef\xbb\xbf{\"1\":\r\n{\"class_type\":\"A\",\"inputs\":{}}}"))
	if g == nil || len(list) > 0 {
		t.Fatal(found(list))
	}
	if n := g.Node("1"); n.KeySpan.Start.Line != 1 || n.KeySpan.Start.Column != 2 || n.KeySpan.Start.Offset != 4 || n.ClassSpan.Start.Line != 2 || n.ClassSpan.Start.Column != 15 {
		t.Errorf("%+v %+v", n.KeySpan, n.ClassSpan)
	}
}
