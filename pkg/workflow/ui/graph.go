package ui

import (
	"encoding/json"

	"github.com/comfyctl/comfyctl/internal/jsonpos"
	"github.com/comfyctl/comfyctl/pkg/catalog"
)

// graph is the root graph or the inside of a subgraph. The uses of a subgraph
// share one.
type graph struct {
	id, name string
	nodes    []*node
	byID     map[string]*node
	links    map[string]*link
	// inputs and outputs are the slots of a subgraph.
	inputs, outputs []*port
	lastLink        int
	// ready is set once the nodes have their widgets.
	ready bool
	// renamed maps the ids of the file to those given here, where they differ.
	renamed map[string]string
}

// port is a slot of a subgraph, with the links inside that it feeds or takes.
type port struct {
	name, typ string
	links     []string
}

// link joins an output slot to an input slot. An end at inputNode or
// outputNode is a slot of the subgraph itself.
type link struct {
	id         string
	from, to   string // node ids
	fromSlot   int
	toSlot     int
	start, end int // place in the file
}

// The ids of a subgraph's own slots, as ends of links.
const (
	inputNode  = "-10"
	outputNode = "-20"
)

// The modes of a node that keep it from running.
const (
	muted    = 2
	bypassed = 4
)

// kind tells what the editor makes of a node.
type kind byte

const (
	plain     kind = iota // a class of the server
	unknown               // a class that no schema is known of
	reroute               // passes its input on
	primitive             // writes its value into what it feeds
	note                  // nothing
	host                  // a use of a subgraph
	setter                // names its input
	getter                // gives what the setter of that name gets
)

// node is a node as the editor holds it after loading.
type node struct {
	id, typ, title string
	mode           int
	kind           kind
	class          *catalog.Class
	sub            *graph
	in             *graph
	inputs         []*slot
	outputs        []*output
	widgets        []*widget
	// grow holds the autogrow inputs by their dotted name.
	grow map[string]*catalog.Grow

	saved   *jsonpos.Value
	pointer string
	// over are values in place of the saved ones; handOver gives the values of a
	// group node to the widgets inside, nil for those that nobody wants.
	over     []value
	handOver []func(value)
}

// slot is an input of a node.
type slot struct {
	name, typ string
	link      string // "" is not connected
	widget    string // name of the widget that the slot replaces; "" is none
	port      *port  // of a host
	// value is the own value of a host's slot that stands for a widget inside.
	value *widget
}

// output is an output of a node.
type output struct {
	typ   string
	links []string
}

// widget is a value that a person sets on a node.
type widget struct {
	name string
	kind string // such as INT or COMBO
	spec *catalog.InputSpec
	// inner is set for what the editor adds for itself and leaves out of the
	// prompt, unsaved for what it leaves out of the file.
	inner, unsaved bool
	dynamic        bool // text whose {a|b} is chosen from
	value          value
}

// value is what a widget holds.
type value struct {
	// raw is nil where there is none at all.
	raw json.RawMessage
	// start and end are its place in the file; end is 0 where it has none.
	start, end int
	// made is set where raw is not what stands at the place.
	made bool
	// pointer is the RFC 6901 pointer of the place.
	pointer string
}

func (v value) text() (string, bool) {
	var s string
	if len(v.raw) == 0 || v.raw[0] != '"' || json.Unmarshal(v.raw, &s) != nil {
		return "", false
	}
	return s, true
}

func (v value) null() bool { return v.raw == nil || string(v.raw) == "null" }

// with keeps the place and changes the value.
func (v value) with(raw json.RawMessage) value {
	v.raw, v.made = raw, true
	return v
}

func quoted(s string) json.RawMessage {
	b, _ := json.Marshal(s) // a string always encodes
	return b
}

func (n *node) widget(name string) *widget {
	for _, w := range n.widgets {
		if w.name == name {
			return w
		}
	}
	return nil
}

func (n *node) input(name string) *slot {
	for _, s := range n.inputs {
		if s.name == name {
			return s
		}
	}
	return nil
}

// behind is the widget that a slot replaces: its own, or the one that a host's
// slot stands for.
func (n *node) behind(s *slot) *widget {
	if n.kind == host {
		return s.value
	}
	if s.widget == "" {
		return nil
	}
	return n.widget(s.widget)
}

// target is the node and the slot that a link ends at. The slot says which
// link it has; the number in the link can be out of date.
func (g *graph) target(id string) (*node, int) {
	l := g.links[id]
	if l == nil || l.to == outputNode {
		return nil, -1
	}
	n := g.byID[l.to]
	if n == nil {
		return nil, -1
	}
	for i, s := range n.inputs {
		if s.link == id {
			return n, i
		}
	}
	return n, -1
}
