package graphview

const (
	layerGap   = 56.0 // between boxes of neighbouring layers
	rowGap     = 18.0 // between boxes of one layer
	wireGap    = 12.0 // between a waypoint and its neighbours
	alignments = 8    // rounds of straightening
)

// settle gives every cell its x and y. Sizes are set; the drawing starts at 0, 0.
func (l *layout) settle() (width, height float64) {
	x := 0.0
	for _, layer := range l.layers {
		w := 0.0
		for _, c := range layer {
			w = max(w, l.cells[c].w)
		}
		for _, c := range layer {
			l.cells[c].x = x + (w-l.cells[c].w)/2
			if l.cells[c].node < 0 {
				l.cells[c].x, l.cells[c].w = x, w
			}
		}
		x += w + layerGap
	}
	for _, layer := range l.layers {
		y := 0.0
		for i, c := range layer {
			if i > 0 {
				y += l.gap(layer[i-1], c)
			}
			l.cells[c].y = y
			y += l.cells[c].h
		}
	}
	for round := range alignments {
		for i := range l.layers {
			at := i
			if round%2 == 1 {
				at = len(l.layers) - 1 - i
			}
			l.straighten(l.layers[at], round%2 == 0)
		}
	}
	top, bottom := 0.0, 0.0
	for i := range l.cells {
		if c := &l.cells[i]; i == 0 || c.y < top {
			top = c.y
		}
	}
	for i := range l.cells {
		l.cells[i].y -= top
		bottom = max(bottom, l.cells[i].y+l.cells[i].h)
	}
	return max(0, x-layerGap), bottom
}

func (l *layout) gap(a, b int) float64 {
	if l.cells[a].node < 0 || l.cells[b].node < 0 {
		return wireGap
	}
	return rowGap
}

// straighten moves the cells of a layer as near as their order and gaps allow
// to the middle of those they are linked to: the least squares solution, found
// by pooling neighbours that push each other.
func (l *layout) straighten(layer []int, left bool) {
	type block struct {
		sum    float64 // of the wanted tops, less the offsets
		weight float64
		count  int
	}
	var blocks []block
	offsets := make([]float64, len(layer))
	for i, c := range layer {
		if i > 0 {
			offsets[i] = offsets[i-1] + l.cells[layer[i-1]].h + l.gap(layer[i-1], c)
		}
		want, weight := l.wanted(c, left)
		blocks = append(blocks, block{(want - offsets[i]) * weight, weight, 1})
		for n := len(blocks); n > 1 && blocks[n-2].sum*blocks[n-1].weight > blocks[n-1].sum*blocks[n-2].weight; n = len(blocks) {
			a, b := blocks[n-2], blocks[n-1]
			blocks = append(blocks[:n-2], block{a.sum + b.sum, a.weight + b.weight, a.count + b.count})
		}
	}
	i := 0
	for _, b := range blocks {
		for range b.count {
			l.cells[layer[i]].y = b.sum/b.weight + offsets[i]
			i++
		}
	}
}

// wanted is the top at which a cell would lie straight with its neighbours,
// and how much that matters. One without neighbours hardly minds.
func (l *layout) wanted(at int, left bool) (top, weight float64) {
	c := &l.cells[at]
	near := c.right
	if left {
		near = c.left
	}
	if len(near) == 0 {
		return c.y, 0.1
	}
	sum := 0.0
	for _, n := range near {
		sum += l.cells[n].y + l.cells[n].h/2
	}
	weight = 1
	if c.node < 0 {
		weight = 4 // long links stay straight
	}
	return sum/float64(len(near)) - c.h/2, weight
}
