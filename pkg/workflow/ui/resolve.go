package ui

import (
	"strings"
)

// run is a node in the flattened graph: one for every way to it through
// subgraphs. Its id is the path of ids, joined by colons.
type run struct {
	id    string
	node  *node
	outer *run // the use of the subgraph that the node is in, nil at the root
}

// maxDepth bounds subgraphs inside subgraphs, maxRuns the nodes that they
// unfold to: ten uses in each of six levels would be a million.
const (
	maxDepth = 64
	maxRuns  = 50_000
)

// source is what an input comes to: an output of a node, or the value of a
// widget of a host.
type source struct {
	run  *run
	slot int
	own  *widget
	link *link // the last link on the way, for its place
}

// broken is a link that leads nowhere, or in a circle.
type broken struct {
	at     *link
	run    *run
	circle bool
}

func (b *broken) Error() string { return "broken link" }

// resolver finds what feeds an input.
type resolver struct {
	runs map[string]*run
	b    *builder
	// links is how many links may still be walked for one input.
	links int
}

// maxLinks is how many links the way to an input may have.
const maxLinks = 10_000

func child(outer *run, id string) string {
	if outer == nil {
		return id
	}
	return outer.id + ":" + id
}

// input finds what feeds a slot; nil is nothing. typ is what the final input
// wants, where a reroute is asked for it.
func (r *resolver) input(at *run, slot int, typ string) (*source, error) {
	if slot < 0 || slot >= len(at.node.inputs) {
		return nil, &broken{run: at}
	}
	s := at.node.inputs[slot]
	if s.link == "" {
		return nil, nil
	}
	l := at.node.in.links[s.link]
	if l == nil {
		return nil, &broken{run: at}
	}
	if r.links--; r.links < 0 {
		return nil, &broken{run: at, at: l, circle: true}
	}
	if at.outer != nil && l.from == inputNode {
		return r.above(at, l)
	}
	from := r.runs[child(at.outer, l.from)]
	if from == nil {
		return nil, &broken{run: at, at: l}
	}
	if typ == "" {
		typ = s.typ
	}
	found, err := r.output(from, l.fromSlot, typ)
	if found != nil && found.link == nil {
		found.link = l
	}
	return found, err
}

// above follows a link out of a subgraph, to the slot of its use.
func (r *resolver) above(at *run, l *link) (*source, error) {
	outer := at.outer
	if l.fromSlot < 0 || l.fromSlot >= len(outer.node.inputs) {
		return nil, &broken{run: at, at: l}
	}
	s := outer.node.inputs[l.fromSlot]
	if s.link == "" {
		if s.value == nil {
			return nil, nil
		}
		return &source{run: at, own: s.value, link: l}, nil
	}
	return r.input(outer, l.fromSlot, "")
}

// output finds what stands behind an output.
func (r *resolver) output(at *run, slot int, typ string) (*source, error) {
	n := at.node
	switch n.mode {
	case muted:
		return nil, nil
	case bypassed:
		i := n.bypass(slot, typ)
		if i < 0 {
			return nil, nil
		}
		return r.input(at, i, "")
	}
	switch n.kind {
	case host:
		return r.inside(at, slot, typ)
	case reroute, setter:
		if slot < 0 || slot >= len(n.inputs) {
			return nil, nil
		}
		return r.input(at, slot, typ)
	case getter:
		if from := r.named(at); from != nil {
			return r.input(from, 0, typ)
		}
		return nil, nil
	case primitive, note:
		return nil, nil
	}
	return &source{run: at, slot: slot}, nil
}

// inside follows an output of a subgraph's use to the node inside.
func (r *resolver) inside(at *run, slot int, typ string) (*source, error) {
	n := at.node
	if slot < 0 || slot >= len(n.sub.outputs) {
		return nil, &broken{run: at}
	}
	for _, id := range n.sub.outputs[slot].links {
		l := n.sub.links[id]
		if l == nil {
			continue
		}
		if r.links--; r.links < 0 {
			return nil, &broken{run: at, at: l, circle: true}
		}
		if l.from == inputNode {
			// Straight through: out again at the slot of the use.
			if l.fromSlot < 0 || l.fromSlot >= len(n.inputs) {
				return nil, &broken{run: at, at: l}
			}
			return r.input(at, l.fromSlot, typ)
		}
		from := r.runs[child(at, l.from)]
		if from == nil {
			return nil, &broken{run: at, at: l}
		}
		return r.output(from, l.fromSlot, typ)
	}
	return nil, nil
}

// named is the setter of the name that a getter has, in its own graph or else
// in the root.
func (r *resolver) named(at *run) *run {
	name := r.b.first(at.node)
	for outer := at.outer; ; outer = nil {
		g := r.b.root
		if outer != nil {
			g = outer.node.sub
		}
		for _, n := range g.nodes {
			if n.kind == setter && name != "" && r.b.first(n) == name {
				return r.runs[child(outer, n.id)]
			}
		}
		if outer == nil {
			return nil
		}
	}
}

// first is the first saved value of a node, as text.
func (b *builder) first(n *node) string {
	for _, v := range b.values(n).list {
		s, _ := v.text()
		return s
	}
	return ""
}

// bypass picks the input that stands in for an output of a bypassed node, -1
// for none.
func (n *node) bypass(index int, typ string) int {
	if index < 0 || index >= len(n.outputs) {
		return -1
	}
	if typ == "*" || typ == "" {
		switch {
		case len(n.inputs) > index:
			return index
		case len(n.inputs) > 0:
			return 0
		}
		return -1
	}
	out := n.outputs[index].typ
	fits := func(s *slot) bool { return connects(s.typ, out) && connects(s.typ, typ) }
	if index < len(n.inputs) && fits(n.inputs[index]) {
		return index
	}
	for i, s := range n.inputs {
		if s.typ == typ {
			return i
		}
	}
	for i, s := range n.inputs {
		if fits(s) {
			return i
		}
	}
	return -1
}

// connects tells whether the editor lets two slots be joined.
func connects(a, b string) bool {
	if a == "" || b == "" || a == "*" || b == "*" || a == "0" || b == "0" {
		return true
	}
	a, b = strings.ToLower(a), strings.ToLower(b)
	if a == b {
		return true
	}
	if !strings.Contains(a, ",") && !strings.Contains(b, ",") {
		return false
	}
	for x := range strings.SplitSeq(a, ",") {
		for y := range strings.SplitSeq(b, ",") {
			if x == y || x == "" || x == "*" || y == "" || y == "*" {
				return true
			}
		}
	}
	return false
}
