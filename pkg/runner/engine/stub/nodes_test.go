package stub

import (
	"bytes"
	"image"
	"image/color"
	"image/gif"
	"image/jpeg"
	"image/png"
	"math"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/comfyctl/comfyctl/pkg/catalog"
)

// try calls a node of a release without a server around it.
func try(t testing.TB, class string, args map[string]any) ([]any, *exception) {
	t.Helper()
	return tryIn(t, t.TempDir(), class, args)
}

func tryIn(t testing.TB, dir, class string, args map[string]any) ([]any, *exception) {
	t.Helper()
	cat, err := catalog.For("")
	if err != nil {
		t.Fatal(err)
	}
	cl, ok := cat.Class(class)
	if !ok {
		old, err := catalog.For("v0.3.64")
		if err != nil {
			t.Fatal(err)
		}
		if cl, ok = old.Class(class); !ok {
			t.Fatalf("no class %s", class)
		}
	}
	if err := makeFolders(dir); err != nil {
		t.Fatal(err)
	}
	c := newCore(Options{Dir: dir}, cat)
	r := newRun(c, &item{id: "x", prompt: obj(), extra: obj()})
	r.keys["1"] = strings.Repeat("0", 64)
	for k, v := range args {
		switch v := v.(type) {
		case int:
			args[k] = big.NewInt(int64(v))
		}
	}
	out, _, ex := r.once("1", cl, args)
	return out, ex
}

// grid is a picture of one frame from rows of levels, all channels equal.
func grid(rows ...[]float32) *picture {
	p := newPicture(len(rows[0]), len(rows), 3, 1)
	for y, row := range rows {
		for x, v := range row {
			for k := range 3 {
				p.frames[0][(y*p.w+x)*3+k] = v
			}
		}
	}
	return p
}

func gridMask(rows ...[]float32) *mask { return grid(rows...).channel(0) }

func near(t *testing.T, what string, got, want []float32) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %v, want %v", what, got, want)
	}
	for i := range got {
		if math.Abs(float64(got[i]-want[i])) > 1e-5 {
			t.Fatalf("%s: %v, want %v", what, got, want)
		}
	}
}

