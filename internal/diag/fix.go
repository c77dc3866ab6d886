package diag

import (
	"errors"
	"slices"
)

// Apply makes edits of a file's bytes, which must not overlap. src stays as it
// is.
func Apply(src []byte, edits []Edit) ([]byte, error) {
	edits = slices.Clone(edits)
	slices.SortStableFunc(edits, func(a, b Edit) int { return a.Start - b.Start })
	var out []byte
	at := 0
	for i, e := range edits {
		if i > 0 && e == edits[i-1] {
			continue // two findings with one remedy
		}
		if e.Start < at || e.End < e.Start || e.End > len(src) {
			return nil, errors.New("edits overlap or lie outside of the file")
		}
		out = append(append(out, src[at:e.Start]...), e.Text...)
		at = e.End
	}
	return append(out, src[at:]...), nil
}
