package graphview

import (
	"slices"
	"strings"

	"github.com/comfyctl/comfyctl/internal/diag"
	"github.com/comfyctl/comfyctl/pkg/catalog"
	"github.com/comfyctl/comfyctl/pkg/contract"
	"github.com/comfyctl/comfyctl/pkg/workflow"
)

// View is a workflow ready to be drawn.
type View struct {
	// Name is the workflow's.
	Name string `json:"name"`
	// Nodes are in the order of the file; nodes that links name and that are not
	// there come last.
	Nodes []Node `json:"nodes"`
	Links []Link `json:"links"`
}

// Node is one node.
type Node struct {
	ID    string `json:"id"`
	Class string `json:"class,omitempty"`
	Title string `json:"title,omitempty"`
	// Missing is true where a link names the node and the graph lacks it.
	Missing bool `json:"missing,omitempty"`
	// Output is true where the class makes the graph run, such as SaveImage.
	Output bool `json:"output,omitempty"`
	// Pack is the node pack that the class comes from; empty for ComfyUI's own.
	Pack string `json:"pack,omitempty"`
	// Params are the node inputs that callers set.
	Params []Param `json:"params,omitempty"`
	// Results are the names of the service's outputs taken from here.
	Results  []string  `json:"results,omitempty"`
	Problems []Problem `json:"problems,omitempty"`
}

// Param is a node input that an input of the service writes.
type Param struct {
	Input string `json:"input"`
	Name  string `json:"name"`
}

// Problem is a finding about a node.
type Problem struct {
	Code     string        `json:"code"`
	Severity diag.Severity `json:"severity"`
	Message  string        `json:"message"`
}

// Link takes output Slot of From into the input of To.
type Link struct {
	From  string `json:"from"`
	Slot  int    `json:"slot"`
	To    string `json:"to"`
	Input string `json:"input"`
	// Type is the data type of the slot where the class is known.
	Type string `json:"type,omitempty"`
}

// About is what is known about a graph besides itself; everything may be left
// out.
type About struct {
	Name    string
	Inputs  []contract.Input
	Outputs []contract.Output
	// Findings are those of the graph's file.
	Findings []diag.Diagnostic
	// Catalog gives types, output nodes and packs.
	Catalog *catalog.Catalog
}

// unknownPack stands for the pack of a class that no catalog has.
const unknownPack = "unknown"

// New makes the view of a graph.
func New(g *workflow.Graph, a About) *View {
	v := &View{Name: a.Name, Nodes: []Node{}, Links: []Link{}}
	index := map[string]int{}
	for _, n := range g.Nodes {
		index[n.ID] = len(v.Nodes)
		v.Nodes = append(v.Nodes, node(n, a.Catalog))
	}
	for _, e := range g.Edges() {
		l := Link{From: e.Input.Link.Node, Slot: e.Slot, To: e.To.ID, Input: e.Input.Name}
		if e.From == nil {
			if _, ok := index[l.From]; !ok {
				index[l.From] = len(v.Nodes)
				v.Nodes = append(v.Nodes, Node{ID: l.From, Missing: true})
			}
		} else {
			l.Type = slotType(a.Catalog, e.From.Class, e.Slot)
		}
		v.Links = append(v.Links, l)
	}
	at := func(id string) *Node {
		if i, ok := index[id]; ok {
			return &v.Nodes[i]
		}
		return &Node{}
	}
	for _, in := range a.Inputs {
		for _, to := range in.To {
			n := at(to.Node)
			n.Params = append(n.Params, Param{Input: to.Input, Name: in.Name})
		}
	}
	for _, out := range a.Outputs {
		n := at(out.Node)
		n.Results = append(n.Results, out.Name)
	}
	for _, d := range a.Findings {
		if d.Node != nil && d.File == g.File {
			n := at(d.Node.ID)
			n.Problems = append(n.Problems, Problem{Code: d.Code, Severity: d.Severity, Message: d.Message})
		}
	}
	return v
}

func node(n *workflow.Node, c *catalog.Catalog) Node {
	out := Node{ID: n.ID, Class: n.Class, Title: n.Title}
	if c == nil {
		return out
	}
	class, ok := c.Class(n.Class)
	if !ok {
		out.Pack = unknownPack
		return out
	}
	out.Output = class.OutputNode
	if pack, ok := strings.CutPrefix(class.Module, "custom_nodes."); ok {
		out.Pack = pack
	}
	return out
}

func slotType(c *catalog.Catalog, class string, slot int) string {
	if c == nil {
		return ""
	}
	cl, ok := c.Class(class)
	if !ok || slot < 0 || slot >= len(cl.Outputs) {
		return ""
	}
	return cl.Outputs[slot].Type
}

// Find returns the ids of the nodes that somebody means by id, else title,
// else class.
func (v *View) Find(what string) []string {
	for _, key := range []func(Node) string{func(n Node) string { return n.ID }, func(n Node) string { return n.Title }, func(n Node) string { return n.Class }} {
		var list []string
		for _, n := range v.Nodes {
			if key(n) == what {
				list = append(list, n.ID)
			}
		}
		if len(list) > 0 {
			return list
		}
	}
	return nil
}

// Only is the view of a node and all that it needs.
func (v *View) Only(id string) *View {
	from := map[string][]string{}
	for _, l := range v.Links {
		from[l.To] = append(from[l.To], l.From)
	}
	keep, stack := map[string]bool{}, []string{id}
	for len(stack) > 0 {
		at := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		if !keep[at] {
			keep[at] = true
			stack = append(stack, from[at]...)
		}
	}
	out := &View{Name: v.Name}
	out.Nodes = slices.DeleteFunc(slices.Clone(v.Nodes), func(n Node) bool { return !keep[n.ID] })
	out.Links = slices.DeleteFunc(slices.Clone(v.Links), func(l Link) bool { return !keep[l.To] })
	return out
}

// Marks say what is drawn beside the nodes themselves.
type Marks struct{ Inputs, Errors, Packs bool }

// Keep drops what is not to be drawn.
func (v *View) Keep(m Marks) *View {
	out := &View{Name: v.Name, Nodes: slices.Clone(v.Nodes), Links: v.Links}
	for i := range out.Nodes {
		n := &out.Nodes[i]
		if !m.Inputs {
			n.Params, n.Results = nil, nil
		}
		if !m.Errors {
			n.Problems = nil
		}
		if !m.Packs {
			n.Pack = ""
		}
	}
	return out
}

// label is a node in one line: id, class, and the title where it says more.
func (n *Node) label() string {
	if n.Missing {
		return n.ID + " (missing)"
	}
	text := n.ID + " " + n.Class
	if n.Title != "" && n.Title != n.Class {
		text += " \"" + n.Title + "\""
	}
	return text
}

// worst is the gravest problem, or nil.
func (n *Node) worst() *Problem {
	var w *Problem
	for _, s := range []diag.Severity{diag.SeverityError, diag.SeverityWarning} {
		for i := range n.Problems {
			if w == nil && n.Problems[i].Severity == s {
				w = &n.Problems[i]
			}
		}
	}
	return w
}
