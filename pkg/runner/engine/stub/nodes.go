package stub

import (
	"math"
	"math/big"
)

type nodeFunc func(c *call) ([]any, *object, *exception)

// nodeTable lists the classes that compute their true result, and the few
// stand-ins whose outputs need more than the schema says.
func nodeTable() map[string]nodeFunc {
	nodes := map[string]nodeFunc{
		"EmptyImage": emptyImage, "LoadImage": loadImage, "LoadImageMask": loadImageMask,
		"ImageScale": imageScale, "ImageScaleBy": imageScaleBy, "ImageScaleToTotalPixels": imageScaleToTotal, "ImageScaleToMaxDimension": imageScaleToMax,
		"ImageInvert": of(func(c *call) any { return c.image("image").each(func(v float32) float32 { return 1 - v }) }),
		"ImageBlend":  imageBlend, "ImageCrop": imageCrop, "ImageFlip": imageFlip, "ImageRotate": imageRotate,
		"ImageBatch": imageBatch, "RepeatImageBatch": repeatBatch, "ImageFromBatch": fromBatch, "RebatchImages": rebatch,
		"ImageCompositeMasked": compositeMasked, "ImagePadForOutpaint": padForOutpaint, "GetImageSize": imageSize,
		"SolidMask": of(func(c *call) any {
			return newMask(c.int("width", 512), c.int("height", 512), 1, float32(c.num("value", 1)))
		}),
		"InvertMask":  of(func(c *call) any { return c.maskArg("mask").each(func(v float32) float32 { return 1 - v }) }),
		"MaskToImage": of(func(c *call) any { return c.maskArg("mask").picture() }),
		"ImageToMask": of(imageToMask), "CropMask": of(cropMask), "MaskComposite": maskComposite, "FeatherMask": of(featherMask), "GrowMask": of(growMask),
		"ThresholdMask": of(thresholdMask), "ImageColorToMask": of(colorToMask), "SplitImageWithAlpha": splitAlpha, "JoinImageWithAlpha": joinAlpha,
		"SaveImage": saveImage, "PreviewImage": previewImage, "MaskPreview": maskPreview,
		"SaveAnimatedPNG": saveAnimatedPNG, "SaveAnimatedWEBP": saveAnimatedWEBP,
	}
	textNodes(nodes)
	latentNodes(nodes)
	mediaNodes(nodes)
	moreNodes(nodes)
	return nodes
}

// of makes a node of a function that gives its only output.
func of(f func(c *call) any) nodeFunc {
	return func(c *call) ([]any, *object, *exception) { return []any{f(c)}, nil, nil }
}

func one(v any) ([]any, *object, *exception) { return []any{v}, nil, nil }

func emptyImage(c *call) ([]any, *object, *exception) {
	color := c.int("color", 0)
	p := newPicture(c.int("width", 512), c.int("height", 512), 3, c.int("batch_size", 1))
	rgb := [3]float32{float32(color>>16&255) / 255, float32(color>>8&255) / 255, float32(color&255) / 255}
	for _, f := range p.frames {
		for i := range f {
			f[i] = rgb[i%3]
		}
	}
	return one(p)
}

func imageScale(c *call) ([]any, *object, *exception) {
	p := c.image("image")
	w, h := c.int("width", 0), c.int("height", 0)
	if w == 0 && h == 0 {
		return one(p)
	}
	if w == 0 {
		w = max(1, int(math.RoundToEven(float64(p.w)*float64(h)/float64(p.h))))
	}
	if h == 0 {
		h = max(1, int(math.RoundToEven(float64(p.h)*float64(w)/float64(p.w))))
	}
	if c.text("crop", "disabled") == "center" {
		p = centerCrop(p, w, h)
	}
	return one(p.resize(w, h, c.text("upscale_method", "bilinear")))
}

// centerCrop cuts a picture to the shape of w×h.
func centerCrop(p *picture, w, h int) *picture {
	have, want := float64(p.w)/float64(p.h), float64(w)/float64(h)
	x, y := 0, 0
	if have > want {
		x = int(math.RoundToEven((float64(p.w) - float64(p.w)*(want/have)) / 2))
	} else if have < want {
		y = int(math.RoundToEven((float64(p.h) - float64(p.h)*(have/want)) / 2))
	}
	return p.crop(x, y, p.w-2*x, p.h-2*y)
}

func (p *picture) crop(x, y, w, h int) *picture {
	out := &picture{w: w, h: h, c: p.c}
	for _, f := range p.frames {
		out.frames = append(out.frames, crop(f, p.w, p.c, x, y, w, h))
	}
	return out
}

func imageScaleBy(c *call) ([]any, *object, *exception) {
	p, by := c.image("image"), c.num("scale_by", 1)
	return one(p.resize(max(1, round(float64(p.w)*by)), max(1, round(float64(p.h)*by)), c.text("upscale_method", "bilinear")))
}

