package fetch

import "slices"

// span is the bytes from begin up to end.
type span [2]int64

// spans are sorted, and do not touch each other.
type spans []span

// add takes the bytes from begin up to end in. It changes s.
func (s spans) add(begin, end int64) spans {
	if begin >= end {
		return s
	}
	// Those that touch the new one melt into it.
	i, _ := slices.BinarySearchFunc(s, begin, func(a span, at int64) int {
		if a[1] < at {
			return -1
		}
		return 1
	})
	j := i
	for j < len(s) && s[j][0] <= end {
		begin, end = min(begin, s[j][0]), max(end, s[j][1])
		j++
	}
	return slices.Replace(s, i, j, span{begin, end})
}

// bytes is how many there are.
func (s spans) bytes() int64 {
	var n int64
	for _, a := range s {
		n += a[1] - a[0]
	}
	return n
}

// front is how many bytes there are from the beginning without a gap.
func (s spans) front() int64 {
	if len(s) > 0 && s[0][0] == 0 {
		return s[0][1]
	}
	return 0
}

// gaps are the bytes missing up to size, in pieces of at most piece bytes.
func (s spans) gaps(size, piece int64) []span {
	var out []span
	at := int64(0)
	for _, a := range append(slices.Clone(s), span{size, size}) {
		for end := min(a[0], size); at < end; {
			next := min(at+piece, end)
			out = append(out, span{at, next})
			at = next
		}
		at = max(at, a[1])
	}
	return out
}

// cut leaves out what lies behind end.
func (s spans) cut(end int64) spans {
	var out spans
	for _, a := range s {
		out = out.add(a[0], min(a[1], end))
	}
	return out
}

// sane drops what cannot be true of a file of size bytes.
func (s spans) sane(size int64) spans {
	var out spans
	for _, a := range s {
		if a[0] >= 0 && a[1] <= size {
			out = out.add(a[0], a[1])
		}
	}
	return out
}
