package stub

import "math"

func (m *mask) each(f func(v float32) float32) *mask {
	out := newMask(m.w, m.h, len(m.frames), 0)
	for i, fr := range m.frames {
		for j, v := range fr {
			out.frames[i][j] = f(v)
		}
	}
	return out
}

func (m *mask) picture() *picture {
	p := newPicture(m.w, m.h, 3, len(m.frames))
	for i, f := range m.frames {
		for j, v := range f {
			p.frames[i][j*3], p.frames[i][j*3+1], p.frames[i][j*3+2] = v, v, v
		}
	}
	return p
}

func (m *mask) resize(w, h int) *mask {
	if m.w == w && m.h == h {
		return m
	}
	out := &mask{w: w, h: h}
	for _, f := range m.frames {
		out.frames = append(out.frames, resize(f, m.w, m.h, 1, w, h, "bilinear"))
	}
	return out
}

func imageToMask(c *call) any {
	return c.image("image").channel(map[string]int{"red": 0, "green": 1, "blue": 2, "alpha": 3}[c.text("channel", "red")])
}

func cropMask(c *call) any {
	m := c.maskArg("mask")
	x, y := clamp(c.int("x", 0), 0, m.w), clamp(c.int("y", 0), 0, m.h)
	w, h := min(c.int("width", 512), m.w-x), min(c.int("height", 512), m.h-y)
	out := &mask{w: w, h: h}
	for _, f := range m.frames {
		out.frames = append(out.frames, crop(f, m.w, 1, x, y, w, h))
	}
	return out
}

func maskComposite(c *call) ([]any, *object, *exception) {
	dst, src := c.maskArg("destination"), c.maskArg("source")
	out := dst.each(func(v float32) float32 { return v })
	truth := func(v float32) bool { return math.RoundToEven(float64(v)) != 0 }
	bit := func(b bool) float32 {
		if b {
			return 1
		}
		return 0
	}
	op := map[string]func(d, s float32) float32{
		"multiply": func(d, s float32) float32 { return d * s },
		"add":      func(d, s float32) float32 { return d + s },
		"subtract": func(d, s float32) float32 { return d - s },
		"and":      func(d, s float32) float32 { return bit(truth(d) && truth(s)) },
		"or":       func(d, s float32) float32 { return bit(truth(d) || truth(s)) },
		"xor":      func(d, s float32) float32 { return bit(truth(d) != truth(s)) },
	}[c.text("operation", "multiply")]
	if op == nil {
		return nil, nil, raise("ValueError", "unknown operation "+c.text("operation", ""))
	}
	x0, y0 := c.int("x", 0), c.int("y", 0)
	for i, f := range out.frames {
		s := src.frames[i%len(src.frames)]
		for y := range src.h {
			for x := range src.w {
				if dx, dy := x+x0, y+y0; dx >= 0 && dy >= 0 && dx < dst.w && dy < dst.h {
					f[dy*dst.w+dx] = op(f[dy*dst.w+dx], s[y*src.w+x])
				}
			}
		}
		for j, v := range f {
			f[j] = max(0, min(1, v))
		}
	}
	return one(out)
}

// featherMask fades the sides. On the right and below, the weakest factor
// lands on column (row) 0 and not on the last one, as in ComfyUI, which counts
// from -0.
func featherMask(c *call) any {
	m := c.maskArg("mask").each(func(v float32) float32 { return v })
	column := func(x int, by float32) {
		for _, f := range m.frames {
			for y := range m.h {
				f[y*m.w+x] *= by
			}
		}
	}
	row := func(y int, by float32) {
		for _, f := range m.frames {
			for x := range m.w {
				f[y*m.w+x] *= by
			}
		}
	}
	fade := func(count, size int, far bool, line func(int, float32)) {
		count = min(count, size)
		for i := range count {
			at := i
			if far {
				at = (size - i) % size
			}
			line(at, float32(i+1)/float32(count))
		}
	}
	fade(c.int("left", 0), m.w, false, column)
	fade(c.int("right", 0), m.w, true, column)
	fade(c.int("top", 0), m.h, false, row)
	fade(c.int("bottom", 0), m.h, true, row)
	return m
}

// growMask widens (or, below zero, narrows) by one pixel at a time; tapered
// corners leave the diagonal neighbours out.
func growMask(c *call) any {
	m, by, tapered := c.maskArg("mask"), c.int("expand", 0), c.bool("tapered_corners", true)
	pick := func(a, b float32) float32 { return max(a, b) }
	if by < 0 {
		pick = func(a, b float32) float32 { return min(a, b) }
		by = -by
	}
	for range min(by, m.w+m.h) {
		if c.r.interrupted() {
			return m
		}
		out := newMask(m.w, m.h, len(m.frames), 0)
		for i, f := range m.frames {
			for at := range f {
				x, y := at%m.w, at/m.w
				v := f[at]
				for dy := -1; dy <= 1; dy++ {
					for dx := -1; dx <= 1; dx++ {
						if !tapered || dx == 0 || dy == 0 {
							v = pick(v, f[clamp(y+dy, 0, m.h-1)*m.w+clamp(x+dx, 0, m.w-1)])
						}
					}
				}
				out.frames[i][at] = v
			}
		}
		m = out
	}
	return m
}

func thresholdMask(c *call) any {
	t := float32(c.num("value", 0.5))
	return c.maskArg("mask").each(func(v float32) float32 {
		if v > t {
			return 1
		}
		return 0
	})
}

func colorToMask(c *call) any {
	p, want := c.image("image"), c.int("color", 0)
	m := newMask(p.w, p.h, len(p.frames), 0)
	for i, f := range p.frames {
		for j := range m.frames[i] {
			at := func(ch int) int { return int(math.RoundToEven(float64(max(0, min(1, f[j*p.c+ch])) * 255))) }
			if at(0)<<16|at(1)<<8|at(2) == want {
				m.frames[i][j] = 1
			}
		}
	}
	return m
}

func splitAlpha(c *call) ([]any, *object, *exception) {
	p := c.image("image")
	return []any{p.rgb(), p.channel(3).each(func(v float32) float32 { return 1 - v })}, nil, nil
}

func joinAlpha(c *call) ([]any, *object, *exception) {
	p := c.image("image").rgb()
	m := c.maskArg("alpha").resize(p.w, p.h)
	out := newPicture(p.w, p.h, 4, min(len(p.frames), len(m.frames)))
	for i, f := range out.frames {
		for j := range p.w * p.h {
			copy(f[j*4:], p.frames[i][j*3:j*3+3])
			f[j*4+3] = 1 - m.frames[i][j]
		}
	}
	return one(out)
}
