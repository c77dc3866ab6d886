package workflow

import (
	"strconv"

	"github.com/comfyctl/comfyctl/internal/diag"
	"github.com/comfyctl/comfyctl/internal/jsonpos"
)

// Parse reads an API-format workflow, bare or in one of the envelopes that
// other tools write, or the prompt in a picture or video made by ComfyUI. file
// is only used in findings. The graph is nil where there is none to speak of:
// the text is not JSON (CW001), or is the editor's save (CW002), which package
// ui converts.
func Parse(file string, src []byte) (*Graph, []diag.Diagnostic) {
	doc, list := Open(file, src)
	if doc == nil {
		return nil, list
	}
	if doc.EditorSave {
		return nil, append(list, doc.editorSave())
	}
	g, more := doc.Graph()
	return g, append(list, more...)
}

// Graph reads the API-format node map of the document.
func (d *Document) Graph() (*Graph, []diag.Diagnostic) {
	p := &parser{loc: d.loc, src: d.Source}
	g := &Graph{File: d.File, Source: d.Source, Pointer: d.Pointer, byID: map[string]*Node{}}
	p.nodes(g, d.Body)
	g.Span = d.loc.Span(d.Body.Start, d.Body.End)
	return g, p.list
}

const howToExport = "in ComfyUI choose Workflow → Export (API) and give that file"

type parser struct {
	loc  *jsonpos.Locator
	src  []byte
	list []diag.Diagnostic
}

func (p *parser) add(d diag.Diagnostic, start, end int) {
	if d.Severity == "" {
		d.Severity = diag.SeverityError
	}
	d.Span = p.loc.Span(start, end)
	p.list = append(p.list, d)
}

// nodes reads the entries of a node map.
func (p *parser) nodes(g *Graph, body *jsonpos.Value) {
	if len(body.Members) > 0 && !anyNode(body) && !anyInputs(body) {
		p.add(diag.Diagnostic{
			Code: "CW007", Message: "no entry of this file is a node", Label: "none has a `class_type`",
			Help: howToExport, Server: "invalid_prompt",
		}, body.Start, body.Start+1)
		return
	}
	index := make(map[string]int, len(body.Members))
	for _, m := range body.Members {
		n := p.node(g, m)
		at, twice := index[m.Key]
		if !twice {
			index[m.Key] = len(g.Nodes)
			g.Nodes = append(g.Nodes, n)
			g.byID[n.ID] = n
			continue
		}
		d := diag.Diagnostic{
			Code: "CW006", Message: "node id `" + m.Key + "` is set twice", Label: "set again here; ComfyUI keeps only this one",
			Help: "give one of the two another id", Pointer: pointer(g.Pointer, m.Key),
			Related: []diag.Related{{Span: g.Nodes[at].KeySpan, Label: "first set here"}},
		}
		p.add(d, m.KeyStart, m.KeyEnd)
		g.Nodes[at], g.byID[n.ID] = n, n
	}
}

func anyNode(body *jsonpos.Value) bool {
	for i := range body.Members {
		if body.Members[i].Val.Get("class_type") != nil {
			return true
		}
	}
	return false
}

// anyInputs tells a graph whose nodes lost their class from other JSON.
func anyInputs(body *jsonpos.Value) bool {
	for i := range body.Members {
		if v := body.Members[i].Val.Get("inputs"); v != nil && v.Kind == jsonpos.Object {
			return true
		}
	}
	return false
}

