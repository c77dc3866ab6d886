package workflow

import (
	"encoding/json"
	"strings"

	"github.com/comfyctl/comfyctl/internal/diag"
	"github.com/comfyctl/comfyctl/internal/jsonpos"
)

// Graph is an API-format prompt with the places of everything in it.
type Graph struct {
	// File is the name given to Parse.
	File string
	// Source is the text of the file, or the prompt chunk of a PNG.
	Source []byte
	// Nodes are in the order of the file. Where an id or an input is set twice,
	// only the last one is here, as in ComfyUI.
	Nodes []*Node
	// Span is the object that holds the nodes.
	Span diag.Span
	// Pointer is where that object lies in the file: empty for a bare export,
	// /input/workflow and the like for an envelope.
	Pointer string

	byID map[string]*Node
}

// Node is one entry of a graph.
type Node struct {
	ID    string
	Class string
	// Title is _meta.title, or empty.
	Title  string
	Inputs []*Input
	// HasInputs is false where the file has no `inputs` object.
	HasInputs bool

	// Pointer is the RFC 6901 pointer of the node.
	Pointer string
	// Span is the node's object, KeySpan its id, ClassSpan the value of
	// class_type (zero where absent), InputsSpan the `inputs` object (zero
	// where absent), TitleSpan the title's value (zero where absent).
	Span, KeySpan, ClassSpan, InputsSpan, TitleSpan diag.Span
}

// Kind tells the JSON values of inputs apart.
type Kind string

// The kinds. NonFinite is NaN, Infinity or -Infinity, which JSON forbids.
const (
	Null      Kind = "null"
	Bool      Kind = "bool"
	Number    Kind = "number"
	NonFinite Kind = "non-finite"
	String    Kind = "string"
	Array     Kind = "array"
	Object    Kind = "object"
)

// Input is one entry of a node's inputs.
type Input struct {
	Name string
	// Raw is the value's own bytes.
	Raw  json.RawMessage
	Kind Kind
	// Text is the decoded text of a string.
	Text string
	// Link is set when the value is a well-formed link.
	Link *Link
	// Malformed says why an array is not a link; empty otherwise.
	Malformed Malformed

	Pointer            string
	KeySpan, ValueSpan diag.Span
	// Derived is set where the file does not hold Raw at ValueSpan: a default, or
	// what became of a link in an editor save. An edit there would be wrong.
	Derived bool
}

// Link is [node id, output slot]. A negative slot counts from the end, as
// ComfyUI's Python does.
type Link struct {
	Node string
	Slot int
}

// Malformed is why an array value is no link: ComfyUI takes every array for one.
type Malformed string

// The reasons.
const (
	WrongLength  Malformed = "length" // not two elements
	WrongNode    Malformed = "node"   // the node id is not a string
	WrongSlot    Malformed = "slot"   // the slot is not an integer
	NotMalformed Malformed = ""       // no array, or a good link
)

// Node returns the node of that id, or nil.
func (g *Graph) Node(id string) *Node {
	return g.byID[id]
}

// ByTitle returns the nodes whose title is exactly that.
func (g *Graph) ByTitle(title string) []*Node {
	var list []*Node
	for _, n := range g.Nodes {
		if n.Title == title {
			list = append(list, n)
		}
	}
	return list
}

// Input returns the input of that name, or nil.
func (n *Node) Input(name string) *Input {
	for _, in := range n.Inputs {
		if in.Name == name {
			return in
		}
	}
	return nil
}

// Ref is the node as findings name it.
func (n *Node) Ref() *diag.Node {
	return &diag.Node{ID: n.ID, Class: n.Class, Title: n.Title}
}

// Value is the constant that ComfyUI's node receives: Raw, without the
// {"__value__": …} wrapper that protects arrays from being taken for links.
// NaN and the infinities come back as they stand.
func (in *Input) Value() json.RawMessage {
	if in.Kind != Object {
		return in.Raw
	}
	v, _, err := jsonpos.Scan(in.Raw, 0)
	if err != nil {
		return in.Raw
	}
	if w := v.Get("__value__"); w != nil {
		return in.Raw[w.Start:w.End]
	}
	return in.Raw
}

// pointer escapes one segment of an RFC 6901 pointer.
func pointer(base, segment string) string {
	if strings.ContainsAny(segment, "~/") {
		segment = strings.NewReplacer("~", "~0", "/", "~1").Replace(segment)
	}
	return base + "/" + segment
}

// New makes a graph of nodes that were not read by Parse. source is the text
// that their spans point into.
func New(file string, source []byte, pointer string, span diag.Span, nodes []*Node) *Graph {
	g := &Graph{File: file, Source: source, Nodes: nodes, Span: span, Pointer: pointer, byID: make(map[string]*Node, len(nodes))}
	for _, n := range nodes {
		g.byID[n.ID] = n
	}
	return g
}