func round(f float64) int { return int(math.RoundToEven(f)) }

func imageScaleToTotal(c *call) ([]any, *object, *exception) {
	p := c.image("image")
	by := math.Sqrt(c.num("megapixels", 1) * 1024 * 1024 / float64(p.w*p.h))
	return one(p.resize(max(1, round(float64(p.w)*by)), max(1, round(float64(p.h)*by)), c.text("upscale_method", "bilinear")))
}

func imageScaleToMax(c *call) ([]any, *object, *exception) {
	p, largest := c.image("image"), c.int("largest_size", 512)
	w, h := largest, largest
	if p.h > p.w {
		w = max(1, round(float64(p.w)/float64(p.h)*float64(largest)))
	} else if p.w > p.h {
		h = max(1, round(float64(p.h)/float64(p.w)*float64(largest)))
	}
	return one(p.resize(w, h, c.text("upscale_method", "bilinear")))
}

var blendModes = map[string]func(a, b float32) float32{
	"normal":   func(_, b float32) float32 { return b },
	"multiply": func(a, b float32) float32 { return a * b },
	"screen":   func(a, b float32) float32 { return 1 - (1-a)*(1-b) },
	"overlay": func(a, b float32) float32 {
		if a <= 0.5 {
			return 2 * a * b
		}
		return 1 - 2*(1-a)*(1-b)
	},
	"soft_light": func(a, b float32) float32 {
		if b <= 0.5 {
			return a - (1-2*b)*a*(1-a)
		}
		g := float32(math.Sqrt(float64(a)))
		if a <= 0.25 {
			g = ((16*a-12)*a + 4) * a
		}
		return a + (2*b-1)*(g-a)
	},
	"difference": func(a, b float32) float32 { return a - b },
}

func imageBlend(c *call) ([]any, *object, *exception) {
	a, b := c.image("image1").rgb(), c.image("image2").rgb()
	if a.w != b.w || a.h != b.h {
		b = centerCrop(b, a.w, a.h).resize(a.w, a.h, "bicubic")
	}
	mode := blendModes[c.text("blend_mode", "normal")]
	if mode == nil {
		return nil, nil, raise("ValueError", "unknown blend mode "+c.text("blend_mode", ""))
	}
	t := float32(c.num("blend_factor", 0.5))
	n := max(len(a.frames), len(b.frames))
	out := newPicture(a.w, a.h, 3, n)
	for i := range n {
		x, y := a.frames[min(i, len(a.frames)-1)], b.frames[min(i, len(b.frames)-1)]
		for j := range out.frames[i] {
			out.frames[i][j] = max(0, min(1, x[j]*(1-t)+mode(x[j], y[j])*t))
		}
	}
	return one(out)
}

func imageCrop(c *call) ([]any, *object, *exception) {
	p := c.image("image")
	x, y := min(c.int("x", 0), p.w-1), min(c.int("y", 0), p.h-1)
	return one(p.crop(x, y, min(c.int("width", 512), p.w-x), min(c.int("height", 512), p.h-y)))
}

// mapped makes a picture whose place (x, y) comes from another place.
func (p *picture) mapped(w, h int, from func(x, y int) (int, int)) *picture {
	out := newPicture(w, h, p.c, len(p.frames))
	for i, f := range p.frames {
		for y := range h {
			for x := range w {
				sx, sy := from(x, y)
				copy(out.frames[i][(y*w+x)*p.c:(y*w+x+1)*p.c], f[(sy*p.w+sx)*p.c:])
			}
		}
	}
	return out
}

func imageFlip(c *call) ([]any, *object, *exception) {
	p := c.image("image")
	if m := c.text("flip_method", ""); len(m) > 0 && m[0] == 'y' {
		return one(p.mapped(p.w, p.h, func(x, y int) (int, int) { return p.w - 1 - x, y }))
	}
	return one(p.mapped(p.w, p.h, func(x, y int) (int, int) { return x, p.h - 1 - y }))
}

func imageRotate(c *call) ([]any, *object, *exception) {
	p := c.image("image")
	switch m := c.text("rotation", "none"); {
	case len(m) > 1 && m[:2] == "90":
		return one(p.mapped(p.h, p.w, func(x, y int) (int, int) { return y, p.h - 1 - x }))
	case len(m) > 2 && m[:3] == "180":
		return one(p.mapped(p.w, p.h, func(x, y int) (int, int) { return p.w - 1 - x, p.h - 1 - y }))
	case len(m) > 2 && m[:3] == "270":
		return one(p.mapped(p.h, p.w, func(x, y int) (int, int) { return p.w - 1 - y, x }))
	}
	return one(p)
}

