package stub

import (
	"encoding/binary"
	"encoding/json"
	"math"
	"os"
	"slices"
	"strings"
	"time"
)

// latent is what a sampler works on. Its shape is batch, channels, and then
// rows and columns (a picture), frames, rows and columns (a video) or one
// length (sound).
type latent struct {
	shape []int
	// key says what it was made of; "" is the empty latent of zeros.
	key string
	// values are those of a latent that was read from a file.
	values []float32
	// pixels are the pictures behind a latent of the VAE without weights.
	pixels *picture
}

// factor is how many pixels one latent position covers on each side.
const factor = 8

func newLatent(key string, shape ...int) *latent {
	room(shape...)
	return &latent{shape: shape, key: key}
}

// derived is a latent of the same shape made by another node.
func (l *latent) derived(key string) *latent { return &latent{shape: slices.Clone(l.shape), key: key} }

func (l *latent) width() int { return l.shape[len(l.shape)-1] }

func (l *latent) height() int {
	if len(l.shape) < 4 {
		return 1
	}
	return l.shape[len(l.shape)-2]
}

func (l *latent) setSize(w, h int) {
	l.shape[len(l.shape)-1] = max(1, w)
	if len(l.shape) >= 4 {
		l.shape[len(l.shape)-2] = max(1, h)
	}
}

// pictures is how many pictures a decoder makes of it: one for each of the
// batch, or four for each frame of a video after the first.
func (l *latent) pictures() int {
	if len(l.shape) == 5 {
		return l.shape[0] * max(1, (l.shape[2]-1)*4+1)
	}
	return l.shape[0]
}

// size is that of the pictures it decodes to.
func (l *latent) size() (w, h int) {
	if l.pixels != nil {
		return l.pixels.w, l.pixels.h
	}
	return l.width() * factor, l.height() * factor
}

// floats are its numbers: those read, zeros, or noise that its key decides.
func (l *latent) floats() []float32 {
	n := 1
	for _, s := range l.shape {
		n *= s
	}
	switch {
	case l.values != nil:
		return l.values
	case l.key == "":
		return make([]float32, n)
	}
	return noise(l.key, n)
}

func (c *call) samplesIn() *latent {
	l, ok := c.args["samples"].(*latent)
	if !ok {
		panic(raisef("TypeError", "%s: input samples is no LATENT", c.class.Name))
	}
	return l
}

func emptyLatent(c *call) ([]any, *object, *exception) {
	channels := 4
	if c.class.Name != "EmptyLatentImage" {
		channels = 16
	}
	return one(newLatent("", c.int("batch_size", 1), channels, max(1, c.int("height", 512)/factor), max(1, c.int("width", 512)/factor)))
}

func emptyLatentAudio(c *call) ([]any, *object, *exception) {
	return one(newLatent("", c.int("batch_size", 1), 64, round(c.num("seconds", 47.6)*44100/2048/2)*2))
}

// decode makes the pictures of a latent: the true ones where a VAE without
// weights is at both ends, else pictures that say STUB.
func decode(c *call) ([]any, *object, *exception) {
	l := c.samplesIn()
	if vae, ok := c.args["vae"].(*token); ok && vae.plain && l.pixels != nil {
		return one(l.pixels)
	}
	if !c.r.sleep(50 * time.Millisecond) {
		return nil, nil, nil
	}
	w, h := l.size()
	return one(c.stubPicture(w, h, l.pictures()))
}

func encode(c *call) ([]any, *object, *exception) {
	p := c.image("pixels")
	out := newLatent(c.key, len(p.frames), 4, max(1, p.h/factor), max(1, p.w/factor))
	if vae, ok := c.args["vae"].(*token); ok && vae.plain {
		out.shape, out.pixels = []int{len(p.frames), 3, p.h, p.w}, p.rgb()
	}
	return one(out)
}

// tilePasses is how often ComfyUI goes over all tiles.
const tilePasses = 3

// decodeTiled reports its progress tile by tile.
func decodeTiled(c *call) ([]any, *object, *exception) {
	l := c.samplesIn()
	w, h := l.size()
	tile := max(64, c.int("tile_size", 512))
	tiles := tilePasses * ((w + tile - 1) / tile) * ((h + tile - 1) / tile)
	for i := 1; i <= tiles; i++ {
		if !c.r.sleep(3*time.Millisecond) || !c.r.progress(c.id, i, tiles) {
			return nil, nil, nil
		}
	}
	return decode(c)
}

func vaeLoader(c *call) ([]any, *object, *exception) {
	name := c.text("vae_name", "")
	return one(&token{typ: "VAE", key: c.key, name: name, plain: name == "pixel_space"})
}

// resized is for the nodes that give a latent of another size.
func resized(f func(c *call, out *latent)) nodeFunc {
	return func(c *call) ([]any, *object, *exception) {
		out := c.samplesIn().derived(c.key)
		f(c, out)
		room(out.shape...)
		return one(out)
	}
}

