package hardware

import (
	"fmt"
	"strings"

	"github.com/comfyctl/comfyctl/pkg/workflow"
)

// Certainty says how a figure came about.
type Certainty int

// From the surest. No figure is measured on a card.
const (
	Given  Certainty = iota // the file's size is known
	Likely                  // told by the model's name, or by a rule that holds in general
	Guess                   // nothing is known of it: what is usual
)

// String is one word.
func (c Certainty) String() string { return [...]string{"given", "likely", "guess"}[c] }

// MarshalText is String.
func (c Certainty) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// Line is one figure of an estimate.
type Line struct {
	// Part is weights, sampling, decode, upscale, overhead, need, comfortable,
	// floor, memory or disk; Of names the file, for weights.
	Part string `json:"part"`
	Of   string `json:"of,omitempty"`
	// Bytes of the figure.
	Bytes int64 `json:"bytes"`
	// Formula is how it came about, as text.
	Formula string    `json:"formula"`
	Sure    Certainty `json:"sure"`
}

// Estimate is what a graph asks of a machine. ComfyUI loads the text encoders,
// the diffusion model and the VAE one after the other, and where a model does
// not fit it keeps a part in the machine's memory and moves it in while it
// computes, which works and is slow.
type Estimate struct {
	// Lines show the method: every figure with its formula.
	Lines []Line
	// Floor is the card's memory, in bytes, below which it does not run even
	// with the weights moved in piece by piece.
	Floor int64
	// Need is where each model fits as a whole, one at a time.
	Need int64
	// Comfortable is where all stay loaded and nothing is done in tiles.
	Comfortable int64
	// Memory of the machine, Disk for models and environment, in bytes.
	Memory, Disk int64
	// Sure is the least sure of the figures.
	Sure Certainty
	// Models is false where the graph loads none: no card is needed.
	Models bool
}

// Options of Of.
type Options struct {
	// SizeOf gives the size in bytes of a model file, as folder/name; 0 or a nil
	// function means that it is not known.
	SizeOf func(model string) int64
	// Files are further model files that stay with the service, such as those
	// of loaders that the catalog does not know.
	Files []string
}

// Fit is how a card suits an estimate.
type Fit int

// The fits.
const (
	TooSmall    Fit = iota // less than Floor
	Offloads               // weights are moved in and out: slow
	Fits                   // one model at a time
	Comfortable            // all models stay loaded
)

// Fit judges a card by its memory in bytes.
func (e Estimate) Fit(vram int64) Fit {
	switch {
	case !e.Models || vram >= e.Comfortable:
		return Comfortable
	case vram >= e.Need:
		return Fits
	case vram >= e.Floor:
		return Offloads
	}
	return TooSmall
}

// Short is the method in one line: "14.3GB weights + 4.8GB sampling + 0.9GB".
func (e Estimate) Short() string {
	for _, l := range e.Lines {
		if l.Part == "need" {
			return l.Formula
		}
	}
	return ""
}

const (
	// context is what the driver and torch take before anything is loaded, and
	// what ComfyUI keeps free.
	context = 900_000_000
	// spare is the same with room for other programs and fragmentation.
	spare = 1_500_000_000
	// tile is a decoder's work on one tile of 512×512 pixels.
	tile = 512 * 512
	// environment is Python, torch with CUDA and ComfyUI on disk.
	environment = 12_000_000_000
	// upscaling is an upscale model's work on a tile of 512×512 at four times.
	upscaling = 1_200_000_000
)

// Of estimates what a graph asks for.
func Of(g *workflow.Graph, o Options) Estimate {
	c := canvasOf(g)
	p := parts{canvas: c}
	p.collect(g, o)
	e := Estimate{Models: len(p.all) > 0}
	for _, w := range p.all {
		e.add(Line{"weights", w.path, w.bytes, w.formula, w.sure})
	}
	if !e.Models {
		e.add(Line{"disk", "", environment, "the environment alone", Likely})
		e.Disk, e.Memory = environment, 4_000_000_000
		return e
	}
	e.stages(&p)
	e.machine(&p)
	return e
}

