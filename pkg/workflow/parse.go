package workflow

import (
	"bytes"
	"strconv"
	"unicode/utf8"

	"github.com/comfyctl/comfyctl/internal/diag"
)

// Parse reads an API-format workflow, bare or in one of the envelopes that
// other tools write, or the prompt chunk of a PNG made by ComfyUI. file is only
// used in findings. The graph is nil where there is none to speak of: the text
// is not JSON (CW001), or is the editor's save (CW002).
func Parse(file string, src []byte) (*Graph, []diag.Diagnostic) {
	if IsPNG(src) {
		prompt, d := promptOf(file, src)
		if d != nil {
			return nil, []diag.Diagnostic{*d}
		}
		src = prompt
	}
	from, d := encoding(file, src)
	if d != nil {
		return nil, []diag.Diagnostic{*d}
	}
	root, odd, bad := scan(src, from)
	p := &parser{loc: newLocator(file, src, from)}
	if bad != nil {
		p.add(diag.Diagnostic{Code: "CW001", Message: "this is not JSON: " + bad.message, Label: bad.label, Help: bad.help}, bad.at, bad.end)
		return nil, p.list
	}
	for _, v := range odd {
		p.nonFinite(v)
	}
	body, base := unwrap(&root)
	if body == nil || body.kind != kindObject {
		p.add(diag.Diagnostic{Code: "CW001", Message: "this JSON is no workflow", Label: "the API format is an object that maps node ids to nodes",
			Help: howToExport}, root.start, root.start+1)
		return nil, p.list
	}
	if isEditorSave(body) {
		p.editorSave(body)
		return nil, p.list
	}
	g := &Graph{File: file, Source: src, Pointer: base, byID: map[string]*Node{}}
	p.nodes(g, body)
	g.Span = p.loc.span(body.start, body.end)
	return g, p.list
}

const howToExport = "in ComfyUI choose Workflow → Export (API) and give that file"

type parser struct {
	loc  *locator
	list []diag.Diagnostic
}

func (p *parser) add(d diag.Diagnostic, start, end int) {
	if d.Severity == "" {
		d.Severity = diag.SeverityError
	}
	d.Span = p.loc.span(start, end)
	p.list = append(p.list, d)
}

// encoding finds where the text starts (after a BOM) and refuses what is not
// UTF-8.
func encoding(file string, src []byte) (int, *diag.Diagnostic) {
	d := diag.Diagnostic{Code: "CW001", Severity: diag.SeverityError}
	d.File = file
	switch {
	case len(bytes.TrimSpace(src)) == 0:
		d.Message, d.Help = "the file is empty", howToExport
		return 0, &d
	case looksUTF16(src):
		d.Message = "this is not JSON: the file is UTF-16"
		d.Help = "save it as UTF-8; in PowerShell use `Set-Content -Encoding utf8` instead of `>`"
		return 0, &d
	case !utf8.Valid(src):
		at := 0
		for at < len(src) {
			r, n := utf8.DecodeRune(src[at:])
			if r == utf8.RuneError && n == 1 {
				break
			}
			at += n
		}
		d.Span = newLocator(file, src, 0).span(at, at+1)
		d.Message, d.Label, d.Help = "this is not JSON: the file is not UTF-8", "not a UTF-8 byte", "save it as UTF-8"
		return 0, &d
	}
	if bytes.HasPrefix(src, []byte("\xef\xbb\xbf")) {
		return 3, nil
	}
	return 0, nil
}

// looksUTF16 is true for a UTF-16 byte order mark, and without one for a text
// whose first character is ASCII in 16 bits.
func looksUTF16(src []byte) bool {
	if len(src) < 4 {
		return false
	}
	return src[0] == 0xfe && src[1] == 0xff || src[0] == 0xff && src[1] == 0xfe ||
		src[0] == 0 && src[1] != 0 && src[2] == 0 || src[0] != 0 && src[1] == 0 && src[3] == 0
}

func (p *parser) nonFinite(v value) {
	text := string(p.loc.src[v.start:v.end])
	p.add(diag.Diagnostic{
		Code: "CW003", Message: "`" + text + "` is not JSON", Label: "ComfyUI writes this; JSON has no such number",
		Help: "replace it with null, or with the number that was meant",
		Fix: &diag.Fix{Title: "replace with null", Safe: true,
			Edits: []diag.Edit{{Start: v.start, End: v.end, Text: "null"}}},
	}, v.start, v.end)
}

func (p *parser) editorSave(body *value) {
	has := "`nodes`"
	if body.get("nodes") == nil {
		has = "`last_node_id`"
	} else if body.get("links") != nil {
		has = "`nodes` and `links`"
	}
	p.add(diag.Diagnostic{
		Code: "CW002", Message: "this is ComfyUI's editor save, not the API export",
		Label: "has " + has + "; the API format maps node ids to nodes",
		Help:  howToExport, Server: "invalid_prompt",
	}, body.start, body.start+1)
}