func (p *parser) node(g *Graph, m jsonpos.Member) *Node {
	n := &Node{ID: m.Key, Pointer: pointer(g.Pointer, m.Key)}
	n.KeySpan = p.loc.Span(m.KeyStart, m.KeyEnd)
	class := m.Val.Get("class_type")
	if t := m.Val.Get("_meta").Get("title"); t != nil && t.Kind == jsonpos.String {
		n.Title, n.TitleSpan = t.Text, p.loc.Span(t.Start, t.End)
	}
	if class == nil || class.Kind != jsonpos.String || class.Text == "" {
		label, help := "this entry has no `class_type`", "add the class of the node, or remove the entry if it is no node"
		if m.Val.Kind != jsonpos.Object {
			label = "this entry is not an object"
		} else if class != nil && class.Kind == jsonpos.String {
			label = "`class_type` is empty"
		} else if class != nil {
			label = "`class_type` is not a string"
		}
		p.add(diag.Diagnostic{Code: "CW007", Message: "node `" + n.ID + "` has no class", Label: label, Help: help,
			Server: "invalid_prompt", Pointer: n.Pointer, Node: n.Ref()}, m.KeyStart, m.KeyEnd)
	} else {
		n.Class, n.ClassSpan = class.Text, p.loc.Span(class.Start, class.End)
	}
	inputs := m.Val.Get("inputs")
	if inputs != nil && inputs.Kind == jsonpos.Object {
		n.HasInputs, n.InputsSpan = true, p.loc.Span(inputs.Start, inputs.End)
		p.inputs(n, inputs)
	} else if n.Class != "" {
		d := diag.Diagnostic{Code: "CW007", Severity: diag.SeverityWarning,
			Message: "node `" + n.ID + "` has no `inputs`", Label: "ComfyUI can stop working for good on such a node",
			Help: "add \"inputs\": {}; comfyctl packs it like that", Pointer: n.Pointer, Node: n.Ref()}
		if inputs == nil {
			d.Fix = &diag.Fix{Title: "add an empty `inputs`", Safe: true, Edits: []diag.Edit{{Start: class.End, End: class.End, Text: `, "inputs": {}`}}}
		}
		p.add(d, m.KeyStart, m.KeyEnd)
	}
	n.Span = p.loc.Span(m.Val.Start, m.Val.End)
	return n
}

func (p *parser) inputs(n *Node, inputs *jsonpos.Value) {
	base := n.Pointer + "/inputs"
	n.Inputs = make([]*Input, 0, len(inputs.Members))
	all := make([]Input, len(inputs.Members))
	index := make(map[string]int, len(inputs.Members))
	for i := range inputs.Members {
		m, in := &inputs.Members[i], &all[i]
		p.input(in, m, base)
		at, twice := index[m.Key]
		if !twice {
			index[m.Key] = len(n.Inputs)
			n.Inputs = append(n.Inputs, in)
			continue
		}
		p.add(diag.Diagnostic{Code: "CW006", Message: "input `" + m.Key + "` is set twice in node `" + n.ID + "`",
			Label: "set again here; ComfyUI keeps only this one", Help: "remove one of the two", Pointer: in.Pointer, Node: n.Ref(), Input: m.Key,
			Related: []diag.Related{{Span: n.Inputs[at].KeySpan, Label: "first set here"}}}, m.KeyStart, m.KeyEnd)
		n.Inputs[at] = in
	}
}

func (p *parser) input(in *Input, m *jsonpos.Member, base string) {
	*in = Input{Name: m.Key, Raw: p.src[m.Val.Start:m.Val.End:m.Val.End], Text: m.Val.Text,
		Kind: kinds[m.Val.Kind], Pointer: pointer(base, m.Key)}
	in.KeySpan = p.loc.Span(m.KeyStart, m.KeyEnd)
	in.ValueSpan = p.loc.Span(m.Val.Start, m.Val.End)
	if m.Val.Kind == jsonpos.Array {
		in.Link, in.Malformed = p.link(&m.Val)
	}
}

var kinds = [...]Kind{jsonpos.Null: Null, jsonpos.Bool: Bool, jsonpos.Number: Number, jsonpos.NonFinite: NonFinite,
	jsonpos.String: String, jsonpos.Array: Array, jsonpos.Object: Object}

func (p *parser) link(v *jsonpos.Value) (*Link, Malformed) {
	if len(v.Elems) != 2 {
		return nil, WrongLength
	}
	if v.Elems[0].Kind != jsonpos.String {
		return nil, WrongNode
	}
	switch text := string(p.src[v.Elems[1].Start:v.Elems[1].End]); text { // Python counts with booleans
	case "false":
		return &Link{Node: v.Elems[0].Text, Slot: 0}, NotMalformed
	case "true":
		return &Link{Node: v.Elems[0].Text, Slot: 1}, NotMalformed
	}
	slot, err := strconv.Atoi(string(p.src[v.Elems[1].Start:v.Elems[1].End]))
	if v.Elems[1].Kind != jsonpos.Number || err != nil {
		return nil, WrongSlot
	}
	return &Link{Node: v.Elems[0].Text, Slot: slot}, NotMalformed
}
