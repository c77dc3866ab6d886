package stub

import (
	"bytes"
	"image/png"
	"math"
	"strconv"
	"strings"
)

// moreNodes adds the classes that are less common.
func moreNodes(m map[string]nodeFunc) {
	m["ImageStitch"], m["ResizeAndPadImage"] = imageStitch, resizeAndPad
	m["ImageAddNoise"], m["ImageBlur"], m["ImageSharpen"] = imageAddNoise, imageBlur, imageSharpen
	m["BatchImagesNode"], m["ComfySwitchNode"] = batchImages, comfySwitch
	m["SaveImageWebsocket"], m["SaveText"] = saveImageWebsocket, saveText
	// These write weights in ComfyUI and show nothing; here are none to write.
	for _, n := range []string{"CheckpointSave", "CLIPSave", "VAESave", "ModelSave", "LoraSave", "SaveLoRA", "SaveLoRANode", "ImageOnlyCheckpointSave"} {
		m[n] = func(*call) ([]any, *object, *exception) { return nil, nil, nil }
	}
	for n, input := range map[string]string{"UpscaleModelLoader": "model_name"} {
		m[n] = func(c *call) ([]any, *object, *exception) {
			return one(&token{typ: c.class.Outputs[0].Type, key: c.key, name: c.text(input, "")})
		}
	}
}

func imageAddNoise(c *call) ([]any, *object, *exception) {
	p, strength := c.image("image"), float32(c.num("strength", 0.5))
	out := newPicture(p.w, p.h, p.c, len(p.frames))
	for i, f := range p.frames {
		n := noise("ImageAddNoise "+pyStr(c.args["seed"])+" "+strconv.Itoa(i), len(f))
		for j, v := range f {
			out.frames[i][j] = unit(v + strength*n[j])
		}
	}
	return one(out)
}

// gaussian is a kernel of 2r+1 values that sum to one.
func gaussian(r int, sigma float64) []float64 {
	out := make([]float64, 2*r+1)
	sum := 0.0
	for i := range out {
		d := float64(i-r) / sigma
		out[i] = math.Exp(-d * d / 2)
		sum += out[i]
	}
	for i := range out {
		out[i] /= sum
	}
	return out
}

// blurred reflects at the edges.
func (p *picture) blurred(r int, sigma float64) *picture {
	if p.w <= r || p.h <= r {
		panic(raisef("RuntimeError", "Padding size should be less than the corresponding input dimension, but got: padding (%d, %d) of input [%d, %d]", r, r, p.h, p.w))
	}
	k := gaussian(r, sigma)
	reflect := func(i, n int) int {
		if i < 0 {
			return -i
		}
		if i >= n {
			return 2*n - 2 - i
		}
		return i
	}
	pass := func(f []float32, dx, dy int) []float32 {
		out := make([]float32, len(f))
		for at := range out {
			ch, x, y := at%p.c, at/p.c%p.w, at/p.c/p.w
			sum := 0.0
			for i, w := range k {
				sx, sy := reflect(x+dx*(i-r), p.w), reflect(y+dy*(i-r), p.h)
				sum += w * float64(f[(sy*p.w+sx)*p.c+ch])
			}
			out[at] = float32(sum)
		}
		return out
	}
	out := &picture{w: p.w, h: p.h, c: p.c}
	for _, f := range p.frames {
		out.frames = append(out.frames, pass(pass(f, 1, 0), 0, 1))
	}
	return out
}

func imageBlur(c *call) ([]any, *object, *exception) {
	p, r := c.image("image"), c.int("blur_radius", 1)
	if r == 0 {
		return one(p)
	}
	return one(p.blurred(r, c.num("sigma", 1)))
}

// imageSharpen subtracts a share of the blurred picture.
func imageSharpen(c *call) ([]any, *object, *exception) {
	p, r, alpha := c.image("image"), c.int("sharpen_radius", 1), float32(c.num("alpha", 1))*10
	if r == 0 {
		return one(p)
	}
	b := p.blurred(r, c.num("sigma", 1))
	out := newPicture(p.w, p.h, p.c, len(p.frames))
	for i, f := range p.frames {
		for j, v := range f {
			out.frames[i][j] = unit(v + alpha*(v-b.frames[i][j]))
		}
	}
	return one(out)
}

// paste copies a smaller picture of as many channels to a place.
func (p *picture) paste(s *picture, x, y int) {
	for i := range p.frames {
		f := s.frames[i%len(s.frames)]
		for row := range s.h {
			copy(p.frames[i][((y+row)*p.w+x)*p.c:], f[row*s.w*s.c:(row+1)*s.w*s.c])
		}
	}
}

func (p *picture) fill(rgb [3]float32) {
	for _, f := range p.frames {
		for j := range f {
			f[j] = 1
			if k := j % p.c; k < 3 {
				f[j] = rgb[k]
			}
		}
	}
}

