package ui

import (
	"strconv"
	"strings"

	"github.com/comfyctl/comfyctl/internal/jsonpos"
)

// groupNodes turns the group nodes of older editors into uses of subgraphs, as
// newer editors do on loading. extra.groupNodes says what each consists of.
func (b *builder) groupNodes(v *jsonpos.Value) {
	if v == nil {
		return
	}
	for _, n := range b.root.nodes {
		name, ok := strings.CutPrefix(n.typ, "workflow>")
		if !ok {
			name, ok = strings.CutPrefix(n.typ, "workflow/")
		}
		def := v.Get(name)
		if !ok || def == nil || !b.knowsAll(list(def.Get("nodes"))) {
			continue
		}
		b.unfold(n, name, def)
	}
}

func (b *builder) knowsAll(nodes []jsonpos.Value) bool {
	for i := range nodes {
		n := b.node(&nodes[i])
		if b.classify(n); n.kind == unknown || n.kind == host {
			return false
		}
	}
	return len(nodes) > 0
}

// group is a group node while it becomes a subgraph.
type group struct {
	*builder
	n     *node
	g     *graph
	def   *jsonpos.Value
	nodes []*node
	// fed and used tell the inputs and outputs that are linked inside.
	fed  map[*node]map[string]bool
	used map[*node]map[int]bool
	seen map[string]int
}

// unfold makes the subgraph of one group node.
func (b *builder) unfold(n *node, name string, def *jsonpos.Value) {
	g := &graph{id: "group node " + n.id + " " + name, name: name, byID: map[string]*node{}, links: map[string]*link{}}
	x := &group{builder: b, n: n, g: g, def: def, fed: map[*node]map[string]bool{}, used: map[*node]map[int]bool{}, seen: map[string]int{}}
	nodes := list(def.Get("nodes"))
	for i := range nodes {
		inner := b.node(&nodes[i])
		b.lastNode++
		inner.id, inner.in, inner.pointer = strconv.Itoa(b.lastNode), g, b.doc.Pointer+"/extra/groupNodes/"+segment.Replace(name)+"/nodes/"+strconv.Itoa(i)
		for _, s := range inner.inputs {
			s.link = ""
		}
		for _, o := range inner.outputs {
			o.links = nil
		}
		b.classify(inner)
		g.nodes, g.byID[inner.id] = append(g.nodes, inner), inner
	}
	x.nodes = g.nodes
	x.links()
	x.inputs()
	x.outputs()
	b.rename(n)
	n.typ = g.id
	b.subs[g.id] = g
	b.order = append(b.order, g)
}

// rename gives a group node the id that the editor gives the subgraph that
// takes its place.
func (b *builder) rename(n *node) {
	old := n.id
	b.lastNode++
	n.id = strconv.Itoa(b.lastNode)
	delete(b.root.byID, old)
	b.root.byID[n.id] = n
	for _, l := range b.root.links {
		if l.from == old {
			l.from = n.id
		}
		if l.to == old {
			l.to = n.id
		}
	}
}

func (x *group) connect(l *link) string {
	x.g.lastLink++
	l.id = strconv.Itoa(x.g.lastLink)
	x.g.links[l.id] = l
	return l.id
}

// links joins the nodes inside: [from, slot, to, slot, …] with places in the
// list of nodes.
func (x *group) links() {
	for _, l := range list(x.def.Get("links")) {
		if len(l.Elems) < 4 {
			continue
		}
		var at [4]int
		for i := range at {
			at[i] = integer(x.src, &l.Elems[i], -1)
		}
		if at[0] < 0 || at[0] >= len(x.nodes) || at[2] < 0 || at[2] >= len(x.nodes) || at[1] < 0 || at[3] < 0 || at[3] >= len(x.nodes[at[2]].inputs) {
			continue
		}
		from, to := x.nodes[at[0]], x.nodes[at[2]]
		s := to.inputs[at[3]]
		s.link = x.connect(&link{from: from.id, fromSlot: at[1], to: to.id, toSlot: at[3], start: l.Start, end: l.End})
		if at[1] < len(from.outputs) {
			from.outputs[at[1]].links = append(from.outputs[at[1]].links, s.link)
		}
		if x.fed[to] == nil {
			x.fed[to] = map[string]bool{}
		}
		x.fed[to][s.name] = true
		if x.used[from] == nil {
			x.used[from] = map[int]bool{}
		}
		x.used[from][at[1]] = true
	}
	for _, e := range list(x.def.Get("external")) {
		if len(e.Elems) >= 2 {
			if i := integer(x.src, &e.Elems[0], -1); i >= 0 && i < len(x.nodes) {
				delete(x.used[x.nodes[i]], integer(x.src, &e.Elems[1], -1))
			}
		}
	}
}