func latentNodes(m map[string]nodeFunc) {
	m["EmptyLatentImage"], m["EmptySD3LatentImage"], m["EmptyLatentAudio"] = emptyLatent, emptyLatent, emptyLatentAudio
	m["VAEDecode"], m["VAEDecodeTiled"], m["VAELoader"] = decode, decodeTiled, vaeLoader
	m["VAEEncode"], m["VAEEncodeTiled"], m["VAEEncodeForInpaint"] = encode, encode, encode
	m["SaveLatent"], m["LoadLatent"] = saveLatent, loadLatent
	m["LatentUpscale"] = resized(func(c *call, out *latent) {
		w, h := c.int("width", 512)/factor, c.int("height", 512)/factor
		if w == 0 && h == 0 {
			return
		}
		if w == 0 {
			w = max(8, round(float64(out.width())*float64(h)/float64(out.height())))
		}
		if h == 0 {
			h = max(8, round(float64(out.height())*float64(w)/float64(out.width())))
		}
		out.setSize(w, h)
	})
	m["LatentUpscaleBy"] = resized(func(c *call, out *latent) {
		by := c.num("scale_by", 1.5)
		out.setSize(round(float64(out.width())*by), round(float64(out.height())*by))
	})
	m["LatentCrop"] = resized(func(c *call, out *latent) {
		out.setSize(c.int("width", 512)/factor, c.int("height", 512)/factor)
	})
	m["LatentRotate"] = resized(func(c *call, out *latent) {
		if r := c.text("rotation", ""); strings.HasPrefix(r, "90") || strings.HasPrefix(r, "270") {
			out.setSize(out.height(), out.width())
		}
	})
	m["RepeatLatentBatch"] = resized(func(c *call, out *latent) { out.shape[0] *= max(1, c.int("amount", 1)) })
	m["LatentFromBatch"] = resized(func(c *call, out *latent) {
		at := clamp(c.int("batch_index", 0), 0, out.shape[0]-1)
		out.shape[0] = clamp(c.int("length", 1), 1, out.shape[0]-at)
	})
}

// saveLatent writes a safetensors file.
func saveLatent(c *call) ([]any, *object, *exception) {
	l := c.samplesIn()
	t, ex := c.target("output", c.text("filename_prefix", "latents/ComfyUI"))
	if ex != nil {
		return nil, nil, ex
	}
	values, shape, meta := l.floats(), []any{}, obj()
	for _, n := range l.shape {
		shape = append(shape, n)
	}
	for _, e := range c.metadata() {
		meta.set(e.key, e.value)
	}
	head := dump(obj("__metadata__", meta,
		"latent_format_version_0", obj("dtype", "F32", "shape", []any{0}, "data_offsets", []any{0, 0}),
		"latent_tensor", obj("dtype", "F32", "shape", shape, "data_offsets", []any{0, 4 * len(values)})))
	for len(head)%8 != 0 {
		head = append(head, ' ')
	}
	b := append(binary.LittleEndian.AppendUint64(nil, uint64(len(head))), head...)
	for _, v := range values {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(v))
	}
	f, ex := t.write("output", ".latent", b)
	return []any{l}, obj("latents", []any{f}), ex
}

// open reads the file that an input names.
func (c *call) open(input string) []byte {
	file := c.r.c.annotated(c.text(input, ""))
	b, err := os.ReadFile(file)
	if err != nil {
		panic(raisef("FileNotFoundError", "[Errno 2] No such file or directory: '%s'", file))
	}
	return b
}

func loadLatent(c *call) ([]any, *object, *exception) {
	values, shape, ok := readTensor(c.open("latent"), "latent_tensor")
	if !ok || len(shape) < 3 {
		return nil, nil, raise("safetensors_rust.SafetensorError", "Error while deserializing header")
	}
	return one(&latent{shape: shape, values: values, key: c.key})
}

// readTensor reads a tensor of 32-bit floats from a safetensors file.
func readTensor(b []byte, name string) (values []float32, shape []int, ok bool) {
	if len(b) < 8 {
		return nil, nil, false
	}
	size := binary.LittleEndian.Uint64(b)
	if size > uint64(len(b)-8) {
		return nil, nil, false
	}
	var header map[string]json.RawMessage
	var about struct {
		DType   string `json:"dtype"`
		Shape   []int  `json:"shape"`
		Offsets [2]int `json:"data_offsets"`
	}
	if json.Unmarshal(b[8:8+size], &header) != nil || json.Unmarshal(header[name], &about) != nil || about.DType != "F32" {
		return nil, nil, false
	}
	data, n := b[8+size:], 1
	for _, s := range about.Shape {
		if s < 1 || n > len(data)/s {
			return nil, nil, false
		}
		n *= s
	}
	at := about.Offsets[0]
	if at < 0 || at > len(data) || 4*n > len(data)-at {
		return nil, nil, false
	}
	values = make([]float32, n)
	for i := range values {
		values[i] = math.Float32frombits(binary.LittleEndian.Uint32(data[at+4*i:]))
	}
	return values, about.Shape, true
}
