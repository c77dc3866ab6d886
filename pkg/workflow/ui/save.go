package ui

import (
	"encoding/json"
	"strconv"

	"github.com/comfyctl/comfyctl/internal/jsonpos"
	"github.com/comfyctl/comfyctl/pkg/workflow"
)

// text is the text of a string, or the digits of a number: ids are written as
// either.
func text(src []byte, v *jsonpos.Value) string {
	switch {
	case v == nil:
		return ""
	case v.Kind == jsonpos.String:
		return v.Text
	case v.Kind == jsonpos.Number:
		return string(src[v.Start:v.End])
	}
	return ""
}

// integer reads a number, or a number as text.
func integer(src []byte, v *jsonpos.Value, otherwise int) int {
	n, err := strconv.Atoi(text(src, v))
	if err != nil {
		return otherwise
	}
	return n
}

func list(v *jsonpos.Value) []jsonpos.Value {
	if v == nil || v.Kind != jsonpos.Array {
		return nil
	}
	return v.Elems
}

// reader turns the saved file into graphs without knowledge of classes.
type reader struct {
	doc *workflow.Document
	src []byte
}

func (r *reader) value(v *jsonpos.Value) value {
	return value{raw: json.RawMessage(r.src[v.Start:v.End:v.End]), start: v.Start, end: v.End}
}

// graph reads nodes and links of the root or of a subgraph.
func (r *reader) graph(v *jsonpos.Value, pointer string) *graph {
	g := &graph{byID: map[string]*node{}, links: map[string]*link{}}
	g.id, g.name = text(r.src, v.Get("id")), text(r.src, v.Get("name"))
	for i, l := range list(v.Get("links")) {
		if l := r.link(&list(v.Get("links"))[i], &l); l != nil {
			g.links[l.id] = l
			if n, err := strconv.Atoi(l.id); err == nil {
				g.lastLink = max(g.lastLink, n)
			}
		}
	}
	nodes := list(v.Get("nodes"))
	for i := range nodes {
		if nodes[i].Kind != jsonpos.Object {
			continue
		}
		n := r.node(&nodes[i])
		n.in, n.pointer = g, pointer+"/nodes/"+strconv.Itoa(i)
		g.nodes = append(g.nodes, n)
	}
	g.inputs, g.outputs = r.ports(v.Get("inputs")), r.ports(v.Get("outputs"))
	return g
}

func (r *reader) link(at, v *jsonpos.Value) *link {
	l := &link{start: at.Start, end: at.End}
	switch v.Kind {
	case jsonpos.Array:
		if len(v.Elems) < 5 {
			return nil
		}
		e := v.Elems
		l.id, l.from, l.to = text(r.src, &e[0]), text(r.src, &e[1]), text(r.src, &e[3])
		l.fromSlot, l.toSlot = integer(r.src, &e[2], -1), integer(r.src, &e[4], -1)
	case jsonpos.Object:
		l.id, l.from, l.to = text(r.src, v.Get("id")), text(r.src, v.Get("origin_id")), text(r.src, v.Get("target_id"))
		l.fromSlot, l.toSlot = integer(r.src, v.Get("origin_slot"), -1), integer(r.src, v.Get("target_slot"), -1)
	}
	if l.id == "" {
		return nil
	}
	return l
}

func (r *reader) ports(v *jsonpos.Value) []*port {
	var ports []*port
	slots := list(v)
	for i := range slots {
		p := &port{name: text(r.src, slots[i].Get("name")), typ: r.typ(slots[i].Get("type"))}
		p.links = r.ids(slots[i].Get("linkIds"))
		ports = append(ports, p)
	}
	return ports
}

func (r *reader) ids(v *jsonpos.Value) []string {
	var ids []string
	elems := list(v)
	for i := range elems {
		if id := text(r.src, &elems[i]); id != "" {
			ids = append(ids, id)
		}
	}
	return ids
}

// typ is the type of a slot; a list of options is a COMBO.
func (r *reader) typ(v *jsonpos.Value) string {
	if v != nil && v.Kind == jsonpos.Array {
		return "COMBO"
	}
	return text(r.src, v)
}

// node reads what the file says of a node.
func (r *reader) node(v *jsonpos.Value) *node {
	n := &node{saved: v, id: text(r.src, v.Get("id")), typ: text(r.src, v.Get("type")), mode: integer(r.src, v.Get("mode"), 0)}
	n.title = text(r.src, v.Get("title"))
	inputs := list(v.Get("inputs"))
	for i := range inputs {
		s := &slot{name: text(r.src, inputs[i].Get("name")), typ: r.typ(inputs[i].Get("type")), link: text(r.src, inputs[i].Get("link"))}
		s.widget = text(r.src, inputs[i].Get("widget").Get("name"))
		n.inputs = append(n.inputs, s)
	}
	outputs := list(v.Get("outputs"))
	for i := range outputs {
		n.outputs = append(n.outputs, &output{typ: r.typ(outputs[i].Get("type")), links: r.ids(outputs[i].Get("links"))})
	}
	return n
}
