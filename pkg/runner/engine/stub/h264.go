package stub

import "bytes"

// H.264 without compression: every macroblock of a changed picture is stored
// as it is (I_PCM), one that equals its predecessor is skipped. Files are
// large, and any player reads them.

type h264 struct {
	w, h   int // in macroblocks of 16
	last   *yuv
	number int  // of the frame since the last full one
	keys   uint // full frames so far
}

// yuv is one picture of 4:2:0, sides in whole macroblocks.
type yuv struct{ y, u, v []byte }

// unit limits a value to 0…1.
func unit(v float32) float32 { return min(1, max(0, v)) }

// toYUV converts with BT.601 at studio range and halves the colours.
func toYUV(p *picture, n, mw, mh int) *yuv {
	w, h := mw*16, mh*16
	out := &yuv{make([]byte, w*h), make([]byte, w*h/4), make([]byte, w*h/4)}
	at := func(x, y int) (r, g, b float32) {
		f := p.frames[n][(min(y, p.h-1)*p.w+min(x, p.w-1))*p.c:]
		return unit(f[0]), unit(f[1]), unit(f[2])
	}
	for y := range h {
		for x := range w {
			r, g, b := at(x, y)
			out.y[y*w+x] = byte(16.5 + 65.481*r + 128.553*g + 24.966*b)
		}
	}
	for y := range h / 2 {
		for x := range w / 2 {
			var r, g, b float32
			for k := range 4 {
				r1, g1, b1 := at(2*x+k%2, 2*y+k/2)
				r, g, b = r+r1/4, g+g1/4, b+b1/4
			}
			out.u[y*w/2+x] = byte(128.5 - 37.797*r - 74.203*g + 112*b)
			out.v[y*w/2+x] = byte(128.5 + 112*r - 93.786*g - 18.214*b)
		}
	}
	return out
}

func (p *yuv) same(o *yuv) bool {
	return o != nil && bytes.Equal(p.y, o.y) && bytes.Equal(p.u, o.u) && bytes.Equal(p.v, o.v)
}

// sequence is the sequence parameter set, cropped to the true size.
func (e *h264) sequence(w, h int) []byte {
	var b bitWriter
	b.put(0x67, 8)
	b.put(66, 8)   // baseline
	b.put(0xc0, 8) // as the constrained profiles ask
	b.put(51, 8)   // level 5.1
	b.ue(0)        // id
	b.ue(4)        // frame numbers of 8 bits
	b.ue(2)        // pictures in the order of decoding
	b.ue(1)        // one reference
	b.put(0, 1)
	b.ue(uint(e.w - 1))
	b.ue(uint(e.h - 1))
	b.put(1, 1) // frames
	b.put(1, 1)
	right, bottom := (e.w*16-w)/2, (e.h*16-h)/2
	if right > 0 || bottom > 0 {
		b.put(1, 1)
		b.ue(0)
		b.ue(uint(right))
		b.ue(0)
		b.ue(uint(bottom))
	} else {
		b.put(0, 1)
	}
	b.put(0, 1) // no further description
	b.stop()
	return escape(b.b)
}

func (e *h264) pictureSet() []byte {
	var b bitWriter
	b.put(0x68, 8)
	b.ue(0)
	b.ue(0)
	b.put(0, 1) // CAVLC
	b.put(0, 1)
	b.ue(0)
	b.ue(0)
	b.ue(0)
	b.put(0, 3)
	b.ue(0) // qp 26, as a signed 0
	b.ue(0)
	b.ue(0)
	b.put(1, 1) // slices say whether edges are filtered
	b.put(0, 2)
	b.stop()
	return escape(b.b)
}

// frame encodes a picture; key is true for one that stands alone.
func (e *h264) frame(p *yuv) (nal []byte, key bool) {
	var b bitWriter
	if p.same(e.last) && e.number < 255 {
		e.number++
		b.put(0x41, 8)
		b.ue(0)
		b.ue(5) // P
		b.ue(0)
		b.put(uint64(e.number), 8)
		b.put(0, 1) // references as they are
		b.put(0, 1)
		b.put(0, 1) // sliding window
		b.ue(0)
		b.ue(1)               // no edge filter
		b.ue(uint(e.w * e.h)) // all skipped
		b.stop()
		return escape(b.b), false
	}
	e.number, e.last = 0, p
	b.put(0x65, 8)
	b.ue(0)
	b.ue(7) // I
	b.ue(0)
	b.put(0, 8)
	b.ue(e.keys % 2) // neighbours must differ
	e.keys++
	b.put(0, 2)
	b.ue(0)
	b.ue(1)
	for my := range e.h {
		for mx := range e.w {
			b.ue(25) // I_PCM
			b.align()
			e.block(&b, p.y, mx, my, 16)
			e.block(&b, p.u, mx, my, 8)
			e.block(&b, p.v, mx, my, 8)
		}
	}
	b.stop()
	return escape(b.b), true
}

func (e *h264) block(b *bitWriter, plane []byte, mx, my, side int) {
	stride := e.w * side
	for y := range side {
		from := (my*side+y)*stride + mx*side
		b.b = append(b.b, plane[from:from+side]...)
	}
}

// escape keeps start codes from showing up inside a unit.
func escape(b []byte) []byte {
	out := make([]byte, 0, len(b)+len(b)/64)
	zeros := 0
	for _, c := range b {
		if zeros >= 2 && c <= 3 {
			out = append(out, 3)
			zeros = 0
		}
		out = append(out, c)
		if c == 0 {
			zeros++
		} else {
			zeros = 0
		}
	}
	return out
}
