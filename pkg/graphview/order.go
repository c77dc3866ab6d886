package graphview

import (
	"cmp"
	"slices"
)

// sweeps is how often the order is improved, to the right and back.
const sweeps = 6

// untangle orders the cells of each layer by the mean place of those they are
// linked to, to and fro, and keeps the order with the fewest crossings.
func (l *layout) untangle() {
	place := make([]int, len(l.cells))
	number := func() {
		for _, layer := range l.layers {
			for i, c := range layer {
				place[c] = i
			}
		}
	}
	number()
	best, fewest := l.snapshot(), l.crossings(place)
	for s := 0; s < sweeps && fewest > 0; s++ {
		for i := range l.layers {
			at := i
			if s%2 == 1 {
				at = len(l.layers) - 1 - i
			}
			l.sortLayer(at, s%2 == 0, place)
		}
		if n := l.crossings(place); n < fewest {
			best, fewest = l.snapshot(), n
		}
	}
	l.layers = best
}

func (l *layout) snapshot() [][]int {
	out := make([][]int, len(l.layers))
	for i, layer := range l.layers {
		out[i] = slices.Clone(layer)
	}
	return out
}

// sortLayer orders a layer by its neighbours to one side; cells without any
// stay where they are, more or less.
func (l *layout) sortLayer(at int, left bool, place []int) {
	layer := l.layers[at]
	mean := make(map[int]float64, len(layer))
	for i, c := range layer {
		near := l.cells[c].right
		if left {
			near = l.cells[c].left
		}
		mean[c] = float64(i)
		if len(near) == 0 {
			continue
		}
		sum := 0
		for _, n := range near {
			sum += place[n]
		}
		mean[c] = float64(sum) / float64(len(near))
	}
	slices.SortStableFunc(layer, func(a, b int) int { return cmp.Compare(mean[a], mean[b]) })
	for i, c := range layer {
		place[c] = i
	}
}

// crossings counts how many pairs of links cross between neighbouring layers.
func (l *layout) crossings(place []int) int {
	total := 0
	for at, layer := range l.layers[:max(0, len(l.layers)-1)] {
		tree := make([]int, len(l.layers[at+1])+1)
		seen := 0
		for _, c := range layer {
			ends := make([]int, 0, len(l.cells[c].right))
			for _, r := range l.cells[c].right {
				ends = append(ends, place[r])
			}
			// Those before it that end further down cross it.
			for _, e := range ends {
				total += seen - prefix(tree, e+1)
			}
			for _, e := range ends {
				for i := e + 1; i < len(tree); i += i & -i {
					tree[i]++
				}
			}
			seen += len(ends)
		}
	}
	return total
}

// prefix sums the first n counters of a Fenwick tree.
func prefix(tree []int, n int) int {
	sum := 0
	for ; n > 0; n -= n & -n {
		sum += tree[n]
	}
	return sum
}
