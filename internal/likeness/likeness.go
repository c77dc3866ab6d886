// Package likeness says how far apart two pictures look: a hash of their
// structure and the mean of their colours, both blind to size and noise.
package likeness

import (
	"fmt"
	"image"
	"image/color"
	"math"
	"math/bits"

	"golang.org/x/image/draw"
)

// side is the edge of the grid that pictures are compared on.
const side = 16

// Limits of Alike: a seventh of the hash's bits, a twelfth of the colour range.
const (
	maxBits  = side * side / 7
	maxColor = 21.0
)

// Print is what is kept of a picture.
type Print struct {
	// bits say for each cell of the grid whether it is clearly brighter than
	// the one on its right.
	bits [side * side / 64]uint64
	rgb  [side][side][3]float64
}

// Distance is how far two pictures are apart.
type Distance struct {
	// Bits of 256 differ in structure; Color is the mean difference of a
	// channel, from 0 to 255.
	Bits  int
	Color float64
}

// Alike reports whether people would call the pictures the same.
func (d Distance) Alike() bool { return d.Bits <= maxBits && d.Color <= maxColor }

// String puts the distance in words.
func (d Distance) String() string {
	return fmt.Sprintf("%d of %d structure bits and %.0f of 255 in colour apart (at most %d and %.0f)", d.Bits, side*side, d.Color, maxBits, maxColor)
}

// noise is the difference of brightness that counts as none, so that flat
// areas have the same hash whatever their noise.
const noise = 4

// Of makes a picture's print. Transparent parts are taken over grey.
func Of(img image.Image) Print {
	grid := image.NewRGBA(image.Rect(0, 0, side+1, side))
	draw.Draw(grid, grid.Bounds(), image.NewUniform(color.Gray{Y: 128}), image.Point{}, draw.Src)
	draw.CatmullRom.Scale(grid, grid.Bounds(), img, img.Bounds(), draw.Over, nil)
	var p Print
	for y := range side {
		for x := range side {
			i := grid.PixOffset(x, y)
			for c := range 3 {
				p.rgb[y][x][c] = float64(grid.Pix[i+c])
			}
			if light(grid.Pix[i:]) > light(grid.Pix[i+4:])+noise {
				n := y*side + x
				p.bits[n/64] |= 1 << (n % 64)
			}
		}
	}
	return p
}

func light(p []uint8) float64 {
	return 0.299*float64(p[0]) + 0.587*float64(p[1]) + 0.114*float64(p[2])
}

// Between compares two prints.
func Between(a, b Print) Distance {
	var d Distance
	for i := range a.bits {
		d.Bits += bits.OnesCount64(a.bits[i] ^ b.bits[i])
	}
	for y := range side {
		for x := range side {
			for c := range 3 {
				d.Color += math.Abs(a.rgb[y][x][c] - b.rgb[y][x][c])
			}
		}
	}
	d.Color /= side * side * 3
	return d
}
