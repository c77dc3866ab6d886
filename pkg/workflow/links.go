package workflow

import "slices"

// Edge is a link seen from the node that uses it.
type Edge struct {
	From  *Node // nil where the link names no node
	Slot  int
	To    *Node
	Input *Input
}

// Edges lists every well-formed link, in the order of the file.
func (g *Graph) Edges() []Edge {
	var list []Edge
	for _, n := range g.Nodes {
		for _, in := range n.Inputs {
			if in.Link != nil {
				list = append(list, Edge{From: g.byID[in.Link.Node], Slot: in.Link.Slot, To: n, Input: in})
			}
		}
	}
	return list
}

// Consumers maps a node's id to the links that take something from it.
func (g *Graph) Consumers() map[string][]Edge {
	m := make(map[string][]Edge, len(g.Nodes))
	for _, n := range g.Nodes {
		for _, in := range n.Inputs {
			if in.Link == nil {
				continue
			}
			if from := g.byID[in.Link.Node]; from != nil {
				m[from.ID] = append(m[from.ID], Edge{From: from, Slot: in.Link.Slot, To: n, Input: in})
			}
		}
	}
	return m
}

// Ancestors is the set of ids that the given nodes need, themselves included.
// Ids that name no node are left out.
func (g *Graph) Ancestors(ids ...string) map[string]bool {
	seen := make(map[string]bool, len(g.Nodes))
	stack := slices.Clone(ids)
	for len(stack) > 0 {
		id := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		n := g.byID[id]
		if n == nil || seen[id] {
			continue
		}
		seen[id] = true
		for _, in := range n.Inputs {
			if in.Link != nil {
				stack = append(stack, in.Link.Node)
			}
		}
	}
	return seen
}

// Order lists the nodes so that each comes after those it takes from. Nodes on
// a cycle, and those after one, keep the order of the file at the end.
func (g *Graph) Order() []*Node {
	wait := make(map[string]int, len(g.Nodes))
	users := map[string][]*Node{}
	var ready []*Node
	for _, n := range g.Nodes {
		for _, in := range n.Inputs {
			if in.Link != nil && g.byID[in.Link.Node] != nil {
				wait[n.ID]++
				users[in.Link.Node] = append(users[in.Link.Node], n)
			}
		}
		if wait[n.ID] == 0 {
			ready = append(ready, n)
		}
	}
	list := make([]*Node, 0, len(g.Nodes))
	for len(ready) > 0 {
		n := ready[0]
		ready = ready[1:]
		list = append(list, n)
		for _, u := range users[n.ID] {
			if wait[u.ID]--; wait[u.ID] == 0 {
				ready = append(ready, u)
			}
		}
	}
	if len(list) < len(g.Nodes) {
		for _, n := range g.Nodes {
			if wait[n.ID] > 0 {
				list = append(list, n)
			}
		}
	}
	return list
}

// Cycles returns one closed walk for each group of nodes that depend on each
// other, as links in running order: the first edge's From is the last one's To.
func (g *Graph) Cycles() [][]Edge {
	const (
		unseen = iota
		open
		done
	)
	state := make(map[string]int, len(g.Nodes))
	var cycles [][]Edge
	type frame struct {
		node *Node
		next int
	}
	for _, root := range g.Nodes {
		if state[root.ID] != unseen {
			continue
		}
		stack := []frame{{node: root}}
		var path []Edge // path[i] is the link by which stack[i+1] was reached
		state[root.ID] = open
		for len(stack) > 0 {
			top := &stack[len(stack)-1]
			if top.next == len(top.node.Inputs) {
				state[top.node.ID] = done
				stack = stack[:len(stack)-1]
				if len(path) > 0 {
					path = path[:len(path)-1]
				}
				continue
			}
			in := top.node.Inputs[top.next]
			top.next++
			if in.Link == nil || g.byID[in.Link.Node] == nil {
				continue
			}
			e := Edge{From: g.byID[in.Link.Node], Slot: in.Link.Slot, To: top.node, Input: in}
			switch state[e.From.ID] {
			case unseen:
				state[e.From.ID] = open
				stack = append(stack, frame{node: e.From})
				path = append(path, e)
			case open:
				at := slices.IndexFunc(stack, func(f frame) bool { return f.node == e.From })
				cycle := append(slices.Clone(path[at:]), e)
				slices.Reverse(cycle)
				cycles = append(cycles, cycle)
			}
		}
	}
	return cycles
}
