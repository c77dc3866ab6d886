package inputs

import (
	"encoding/json"
	"testing"

	"pgregory.net/rapid"

	"github.com/comfyctl/comfyctl/pkg/contract"
	"github.com/comfyctl/comfyctl/pkg/runner/prompt"
)

// Whatever a caller sends, it becomes a scalar of the input's type in the
// place of that input, and changes nothing else of the graph: no link, no node,
// no file name.
func TestRow32NothingEscapesItsPlace(t *testing.T) {
	kinds := map[string]string{"string": contract.TypeString, "text": contract.TypeText, "int": contract.TypeInt, "float": contract.TypeFloat, "bool": contract.TypeBool, "seed": contract.TypeSeed}
	wf := &contract.Workflow{Name: "w", Graph: json.RawMessage(`{
		"1":{"class_type":"A","inputs":{"string":"","text":"","int":0,"float":0,"bool":false,"seed":0,"model":["2",0]}},
		"2":{"class_type":"B","inputs":{"ckpt_name":"x"}},
		"3":{"class_type":"SaveImage","inputs":{"images":["1",0],"filename_prefix":"out"}}}`)}
	for name, typ := range kinds {
		wf.Inputs = append(wf.Inputs, contract.Input{Name: name, Type: typ, To: []contract.Target{{Node: "1", Input: name}}})
	}
	was, err := prompt.Decode(wf.Graph)
	if err != nil {
		t.Fatal(err)
	}
	values := rapid.OneOf(
		rapid.SampledFrom([]string{`["2",0]`, `{"__value__":[1]}`, `{"class_type":"X"}`, `[]`, `{}`, `null`, `true`, `0`, `-1`, `1e999`, `18446744073709551615`, `"["`, `"../../x"`, `"\u0000"`, `"},\"9\":{"`}),
		rapid.Custom(func(t *rapid.T) string {
			b, _ := json.Marshal(rapid.String().Draw(t, "text"))
			return string(b)
		}),
		rapid.Custom(func(t *rapid.T) string {
			b, _ := json.Marshal(rapid.Float64().Draw(t, "number"))
			return string(b)
		}),
	)
	rapid.Check(t, func(t *rapid.T) {
		input := map[string]json.RawMessage{}
		for name := range kinds {
			if rapid.Bool().Draw(t, "sent "+name) {
				input[name] = json.RawMessage(values.Draw(t, name))
			}
		}
		bound, faults, err := Bind(t.Context(), wf, input, "/input", nil)
		if err != nil {
			t.Fatal(err)
		}
		if len(faults) > 0 {
			return
		}
		got, err := prompt.Decode(bound.Graph)
		if err != nil || len(got) != len(was) {
			t.Fatalf("the graph became %s: %v", bound.Graph, err)
		}
		for id, n := range got {
			if n.ClassType != was[id].ClassType || len(n.Inputs) != len(was[id].Inputs) {
				t.Fatalf("node %s became %s", id, bound.Graph)
			}
			for name, v := range n.Inputs {
				if id == "1" && kinds[name] != "" {
					if len(v) == 0 || v[0] == '[' || v[0] == '{' || string(v) == "null" {
						t.Fatalf("the input %s became %s", name, v)
					}
				} else if string(v) != string(was[id].Inputs[name]) {
					t.Fatalf("%s of node %s became %s", name, id, v)
				}
			}
		}
	})
}
