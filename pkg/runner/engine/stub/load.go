package stub

import (
	"bytes"
	"encoding/binary"
	"image"
	"image/color"
	"image/draw"
	"image/gif" // LoadImage reads it

	_ "golang.org/x/image/bmp"  // LoadImage reads it
	_ "golang.org/x/image/tiff" // LoadImage reads it
	_ "golang.org/x/image/webp" // LoadImage reads it
)

// frames decodes a picture file, all frames of a GIF.
func frames(file string, b []byte) []image.Image {
	cfg, format, err := image.DecodeConfig(bytes.NewReader(b))
	if err != nil {
		panic(raisef("PIL.UnidentifiedImageError", "cannot identify image file '%s'", file))
	}
	room(cfg.Height, cfg.Width, 3)
	if format == "gif" {
		if g, err := gif.DecodeAll(bytes.NewReader(b)); err == nil {
			return composed(g)
		}
	}
	img, _, err := image.Decode(bytes.NewReader(b))
	if err != nil {
		panic(raisef("OSError", "image file is truncated or broken: %v", err))
	}
	if format == "jpeg" {
		img = upright(img, orientation(b))
	}
	return []image.Image{img}
}

// composed lays the frames of a GIF over one another.
func composed(g *gif.GIF) []image.Image {
	canvas := image.NewNRGBA(image.Rect(0, 0, g.Config.Width, g.Config.Height))
	room(len(g.Image), canvas.Rect.Dy(), canvas.Rect.Dx(), 3)
	var out []image.Image
	for i, f := range g.Image {
		before := image.NewNRGBA(canvas.Rect)
		copy(before.Pix, canvas.Pix)
		draw.Draw(canvas, f.Bounds(), f, f.Bounds().Min, draw.Over)
		now := image.NewNRGBA(canvas.Rect)
		copy(now.Pix, canvas.Pix)
		out = append(out, now)
		switch g.Disposal[i] {
		case gif.DisposalBackground:
			draw.Draw(canvas, f.Bounds(), image.Transparent, image.Point{}, draw.Src)
		case gif.DisposalPrevious:
			canvas = before
		}
	}
	return out
}

// load reads a picture file; the mask is 64×64 zeros where it has no alpha.
func (c *call) load(input string) (*picture, *mask) {
	list := frames(c.r.c.annotated(c.text(input, "")), c.open(input))
	var out *picture
	var alpha *mask
	for i, img := range list {
		p, m, has := fromImage(img)
		if i == 0 {
			out = &picture{w: p.w, h: p.h, c: 3}
			alpha = &mask{w: p.w, h: p.h}
			if !has {
				alpha = nil
			}
		}
		out.frames = append(out.frames, p.frames...)
		if alpha != nil {
			alpha.frames = append(alpha.frames, m.frames...)
		}
	}
	if alpha == nil {
		alpha = newMask(64, 64, 1, 0)
	}
	return out, alpha
}

func loadImage(c *call) ([]any, *object, *exception) {
	p, m := c.load("image")
	return []any{p, m}, nil, nil
}

func loadImageMask(c *call) ([]any, *object, *exception) {
	p, m := c.load("image")
	switch c.text("channel", "alpha") {
	case "red":
		m = p.channel(0)
	case "green":
		m = p.channel(1)
	case "blue":
		m = p.channel(2)
	}
	return one(m)
}

// hasAlpha reports whether the file has an alpha channel, opaque or not.
func hasAlpha(img image.Image) bool {
	switch img := img.(type) {
	case *image.NRGBA, *image.NRGBA64, *image.NYCbCrA:
		return true
	case *image.Paletted:
		return !img.Opaque()
	case *image.RGBA: // what the decoders give for files without alpha too
		return !img.Opaque()
	}
	return false
}

// orientation is the EXIF orientation of a JPEG, 1 when it says none.
func orientation(b []byte) int {
	for i := 2; i+4 <= len(b) && b[i] == 0xff; {
		size := int(binary.BigEndian.Uint16(b[i+2:]))
		if size < 2 || i+2+size > len(b) || b[i+1] == 0xda {
			break
		}
		if seg := b[i+4 : i+2+size]; b[i+1] == 0xe1 && bytes.HasPrefix(seg, []byte("Exif\x00\x00")) {
			return tiffOrientation(seg[6:])
		}
		i += 2 + size
	}
	return 1
}

func tiffOrientation(t []byte) int {
	var order binary.ByteOrder = binary.LittleEndian
	if len(t) < 8 {
		return 1
	}
	if t[0] == 'M' {
		order = binary.BigEndian
	}
	at := int(order.Uint32(t[4:]))
	if at < 0 || at+2 > len(t) {
		return 1
	}
	n := int(order.Uint16(t[at:]))
	for i := range n {
		e := at + 2 + 12*i
		if e+12 > len(t) {
			break
		}
		if order.Uint16(t[e:]) == 0x0112 {
			if v := int(order.Uint16(t[e+8:])); v >= 1 && v <= 8 {
				return v
			}
		}
	}
	return 1
}

// upright turns a picture as its orientation says.
func upright(img image.Image, o int) image.Image {
	if o <= 1 {
		return img
	}
	b := img.Bounds()
	w, h := b.Dx(), b.Dy()
	if o >= 5 {
		w, h = h, w
	}
	out := image.NewRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			sx, sy := x, y
			switch o {
			case 2:
				sx = w - 1 - x
			case 3:
				sx, sy = w-1-x, h-1-y
			case 4:
				sy = h - 1 - y
			case 5:
				sx, sy = y, x
			case 6:
				sx, sy = y, w-1-x
			case 7:
				sx, sy = h-1-y, w-1-x
			case 8:
				sx, sy = h-1-y, x
			}
			out.SetRGBA(x, y, color.RGBAModel.Convert(img.At(b.Min.X+sx, b.Min.Y+sy)).(color.RGBA))
		}
	}
	return out
}