func imageBatch(c *call) ([]any, *object, *exception) {
	a, b := c.image("image1").rgb(), c.image("image2").rgb()
	if a.w != b.w || a.h != b.h {
		b = centerCrop(b, a.w, a.h).resize(a.w, a.h, "bilinear")
	}
	return one(&picture{w: a.w, h: a.h, c: 3, frames: append(append([][]float32{}, a.frames...), b.frames...)})
}

func repeatBatch(c *call) ([]any, *object, *exception) {
	p := c.image("image")
	out := &picture{w: p.w, h: p.h, c: p.c}
	for range c.int("amount", 1) {
		out.frames = append(out.frames, p.frames...)
	}
	return one(out)
}

func fromBatch(c *call) ([]any, *object, *exception) {
	p := c.image("image")
	at := min(len(p.frames)-1, c.int("batch_index", 0))
	n := min(len(p.frames)-at, c.int("length", 1))
	return one(&picture{w: p.w, h: p.h, c: p.c, frames: p.frames[at : at+n]})
}

// rebatch cuts all pictures of a list into batches of one size.
func rebatch(c *call) ([]any, *object, *exception) {
	all, isList := c.args["images"].(list)
	if !isList {
		all = list{c.args["images"]}
	}
	if l, ok := c.args["batch_size"].(list); ok && len(l) > 0 {
		c.args["batch_size"] = l[0]
	}
	n := max(1, c.int("batch_size", 1))
	var out list
	var last *picture
	for _, v := range all {
		p, ok := v.(*picture)
		if !ok {
			return nil, nil, raise("TypeError", "RebatchImages: images is no IMAGE")
		}
		for _, f := range p.frames {
			if last == nil || len(last.frames) == n || last.w != p.w || last.h != p.h || last.c != p.c {
				last = &picture{w: p.w, h: p.h, c: p.c}
				out = append(out, last)
			}
			last.frames = append(last.frames, f)
		}
	}
	return one(out)
}

func compositeMasked(c *call) ([]any, *object, *exception) {
	dst, src := c.image("destination").rgb(), c.image("source").rgb()
	if c.bool("resize_source", false) {
		src = src.resize(dst.w, dst.h, "bilinear")
	}
	m, _ := c.args["mask"].(*mask)
	if m != nil {
		m = m.resize(src.w, src.h)
	}
	x0, y0 := clamp(c.int("x", 0), -src.w, dst.w), clamp(c.int("y", 0), -src.h, dst.h)
	out := newPicture(dst.w, dst.h, 3, len(dst.frames))
	for i := range dst.frames {
		copy(out.frames[i], dst.frames[i])
		s := src.frames[i%len(src.frames)]
		for y := range src.h {
			for x := range src.w {
				dx, dy := x+x0, y+y0
				if dx < 0 || dy < 0 || dx >= dst.w || dy >= dst.h {
					continue
				}
				a := float32(1)
				if m != nil {
					a = m.frames[i%len(m.frames)][y*src.w+x]
				}
				for ch := range 3 {
					at := (dy*dst.w+dx)*3 + ch
					out.frames[i][at] = a*s[(y*src.w+x)*3+ch] + (1-a)*out.frames[i][at]
				}
			}
		}
	}
	return one(out)
}

func padForOutpaint(c *call) ([]any, *object, *exception) {
	p := c.image("image").rgb()
	l, t, r, b, feather := c.int("left", 0), c.int("top", 0), c.int("right", 0), c.int("bottom", 0), c.int("feathering", 40)
	out := newPicture(p.w+l+r, p.h+t+b, 3, len(p.frames))
	for i := range out.frames {
		for j := range out.frames[i] {
			out.frames[i][j] = 0.5
		}
		for y := range p.h {
			copy(out.frames[i][((y+t)*out.w+l)*3:], p.frames[i][y*p.w*3:(y+1)*p.w*3])
		}
	}
	m := newMask(out.w, out.h, 1, 1)
	for y := range p.h {
		for x := range p.w {
			v := float32(0)
			if feather > 0 && feather*2 < p.h && feather*2 < p.w {
				d := p.h + p.w
				for _, e := range []struct{ pad, dist int }{{t, y}, {b, p.h - y}, {l, x}, {r, p.w - x}} {
					if e.pad > 0 {
						d = min(d, e.dist)
					}
				}
				if d < feather {
					f := float32(feather-d) / float32(feather)
					v = f * f
				}
			}
			m.frames[0][(y+t)*out.w+x+l] = v
		}
	}
	return []any{out, m}, nil, nil
}

func imageSize(c *call) ([]any, *object, *exception) {
	p := c.image("image")
	return []any{big.NewInt(int64(p.w)), big.NewInt(int64(p.h)), big.NewInt(int64(len(p.frames)))}, nil, nil
}
