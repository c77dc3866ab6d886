package stub

import (
	"image"
	"image/color"
	"math"

	"golang.org/x/image/draw"
	"golang.org/x/image/font"
	"golang.org/x/image/font/basicfont"
	"golang.org/x/image/math/fixed"
)

// picture is a batch of frames of one size; values go from 0 to 1, c channels
// (3 or 4) beside each other.
type picture struct {
	w, h, c int
	frames  [][]float32
}

// mask is a batch of single channels.
type mask struct {
	w, h   int
	frames [][]float32
}

// maxValues bounds the values of one batch: 1 GiB.
const maxValues = 1 << 28

// room gives up where a batch would be larger than the stub holds, as PyTorch
// does when memory runs out.
func room(sizes ...int) {
	total := 1
	for _, n := range sizes {
		if n < 0 || n > 0 && total > maxValues/n {
			panic(raise("RuntimeError", "not enough memory: the CPU allocator cannot give what this batch needs"))
		}
		total *= n
	}
}

func newPicture(w, h, c, batch int) *picture {
	room(w, h, c, batch)
	p := &picture{w: w, h: h, c: c}
	for range batch {
		p.frames = append(p.frames, make([]float32, w*h*c))
	}
	return p
}

func newMask(w, h, batch int, v float32) *mask {
	room(w, h, batch)
	m := &mask{w: w, h: h}
	for range batch {
		f := make([]float32, w*h)
		for i := range f {
			f[i] = v
		}
		m.frames = append(m.frames, f)
	}
	return m
}

func (p *picture) channel(ch int) *mask {
	m := newMask(p.w, p.h, len(p.frames), 1)
	if ch >= p.c {
		return m // no alpha: opaque
	}
	for i, f := range p.frames {
		for j := range m.frames[i] {
			m.frames[i][j] = f[j*p.c+ch]
		}
	}
	return m
}

// each makes a picture of the same size with every value changed.
func (p *picture) each(f func(v float32) float32) *picture {
	out := newPicture(p.w, p.h, p.c, len(p.frames))
	for i, fr := range p.frames {
		for j, v := range fr {
			out.frames[i][j] = f(v)
		}
	}
	return out
}

// rgb drops the alpha channel.
func (p *picture) rgb() *picture {
	if p.c == 3 {
		return p
	}
	out := newPicture(p.w, p.h, 3, len(p.frames))
	for i, fr := range p.frames {
		for j := range p.w * p.h {
			copy(out.frames[i][j*3:j*3+3], fr[j*p.c:j*p.c+3])
		}
	}
	return out
}

func level(v float32) uint8 { return uint8(max(0, min(255, 255*v))) } // cut off, as the real one does

// image turns a frame into Go's form.
func (p *picture) image(i int) *image.NRGBA {
	img := image.NewNRGBA(image.Rect(0, 0, p.w, p.h))
	f := p.frames[i]
	for j := range p.w * p.h {
		img.Pix[j*4], img.Pix[j*4+1], img.Pix[j*4+2], img.Pix[j*4+3] = level(f[j*p.c]), level(f[j*p.c+1]), level(f[j*p.c+2]), 255
		if p.c == 4 {
			img.Pix[j*4+3] = level(f[j*4+3])
		}
	}
	return img
}

// fromImage reads Go's form: three channels, and the alpha beside them.
func fromImage(img image.Image) (*picture, *mask, bool) {
	b := img.Bounds()
	p := newPicture(b.Dx(), b.Dy(), 3, 1)
	m := newMask(b.Dx(), b.Dy(), 1, 0)
	has := hasAlpha(img)
	for y := range p.h {
		for x := range p.w {
			c := color.NRGBAModel.Convert(img.At(b.Min.X+x, b.Min.Y+y)).(color.NRGBA)
			j := y*p.w + x
			p.frames[0][j*3], p.frames[0][j*3+1], p.frames[0][j*3+2] = float32(c.R)/255, float32(c.G)/255, float32(c.B)/255
			m.frames[0][j] = 1 - float32(c.A)/255
		}
	}
	return p, m, has
}

func (p *picture) resize(w, h int, method string) *picture {
	room(w, h, p.c, len(p.frames))
	out := &picture{w: w, h: h, c: p.c}
	for _, f := range p.frames {
		out.frames = append(out.frames, resize(f, p.w, p.h, p.c, w, h, method))
	}
	return out
}

// crop takes a part of a frame layout; what lies outside is dropped.
func crop(f []float32, w, c, x, y, cw, ch int) []float32 {
	out := make([]float32, 0, cw*ch*c)
	for row := range ch {
		at := ((y+row)*w + x) * c
		out = append(out, f[at:at+cw*c]...)
	}
	return out
}

// stubPicture draws what stands for a generated picture: colours out of the
// key, and STUB across the middle.
func (c *call) stubPicture(w, h, batch int) *picture {
	p := newPicture(w, h, 3, batch)
	for i := range batch {
		seed := seedOf(c.key + string(rune('a'+i%26)))
		hue := func(shift uint) float64 { return float64(seed>>shift&0xff) / 255 }
		for y := range h {
			for x := range w {
				u, v := float64(x)/float64(w), float64(y)/float64(h)
				wave := 0.5 + 0.5*math.Sin(6*u*(1+3*hue(40))+5*v*(1+3*hue(48))+6*hue(56))
				at := (y*w + x) * 3
				p.frames[i][at] = float32(0.15 + 0.7*(hue(0)*wave+hue(24)*(1-wave)))
				p.frames[i][at+1] = float32(0.15 + 0.7*(hue(8)*wave+hue(32)*(1-wave)))
				p.frames[i][at+2] = float32(0.15 + 0.7*(hue(16)*wave+hue(0)*(1-wave)))
			}
		}
		stamp(p, i)
	}
	return p
}

var letters = func() *image.Alpha {
	face := basicfont.Face7x13
	img := image.NewAlpha(image.Rect(0, 0, 7*4+2, 13))
	d := font.Drawer{Dst: img, Src: image.Opaque, Face: face, Dot: fixed.P(1, 10)}
	d.DrawString("STUB")
	return img
}()

// stamp writes STUB, dark on a light band, over the middle of a frame.
func stamp(p *picture, frame int) {
	lw := max(p.w*2/3, min(p.w, 16))
	lh := max(lw*13/30, 4)
	if lh > p.h {
		lh = p.h
	}
	big := image.NewAlpha(image.Rect(0, 0, lw, lh))
	draw.BiLinear.Scale(big, big.Bounds(), letters, letters.Bounds(), draw.Src, nil)
	x0, y0 := (p.w-lw)/2, (p.h-lh)/2
	for y := range lh {
		for x := range lw {
			a := float32(big.AlphaAt(x, y).A) / 255
			at := ((y0+y)*p.w + x0 + x) * 3
			for ch := range 3 {
				v := &p.frames[frame][at+ch]
				*v = (*v*0.35+0.65)*(1-a) + 0.05*a
			}
		}
	}
}
