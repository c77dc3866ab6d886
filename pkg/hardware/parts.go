package hardware

import (
	"fmt"
	"slices"
	"strings"

	"github.com/comfyctl/comfyctl/pkg/catalog"
	"github.com/comfyctl/comfyctl/pkg/workflow"
)

// parts are a graph's models by what they do, in bytes.
type parts struct {
	canvas canvas
	all    []weights
	// diffusion is the largest diffusion model, model its file, diffusions all
	// of them; along is what is loaded with it: control nets, LoRA patches.
	diffusion, diffusions, along int64
	model                        string
	encoders, vae, upscale       int64
	// inFile is the encoders' share of checkpoints; own is set where the graph
	// loads encoders of their own, since such checkpoints have none.
	inFile int64
	own    bool
	// other is the largest of the rest.
	other int64
}

func (p *parts) collect(g *workflow.Graph, o Options) {
	seen := map[string]bool{}
	half := map[string]bool{} // loaded with 8 bits a parameter
	var files []string
	for _, n := range g.Nodes {
		for _, in := range n.Inputs {
			if in.Link != nil || in.Kind != workflow.String || in.Text == "" {
				continue
			}
			named := catalog.ModelFiles(n.Class, in.Name, in.Text)
			if _, known := catalog.LoaderFolder(n.Class, in.Name); !known {
				named = strange(n.Class, in.Name, in.Text)
			}
			for _, f := range named {
				files = append(files, f)
				if d := n.Input("weight_dtype"); d != nil && strings.HasPrefix(d.Text, "fp8") {
					half[f] = true
				}
			}
		}
	}
	for _, f := range append(files, o.Files...) {
		if seen[f] || strings.HasPrefix(f, "configs/") {
			continue
		}
		seen[f] = true
		p.take(p.weigh(f, o.SizeOf, half[f]))
	}
	if p.own {
		p.diffusions += p.inFile
		if strings.HasPrefix(p.model, "checkpoints/") {
			p.diffusion = p.diffusion * 5 / 4
		}
	} else {
		p.encoders += p.inFile
	}
}

// roles are how packs name what a loader loads; the first that is found counts.
var roles = []struct{ word, folder string }{
	{"lora", "loras"}, {"vae", "vae"}, {"controlnet", "controlnet"}, {"control_net", "controlnet"}, {"ipadapter", "ipadapter"},
	{"clip_vision", "clip_vision"}, {"clipvision", "clip_vision"}, {"upscale", "upscale_models"}, {"t5", "text_encoders"}, {"textencod", "text_encoders"},
	{"text_encod", "text_encoders"}, {"clip", "text_encoders"}, {"ckpt", "checkpoints"}, {"checkpoint", "checkpoints"}, {"unet", "diffusion_models"},
	{"diffusion", "diffusion_models"}, {"videomodel", "diffusion_models"}, {"dit", "diffusion_models"},
}

