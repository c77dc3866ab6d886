package hardware

import (
	"path"
	"strings"
)

// family is how a kind of diffusion model uses memory while it samples: tokens
// × width × 2 bytes × alive. A token stands for pixel×pixel pixels of frames
// frames; alive is how many tensors of that size there are at once, both
// halves of the guidance counted. width is the model's published one; alive is
// chosen so that the sum agrees with what people report (see the test).
type family struct {
	name   string
	file   pattern
	pixel  int
	frames int // 0: pictures
	width  int
	alive  int
	// decode is bytes an output pixel of the VAE's decoder takes in 16 bits.
	decode int
}

const (
	pictureDecode = 4300  // the 8× picture VAEs: some ten full-size tensors
	videoDecode   = 14000 // Wan's and Hunyuan's: a few frames at a time
)

var families = []family{
	{"Wan 1.3B", re(`wan.*1[._]3b`), 16, 4, 1536, 14, videoDecode},
	{"Wan 5B", re(`wan.*(ti2v|5b)`), 32, 4, 3072, 14, videoDecode},
	{"Wan 14B", re(`wan`), 16, 4, 5120, 14, videoDecode},
	{"HunyuanVideo", re(`hunyuan.?video`), 16, 4, 3072, 14, videoDecode},
	{"LTX-Video", re(`ltx`), 32, 8, 4096, 14, videoDecode},
	{"Cosmos", re(`cosmos`), 16, 8, 4096, 14, videoDecode},
	{"Mochi", re(`mochi`), 16, 6, 3072, 14, videoDecode},
	{"SVD", re(`svd|stable.video`), 8, 1, 320, 96, pictureDecode},
	{"Flux", re(`flux|kontext|chroma`), 16, 0, 3072, 24, pictureDecode},
	{"Qwen-Image", re(`qwen.*image`), 16, 0, 3072, 24, videoDecode / 2},
	{"Z-Image", re(`z.?image`), 16, 0, 3840, 24, pictureDecode},
	{"HiDream", re(`hidream`), 16, 0, 2560, 24, pictureDecode},
	{"SD 3", re(`sd.?3`), 16, 0, 2432, 24, pictureDecode},
}

// unet and dit stand for models of no known name: a checkpoint is most likely
// a UNet, a diffusion model of its own a transformer.
var (
	unet = family{"Stable Diffusion", nil, 8, 0, 320, 96, pictureDecode}
	dit  = family{"a transformer", nil, 16, 0, 3072, 24, pictureDecode}
)

// familyOf tells a diffusion model by its file.
func familyOf(file string) (family, Certainty) {
	base := path.Base(file)
	for _, f := range families {
		if f.file.matches(base) {
			return f, Likely
		}
	}
	if strings.HasPrefix(file, "checkpoints/") || strings.HasPrefix(file, "diffusers/") {
		return unet, Likely
	}
	return dit, Guess
}
