package validate

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/comfyctl/comfyctl/internal/diag"
	"github.com/comfyctl/comfyctl/pkg/catalog"
	"github.com/comfyctl/comfyctl/pkg/workflow"
)

// brief writes findings as "code severity node.input server".
func brief(list []diag.Diagnostic) []string {
	var out []string
	for _, d := range list {
		at := ""
		if d.Node != nil {
			at = d.Node.ID
		}
		if d.Input != "" {
			at += "." + d.Input
		}
		out = append(out, strings.TrimSpace(fmt.Sprintf("%s %s %s %s", d.Code, d.Severity, at, d.Server)))
	}
	return out
}

// image is a small good graph; the two halves let a test put a node between.
const (
	source = `"1":{"class_type":"EmptyImage","inputs":{"width":64,"height":64,"batch_size":1,"color":0}}`
	save   = `"2":{"class_type":"SaveImage","inputs":{"images":["1",0],"filename_prefix":"x"}}`
)

func TestGraph(t *testing.T) {
	for _, tc := range []struct {
		name, version, src string
		want               []string
	}{
		{"good", "v0.3.64", `{` + source + `,` + save + `}`, nil},
		{"empty", "v0.3.64", `{}`, []string{"CW008 error  prompt_no_outputs"}},
		{"unknown class", "v0.30.2", `{` + source + `,"2":{"class_type":"SaveImag","inputs":{"images":["1",0]}}}`, []string{"CW101 error 2 missing_node_type"}},
		{"replaced class", "v0.30.2", `{` + source + `,"3":{"class_type":"Load3DAnimation","inputs":{}},"2":{"class_type":"SaveImage","inputs":{"images":["3",0],"filename_prefix":"x"}}}`,
			[]string{"CW103 error 3.model_file exception_during_inner_validation", "CW103 error 3.image required_input_missing",
				"CW103 error 3.width required_input_missing", "CW103 error 3.height required_input_missing"}},
		{"replaced class, inputs moved", "v0.30.2", `{` + source + `,"3":{"class_type":"ResizeImagesByLongerEdge","inputs":{"images":["1",0],"longer_edge":64}},"2":{"class_type":"SaveImage","inputs":{"images":["3",0],"filename_prefix":"x"}}}`,
			nil},
		{"feeds nothing", "v0.3.64", `{` + source + `,` + save + `,"3":{"class_type":"ImageInvert","inputs":{"image":["1",0]}},"4":{"class_type":"ImageInvert","inputs":{"image":["3",0]}}}`,
			[]string{"CW009 warning 4"}},
		{"an unreached node's mistakes do not count", "v0.3.64", `{` + source + `,` + save + `,"3":{"class_type":"ImageInvert","inputs":{}}}`, []string{"CW009 warning 3"}},
		{"only a preview", "v0.3.64", `{` + source + `,"2":{"class_type":"PreviewImage","inputs":{"images":["1",0]}}}`, []string{"CW108 warning 2"}},
		{"one of two outputs", "v0.3.64", `{` + source + `,` + save + `,"3":{"class_type":"SaveImage","inputs":{"filename_prefix":"x"}}}`,
			[]string{"CW103 error 3.images required_input_missing", "CW109 error 3"}},
		{"unknown input", "v0.3.64", `{` + source + `,"2":{"class_type":"SaveImage","inputs":{"images":["1",0],"filename_prefx":"x","filename_prefix":"x"}}}`,
			[]string{"CW107 warning 2.filename_prefx"}},
		{"negative slot", "v0.3.64", `{` + source + `,"2":{"class_type":"SaveImage","inputs":{"images":["1",-1],"filename_prefix":"x"}}}`, nil},
		{"negative slot too far", "v0.3.64", `{` + source + `,"2":{"class_type":"SaveImage","inputs":{"images":["1",-2],"filename_prefix":"x"}}}`,
			[]string{"CW011 error 2.images exception_during_validation"}},
		{"slot in quotes", "v0.3.64", `{` + source + `,"2":{"class_type":"SaveImage","inputs":{"images":["1","0"],"filename_prefix":"x"}}}`,
			[]string{"CW010 error 2.images exception_during_validation"}},
		{"cycle of one", "v0.30.2", `{"1":{"class_type":"ImageInvert","inputs":{"image":["1",0]}},` + save + `}`, []string{"CW005 error 1.image dependency_cycle"}},
		{"big seed", "v0.3.64", `{"1":{"class_type":"RandomNoise","inputs":{"noise_seed":18446744073709551615}},"2":{"class_type":"PreviewAny","inputs":{"source":["1",0]}}}`,
			[]string{"CW110 warning 1.noise_seed"}},
		{"seed past the end", "v0.3.64", `{"1":{"class_type":"RandomNoise","inputs":{"noise_seed":18446744073709551616}},"2":{"class_type":"PreviewAny","inputs":{"source":["1",0]}}}`,
			[]string{"CW104 error 1.noise_seed value_bigger_than_max"}},
		{"new combo is not checked before 0.8", "v0.3.64", `{"1":{"class_type":"CaseConverter","inputs":{"string":"a","mode":"x"}},"2":{"class_type":"PreviewAny","inputs":{"source":["1",0]}}}`,
			[]string{"CW105 warning 1.mode"}},
		{"new combo is checked since", "v0.30.2", `{"1":{"class_type":"CaseConverter","inputs":{"string":"a","mode":"x"}},"2":{"class_type":"PreviewAny","inputs":{"source":["1",0]}}}`,
			[]string{"CW105 error 1.mode value_not_in_list"}},
		{"dynamic combo", "v0.30.2", `{` + source + `,"3":{"class_type":"ResizeImageMaskNode","inputs":{"input":["1",0],"resize_type":"scale dimensions","resize_type.width":99999,"resize_type.crop":"center","scale_method":"area"}},` +
			`"2":{"class_type":"SaveImage","inputs":{"images":["3",0],"filename_prefix":"x"}}}`,
			[]string{"CW104 error 3.resize_type.width value_bigger_than_max", "CW103 error 3.resize_type.height required_input_missing"}},
		{"autogrow", "v0.30.2", `{` + source + `,"3":{"class_type":"BatchImagesNode","inputs":{"images.image1":["1",0]}},"2":{"class_type":"SaveImage","inputs":{"images":["3",0],"filename_prefix":"x"}}}`,
			[]string{"CW103 error 3.images.image0 required_input_missing"}},
		{"INT does not fit FLOAT", "v0.3.64", `{"1":{"class_type":"PrimitiveInt","inputs":{"value":3}},"3":{"class_type":"PrimitiveFloat","inputs":{"value":["1",0]}},"2":{"class_type":"PreviewAny","inputs":{"source":["3",0]}}}`,
			[]string{"CW012 error 3.value return_type_mismatch"}},
		{"wrapped list for a text", "v0.3.64", `{"1":{"class_type":"PrimitiveString","inputs":{"value":{"__value__":[1]}}},"2":{"class_type":"PreviewAny","inputs":{"source":["1",0]}}}`, nil},
		{"a paid service", "v0.3.64", `{"1":{"class_type":"OpenAIDalle2","inputs":{"prompt":"x"}},"2":{"class_type":"SaveImage","inputs":{"images":["1",0],"filename_prefix":"x"}}}`,
			[]string{"CW111 warning 1"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			g, list := workflow.Parse("w.json", []byte(tc.src))
			if g == nil || diag.HasErrors(list) {
				t.Fatal(list)
			}
			got := brief(Graph(g, builtin(t, tc.version), GraphOptions{}))
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestUnlockedPacksGiveOneNote(t *testing.T) {
	g, _ := workflow.Parse("w.json", []byte(`{"1":{"class_type":"A","inputs":{}},"2":{"class_type":"B","inputs":{"x":["1",5]}},"3":{"class_type":"SaveImage","inputs":{"images":["2",0],"filename_prefix":"x"}}}`))
	got := brief(Graph(g, builtin(t, "v0.3.64"), GraphOptions{Unlocked: true}))
	if diff := cmp.Diff([]string{"CW101 note 1"}, got); diff != "" {
		t.Error(diff)
	}
}

func TestTypesOfPacksOnlyWarn(t *testing.T) {
	cat, err := catalog.ParseObjectInfo([]byte(`{"A":{"input":{},"output":["X"],"python_module":"custom_nodes.p"},
		"B":{"input":{"required":{"x":["Y"]}},"output":[],"output_node":true,"python_module":"nodes"}}`))
	if err != nil {
		t.Fatal(err)
	}
	g, _ := workflow.Parse("w.json", []byte(`{"1":{"class_type":"A","inputs":{}},"2":{"class_type":"B","inputs":{"x":["1",0]}}}`))
	if diff := cmp.Diff([]string{"CW012 warning 2.x return_type_mismatch"}, brief(Graph(g, cat, GraphOptions{}))); diff != "" {
		t.Error(diff)
	}
}

func TestFits(t *testing.T) {
	for _, tc := range []struct {
		out, in string
		want    bool
	}{
		{"IMAGE", "IMAGE", true}, {"IMAGE", "MASK", false}, {"IMAGE", "IMAGE,MASK", true}, {"A, B", "C , B", true},
		{"*", "IMAGE", true}, {"IMAGE", "*", true}, {"A,*", "IMAGE", true}, {"INT", "FLOAT", false}, {"STRING", "COMBO", false},
		{"COMFY_MATCHTYPE_V3", "IMAGE", true}, {"IMAGE", "COMFY_MATCHTYPE_V3", true},
	} {
		if got := fits(tc.out, &catalog.InputSpec{Type: tc.in}); got != tc.want {
			t.Errorf("%s into %s: %v", tc.out, tc.in, got)
		}
	}
}

// TestCoerce holds the conversions that ComfyUI's Python makes.
func TestCoerce(t *testing.T) {
	for _, tc := range []struct {
		typ, raw, want string // want is empty where it is refused
	}{
		{"INT", `16`, "16"}, {"INT", `"16"`, "16"}, {"INT", `" 1_000 "`, "1000"}, {"INT", `"-3"`, "-3"}, {"INT", `true`, "1"}, {"INT", `1.9`, "1"}, {"INT", `-1.9`, "-1"},
		{"INT", `1e3`, "1000"}, {"INT", `18446744073709551615`, "18446744073709551615"}, {"INT", `"3.7"`, ""}, {"INT", `"abc"`, ""}, {"INT", `""`, ""}, {"INT", `"1__0"`, ""},
		{"INT", `"1-2"`, ""}, {"INT", `null`, ""}, {"INT", `NaN`, ""}, {"INT", `Infinity`, ""}, {"INT", `{}`, ""}, {"INT", `[1]`, ""}, {"INT", `"0x10"`, ""},
		{"FLOAT", `"0.5"`, "0.5"}, {"FLOAT", `true`, "1"}, {"FLOAT", `NaN`, "none"}, {"FLOAT", `"nan"`, "none"}, {"FLOAT", `"-inf"`, "-Inf"}, {"FLOAT", `Infinity`, "+Inf"},
		{"FLOAT", `"1_0.5"`, "10.5"}, {"FLOAT", `null`, ""}, {"FLOAT", `"x"`, ""}, {"FLOAT", `"0x1p3"`, ""}, {"FLOAT", `{}`, ""}, {"FLOAT", `"--inf"`, ""}, {"FLOAT", `""`, ""},
		{"STRING", `123`, "none"}, {"STRING", `null`, "none"}, {"BOOLEAN", `"false"`, "none"}, {"IMAGE", `3`, "none"},
	} {
		n, err := coerce(json.RawMessage(tc.raw), tc.typ)
		got := "none"
		if err != nil {
			got = ""
		} else if n != nil {
			got = n.Text('f', -1)
		}
		if got != tc.want {
			t.Errorf("%s of %s = %q, want %q (%v)", tc.typ, tc.raw, got, tc.want, err)
		}
	}
}

func TestContains(t *testing.T) {
	list := []json.RawMessage{json.RawMessage(`"é"`), json.RawMessage(`512`), json.RawMessage(`"1"`)}
	for raw, want := range map[string]bool{`"\u00e9"`: true, `"É"`: false, `512`: true, `512.0`: true, `"512"`: false, `1`: false, `true`: false, `null`: false} {
		if got := contains(list, json.RawMessage(raw)); got != want {
			t.Errorf("%s: %v", raw, got)
		}
	}
}

// chain is a graph of n nodes.
func chain(n int) []byte {
	var b bytes.Buffer
	b.WriteString(`{"0":{"class_type":"EmptyImage","inputs":{"width":64,"height":64,"batch_size":1,"color":0}}`)
	for i := 1; i < n; i++ {
		fmt.Fprintf(&b, ",\n"+`"%d":{"class_type":"ImageScale","inputs":{"image":["%d",0],"width":64,"height":64,"upscale_method":"lanczos","crop":"disabled"},"_meta":{"title":"Scale"}}`, i, i-1)
	}
	fmt.Fprintf(&b, `,"end":{"class_type":"SaveImage","inputs":{"images":["%d",0],"filename_prefix":"x"}}}`, n-1)
	return b.Bytes()
}

func BenchmarkGraph(b *testing.B) {
	src, cat := chain(1000), builtin(b, "v0.3.64")
	for b.Loop() {
		g, list := workflow.Parse("w", src)
		if list = append(list, Graph(g, cat, GraphOptions{})...); len(list) > 0 {
			b.Fatal(list)
		}
	}
}
