package likeness

import (
	"bytes"
	"image"
	"image/color"
	"image/jpeg"
	"testing"

	"golang.org/x/image/draw"
)

// disc draws a disc on a gradient.
func disc(w, h int, c color.RGBA, cx float64) *image.RGBA {
	img := image.NewRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			fx, fy := float64(x)/float64(w)-cx, float64(y)/float64(h)-0.5
			if fx*fx+fy*fy < 0.06 {
				img.SetRGBA(x, y, c)
			} else {
				img.SetRGBA(x, y, color.RGBA{uint8(200 * x / w), uint8(200 * y / h), 90, 255})
			}
		}
	}
	return img
}

func TestAlike(t *testing.T) {
	red := color.RGBA{220, 40, 40, 255}
	golden := disc(256, 256, red, 0.5)
	var b bytes.Buffer
	if err := jpeg.Encode(&b, golden, &jpeg.Options{Quality: 60}); err != nil {
		t.Fatal(err)
	}
	pressed, err := jpeg.Decode(&b)
	if err != nil {
		t.Fatal(err)
	}
	small := image.NewRGBA(image.Rect(0, 0, 100, 100))
	draw.BiLinear.Scale(small, small.Bounds(), golden, golden.Bounds(), draw.Src, nil)
	flat := func(c color.RGBA) image.Image {
		img := image.NewRGBA(image.Rect(0, 0, 64, 64))
		draw.Draw(img, img.Bounds(), image.NewUniform(c), image.Point{}, draw.Src)
		return img
	}
	for _, c := range []struct {
		name string
		a, b image.Image
		want bool
	}{
		{"itself", golden, golden, true},
		{"as a poor jpeg", golden, pressed, true},
		{"scaled down", golden, small, true},
		{"another colour", golden, disc(256, 256, color.RGBA{30, 40, 240, 255}, 0.5), false},
		{"elsewhere", golden, disc(256, 256, red, 0.2), false},
		{"flat, near", flat(color.RGBA{100, 100, 100, 255}), flat(color.RGBA{104, 98, 101, 255}), true},
		{"flat, far", flat(color.RGBA{100, 100, 100, 255}), flat(color.RGBA{200, 60, 10, 255}), false},
		{"black and white", flat(color.RGBA{0, 0, 0, 255}), flat(color.RGBA{255, 255, 255, 255}), false},
	} {
		d := Between(Of(c.a), Of(c.b))
		if d.Alike() != c.want {
			t.Errorf("%s: %s", c.name, d)
		}
	}
}