// nodes reads the entries of a node map.
func (p *parser) nodes(g *Graph, body *value) {
	if len(body.members) > 0 && !anyNode(body) && !anyInputs(body) {
		p.add(diag.Diagnostic{
			Code: "CW007", Message: "no entry of this file is a node", Label: "none has a `class_type`",
			Help: howToExport, Server: "invalid_prompt",
		}, body.start, body.start+1)
		return
	}
	index := make(map[string]int, len(body.members))
	for _, m := range body.members {
		n := p.node(g, m)
		at, twice := index[m.key]
		if !twice {
			index[m.key] = len(g.Nodes)
			g.Nodes = append(g.Nodes, n)
			g.byID[n.ID] = n
			continue
		}
		d := diag.Diagnostic{
			Code: "CW006", Message: "node id `" + m.key + "` is set twice", Label: "set again here; ComfyUI keeps only this one",
			Help: "give one of the two another id", Pointer: pointer(g.Pointer, m.key),
			Related: []diag.Related{{Span: g.Nodes[at].KeySpan, Label: "first set here"}},
		}
		p.add(d, m.keyStart, m.keyEnd)
		g.Nodes[at], g.byID[n.ID] = n, n
	}
}

func anyNode(body *value) bool {
	for i := range body.members {
		if body.members[i].val.get("class_type") != nil {
			return true
		}
	}
	return false
}

// anyInputs tells a graph whose nodes lost their class from other JSON.
func anyInputs(body *value) bool {
	for i := range body.members {
		if v := body.members[i].val.get("inputs"); v != nil && v.kind == kindObject {
			return true
		}
	}
	return false
}

func (p *parser) node(g *Graph, m member) *Node {
	n := &Node{ID: m.key, Pointer: pointer(g.Pointer, m.key)}
	n.KeySpan = p.loc.span(m.keyStart, m.keyEnd)
	class := m.val.get("class_type")
	if t := m.val.get("_meta").get("title"); t != nil && t.kind == kindString {
		n.Title, n.TitleSpan = t.text, p.loc.span(t.start, t.end)
	}
	if class == nil || class.kind != kindString {
		label, help := "this entry has no `class_type`", "add the class of the node, or remove the entry if it is no node"
		if m.val.kind != kindObject {
			label = "this entry is not an object"
		} else if class != nil {
			label = "`class_type` is not a string"
		}
		p.add(diag.Diagnostic{Code: "CW007", Message: "node `" + n.ID + "` has no class", Label: label, Help: help,
			Server: "invalid_prompt", Pointer: n.Pointer, Node: n.Ref()}, m.keyStart, m.keyEnd)
	} else {
		n.Class, n.ClassSpan = class.text, p.loc.span(class.start, class.end)
	}
	inputs := m.val.get("inputs")
	if inputs != nil && inputs.kind == kindObject {
		n.HasInputs, n.InputsSpan = true, p.loc.span(inputs.start, inputs.end)
		p.inputs(n, inputs)
	} else if n.Class != "" {
		p.add(diag.Diagnostic{Code: "CW007", Severity: diag.SeverityWarning,
			Message: "node `" + n.ID + "` has no `inputs`", Label: "ComfyUI can stop working for good on such a node",
			Help: "add \"inputs\": {}; comfyctl packs it like that", Pointer: n.Pointer, Node: n.Ref()}, m.keyStart, m.keyEnd)
	}
	n.Span = p.loc.span(m.val.start, m.val.end)
	return n
}

func (p *parser) inputs(n *Node, inputs *value) {
	base := n.Pointer + "/inputs"
	n.Inputs = make([]*Input, 0, len(inputs.members))
	index := make(map[string]int, len(inputs.members))
	for i := range inputs.members {
		m := &inputs.members[i]
		in := p.input(m, base)
		at, twice := index[m.key]
		if !twice {
			index[m.key] = len(n.Inputs)
			n.Inputs = append(n.Inputs, in)
			continue
		}
		p.add(diag.Diagnostic{Code: "CW006", Message: "input `" + m.key + "` is set twice in node `" + n.ID + "`",
			Label: "set again here; ComfyUI keeps only this one", Help: "remove one of the two", Pointer: in.Pointer, Node: n.Ref(), Input: m.key,
			Related: []diag.Related{{Span: n.Inputs[at].KeySpan, Label: "first set here"}}}, m.keyStart, m.keyEnd)
		n.Inputs[at] = in
	}
}

func (p *parser) input(m *member, base string) *Input {
	in := &Input{Name: m.key, Raw: p.loc.src[m.val.start:m.val.end:m.val.end], Text: m.val.text,
		Kind: kinds[m.val.kind], Pointer: pointer(base, m.key)}
	in.KeySpan = p.loc.span(m.keyStart, m.keyEnd)
	in.ValueSpan = p.loc.span(m.val.start, m.val.end)
	if m.val.kind == kindArray {
		in.Link, in.Malformed = p.link(&m.val)
	}
	return in
}

var kinds = [...]Kind{kindNull: Null, kindBool: Bool, kindNumber: Number, kindNonFinite: NonFinite,
	kindString: String, kindArray: Array, kindObject: Object}

func (p *parser) link(v *value) (*Link, Malformed) {
	if len(v.elems) != 2 {
		return nil, WrongLength
	}
	if v.elems[0].kind != kindString {
		return nil, WrongNode
	}
	slot, err := strconv.Atoi(string(p.loc.src[v.elems[1].start:v.elems[1].end]))
	if v.elems[1].kind != kindNumber || err != nil {
		return nil, WrongSlot
	}
	return &Link{Node: v.elems[0].text, Slot: slot}, NotMalformed
}
