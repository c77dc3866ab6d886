package ui

import (
	"regexp"
	"strconv"
	"strings"

	"github.com/comfyctl/comfyctl/internal/jsonpos"
)

// proxy names a widget inside a subgraph that a use of it shows as its own.
// Older editors wrote these lists in place of ports.
type proxy struct {
	node, widget, inner string
	value               value
	hole                bool // no value was saved for it
}

// proxies brings the list of a node to the newest form: a port and a link for
// every widget in it, and the value of this use in the slot.
func (b *builder) proxies(n *node) {
	all := b.proxyList(n)
	count := map[string]int{}
	for _, p := range all {
		count[p.node]++
	}
	byPrimitive := map[string][]proxy{}
	var primitives []string
	for _, p := range all {
		if s := n.shows(p.node, p.widget); s != nil {
			p.put(s)
			continue
		}
		inside := n.sub.byID[p.node]
		switch {
		case p.node == "-1":
			// The port itself, by its name.
			if s := n.input(p.widget); s != nil {
				p.put(s)
			}
		case inside == nil || strings.HasPrefix(p.widget, "$$"):
		case inside.typ == "PrimitiveNode":
			if len(byPrimitive[p.node]) == 0 {
				primitives = append(primitives, p.node)
			}
			byPrimitive[p.node] = append(byPrimitive[p.node], p)
		default:
			if at := inside.sourceSlot(p); at != nil {
				p.put(b.promote(n, p.widget, inside, at))
			}
		}
	}
	for _, id := range primitives {
		b.replacePrimitive(n, n.sub.byID[id], byPrimitive[id])
	}
}

// proxyList reads properties.proxyWidgets. One entry that is none spoils the
// list, as in the editor.
func (b *builder) proxyList(n *node) []proxy {
	v := n.saved.Get("properties").Get("proxyWidgets")
	if v != nil && v.Kind == jsonpos.String {
		inner, _, err := jsonpos.Scan([]byte(v.Text), 0)
		if err != nil {
			return nil
		}
		v = &inner
	}
	values := list(n.saved.Get("widgets_values"))
	var all []proxy
	for i, e := range list(v) {
		if len(e.Elems) != 2 && len(e.Elems) != 3 {
			return nil
		}
		var parts [3]string
		for j := range e.Elems {
			if e.Elems[j].Kind != jsonpos.String {
				return nil
			}
			parts[j] = e.Elems[j].Text
		}
		p := proxy{node: parts[0], widget: parts[1], inner: parts[2], hole: true}
		if id := n.sub.renamed[p.node]; id != "" {
			p.node = id
		}
		if i < len(values) && values[i].Kind != jsonpos.Null {
			p.value, p.hole = b.value(&values[i]), false
			p.value.pointer = n.pointer + "/widgets_values/" + strconv.Itoa(i)
		}
		all = append(all, n.plainName(p))
	}
	return all
}

var numbered = regexp.MustCompile(`^\s*(\d+)\s*:\s*(.+)$`)

// plainName strips the node numbers that some editors wrote before a widget's
// name.
func (n *node) plainName(p proxy) proxy {
	if n.concrete(p.node, p.widget, 0) {
		return p
	}
	for {
		m := numbered.FindStringSubmatch(p.widget)
		if m == nil {
			return p
		}
		p.inner, p.widget = m[1], m[2]
	}
}

// concrete tells whether a name inside a subgraph leads to a widget, through
// further subgraphs if need be.
func (n *node) concrete(id, name string, depth int) bool {
	inside := n.sub.byID[id]
	if inside == nil || depth > 100 {
		return false
	}
	if inside.kind != host {
		return inside.widget(name) != nil
	}
	for _, s := range inside.inputs {
		if s.name != name {
			continue
		}
		for _, l := range s.port.links {
			t, i := inside.sub.target(l)
			if t == nil || i < 0 {
				continue
			}
			if t.kind == host {
				return inside.concrete(t.id, t.inputs[i].name, depth+1)
			}
			if w := t.behind(t.inputs[i]); w != nil {
				return inside.concrete(t.id, w.name, depth+1)
			}
		}
		return false
	}
	return false
}

