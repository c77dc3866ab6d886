package ui

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/comfyctl/comfyctl/internal/diag"
	"github.com/comfyctl/comfyctl/internal/jsonpos"
	"github.com/comfyctl/comfyctl/pkg/workflow"
)

// emitter writes the loaded graph in the API format.
type emitter struct {
	*builder
	resolver
	flat []*run
}

// flatten lists the nodes of a graph with those of the subgraphs that it uses.
// At the root, what is inside of a muted or bypassed subgraph is left out.
func (e *emitter) flatten(g *graph, outer *run, depth int) error {
	if depth > maxDepth {
		return errors.New("subgraphs are nested too deep, or in each other")
	}
	for _, n := range g.nodes {
		x := &run{id: child(outer, n.id), node: n, outer: outer}
		if len(e.flat) >= maxRuns {
			return fmt.Errorf("subgraphs unfold to more than %d nodes", maxRuns)
		}
		e.flat = append(e.flat, x)
		e.runs[x.id] = x
		if n.kind == host && (outer != nil || n.runs()) {
			if err := e.flatten(n.sub, x, depth+1); err != nil {
				return err
			}
		}
	}
	return nil
}

// runs tells whether a node is neither muted nor bypassed.
func (n *node) runs() bool { return n.mode != muted && n.mode != bypassed }

// emitted tells whether a node is in the API format.
func (x *run) emitted() bool {
	return x.node.runs() && (x.node.kind == plain || x.node.kind == unknown)
}

// graph makes the API graph.
func (e *emitter) graph() *workflow.Graph {
	if err := e.flatten(e.root, nil, 0); err != nil {
		e.add(diag.Diagnostic{Code: "CW002", Message: "this editor save cannot be converted", Label: err.Error(), Help: howToExport}, e.doc.Body.Start, e.doc.Body.Start+1)
		return nil
	}
	if e.unknown() {
		return nil
	}
	var nodes []*workflow.Node
	for _, x := range e.flat {
		if x.emitted() {
			nodes = append(nodes, e.node(x))
		}
	}
	return workflow.New(e.doc.File, e.src, e.doc.Pointer, e.doc.At(e.doc.Body), nodes)
}

const howToExport = "in ComfyUI choose Workflow → Export (API) and give that file"

// unknown files one finding about the classes without a schema. The values of
// such a node have no names, so that it cannot be converted.
func (e *emitter) unknown() bool {
	var classes []string
	var first *node
	var others []diag.Related
	for _, x := range e.flat {
		if !x.emitted() || x.node.kind != unknown {
			continue
		}
		class := "`" + x.node.typ + "`"
		if slices.Contains(classes, class) {
			continue
		}
		classes = append(classes, class)
		if first == nil {
			first = x.node
			continue
		}
		start, end := e.typeAt(x.node)
		others = append(others, diag.Related{Span: e.doc.Range(start, end), Label: "and this class"})
	}
	if first == nil {
		return false
	}
	message := "this is ComfyUI's editor save, and node class " + classes[0] + " is not known here"
	if len(classes) > 1 {
		message = fmt.Sprintf("this is ComfyUI's editor save, and %d node classes are not known here: %s", len(classes), strings.Join(classes, ", "))
	}
	start, end := e.typeAt(first)
	e.add(diag.Diagnostic{Code: "CW002", Message: message, Label: "the values of this node cannot be named without its class",
		Help:    howToExport + ", or give the classes with --object-info",
		Pointer: first.pointer, Node: &diag.Node{ID: first.id, Class: first.typ, Title: first.title}, Related: others, Server: "invalid_prompt"}, start, end)
	return true
}

// typeAt is where the file names the class of a node.
func (e *emitter) typeAt(n *node) (start, end int) {
	return place(n.saved.Get("type"), n.saved)
}

func place(v, otherwise *jsonpos.Value) (start, end int) {
	if v == nil {
		return otherwise.Start, otherwise.Start + 1
	}
	return v.Start, v.End
}

func (e *emitter) node(x *run) *workflow.Node {
	n := x.node
	out := &workflow.Node{ID: x.id, Class: n.typ, Title: n.title, HasInputs: true, Pointer: n.pointer}
	out.Span = e.doc.At(n.saved)
	out.KeySpan = e.doc.Range(place(n.saved.Get("id"), n.saved))
	out.ClassSpan = e.doc.Range(e.typeAt(n))
	if v := n.saved.Get("title"); v != nil {
		out.TitleSpan = e.doc.At(v)
	}
	if v := n.saved.Get("widgets_values"); v != nil {
		out.InputsSpan = e.doc.At(v)
	}
	for _, w := range n.widgets {
		if w.inner || w.name == "" || w.kind == "SHIM" {
			continue
		}
		e.drawn(out, w)
		e.put(out, n, w.name, e.exported(n, w))
	}
	for i, s := range n.inputs {
		e.links = maxLinks
		from, err := e.input(x, i, "")
		if err != nil {
			e.broken(x, s, err)
			continue
		}
		switch {
		case from == nil:
		case from.own != nil:
			v := from.own.value
			v.raw = wrapped("", v.raw)
			e.put(out, n, s.name, v)
		case from.run.emitted():
			e.wire(out, n, s.name, from)
		default:
			// The other end is not exported, and the editor drops the input.
			out.Inputs = slices.DeleteFunc(out.Inputs, func(in *workflow.Input) bool { return in.Name == s.name })
		}
	}
	return out
}

