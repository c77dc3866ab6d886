package workflow

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/comfyctl/comfyctl/internal/diag"
	"github.com/comfyctl/comfyctl/internal/jsonpos"
)

// envelopes are the places where other tools put a prompt, tried in order: the
// body of a POST /prompt, the worker requests of hosting services, the
// frontend's own export object, and the lists of test cases and of ViewComfy.
var envelopes = [][]string{
	{"prompt"},
	{"input", "workflow"},
	{"input", "prompt"},
	{"workflow"},
	{"output"},
	{"workflows", "[]", "workflowApiJSON"},
	{"tests", "[]", "input", "workflow"},
}

// place is a workflow inside a document.
type place struct {
	v       *jsonpos.Value
	pointer string
}

// unwrap finds the workflows in a document. A document that is one comes back
// as the only place; none means that nothing in it looks like a workflow.
func unwrap(root *jsonpos.Value) []place {
	if root.Kind == jsonpos.Object && (anyNode(root) || isEditorSave(root)) {
		return []place{{root, ""}}
	}
	for _, path := range envelopes {
		if found := follow(place{root, ""}, path, nil); len(found) > 0 {
			return found
		}
	}
	found := search(place{root, ""}, 0, nil)
	for _, p := range found {
		// What runs counts before the editor's copy of it.
		if !isEditorSave(p.v) {
			found = apiOnly(found)
			break
		}
	}
	return found
}

func apiOnly(all []place) []place {
	var list []place
	for _, p := range all {
		if !isEditorSave(p.v) {
			list = append(list, p)
		}
	}
	return list
}

// follow walks a path and adds the workflows at its end; "[]" is every element
// of a list.
func follow(p place, path []string, found []place) []place {
	if len(path) == 0 {
		if p.v.Kind == jsonpos.Object && (anyNode(p.v) || isEditorSave(p.v)) {
			found = append(found, p)
		}
		return found
	}
	if path[0] == "[]" {
		if p.v.Kind == jsonpos.Array {
			for i := range p.v.Elems {
				found = follow(place{&p.v.Elems[i], p.pointer + "/" + strconv.Itoa(i)}, path[1:], found)
			}
		}
		return found
	}
	if v := p.v.Get(path[0]); v != nil {
		found = follow(place{v, pointer(p.pointer, path[0])}, path[1:], found)
	}
	return found
}

// maxSearch bounds how deep a workflow is looked for in a file of another
// shape.
const maxSearch = 6

// search adds the workflows that lie anywhere in a document.
func search(p place, depth int, found []place) []place {
	switch {
	case depth > maxSearch:
	case p.v.Kind == jsonpos.Object && (mostlyNodes(p.v) || depth > 0 && isWholeSave(p.v)):
		return append(found, p)
	case p.v.Kind == jsonpos.Object:
		for i := range p.v.Members {
			m := &p.v.Members[i]
			found = search(place{&m.Val, pointer(p.pointer, m.Key)}, depth+1, found)
		}
	case p.v.Kind == jsonpos.Array:
		for i := range p.v.Elems {
			found = search(place{&p.v.Elems[i], p.pointer + "/" + strconv.Itoa(i)}, depth+1, found)
		}
	}
	return found
}

// mostlyNodes tells a node map from an object that has one thing with a class
// in it.
func mostlyNodes(v *jsonpos.Value) bool {
	n := 0
	for i := range v.Members {
		m := &v.Members[i].Val
		if c := m.Get("class_type"); c != nil && c.Kind == jsonpos.String && m.Get("inputs") != nil {
			n++
		}
	}
	return n > 0 && 2*n >= len(v.Members)
}

// isWholeSave tells the editor's save from other JSON with a list of nodes.
func isWholeSave(v *jsonpos.Value) bool {
	nodes, links := v.Get("nodes"), v.Get("links")
	return nodes != nil && links != nil && nodes.Kind == jsonpos.Array && links.Kind == jsonpos.Array &&
		len(nodes.Elems) > 0 && nodes.Elems[0].Get("type") != nil
}

// isEditorSave tells the frontend's own save format.
func isEditorSave(v *jsonpos.Value) bool {
	if n := v.Get("nodes"); n != nil && n.Kind == jsonpos.Array {
		return true
	}
	if v.Get("last_node_id") != nil && v.Get("last_node_id").Kind != jsonpos.Object {
		return true
	}
	version := v.Get("version")
	return version != nil && version.Kind == jsonpos.Number && v.Get("links") != nil
}

// several says that a file holds more than one workflow. None is chosen: they
// would be services of their own.
func several(p *parser, found []place) diag.Diagnostic {
	d := diag.Diagnostic{Code: "CW001", Severity: diag.SeverityError, Message: fmt.Sprintf("this file holds %d workflows", len(found)), Label: "one at " + found[0].pointer}
	d.Span, d.Pointer = p.loc.Span(found[0].v.Start, found[0].v.Start+1), found[0].pointer
	var others []string
	for i, f := range found {
		if i > 0 && i < 10 {
			d.Related = append(d.Related, diag.Related{Span: p.loc.Span(f.v.Start, f.v.Start+1), Label: "one at " + f.pointer})
		}
		if i < 10 {
			others = append(others, f.pointer)
		}
	}
	d.Help = "write the one that is meant into a file of its own; they are at " + strings.Join(others, ", ")
	return d
}