func TestPictureNodes(t *testing.T) {
	abcd := grid([]float32{0, 0.25}, []float32{0.5, 1})
	for _, tc := range []struct {
		class string
		args  map[string]any
		want  [][]float32
	}{
		{"ImageInvert", map[string]any{"image": abcd}, [][]float32{{1, 0.75}, {0.5, 0}}},
		{"ImageFlip", map[string]any{"image": abcd, "flip_method": "x-axis: vertically"}, [][]float32{{0.5, 1}, {0, 0.25}}},
		{"ImageFlip", map[string]any{"image": abcd, "flip_method": "y-axis: horizontally"}, [][]float32{{0.25, 0}, {1, 0.5}}},
		{"ImageRotate", map[string]any{"image": abcd, "rotation": "90 degrees"}, [][]float32{{0.5, 0}, {1, 0.25}}},
		{"ImageRotate", map[string]any{"image": abcd, "rotation": "180 degrees"}, [][]float32{{1, 0.5}, {0.25, 0}}},
		{"ImageRotate", map[string]any{"image": abcd, "rotation": "270 degrees"}, [][]float32{{0.25, 1}, {0, 0.5}}},
		{"ImageCrop", map[string]any{"image": abcd, "x": 1, "y": 0, "width": 5, "height": 1}, [][]float32{{0.25}}},
		{"ImageScale", map[string]any{"image": abcd, "upscale_method": "nearest-exact", "width": 4, "height": 2, "crop": "disabled"},
			[][]float32{{0, 0, 0.25, 0.25}, {0.5, 0.5, 1, 1}}},
		{"ImageScale", map[string]any{"image": abcd, "upscale_method": "bilinear", "width": 4, "height": 2, "crop": "disabled"},
			[][]float32{{0, 0.0625, 0.1875, 0.25}, {0.5, 0.625, 0.875, 1}}},
		{"ImageScale", map[string]any{"image": grid([]float32{0, 0.5, 1}), "upscale_method": "area", "width": 2, "height": 1, "crop": "disabled"},
			[][]float32{{0.25, 0.75}}},
		{"ImageScale", map[string]any{"image": grid([]float32{0, 1}), "upscale_method": "bicubic", "width": 4, "height": 1, "crop": "disabled"},
			[][]float32{{-0.10546875, 0.2265625, 0.7734375, 1.10546875}}},
		{"ImageScale", map[string]any{"image": grid([]float32{0, 0.25, 0.5, 0.75, 1}), "upscale_method": "nearest-exact", "width": 1, "height": 1, "crop": "center"},
			[][]float32{{0.5}}},
		{"ImageScale", map[string]any{"image": grid([]float32{1, 1, 1}), "upscale_method": "lanczos", "width": 2, "height": 2, "crop": "disabled"},
			[][]float32{{1, 1}, {1, 1}}},
		{"ImageScale", map[string]any{"image": abcd, "upscale_method": "nearest-exact", "width": 4, "height": 0, "crop": "disabled"},
			[][]float32{{0, 0, 0.25, 0.25}, {0, 0, 0.25, 0.25}, {0.5, 0.5, 1, 1}, {0.5, 0.5, 1, 1}}},
		{"ImageScaleBy", map[string]any{"image": abcd, "upscale_method": "area", "scale_by": 0.5}, [][]float32{{0.4375}}},
		{"ImageBlend", map[string]any{"image1": abcd, "image2": grid([]float32{1, 1}, []float32{1, 1}), "blend_factor": 0.5, "blend_mode": "normal"},
			[][]float32{{0.5, 0.625}, {0.75, 1}}},
		{"ImageBlend", map[string]any{"image1": abcd, "image2": grid([]float32{1, 1}, []float32{1, 1}), "blend_factor": 1.0, "blend_mode": "difference"},
			[][]float32{{0, 0}, {0, 0}}},
		{"ImageBlend", map[string]any{"image1": abcd, "image2": abcd, "blend_factor": 1.0, "blend_mode": "multiply"}, [][]float32{{0, 0.0625}, {0.25, 1}}},
		{"ImageBlend", map[string]any{"image1": abcd, "image2": abcd, "blend_factor": 1.0, "blend_mode": "screen"}, [][]float32{{0, 0.4375}, {0.75, 1}}},
		{"ImageCompositeMasked", map[string]any{"destination": abcd, "source": grid([]float32{1}), "x": 1, "y": 0, "resize_source": false}, [][]float32{{0, 1}, {0.5, 1}}},
		{"ImageCompositeMasked", map[string]any{"destination": abcd, "source": grid([]float32{1, 1}, []float32{1, 1}), "x": 0, "y": 0, "resize_source": false,
			"mask": gridMask([]float32{0, 0.5}, []float32{1, 0})}, [][]float32{{0, 0.625}, {1, 1}}},
		{"ImagePadForOutpaint", map[string]any{"image": grid([]float32{1}), "left": 1, "top": 0, "right": 0, "bottom": 0, "feathering": 0}, [][]float32{{0.5, 1}}},
		{"ResizeAndPadImage", map[string]any{"image": grid([]float32{1, 1}), "target_width": 2, "target_height": 3, "padding_color": "black", "interpolation": "area"},
			[][]float32{{0, 0}, {1, 1}, {0, 0}}},
		{"ImageStitch", map[string]any{"image1": grid([]float32{0}), "image2": grid([]float32{1}), "direction": "left", "match_image_size": true, "spacing_width": 0, "spacing_color": "white"},
			[][]float32{{1, 0}}},
		{"ImageBlur", map[string]any{"image": grid([]float32{1, 1}, []float32{1, 1}), "blur_radius": 1, "sigma": 1.0}, [][]float32{{1, 1}, {1, 1}}},
	} {
		name := tc.class + " " + pyStr(tc.args["upscale_method"]) + pyStr(tc.args["blend_mode"])
		out, ex := try(t, tc.class, tc.args)
		if ex != nil {
			t.Errorf("%s: %v", name, ex)
			continue
		}
		near(t, name, out[0].(*picture).channel(0).frames[0], grid(tc.want...).channel(0).frames[0])
	}
}

