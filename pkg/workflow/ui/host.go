package ui

import "github.com/comfyctl/comfyctl/internal/jsonpos"

// configureHost sets up a use of a subgraph: a slot for every port of the
// subgraph, with a value of its own where the port feeds a widget inside.
func (b *builder) configureHost(n *node) {
	saved := map[string]*slot{}
	for _, s := range n.inputs {
		saved[s.name] = s
	}
	n.inputs = nil
	for _, p := range n.sub.inputs {
		s := n.addPort(p)
		if old := saved[p.name]; old != nil {
			s.link = old.link
		}
	}
	for i, p := range n.sub.outputs {
		if i < len(n.outputs) {
			n.outputs[i].typ = p.typ
		} else {
			n.outputs = append(n.outputs, &output{typ: p.typ})
		}
	}
	if n.handOver == nil {
		b.ownValues(n)
		return
	}
	for i, v := range b.values(n).list {
		if i < len(n.handOver) && n.handOver[i] != nil {
			n.handOver[i](v)
		}
	}
	for _, s := range n.inputs {
		s.value = nil
	}
}

// addPort adds the slot of a port.
func (n *node) addPort(p *port) *slot {
	s := &slot{name: p.name, typ: p.typ, port: p}
	if n.sub.ready {
		s.own(n.sub.promoted(p))
	}
	n.inputs = append(n.inputs, s)
	return s
}

// own gives the slot of a host a value of its own, which starts as that of the
// widget inside.
func (s *slot) own(w *widget) {
	if w == nil {
		return
	}
	own := *w
	own.name = s.name
	s.widget, s.value = s.name, &own
}

// open makes a subgraph known to the uses that were set up before it. Their
// saved values are lost on the editor, and the number in a link counts.
func (b *builder) open(g *graph) {
	g.ready = true
	for _, n := range b.users(g) {
		for _, s := range n.inputs {
			if s.port == nil || len(s.port.links) == 0 {
				continue
			}
			l := g.links[s.port.links[0]]
			if l == nil {
				continue
			}
			if t := g.byID[l.to]; t != nil && l.toSlot >= 0 && l.toSlot < len(t.inputs) {
				s.own(t.behind(t.inputs[l.toSlot]))
			}
		}
	}
}

// promoted is the widget inside that a port feeds, or nil.
func (g *graph) promoted(p *port) *widget {
	n, i := g.fed(p)
	if n == nil {
		return nil
	}
	return n.behind(n.inputs[i])
}

// fed is the first slot with a widget that a port feeds.
func (g *graph) fed(p *port) (*node, int) {
	for _, id := range p.links {
		n, i := g.target(id)
		if n != nil && i >= 0 && n.behind(n.inputs[i]) != nil {
			return n, i
		}
	}
	return nil, -1
}

// ownValues reads the values that a use of a subgraph has: one for each slot
// that stands for a widget, in order.
func (b *builder) ownValues(n *node) {
	quarantined := b.quarantined(n)
	values := b.values(n)
	next := 0
	for _, s := range n.inputs {
		if s.value == nil {
			continue
		}
		v, ok := quarantined[s.name]
		if !ok {
			v, ok = values.byName[s.name]
		}
		if !ok && next < len(values.list) {
			v, ok = values.list[next], true
		}
		if ok {
			s.value.value = v
		}
		next++
	}
}

// quarantined are values that the editor could not place when it brought the
// file to its newest form; it keeps them by the name of the slot.
func (b *builder) quarantined(n *node) map[string]value {
	entries := list(n.saved.Get("properties").Get("proxyWidgetErrorQuarantine"))
	m := make(map[string]value, len(entries))
	for i := len(entries) - 1; i >= 0; i-- {
		of := list(entries[i].Get("originalEntry"))
		held := entries[i].Get("hostValue")
		if len(of) >= 2 && of[0].Text == "-1" && of[1].Kind == jsonpos.String && held != nil && held.Kind != jsonpos.Null {
			m[of[1].Text] = b.value(held)
		}
	}
	return m
}