// inputs names the free inputs of the nodes inside as the group node does,
// joins those that the file links, and hands over the values.
func (x *group) inputs() {
	names := map[string]*slot{}
	var values []func(value)
	var later []func()
	for i, inner := range x.nodes {
		switch inner.kind {
		case plain:
			x.plainInputs(i, inner, names, &values, &later)
		case reroute:
			if len(inner.inputs) > 0 && len(inner.outputs) > 0 && inner.inputs[0].link == "" {
				names[x.name(i, inner, inner.outputs[0].typ)] = inner.inputs[0]
			}
		case primitive:
			if len(inner.outputs) > 0 && len(inner.outputs[0].links) > 0 {
				x.name(i, inner, "value")
				values = append(values, func(v value) { inner.over = []value{v} }, nil)
				if inner.outputs[0].typ == "COMBO" {
					values = append(values, nil)
				}
			}
		}
	}
	for _, f := range later {
		f()
	}
	for _, s := range x.n.inputs {
		if to := names[s.name]; to != nil && s.link != "" {
			p := &port{name: s.name, typ: s.typ}
			to.link = x.connect(&link{from: inputNode, fromSlot: len(x.g.inputs), to: x.owner(to).id})
			p.links = []string{to.link}
			x.g.inputs = append(x.g.inputs, p)
		}
	}
	x.n.handOver = values
}

func (x *group) owner(s *slot) *node {
	for _, n := range x.nodes {
		for _, have := range n.inputs {
			if have == s {
				return n
			}
		}
	}
	return nil
}

// plainInputs takes the inputs of a node with a class: widgets first, then
// sockets; widgets that were made sockets come after all others.
func (x *group) plainInputs(i int, inner *node, names map[string]*slot, values *[]func(value), later *[]func()) {
	model := &node{class: inner.class, in: x.g}
	model.build()
	skip := false
	var converted []*slot
	for _, w := range model.widgets {
		if w.unsaved {
			continue
		}
		if w.spec != nil {
			s := inner.input(w.name)
			if skip = s != nil && s.widget == w.name; skip {
				converted = append(converted, s)
			} else {
				x.name(i, inner, w.name)
			}
		}
		switch {
		case skip:
		case w.spec == nil:
			*values = append(*values, nil)
		default:
			*values = append(*values, func(v value) {
				if mine := inner.widget(w.name); mine != nil {
					mine.value = v
					inner.changed(mine)
				}
			})
		}
	}
	for _, m := range model.inputs {
		if m.widget != "" || x.fed[inner][m.name] {
			continue
		}
		s := inner.input(m.name)
		if s == nil {
			s = &slot{name: m.name, typ: m.typ}
			inner.inputs = append(inner.inputs, s)
		}
		names[x.name(i, inner, m.name)] = s
	}
	*later = append(*later, func() {
		for _, s := range converted {
			if !x.fed[inner][s.name] {
				names[x.name(i, inner, s.name)] = s
			}
		}
	})
}

// name is what the group node calls an input of a node inside.
func (x *group) name(i int, inner *node, input string) string {
	name := input
	if own := text(x.src, x.def.Get("config").Get(strconv.Itoa(i)).Get("input").Get(input).Get("name")); own != "" {
		name = own
	} else {
		for _, s := range list(inner.saved.Get("inputs")) {
			if label := text(x.src, s.Get("label")); label != "" && text(x.src, s.Get("name")) == input {
				name = label
			}
		}
	}
	key := name
	title := text(x.src, inner.saved.Get("title"))
	if x.seen[name] > 0 || inner.kind == primitive && title != "" {
		if title == "" {
			title = inner.typ
		}
		key = title + " " + input
		name = key
		if n := x.seen[name]; n > 0 {
			name = title + " " + strconv.Itoa(n) + " " + input
		}
	}
	if x.seen[key] == 0 {
		x.seen[key] = 1
	}
	x.seen[key]++
	return name
}

// outputs makes a port of every output that is not only used inside.
func (x *group) outputs() {
	for i, inner := range x.nodes {
		count := len(inner.outputs)
		if inner.class != nil {
			count = len(inner.class.Outputs)
		}
		for o := range count {
			visible := !x.used[inner][o]
			if v := x.def.Get("config").Get(strconv.Itoa(i)).Get("output").Get(strconv.Itoa(o)).Get("visible"); v != nil && v.Kind == jsonpos.Bool {
				visible = x.src[v.Start] == 't'
			}
			if !visible || inner.kind == note {
				continue
			}
			id := x.connect(&link{from: inner.id, fromSlot: o, to: outputNode, toSlot: len(x.g.outputs)})
			p := &port{links: []string{id}}
			if inner.class != nil {
				p.typ = inner.class.Outputs[o].Type
			} else {
				p.typ = inner.outputs[o].typ
			}
			x.g.outputs = append(x.g.outputs, p)
		}
	}
}