func TestMaskNodes(t *testing.T) {
	m := gridMask([]float32{0, 0.25, 1})
	for _, tc := range []struct {
		class string
		args  map[string]any
		want  [][]float32
	}{
		{"InvertMask", map[string]any{"mask": m}, [][]float32{{1, 0.75, 0}}},
		{"ThresholdMask", map[string]any{"mask": m, "value": 0.25}, [][]float32{{0, 0, 1}}},
		{"CropMask", map[string]any{"mask": m, "x": 1, "y": 0, "width": 9, "height": 1}, [][]float32{{0.25, 1}}},
		{"SolidMask", map[string]any{"value": 0.5, "width": 2, "height": 1}, [][]float32{{0.5, 0.5}}},
		{"MaskComposite", map[string]any{"destination": m, "source": gridMask([]float32{1, 1}), "x": 1, "y": 0, "operation": "subtract"}, [][]float32{{0, 0, 0}}},
		{"MaskComposite", map[string]any{"destination": m, "source": gridMask([]float32{1, 1}), "x": 1, "y": 0, "operation": "add"}, [][]float32{{0, 1, 1}}},
		{"MaskComposite", map[string]any{"destination": m, "source": gridMask([]float32{1, 1, 1}), "x": 0, "y": 0, "operation": "xor"}, [][]float32{{1, 1, 0}}},
		{"FeatherMask", map[string]any{"mask": gridMask([]float32{1, 1, 1, 1}), "left": 2, "top": 0, "right": 0, "bottom": 0}, [][]float32{{0.5, 1, 1, 1}}},
		{"FeatherMask", map[string]any{"mask": gridMask([]float32{1, 1, 1, 1}), "left": 0, "top": 0, "right": 2, "bottom": 0}, [][]float32{{0.5, 1, 1, 1}}},
		{"GrowMask", map[string]any{"mask": gridMask([]float32{0, 0, 0}, []float32{0, 1, 0}, []float32{0, 0, 0}), "expand": 1, "tapered_corners": true},
			[][]float32{{0, 1, 0}, {1, 1, 1}, {0, 1, 0}}},
		{"GrowMask", map[string]any{"mask": gridMask([]float32{0, 0, 0}, []float32{0, 1, 0}, []float32{0, 0, 0}), "expand": 1, "tapered_corners": false},
			[][]float32{{1, 1, 1}, {1, 1, 1}, {1, 1, 1}}},
		{"GrowMask", map[string]any{"mask": m, "expand": -1, "tapered_corners": true}, [][]float32{{0, 0, 0.25}}},
		{"ImageColorToMask", map[string]any{"image": grid([]float32{0, 1}), "color": 0xffffff}, [][]float32{{0, 1}}},
		{"ImageToMask", map[string]any{"image": grid([]float32{0, 1}), "channel": "green"}, [][]float32{{0, 1}}},
	} {
		out, ex := try(t, tc.class, tc.args)
		if ex != nil {
			t.Errorf("%s: %v", tc.class, ex)
			continue
		}
		near(t, tc.class, out[0].(*mask).frames[0], gridMask(tc.want...).frames[0])
	}
}

func TestBatches(t *testing.T) {
	five := newPicture(2, 2, 3, 5)
	out, ex := try(t, "RebatchImages", map[string]any{"images": list{five, newPicture(2, 2, 3, 2)}, "batch_size": list{big.NewInt(3)}})
	if ex != nil {
		t.Fatal(ex)
	}
	var sizes []int
	for _, p := range out[0].(list) {
		sizes = append(sizes, len(p.(*picture).frames))
	}
	if len(sizes) != 3 || sizes[0] != 3 || sizes[1] != 3 || sizes[2] != 1 {
		t.Errorf("batches of %v", sizes)
	}
	out, ex = try(t, "ImageFromBatch", map[string]any{"image": five, "batch_index": 4, "length": 9})
	if ex != nil || len(out[0].(*picture).frames) != 1 {
		t.Errorf("from batch: %v %v", out, ex)
	}
}

func TestNodesThatGiveUp(t *testing.T) {
	for _, tc := range []struct {
		class string
		args  map[string]any
		kind  string
	}{
		{"EmptyImage", map[string]any{"width": 16384, "height": 16384, "batch_size": 4096, "color": 0}, "RuntimeError"},
		{"ImageInvert", map[string]any{"image": "text"}, "TypeError"},
		{"RegexReplace", map[string]any{"string": "x", "regex_pattern": "(", "replace": ""}, "re.PatternError"},
		{"SaveImage", map[string]any{"images": grid([]float32{1}), "filename_prefix": "../escape"}, "Exception"},
		{"SaveImage", map[string]any{"images": grid([]float32{1}), "filename_prefix": "a/../../escape"}, "Exception"},
		{"LoadImage", map[string]any{"image": "absent.png"}, "FileNotFoundError"},
		{"LoadImage", map[string]any{"image": "../../../etc/passwd"}, "FileNotFoundError"},
		{"SaveWEBM", map[string]any{"images": grid([]float32{1}), "filename_prefix": "x", "codec": "vp9"}, "RuntimeError"},
		{"SaveAudioMP3", map[string]any{"audio": tone(""), "filename_prefix": "x"}, "RuntimeError"},
		{"LoadLatent", map[string]any{"latent": "absent.latent"}, "FileNotFoundError"},
	} {
		if _, ex := try(t, tc.class, tc.args); ex == nil || ex.kind != tc.kind {
			t.Errorf("%s: %v, want a %s", tc.class, ex, tc.kind)
		}
	}
}

