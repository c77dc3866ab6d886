package media

import "errors"

// Elements of Matroska and WebM that lead to the tags.
const (
	ebmlSegment   = 0x18538067
	ebmlCluster   = 0x1f43b675
	ebmlTags      = 0x1254c367
	ebmlTag       = 0x7373
	ebmlSimpleTag = 0x67c8
	ebmlTagName   = 0x45a3
	ebmlTagString = 0x4487
)

// matroska reads the tags. Everything else is stepped over.
func (f *file) matroska() error {
	return f.elements(0, f.size, 0, nil)
}

// maxElements bounds how deep elements are followed.
const maxElements = 8

// tagText is the name and the value of a tag being read.
type tagText struct{ name, value []byte }

func (f *file) elements(start, end int64, depth int, tag *tagText) error {
	for pos := start; pos < end; {
		id, n, err := f.vint(pos, true)
		if err != nil {
			return err
		}
		size, m, err := f.vint(pos+n, false)
		if err != nil {
			return err
		}
		inner := pos + n + m
		if size < 0 { // not known: what follows is inside
			if depth >= maxElements {
				return errors.New("nested too deep")
			}
			return f.elements(inner, end, depth+1, tag)
		}
		if size > end-inner {
			return errCut
		}
		if err := f.element(id, inner, inner+size, depth, tag); err != nil {
			return err
		}
		pos = inner + size
	}
	return nil
}

func (f *file) element(id, start, end int64, depth int, tag *tagText) error {
	if depth >= maxElements {
		return errors.New("nested too deep")
	}
	switch id {
	case ebmlSegment, ebmlTags, ebmlTag:
		return f.elements(start, end, depth+1, tag)
	case ebmlSimpleTag:
		var t tagText
		err := f.elements(start, end, depth+1, &t)
		f.take("tag", string(t.name), t.value)
		return err
	case ebmlTagName, ebmlTagString:
		if tag == nil {
			return nil
		}
		text, err := f.bytes(start, end-start)
		if err != nil {
			return err
		}
		if id == ebmlTagName {
			tag.name = text
		} else {
			tag.value = text
		}
	}
	return nil
}

// vint reads a number of variable length; keep leaves its marker in, as ids are
// written. -1 is a size that is not known.
func (f *file) vint(pos int64, keep bool) (x, n int64, err error) {
	b, err := f.bytes(pos, min(8, max(f.size-pos, 0)))
	if err != nil {
		return 0, 0, err
	}
	if len(b) == 0 {
		return 0, 0, errCut
	}
	n = 1
	for mask := byte(0x80); mask != 0 && b[0]&mask == 0; mask >>= 1 {
		n++
	}
	if n > 8 || int64(len(b)) < n {
		return 0, 0, errors.New("a number that is none")
	}
	first := b[0]
	if !keep {
		first &= byte(0xff >> n)
	}
	x = int64(first)
	all := !keep && first == byte(0xff>>n)
	for _, c := range b[1:n] {
		x = x<<8 | int64(c)
		all = all && c == 0xff
	}
	if all {
		return -1, n, nil
	}
	return x, n, nil
}