// shows is the slot of a host that stands for a widget inside already.
func (n *node) shows(id, name string) *slot {
	for _, s := range n.inputs {
		if s.port == nil {
			continue
		}
		for _, l := range s.port.links {
			t, i := n.sub.target(l)
			if t == nil || i < 0 {
				continue
			}
			found := t.inputs[i].name
			if t.kind != host {
				w := t.behind(t.inputs[i])
				if w == nil {
					continue
				}
				found = w.name
			}
			if t.id == id && found == name {
				return s
			}
			break
		}
	}
	return nil
}

func (p proxy) put(s *slot) {
	if s != nil && s.value != nil && !p.hole {
		s.value.value = p.value
	}
}

// sourceSlot is the slot beside the widget that a proxy means.
func (n *node) sourceSlot(p proxy) *slot {
	for _, s := range n.inputs {
		if n.kind != host {
			if s.widget == p.widget {
				return s
			}
			continue
		}
		name, id := n.sub.innermost(s.port)
		if p.inner != "" && (name != p.widget || id != p.inner) || p.inner == "" && s.name != p.widget && name != p.widget {
			continue
		}
		if s.value != nil {
			return s
		}
	}
	return nil
}

// innermost names the widget that a port feeds, and its node.
func (g *graph) innermost(p *port) (name, id string) {
	for _, l := range p.links {
		t, i := g.target(l)
		if t == nil || i < 0 {
			continue
		}
		if t.kind == host {
			return t.inputs[i].name, t.id
		}
		if w := t.behind(t.inputs[i]); w != nil {
			return w.name, t.id
		}
	}
	return "", ""
}

// promote adds a port that feeds a slot inside, to every use of the subgraph,
// and returns the slot of this one.
func (b *builder) promote(n *node, name string, inside *node, at ...*slot) *slot {
	g := n.sub
	p := &port{name: g.unusedPort(name), typ: at[0].typ}
	g.inputs = append(g.inputs, p)
	for _, s := range at {
		g.lastLink++
		l := &link{id: "+" + strconv.Itoa(g.lastLink), from: inputNode, fromSlot: len(g.inputs) - 1, to: inside.id}
		for _, o := range g.nodes {
			for i := range o.inputs {
				if o.inputs[i] == s {
					l.to, l.toSlot = o.id, i
				}
			}
		}
		g.links[l.id] = l
		s.link = l.id
		p.links = append(p.links, l.id)
	}
	var mine *slot
	for _, user := range b.users(g) {
		s := user.addPort(p)
		if user == n {
			mine = s
		}
	}
	return mine
}

func (g *graph) unusedPort(name string) string {
	taken := map[string]bool{}
	for _, p := range g.inputs {
		taken[p.name] = true
	}
	unique := name
	for i := 1; taken[unique]; i++ {
		unique = name + "_" + strconv.Itoa(i)
	}
	return unique
}

// users are the nodes that use a subgraph and are set up already.
func (b *builder) users(g *graph) []*node {
	var all []*node
	for _, in := range append(append([]*graph(nil), b.order...), b.root) {
		for _, n := range in.nodes {
			if n.kind == host && n.sub == g {
				all = append(all, n)
			}
		}
	}
	return all
}

// replacePrimitive puts a port in the place of a primitive node whose value a
// use of the subgraph shows.
func (b *builder) replacePrimitive(n, prim *node, all []proxy) {
	var at []*slot
	if len(prim.outputs) == 0 {
		return
	}
	for _, id := range prim.outputs[0].links {
		l := n.sub.links[id]
		if l == nil {
			continue
		}
		// The number in the link counts here, as it does in the editor.
		t := n.sub.byID[l.to]
		if t == nil || l.toSlot < 0 || l.toSlot >= len(t.inputs) {
			return
		}
		s := t.inputs[l.toSlot]
		if from := prim.outputs[0].typ; s.typ != from && s.typ != "*" && from != "*" {
			return
		}
		at = append(at, s)
	}
	if len(at) == 0 {
		return
	}
	for _, p := range all[1:] {
		if p.widget != all[0].widget {
			return
		}
	}
	name := all[0].widget
	if prim.title != "" && prim.title != "PrimitiveNode" {
		name = prim.title
	}
	s := b.promote(n, name, prim, at...)
	if s == nil || s.value == nil {
		return
	}
	for _, p := range all {
		if !p.hole {
			p.put(s)
			return
		}
	}
}