func TestLoadImage(t *testing.T) {
	dir := t.TempDir()
	if err := makeFolders(dir); err != nil {
		t.Fatal(err)
	}
	put := func(name string, encode func(b *bytes.Buffer) error) {
		var b bytes.Buffer
		if err := encode(&b); err != nil {
			t.Fatal(err)
		}
		putFile(t, dir+"/input", name, b.Bytes())
	}
	half := image.NewNRGBA(image.Rect(0, 0, 2, 1))
	half.SetNRGBA(0, 0, color.NRGBA{255, 0, 0, 255})
	half.SetNRGBA(1, 0, color.NRGBA{0, 0, 255, 51})
	put("alpha.png", func(b *bytes.Buffer) error { return png.Encode(b, half) })
	put("plain.png", func(b *bytes.Buffer) error { return png.Encode(b, image.NewGray(image.Rect(0, 0, 3, 2))) })
	frame := func(c color.Color) *image.Paletted {
		return image.NewPaletted(image.Rect(0, 0, 2, 2), color.Palette{c})
	}
	put("two.gif", func(b *bytes.Buffer) error {
		return gif.EncodeAll(b, &gif.GIF{Image: []*image.Paletted{frame(color.White), frame(color.Black)}, Delay: []int{1, 1}})
	})
	put("turned.jpg", func(b *bytes.Buffer) error {
		var plain bytes.Buffer
		if err := jpeg.Encode(&plain, image.NewGray(image.Rect(0, 0, 4, 2)), nil); err != nil {
			return err
		}
		exif := []byte("Exif\x00\x00II*\x00\x08\x00\x00\x00\x01\x00\x12\x01\x03\x00\x01\x00\x00\x00\x06\x00\x00\x00\x00\x00\x00\x00")
		b.Write(plain.Bytes()[:2])
		b.Write([]byte{0xff, 0xe1, 0, byte(len(exif) + 2)})
		b.Write(exif)
		b.Write(plain.Bytes()[2:])
		return nil
	})
	for _, tc := range []struct {
		file               string
		w, h, n            int
		mw, mh             int
		lastMask, firstRed float32
	}{
		{"alpha.png", 2, 1, 1, 2, 1, 0.8, 1},
		{"plain.png", 3, 2, 1, 64, 64, 0, 0},
		{"two.gif", 2, 2, 2, 2, 2, 0, 1},
		{"turned.jpg", 2, 4, 1, 64, 64, 0, 0},
	} {
		b, err := readInput(dir, tc.file)
		if err != nil {
			t.Fatal(err)
		}
		out := frames(tc.file, b)
		p, m, has := fromImage(out[0])
		if p.w != tc.w || p.h != tc.h || len(out) != tc.n {
			t.Errorf("%s: %d of %d×%d", tc.file, len(out), p.w, p.h)
		}
		if has && m.frames[0][len(m.frames[0])-1] != tc.lastMask || p.frames[0][0] != tc.firstRed {
			t.Errorf("%s: mask %v, red %v", tc.file, m.frames[0], p.frames[0][0])
		}
	}
}

func TestLatentRoundTrip(t *testing.T) {
	dir := t.TempDir()
	if _, ex := tryIn(t, dir, "SaveLatent", map[string]any{"samples": newLatent("seed", 1, 64, 22), "filename_prefix": "lat"}); ex != nil {
		t.Fatal(ex)
	}
	b, err := readFile(dir, "output", "lat_00001_.latent")
	if err != nil {
		t.Fatal(err)
	}
	values, shape, ok := readTensor(b, "latent_tensor")
	if !ok || len(shape) != 3 || shape[2] != 22 {
		t.Fatalf("%v %v", shape, ok)
	}
	near(t, "values", values, noise("seed", 64*22))
}

func TestPixelSpaceIsExact(t *testing.T) {
	vae := &token{typ: "VAE", plain: true}
	in := noisyFrames(1, 24, 16)
	out, ex := try(t, "VAEEncode", map[string]any{"pixels": in, "vae": vae})
	if ex != nil {
		t.Fatal(ex)
	}
	out, ex = try(t, "VAEDecode", map[string]any{"samples": out[0], "vae": vae})
	if ex != nil {
		t.Fatal(ex)
	}
	near(t, "pixels", out[0].(*picture).frames[0], in.frames[0])
}

func readInput(dir, name string) ([]byte, error) { return readFile(dir, "input", name) }

func readFile(dir, folder, name string) ([]byte, error) {
	return os.ReadFile(filepath.Join(dir, folder, name))
}