func (e *Estimate) add(l Line) int64 {
	e.Lines = append(e.Lines, l)
	e.Sure = max(e.Sure, l.Sure)
	return l.Bytes
}

// stages sets what the card needs.
func (e *Estimate) stages(p *parts) {
	c := p.canvas
	act, decode, tiled := int64(0), int64(0), int64(0)
	if p.diffusion > 0 {
		f, sure := familyOf(p.model)
		act = e.add(Line{"sampling", "", f.sampling(c), f.samplingText(c), max(sure, c.sure)})
	}
	if p.diffusion > 0 || p.vae > 0 {
		f, sure := familyOf(p.model)
		decode = e.add(Line{"decode", "", int64(c.pixels) * int64(f.decode), fmt.Sprintf("%s MP × %d bytes a pixel in 16 bits", trim(c.pixels/1e6), f.decode), max(sure, c.sure)})
		tiled = min(decode, tile*int64(f.decode))
	}
	up := int64(0)
	if p.upscale > 0 {
		up = p.upscale + e.add(Line{"upscale", "", upscaling, "a tile of 512×512, four times as large", Guess})
	}
	e.add(Line{"overhead", "", context, "driver, torch and what ComfyUI keeps free", Likely})

	sample := p.diffusion + p.along + act
	most, text := sample, fmt.Sprintf("%s weights + %s sampling", GB(p.diffusion+p.along), GB(act))
	for _, s := range []struct {
		bytes int64
		text  string
	}{{p.encoders, GB(p.encoders) + " text encoders"}, {p.vae + tiled, fmt.Sprintf("%s decoding in tiles", GB(p.vae+tiled))}, {p.other, GB(p.other) + " other models"}, {up, GB(up) + " upscaling"}} {
		if s.bytes > most {
			most, text = s.bytes, s.text
		}
	}
	e.Need = most + context
	e.Comfortable = p.diffusions + p.along + p.encoders + p.vae + p.other + p.upscale + max(act*5/2, decode) + spare
	e.Floor = max(act+(p.diffusion+p.along)/10, p.vae+tiled, p.encoders/10, p.other, up) + context
	e.Floor, e.Comfortable = min(e.Floor, e.Need), max(e.Comfortable, e.Need)
	e.add(Line{"need", "", e.Need, text + " + " + GB(context) + " overhead", Likely})
	e.add(Line{"comfortable", "", e.Comfortable, "all weights + the larger of 2.5 × sampling and a decode in one piece + " + GB(spare), Likely})
	e.add(Line{"floor", "", e.Floor, "sampling + a tenth of the weights, the rest moved in as it is used + " + GB(context), Guess})
}

// machine sets what the machine needs beside the card.
func (e *Estimate) machine(p *parts) {
	var total int64
	for _, w := range p.all {
		total += w.bytes
	}
	e.Memory = e.add(Line{"memory", "", total*11/10 + 4_000_000_000, "1.1 × all weights, which are kept there while others compute, + 4GB", Likely})
	e.Disk = e.add(Line{"disk", "", total + environment, fmt.Sprintf("all weights + %s for Python, torch and ComfyUI", GB(environment)), Likely})
}

// sampling is the memory beside the weights while a diffusion model runs.
func (f family) sampling(c canvas) int64 {
	return int64(min(f.tokens(c)*float64(f.width)*2*float64(f.alive), 1<<50))
}

func (f family) tokens(c canvas) float64 {
	slices := 1.0
	if f.frames > 0 {
		slices = max(1, (float64(c.frames)-1)/float64(f.frames)+1)
	}
	return c.pixels / float64(f.pixel*f.pixel) * slices * float64(c.batch)
}

func (f family) samplingText(c canvas) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%.0f tokens (%s", f.tokens(c), c)
	fmt.Fprintf(&b, ", %d×%d pixels", f.pixel, f.pixel)
	if f.frames > 0 {
		fmt.Fprintf(&b, " and %d frames", f.frames)
	}
	fmt.Fprintf(&b, " each) × width %d of %s × 2 bytes × %d tensors at once", f.width, f.name, f.alive)
	return b.String()
}
