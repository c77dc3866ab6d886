package ui

import (
	"slices"
	"strconv"

	"github.com/comfyctl/comfyctl/internal/diag"
	"github.com/comfyctl/comfyctl/internal/jsonpos"
	"github.com/comfyctl/comfyctl/pkg/catalog"
	"github.com/comfyctl/comfyctl/pkg/workflow"
)

// builder turns a saved file into the graph that the editor would hold.
type builder struct {
	reader
	cat  *catalog.Catalog
	root *graph
	subs map[string]*graph
	// order lists the subgraphs, those that others use first.
	order []*graph
	list  []diag.Diagnostic
	// lastNode is the id given last, highest the highest in the root.
	lastNode, highest int
}

func (b *builder) add(d diag.Diagnostic, start, end int) {
	if d.Severity == "" {
		d.Severity = diag.SeverityError
	}
	d.Span = b.doc.Range(start, end)
	b.list = append(b.list, d)
}

// load reads the file and sets up every node, as the editor does on opening it.
func load(doc *workflow.Document, cat *catalog.Catalog) *builder {
	b := &builder{reader: reader{doc: doc, src: doc.Source}, cat: cat, subs: map[string]*graph{}}
	b.root = b.graph(doc.Body, doc.Pointer)
	b.definitions(doc.Body, doc.Pointer)
	b.lastNode = max(integer(b.src, doc.Body.Get("last_node_id"), 0), integer(b.src, doc.Body.Get("state").Get("lastNodeId"), 0))
	b.distinct()
	b.lastNode = max(b.lastNode, b.highest)
	b.groupNodes(doc.Body.Get("extra").Get("groupNodes"))
	b.leafFirst()
	for _, g := range append(slices.Clone(b.order), b.root) {
		b.setUp(g)
	}
	for _, g := range append(slices.Clone(b.order), b.root) {
		for _, n := range g.nodes {
			n.settle()
		}
	}
	b.primitives()
	return b
}

// definitions collects the subgraphs of the file; a subgraph may hold more.
func (b *builder) definitions(v *jsonpos.Value, pointer string) {
	subs := list(v.Get("definitions").Get("subgraphs"))
	for i := range subs {
		at := pointer + "/definitions/subgraphs/" + strconv.Itoa(i)
		g := b.graph(&subs[i], at)
		if g.id == "" || b.subs[g.id] != nil {
			continue
		}
		b.subs[g.id] = g
		b.order = append(b.order, g)
		b.definitions(&subs[i], at)
	}
}

// distinct gives nodes of subgraphs new ids where an id is used twice in the
// file, as the editor does, and indexes the nodes of every graph.
func (b *builder) distinct() {
	used := map[string]bool{}
	for _, n := range b.root.nodes {
		if v := n.saved.Get("id"); v != nil && v.Kind == jsonpos.Number {
			used[n.id] = true
		}
		if num, err := strconv.Atoi(n.id); err == nil {
			b.highest = max(b.highest, num)
		}
	}
	for _, g := range b.order {
		renamed := map[string]string{}
		for _, n := range g.nodes {
			if used[n.id] {
				id := b.free(used)
				renamed[n.id], n.id = id, id
			}
			used[n.id] = true
			if num, err := strconv.Atoi(n.id); err == nil {
				b.lastNode = max(b.lastNode, num)
			}
		}
		for _, l := range g.links {
			if id := renamed[l.from]; id != "" {
				l.from = id
			}
			if id := renamed[l.to]; id != "" {
				l.to = id
			}
		}
		g.renamed = renamed
	}
	for _, g := range append(slices.Clone(b.order), b.root) {
		for _, n := range g.nodes {
			g.byID[n.id] = n
		}
	}
}

// free is the next node id that nothing has.
func (b *builder) free(used map[string]bool) string {
	for {
		b.lastNode++
		if id := strconv.Itoa(b.lastNode); !used[id] {
			return id
		}
	}
}

// leafFirst sorts the subgraphs so that each comes after those it uses. Where
// that cannot be done they stay as they are: in a circle, and, as the editor
// counts, where one uses another twice.
func (b *builder) leafFirst() {
	waits := map[*graph]int{}
	usedBy := map[*graph][]*graph{}
	for _, g := range b.order {
		for _, n := range g.nodes {
			if sub := b.subs[n.typ]; sub != nil {
				waits[g]++
				if !slices.Contains(usedBy[sub], g) {
					usedBy[sub] = append(usedBy[sub], g)
				}
			}
		}
	}
	var ready, sorted []*graph
	for _, g := range b.order {
		if waits[g] == 0 {
			ready = append(ready, g)
		}
	}
	for len(ready) > 0 {
		g := ready[0]
		ready, sorted = ready[1:], append(sorted, g)
		for _, user := range usedBy[g] {
			if waits[user]--; waits[user] == 0 {
				ready = append(ready, user)
			}
		}
	}
	if len(sorted) == len(b.order) {
		b.order = sorted
	}
}

// setUp gives every node of a graph its kind and its saved values.
func (b *builder) setUp(g *graph) {
	for _, n := range g.nodes {
		b.classify(n)
	}
	for _, n := range g.nodes {
		switch n.kind {
		case plain:
			b.configure(n)
		case host:
			b.configureHost(n)
		case primitive:
			n.widgets = nil
		}
	}
	for _, n := range g.nodes {
		if n.kind == host && n.sub.ready {
			b.proxies(n)
		}
	}
	b.open(g)
}

// classify tells what the editor makes of a node.
func (b *builder) classify(n *node) {
	if n.sub = b.subs[n.typ]; n.sub != nil {
		n.kind = host
		return
	}
	if k, ok := virtual[n.typ]; ok {
		n.kind = k
		return
	}
	if b.cat != nil {
		if cl, ok := b.cat.Class(n.typ); ok {
			n.kind, n.class = plain, cl
			if n.title == "" {
				n.title = cl.Title
			}
			return
		}
	}
	n.kind = unknown
}

// virtual are the classes that only the editor knows: its own, and those that
// widely used packs add to it.
var virtual = map[string]kind{
	"Reroute": reroute, "PrimitiveNode": primitive, "Note": note, "MarkdownNote": note,
	"SetNode": setter, "GetNode": getter,
	"Reroute (rgthree)": reroute, "Label (rgthree)": note, "Bookmark (rgthree)": note,
	"Fast Groups Muter (rgthree)": note, "Fast Groups Bypasser (rgthree)": note, "Fast Muter (rgthree)": note,
	"Fast Bypasser (rgthree)": note, "Fast Actions Button (rgthree)": note, "Mute / Bypass Relay (rgthree)": note,
	"Mute / Bypass Repeater (rgthree)": note, "Node Collector (rgthree)": note, "Random Unmuter (rgthree)": note,
}
