// Package prompt checks a workflow's graph and makes it ready for one run: what
// is wrong with it is said before the engine sees it, because some faults kill
// the engine's worker, and every run saves under a name of its own.
package prompt

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// Graph is an API-format prompt by node id. Values keep their bytes, so numbers
// keep their digits.
type Graph map[string]*Node

// Node is one node of it.
type Node struct {
	ClassType string                     `json:"class_type"`
	Inputs    map[string]json.RawMessage `json:"inputs"`
	Meta      Meta                       `json:"_meta"`
}

// Meta is what the editor knows of a node. Releases since 0.14.0 want it there.
type Meta struct {
	Title string `json:"title"`
}

// Decode reads a graph.
func Decode(raw json.RawMessage) (Graph, error) {
	var g Graph
	if err := json.Unmarshal(raw, &g); err != nil {
		return nil, fmt.Errorf("decoding the graph: %w", err)
	}
	return g, nil
}

// Fault is one thing wrong with a graph.
type Fault struct {
	Node    string
	Input   string
	Message string
}

// Error says the fault and its place.
func (f Fault) Error() string {
	switch {
	case f.Node == "":
		return f.Message
	case f.Input == "":
		return "node " + f.Node + ": " + f.Message
	}
	return "node " + f.Node + ", input " + f.Input + ": " + f.Message
}

// Check finds what would break the engine or be answered by it with an error
// that names no place, in the order of the node ids.
func (g Graph) Check() []Fault {
	if len(g) == 0 {
		return []Fault{{Message: "the graph has no nodes"}}
	}
	var faults []Fault
	for _, id := range g.ids() {
		n := g[id]
		switch {
		case n == nil:
			faults = append(faults, Fault{Node: id, Message: "it is not an object"})
		case n.ClassType == "":
			faults = append(faults, Fault{Node: id, Message: "it has no class_type"})
		case n.Inputs == nil:
			faults = append(faults, Fault{Node: id, Message: "it has no inputs; without any they are {}"})
		default:
			faults = append(faults, g.checkLinks(id, n)...)
		}
	}
	if len(faults) == 0 {
		if loop := g.cycle(); loop != nil {
			faults = append(faults, Fault{Node: loop[0], Message: "the links run in a circle: " + strings.Join(loop, " → ")})
		}
	}
	return faults
}

func (g Graph) ids() []string {
	ids := make([]string, 0, len(g))
	for id := range g {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

func (g Graph) checkLinks(id string, n *Node) []Fault {
	var faults []Fault
	names := make([]string, 0, len(n.Inputs))
	for name := range n.Inputs {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		from, slot, ok := link(n.Inputs[name])
		switch {
		case !ok:
		case g[from] == nil:
			faults = append(faults, Fault{Node: id, Input: name, Message: "it links to node " + from + ", which does not exist"})
		case slot < 0 || slot != float64(int(slot)):
			faults = append(faults, Fault{Node: id, Input: name, Message: "it links to a slot that is no whole number from 0 on"})
		}
	}
	return faults
}

// link reads an input's value as the engine does: a list of a node id and a
// number is a link, whatever it was meant to be.
func link(raw json.RawMessage) (node string, slot float64, ok bool) {
	if len(raw) == 0 || raw[0] != '[' {
		return "", 0, false
	}
	var pair []json.RawMessage
	if json.Unmarshal(raw, &pair) != nil || len(pair) != 2 {
		return "", 0, false
	}
	if json.Unmarshal(pair[0], &node) != nil || pair[0][0] != '"' || json.Unmarshal(pair[1], &slot) != nil || pair[1][0] == 'n' {
		return "", 0, false
	}
	return node, slot, true
}

// cycle returns the nodes of a circle of links, or nil.
func (g Graph) cycle() []string {
	const open, done = 1, 2
	state := map[string]int{}
	var path []string
	var visit func(id string) []string
	visit = func(id string) []string {
		switch state[id] {
		case done:
			return nil
		case open:
			return append(slices.Clone(path[slices.Index(path, id):]), id)
		}
		state[id] = open
		path = append(path, id)
		for _, raw := range g[id].Inputs {
			if from, _, ok := link(raw); ok {
				if loop := visit(from); loop != nil {
					return loop
				}
			}
		}
		path = path[:len(path)-1]
		state[id] = done
		return nil
	}
	for _, id := range g.ids() {
		if loop := visit(id); loop != nil {
			return loop
		}
	}
	return nil
}