var stitchColors = map[string][3]float32{"white": {1, 1, 1}, "red": {1, 0, 0}, "green": {0, 1, 0}, "blue": {0, 0, 1}}

// imageStitch lays two pictures side by side or one above the other.
func imageStitch(c *call) ([]any, *object, *exception) {
	a := c.image("image1").rgb()
	if c.args["image2"] == nil {
		return one(c.image("image1"))
	}
	b, dir := c.image("image2").rgb(), c.text("direction", "right")
	across := dir == "right" || dir == "left"
	if c.bool("match_image_size", true) {
		if across {
			b = b.resize(max(1, a.h*b.w/b.h), a.h, "lanczos")
		} else {
			b = b.resize(a.w, max(1, a.w*b.h/b.w), "lanczos")
		}
	}
	n := max(len(a.frames), len(b.frames))
	if dir == "left" || dir == "up" {
		a, b = b, a
	}
	gap := c.int("spacing_width", 0)
	gap += gap % 2
	w, h := max(a.w, b.w), a.h+gap+b.h
	if across {
		w, h = a.w+gap+b.w, max(a.h, b.h)
	}
	out := newPicture(w, h, 3, n)
	if gap > 0 {
		out.fill(stitchColors[c.text("spacing_color", "white")])
	}
	if across {
		out.paste(a, 0, (h-a.h)/2)
		out.paste(b, a.w+gap, (h-b.h)/2)
	} else {
		out.paste(a, (w-a.w)/2, 0)
		out.paste(b, (w-b.w)/2, a.h+gap)
	}
	return one(out)
}

func resizeAndPad(c *call) ([]any, *object, *exception) {
	p, w, h := c.image("image"), c.int("target_width", 512), c.int("target_height", 512)
	by := min(float64(w)/float64(p.w), float64(h)/float64(p.h))
	small := p.resize(max(1, int(float64(p.w)*by)), max(1, int(float64(p.h)*by)), c.text("interpolation", "area"))
	out := newPicture(w, h, p.c, len(p.frames))
	if c.text("padding_color", "white") == "white" {
		out.fill([3]float32{1, 1, 1})
	}
	out.paste(small, (w-small.w)/2, (h-small.h)/2)
	return one(out)
}

// batchImages puts any number of batches together, in the size of the first.
func batchImages(c *call) ([]any, *object, *exception) {
	var out *picture
	for i := range 100 {
		p, ok := c.args["images.image"+strconv.Itoa(i)].(*picture)
		if !ok {
			continue
		}
		if p = p.rgb(); out == nil {
			out = &picture{w: p.w, h: p.h, c: 3}
		}
		if p.w != out.w || p.h != out.h {
			p = centerCrop(p, out.w, out.h).resize(out.w, out.h, "bilinear")
		}
		out.frames = append(out.frames, p.frames...)
	}
	if out == nil {
		return nil, nil, raise("TypeError", "BatchImagesNode: there are no images")
	}
	return one(out)
}

// comfySwitch hands on the branch that was chosen.
func comfySwitch(c *call) ([]any, *object, *exception) {
	if c.bool("switch", false) {
		return one(c.args["on_true"])
	}
	return one(c.args["on_false"])
}

// saveImageWebsocket sends each picture as a PNG frame and keeps no file.
func saveImageWebsocket(c *call) ([]any, *object, *exception) {
	p := c.image("images")
	for i := range p.frames {
		var b bytes.Buffer
		if err := png.Encode(&b, p.image(i)); err != nil {
			return nil, nil, raise("OSError", err.Error())
		}
		if !c.r.progress(c.id, i+1, len(p.frames)) {
			return nil, nil, nil
		}
		c.r.binary(append([]byte{0, 0, 0, 1, 0, 0, 0, 2}, b.Bytes()...))
	}
	return nil, nil, nil
}

// binary sends a frame to the prompt's client, or to all where it names none.
func (r *run) binary(b []byte) {
	r.c.mu.Lock()
	defer r.c.mu.Unlock()
	for id, s := range r.c.sockets {
		if client := r.it.client(); client == nobody || client == id {
			s.put(frame{data: b})
		}
	}
}

// saveText writes a text file; its name has no underscore behind the number.
func saveText(c *call) ([]any, *object, *exception) {
	text, ext := c.text("text", ""), c.text("format", "txt")
	t, ex := c.target("output", c.text("filename_prefix", "ComfyUI"))
	if ex != nil {
		return nil, nil, ex
	}
	if strings.ContainsAny(ext, `/\.`) {
		return nil, nil, raise("ValueError", "no such text format: "+ext)
	}
	t.bare = true
	f, ex := t.write("output", "."+ext, []byte(text))
	return []any{text}, obj("text", []any{text}, "files", []any{f}), ex
}
