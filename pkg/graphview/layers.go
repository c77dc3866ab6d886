package graphview

// The layout is that of layered drawings: cycles are opened, nodes get a layer
// each (left to right), links that cross layers get a waypoint in each, the
// order in the layers is chosen so that few links cross, and then heights are
// chosen so that links run straight.

// cell is a box, or a waypoint of the links that leave one box.
type cell struct {
	node       int // index into View.Nodes, or -1
	layer      int
	x, y, w, h float64
	// left and right are the cells linked to it in the neighbouring layers.
	left, right []int
}

// wire is a link as it is drawn.
type wire struct {
	link     int // index into View.Links
	from, to int // cells
	via      []int
	back     bool // it closes a cycle
}

type layout struct {
	cells  []cell
	layers [][]int // cells, top to bottom
	wires  []wire
}

// maxWaypoints bounds the work on graphs with very many long links; beyond it
// they are drawn straight through.
const maxWaypoints = 50000

// arrange chooses layers and waypoints. Boxes come first among the cells, in
// the order of the nodes.
func arrange(v *View) *layout {
	index := make(map[string]int, len(v.Nodes))
	for i, n := range v.Nodes {
		index[n.ID] = i
	}
	l := &layout{cells: make([]cell, len(v.Nodes))}
	out := make([][]int, len(v.Nodes)) // wires by where they start
	for i, link := range v.Links {
		w := wire{link: i, from: index[link.From], to: index[link.To]}
		out[w.from] = append(out[w.from], len(l.wires))
		l.wires = append(l.wires, w)
	}
	order := l.open(out)
	for i := range v.Nodes {
		l.cells[i].node = i
	}
	l.assign(order, out)
	l.waypoints(out)
	last := 0
	for i := range l.cells {
		last = max(last, l.cells[i].layer)
	}
	l.layers = make([][]int, last+1)
	for i := range l.cells {
		at := l.cells[i].layer
		l.layers[at] = append(l.layers[at], i)
	}
	return l
}

// open marks the links that close cycles and returns the nodes so that each
// comes after those that it takes from over the other links.
func (l *layout) open(out [][]int) []int {
	const (
		unseen = iota
		active
		done
	)
	state := make([]int, len(out))
	order := make([]int, 0, len(out))
	type frame struct{ node, next int }
	for root := range out {
		if state[root] != unseen {
			continue
		}
		stack := []frame{{node: root}}
		state[root] = active
		for len(stack) > 0 {
			top := &stack[len(stack)-1]
			if top.next == len(out[top.node]) {
				state[top.node] = done
				order = append(order, top.node)
				stack = stack[:len(stack)-1]
				continue
			}
			w := &l.wires[out[top.node][top.next]]
			top.next++
			switch state[w.to] {
			case unseen:
				state[w.to] = active
				stack = append(stack, frame{node: w.to})
			case active:
				w.back = true
			}
		}
	}
	for i, j := 0, len(order)-1; i < j; i, j = i+1, j-1 {
		order[i], order[j] = order[j], order[i]
	}
	return order
}

// assign gives each node the layer after the last of those it takes from; what
// takes from nothing then moves right, up to its first user.
func (l *layout) assign(order []int, out [][]int) {
	takes := make([]bool, len(out))
	for _, n := range order {
		for _, i := range out[n] {
			if w := l.wires[i]; !w.back {
				takes[w.to] = true
				l.cells[w.to].layer = max(l.cells[w.to].layer, l.cells[n].layer+1)
			}
		}
	}
	for _, n := range order {
		if takes[n] {
			continue
		}
		first := -1
		for _, i := range out[n] {
			if w := l.wires[i]; !w.back && (first < 0 || l.cells[w.to].layer < first) {
				first = l.cells[w.to].layer
			}
		}
		l.cells[n].layer = max(0, first-1)
	}
}

// waypoints leads the links of a node that cross layers through one cell in
// each, shared by all of them, and notes who is linked to whom.
func (l *layout) waypoints(out [][]int) {
	made := 0
	for n := range out {
		far := l.cells[n].layer
		for _, i := range out[n] {
			if !l.wires[i].back {
				far = max(far, l.cells[l.wires[i].to].layer)
			}
		}
		chain := []int{n}
		for at := l.cells[n].layer + 1; at < far && made < maxWaypoints; at++ {
			l.cells = append(l.cells, cell{node: -1, layer: at})
			made++
			l.join(chain[len(chain)-1], len(l.cells)-1)
			chain = append(chain, len(l.cells)-1)
		}
		for _, i := range out[n] {
			w := &l.wires[i]
			if w.back {
				continue
			}
			hops := min(l.cells[w.to].layer-l.cells[n].layer-1, len(chain)-1)
			w.via = chain[1 : hops+1]
			if hops == l.cells[w.to].layer-l.cells[n].layer-1 {
				l.join(chain[hops], w.to)
			}
		}
	}
}

func (l *layout) join(left, right int) {
	l.cells[left].right = append(l.cells[left].right, right)
	l.cells[right].left = append(l.cells[right].left, left)
}
