package jsonpos

import (
	"sort"
	"unicode/utf8"

	"github.com/comfyctl/comfyctl/internal/diag"
)

// Locator turns byte offsets into lines and columns. Offsets are asked for in
// nearly ascending order, so it walks on from the last one and starts over, at
// the nearest mark, when asked for an earlier one or for one far ahead.
type Locator struct {
	file  string
	src   []byte
	last  diag.Position
	marks []diag.Position
}

// markEvery is how many bytes lie between two marks.
const markEvery = 128

// NewLocator counts lines and columns from offset from, which lies past a byte
// order mark.
func NewLocator(file string, src []byte, from int) *Locator {
	start := diag.Position{Line: 1, Column: 1, Offset: from}
	return &Locator{file: file, src: src, last: start, marks: []diag.Position{start}}
}

// At is the position of a byte offset.
func (l *Locator) At(offset int) diag.Position {
	offset = min(offset, len(l.src))
	p := l.last
	if offset < p.Offset || offset > p.Offset+markEvery {
		i := sort.Search(len(l.marks), func(i int) bool { return l.marks[i].Offset > offset })
		if m := l.marks[max(i-1, 0)]; offset < p.Offset || m.Offset > p.Offset {
			p = m
		}
	}
	for p.Offset < offset {
		if c := l.src[p.Offset]; c == '\n' {
			p.Line++
			p.Column = 1
			p.Offset++
		} else if c < utf8.RuneSelf {
			p.Column++
			p.Offset++
		} else {
			_, n := utf8.DecodeRune(l.src[p.Offset:])
			p.Column++
			p.Offset += n
		}
		if p.Offset-l.marks[len(l.marks)-1].Offset >= markEvery {
			l.marks = append(l.marks, p)
		}
	}
	l.last = p
	return p
}

// Span is the range between two byte offsets.
func (l *Locator) Span(start, end int) diag.Span {
	return diag.Span{File: l.file, Start: l.At(start), End: l.At(end)}
}
