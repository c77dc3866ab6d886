package validate

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/comfyctl/comfyctl/internal/diag"
	"github.com/comfyctl/comfyctl/pkg/contract"
	"github.com/comfyctl/comfyctl/pkg/service"
	"github.com/comfyctl/comfyctl/pkg/workflow"
)

// inferred proposes inputs for a graph whose service file lists none: what
// people change between runs.
func (x *resolver) inferred(r ref) []contract.Input {
	inf := &inference{x: x, names: map[string]int{}}
	inf.texts()
	inf.files()
	inf.numbers()
	inf.models()
	list := []contract.Input{}
	var lines []string
	for _, in := range inf.list {
		out := x.input(in, r.in+"/"+escape(in.Name), map[contract.Target]string{})
		list = append(list, out)
		lines = append(lines, fmt.Sprintf("  %s: %s", in.Name, strings.Join(in.To, ", ")))
	}
	d := diag.Diagnostic{Code: "CY110", Severity: diag.SeverityNote, Message: fmt.Sprintf("%s inferred from %s", plural(len(list), "input is", "inputs are"), r.w.File),
		Help: "write them down to fix the API:\ninputs:\n" + strings.Join(lines, "\n")}
	if len(lines) == 0 {
		d.Help = "nothing in the graph looks like an input; write them down under `inputs:`"
	}
	at := r.in
	if !x.l.plan.Service.Has(at) {
		at = r.at
	}
	x.l.key(at, d)
	return list
}

type inference struct {
	x     *resolver
	list  []service.Input
	names map[string]int
}

// add proposes an input under a name that is free.
func (f *inference) add(name string, in service.Input) {
	f.names[name]++
	if n := f.names[name]; n > 1 {
		name = fmt.Sprintf("%s_%d", name, n)
	}
	in.Name = name
	f.list = append(f.list, in)
}

// texts finds the prompts: the texts behind what samplers call positive and
// negative, or behind the conditioning of a guider.
func (f *inference) texts() {
	taken := map[string]bool{}
	for _, role := range []struct{ input, name string }{{"positive", "prompt"}, {"conditioning", "prompt"}, {"negative", "negative"}} {
		for _, n := range f.x.g.Nodes {
			in := n.Input(role.input)
			if in == nil || in.Link == nil || role.input == "conditioning" && !strings.Contains(n.Class, "Guider") {
				continue
			}
			node, field := f.behind(in.Link.Node)
			if node == nil || taken[node.ID+"."+field] {
				continue
			}
			taken[node.ID+"."+field] = true
			f.add(role.name, service.Input{To: service.StringList{node.ID + "." + field}, Type: contract.TypeText})
		}
	}
}

// behind walks back from a node to the nearest one with a long text of its own.
func (f *inference) behind(id string) (*workflow.Node, string) {
	queue, seen := []string{id}, map[string]bool{}
	for len(queue) > 0 {
		id, queue = queue[0], queue[1:]
		n := f.x.g.Node(id)
		if n == nil || seen[id] {
			continue
		}
		seen[id] = true
		for _, s := range f.x.specs(n) {
			if in := n.Input(s.Name); in != nil && in.Kind == workflow.String && s.Type == "STRING" && s.Multiline {
				return n, s.Name
			}
		}
		for _, in := range n.Inputs {
			if in.Link != nil {
				queue = append(queue, in.Link.Node)
			}
		}
	}
	return nil, ""
}

// files finds the uploads.
func (f *inference) files() {
	for _, n := range f.x.g.Nodes {
		for _, s := range f.x.specs(n) {
			if in := n.Input(s.Name); in != nil && in.Kind == workflow.String && s.File != "" && s.File != "folder" {
				t := fileType(n.Class, s.File)
				name := t
				if t == contract.TypeModel3 {
					name, t = "model_3d", contract.TypeFile
				} else if t == contract.TypeLatent {
					t = contract.TypeFile
				}
				f.add(name, service.Input{To: service.StringList{n.ID + "." + s.Name}, Type: t, Required: true})
			}
		}
	}
}

// numbers finds seed, steps, guidance and size. Nodes with the same value of
// one kind share an input.
func (f *inference) numbers() {
	for _, kind := range []struct {
		name  string
		match func(n *workflow.Node, input string, seed bool) bool
	}{
		{"seed", func(_ *workflow.Node, input string, seed bool) bool {
			return seed && strings.HasSuffix(input, "seed")
		}},
		{"steps", func(_ *workflow.Node, input string, _ bool) bool { return input == "steps" }},
		{"cfg", func(_ *workflow.Node, input string, _ bool) bool { return input == "cfg" || input == "guidance" }},
		{"width", func(n *workflow.Node, input string, _ bool) bool {
			return input == "width" && strings.HasPrefix(n.Class, "Empty")
		}},
		{"height", func(n *workflow.Node, input string, _ bool) bool {
			return input == "height" && strings.HasPrefix(n.Class, "Empty")
		}},
	} {
		var groups []service.Input
		var values []json.RawMessage
		for _, n := range f.x.g.Nodes {
			for _, s := range f.x.specs(n) {
				in := n.Input(s.Name)
				if in == nil || in.Kind != workflow.Number || !kind.match(n, s.Name, s.Seed) {
					continue
				}
				to := n.ID + "." + s.Name
				i := 0
				for i < len(groups) && kind.name != "seed" && !bytes.Equal(values[i], in.Raw) {
					i++
				}
				if i == len(groups) {
					groups, values = append(groups, service.Input{}), append(values, in.Raw)
				}
				groups[i].To = append(groups[i].To, to)
			}
		}
		for _, in := range groups {
			if kind.name == "seed" {
				in.Type, in.Default = contract.TypeSeed, &service.Literal{RawMessage: json.RawMessage(`"random"`)}
			}
			f.add(kind.name, in)
		}
	}
}

// models offers a choice where the service lists several files for a loader.
func (f *inference) models() {
	for _, n := range f.x.g.Nodes {
		for _, s := range f.x.specs(n) {
			if s.Folder == "" || n.Input(s.Name) == nil || n.Input(s.Name).Kind != workflow.String {
				continue
			}
			p := place{node: n, in: n.Input(s.Name), spec: &s}
			if options := f.x.options(p); len(options) > 1+len(s.Enum) {
				f.add("model", service.Input{To: service.StringList{n.ID + "." + s.Name}, Type: contract.TypeEnum})
			}
		}
	}
}