// strange guesses what a loader of a pack loads, by its words: any value that
// is the name of a weights file counts.
func strange(class, input, value string) []string {
	value = strings.ReplaceAll(value, `\`, "/")
	if !WeightsFile(value) || strings.Contains(input, "prefix") || strings.Contains(input, "output") || strings.ContainsAny(value, "\n") {
		return nil
	}
	words := strings.ToLower(class + " " + input)
	for _, r := range roles {
		if strings.Contains(words, r.word) {
			return []string{r.folder + "/" + value}
		}
	}
	return []string{"others/" + value}
}

// WeightsFile reports whether a name is that of a file of weights, by its end.
func WeightsFile(name string) bool {
	for _, ext := range []string{".safetensors", ".gguf", ".sft", ".ckpt", ".pt", ".pth", ".bin", ".onnx"} {
		if strings.HasSuffix(strings.ToLower(name), ext) {
			return true
		}
	}
	return false
}

// weigh tells how much of the card a file takes once loaded.
func (p *parts) weigh(file string, sizeOf func(string) int64, half bool) weights {
	w := guessed(file, p.canvas.pixels)
	if sizeOf != nil {
		if n := sizeOf(file); n > 0 {
			wide := w.sure == Likely && float64(n) > w.params*1e9*3
			w.bytes, w.sure, w.formula = n, Given, "size of the file"
			if wide {
				w.bytes, w.formula = n/2, "half the size of the file: 32 bits there, 16 on the card"
			}
		}
	}
	if half && (w.params == 0 || float64(w.bytes) > w.params*1.5e9) {
		w.bytes, w.formula = w.bytes/2, w.formula+", half of it since the loader asks for fp8"
	}
	return w
}

var unets = []string{"diffusion_models", "unet", "unet_gguf"}

func (p *parts) take(w weights) {
	p.all = append(p.all, w)
	folder, _, _ := strings.Cut(w.path, "/")
	body := w.bytes
	switch {
	case folder == "checkpoints" || folder == "diffusers":
		// The text encoders and the VAE are in the file too.
		body = w.bytes * 4 / 5
		p.inFile += w.bytes / 5
		fallthrough
	case slices.Contains(unets, folder):
		p.diffusions += body
		if body > p.diffusion {
			p.diffusion, p.model = body, w.path
		}
	case folder == "text_encoders" || folder == "clip":
		p.encoders += w.bytes
		p.own = true
	case folder == "vae":
		p.vae = max(p.vae, w.bytes)
	case folder == "loras" || folder == "controlnet" || folder == "model_patches" || folder == "animatediff_models":
		p.along += w.bytes
	case folder == "upscale_models":
		p.upscale = max(p.upscale, w.bytes)
	default:
		p.other = max(p.other, w.bytes)
	}
}

// canvas is what the graph draws.
type canvas struct {
	width, height, frames, batch int64
	pixels                       float64 // of one frame
	sure                         Certainty
}

func (c canvas) String() string {
	s := fmt.Sprintf("%d×%d", c.width, c.height)
	if c.frames > 1 {
		s += fmt.Sprintf("×%d frames", c.frames)
	}
	if c.batch > 1 {
		s += fmt.Sprintf(", batch %d", c.batch)
	}
	return s
}

// canvasOf finds the largest latent that a graph starts from. A graph that
// takes its size from a picture is taken for one of a megapixel.
func canvasOf(g *workflow.Graph) canvas {
	best := canvas{}
	grow := 1.0
	for _, n := range g.Nodes {
		if n.Class == "LatentUpscaleBy" {
			if f, ok := number(g, n, "scale_by"); ok && f > 1 && f <= 8 {
				grow = max(grow, f)
			}
		}
		c, ok := sized(g, n)
		if ok && c.pixels*float64(c.frames*c.batch) > best.pixels*float64(best.frames*best.batch) {
			best = c
		}
	}
	if best.pixels == 0 {
		return canvas{width: 1024, height: 1024, frames: 1, batch: 1, pixels: 1024 * 1024, sure: Guess}
	}
	best.width, best.height = int64(float64(best.width)*grow), int64(float64(best.height)*grow)
	best.pixels *= grow * grow
	return best
}

// sized reads the size that a node makes latents of.
func sized(g *workflow.Graph, n *workflow.Node) (canvas, bool) {
	class := strings.ToLower(n.Class)
	if !strings.Contains(class, "latent") && !strings.Contains(class, "video") && !strings.Contains(class, "sampler") {
		return canvas{}, false
	}
	w, ok := number(g, n, "width")
	h, ok2 := number(g, n, "height")
	if !ok || !ok2 || w < 16 || h < 16 || w > 32768 || h > 32768 {
		return canvas{}, false
	}
	c := canvas{width: int64(w), height: int64(h), frames: 1, batch: 1, pixels: w * h, sure: Likely}
	for _, name := range []string{"length", "num_frames", "video_frames", "frames"} {
		if f, ok := number(g, n, name); ok && f >= 1 && f <= 100000 {
			c.frames = int64(f)
			break
		}
	}
	if f, ok := number(g, n, "batch_size"); ok && f >= 1 && f <= 4096 {
		c.batch = int64(f)
	}
	return c, true
}

// number is the value of an input, or of the constant that is wired to it.
func number(g *workflow.Graph, n *workflow.Node, name string) (float64, bool) {
	in := n.Input(name)
	for range 8 {
		if in == nil || in.Link == nil {
			break
		}
		from := g.Node(in.Link.Node)
		if from == nil {
			return 0, false
		}
		in = from.Input("value")
	}
	if in == nil || in.Kind != workflow.Number {
		return 0, false
	}
	return parseFloat(string(in.Raw))
}