// drawn warns of a value that the editor makes in the browser on every run.
func (e *emitter) drawn(out *workflow.Node, w *widget) {
	if w.kind != "LOAD_3D" && w.kind != "WEBCAM" && w.kind != "AUDIO_RECORD" || w.name == "viewport_state" {
		return
	}
	d := diag.Diagnostic{Code: "CW002", Severity: diag.SeverityWarning,
		Message: fmt.Sprintf("input `%s` of node %s %s is made in the browser for every run", w.name, out.ID, out.Class),
		Label:   "a service has no browser to make it in", Help: "replace the node by one that loads a file",
		Pointer: out.Pointer, Node: out.Ref(), Input: w.name}
	d.Span = out.ClassSpan
	e.list = append(e.list, d)
}

// exported is the value of a widget as the editor exports it.
func (e *emitter) exported(n *node, w *widget) value {
	v := w.value
	switch {
	case w.name == "index" && n.class.Name == "CustomCombo":
		return v.with(json.RawMessage(strconv.Itoa(n.optionIndex())))
	case w.dynamic:
		if s, ok := v.text(); ok {
			if t, _ := chosen(s); t != s {
				v = v.with(quoted(t))
			}
		}
	case w.name == "filename_prefix" && saves[n.typ]:
		v = e.replaced(v)
	}
	v.raw = wrapped(w.kind, v.raw)
	return v
}

// optionIndex is the place of the chosen text among the options.
func (n *node) optionIndex() int {
	for i, w := range n.widgets[min(2, len(n.widgets)):] {
		if string(w.value.raw) == string(n.widgets[0].value.raw) {
			return i
		}
	}
	return -1
}

// wrapped protects a list from being taken for a link.
func wrapped(kind string, raw json.RawMessage) json.RawMessage {
	if len(raw) == 0 || raw[0] != '[' {
		return raw
	}
	head := `{"__value__":`
	if kind == "CURVE" {
		head = `{"__type__":"CURVE","__value__":`
	}
	return slices.Concat([]byte(head), raw, []byte("}"))
}

// put sets an input to a constant; none at all leaves it out.
func (e *emitter) put(out *workflow.Node, n *node, name string, v value) {
	if v.raw == nil {
		return
	}
	in := &workflow.Input{Name: name, Raw: v.raw, Kind: kindOf(v.raw), Derived: v.made || v.end == 0 || v.raw[0] == '{' && e.src[v.start] != '{'}
	if in.Kind == workflow.String {
		in.Text, _ = v.text()
	}
	in.Pointer = v.pointer
	start, end := v.start, v.end
	if v.end == 0 {
		in.Pointer = n.pointer
		start, end = e.typeAt(n)
	}
	in.ValueSpan = e.doc.Range(start, end)
	in.KeySpan = in.ValueSpan
	e.set(out, in)
}

// wire sets an input to a link.
func (e *emitter) wire(out *workflow.Node, n *node, name string, from *source) {
	in := &workflow.Input{Name: name, Kind: workflow.Array, Derived: true, Pointer: n.pointer,
		Link: &workflow.Link{Node: from.run.id, Slot: from.slot}}
	in.Raw = slices.Concat([]byte("["), quoted(from.run.id), []byte(","+strconv.Itoa(from.slot)+"]"))
	in.ValueSpan = e.doc.Range(from.link.start, from.link.end)
	if from.link.end == 0 {
		in.ValueSpan = e.doc.Range(e.typeAt(n))
	}
	in.KeySpan = in.ValueSpan
	e.set(out, in)
}

func (e *emitter) set(out *workflow.Node, in *workflow.Input) {
	for i, old := range out.Inputs {
		if old.Name == in.Name {
			out.Inputs[i] = in
			return
		}
	}
	out.Inputs = append(out.Inputs, in)
}

func kindOf(raw json.RawMessage) workflow.Kind {
	switch raw[0] {
	case '"':
		return workflow.String
	case '{':
		return workflow.Object
	case '[':
		return workflow.Array
	case 't', 'f':
		return workflow.Bool
	case 'n':
		return workflow.Null
	case 'N', 'I':
		return workflow.NonFinite
	}
	if strings.HasPrefix(string(raw), "-I") {
		return workflow.NonFinite
	}
	return workflow.Number
}

// broken files a link that leads nowhere or in a circle.
func (e *emitter) broken(x *run, s *slot, err error) {
	var b *broken
	if !errors.As(err, &b) {
		return
	}
	d := diag.Diagnostic{Code: "CW004", Message: fmt.Sprintf("input `%s` of node %s is linked to a node that is not there", s.name, x.id),
		Label: "this link leads nowhere", Help: "open the file in ComfyUI, connect the input again and save",
		Pointer: x.node.pointer, Node: &diag.Node{ID: x.id, Class: x.node.typ, Title: x.node.title}, Input: s.name,
		Server: "exception_during_validation"}
	if b.circle {
		d.Code, d.Label = "CW005", "the way of this link leads back to itself"
		d.Message = fmt.Sprintf("the link into input `%s` of node %s goes in a circle", s.name, x.id)
	}
	start, end := e.typeAt(x.node)
	if b.at != nil && b.at.end > 0 {
		start, end = b.at.start, b.at.end
	}
	e.add(d, start, end)
}
