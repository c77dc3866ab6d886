package hardware

import (
	"fmt"
	"path"
	"regexp"
	"strconv"
	"strings"
	"sync"
)

// weights is what is known of one model file.
type weights struct {
	// path is folder/name; bytes its size in memory as it is stored.
	path    string
	bytes   int64
	formula string
	sure    Certainty
	params  float64 // 1e9; 0 where the size was given
}

// known maps names of files to their parameters in units of 10^9, from the
// sizes of the published files. The first that fits counts.
var knownFiles = []struct {
	name   pattern
	params float64
}{
	{re(`flux.?2.*klein.*9b`), 9.0}, {re(`flux.?2.*klein`), 4.0}, {re(`flux.?2`), 32},
	{re(`flux|kontext`), 11.9}, {re(`chroma`), 8.9},
	{re(`qwen.*(2\.?5|vl).*7b`), 8.3}, {re(`qwen.?3.*4b`), 4.0}, {re(`qwen.*image.*vae`), 0.127}, {re(`qwen.*image`), 20.4},
	{re(`z.?image`), 6.15}, {re(`hidream`), 17.1}, {re(`omnigen2`), 3.97},
	{re(`wan.*vae|wan_2\.[0-9]_vae`), 0.127}, {re(`wan.*1[._]3b`), 1.42}, {re(`wan.*(ti2v|5b)`), 5.0}, {re(`wan.*i2v.*14b`), 16.4}, {re(`wan.*14b`), 14.3}, {re(`wan`), 14.3},
	{re(`hunyuan.?video.*vae`), 0.246}, {re(`hunyuan.?video.?1\.5`), 8.3}, {re(`hunyuan.?video`), 12.8},
	{re(`ltx.*(22b)`), 21.5}, {re(`ltx.*19b`), 21.6}, {re(`ltx.*13b`), 14.3}, {re(`ltx`), 3.17},
	{re(`cosmos.*14b`), 14.3}, {re(`cosmos.*2b`), 2.0}, {re(`cosmos`), 7.25}, {re(`mochi`), 10.0},
	{re(`sd.?3\.?5.*large|sd3.*large`), 8.25}, {re(`sd.?3`), 2.55},
	{re(`xl.*refiner`), 3.04}, {re(`sdxl.?vae|xl.*vae`), 0.084},
	{re(`umt5`), 5.7}, {re(`t5.?xxl|t5-v1_1-xxl`), 4.9}, {re(`t5.?base`), 0.11}, {re(`clip.?l`), 0.123}, {re(`clip.?g`), 0.695},
	{re(`llava.?llama3|llama.*8b`), 8.05}, {re(`gemma.*12b`), 13.1}, {re(`gemma.*2.*2b`), 2.6}, {re(`mistral`), 24},
	{re(`clip.vit.bigg|bigg`), 1.84}, {re(`vit.h|clip_vision_h`), 0.63}, {re(`sigclip`), 0.43},
	{re(`^ae\.|^ae$|flux.*vae`), 0.084},
	{re(`sdxl|sd_xl|xl_|_xl|xl-|-xl|pony|illustrious|noob`), 3.47},
	{re(`v1-5|sd.?1[._-]?5|sd15|v1-4|dreamshaper_8|dreamshaper8`), 1.07},
}

// pattern is an expression that is compiled when it is first needed: most
// commands never need one.
type pattern func() *regexp.Regexp

func re(s string) pattern {
	return sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`(?i)` + s) })
}

func (p pattern) matches(s string) bool { return p().MatchString(s) }

// folderParams are the parameters of a usual file of a folder, in 10^9, where
// its name says nothing.
var folderParams = map[string]float64{
	"diffusion_models": 11.9, "text_encoders": 4.9, "vae": 0.084, "loras": 0.1, "controlnet": 0.7, "clip_vision": 0.63,
	"upscale_models": 0.017, "style_models": 0.065, "ipadapter": 0.35, "model_patches": 0.7, "audio_encoders": 0.32,
	"embeddings": 0.0001, "vae_approx": 0.003, "hypernetworks": 0.04, "gligen": 0.21, "photomaker": 0.47,
	"latent_upscale_models": 0.5, "animatediff_models": 0.43, "diffusers": 3.47,
}

// bits are the bits a parameter takes in files of a name; the first that fits
// counts. GGUF's blocks carry their scales with them.
var bits = []struct {
	name pattern
	bits float64
	text string
}{
	{re(`q8_0`), 8.5, "Q8_0"}, {re(`q6_k`), 6.6, "Q6_K"}, {re(`q5_`), 5.6, "Q5"}, {re(`q4_`), 4.6, "Q4"}, {re(`q3_`), 3.6, "Q3"}, {re(`q2_`), 2.8, "Q2"},
	{re(`nvfp4|fp4|nf4|int4|svdq`), 4.5, "4 bits"},
	{re(`fp8|float8|e4m3|e5m2|int8|8bit`), 8, "8 bits"},
	{re(`fp32|float32`), 32, "32 bits"},
}

var billions = re(`(?:^|[^a-z0-9.])([0-9]{1,2}(?:[._][0-9])?)b(?:[^a-z0-9]|$)`)

// guessed are weights whose size nobody told: parameters by the name, bits by
// the name.
func guessed(file string, pixels float64) weights {
	base := strings.ToLower(path.Base(file))
	folder, _, _ := strings.Cut(file, "/")
	params, sure := 0.0, Likely
	for _, k := range knownFiles {
		if k.name.matches(base) {
			params = k.params
			break
		}
	}
	if params == 0 {
		if m := billions().FindStringSubmatch(base); m != nil {
			params, _ = strconv.ParseFloat(strings.ReplaceAll(m[1], "_", "."), 64)
		}
	}
	why := "by its name"
	if params == 0 || small[folder] {
		sure = Guess
		params, why = folderParams[folder], "usual in "+folder
		switch {
		case folder == "checkpoints":
			params, why = byPixels(pixels)
		case params == 0:
			params, why = 0.15, "nothing is known of it"
		}
	}
	n, text := 16.0, "16 bits"
	for _, b := range bits {
		if b.name.matches(base) {
			n, text = b.bits, b.text
			break
		}
	}
	return weights{path: file, params: params, sure: sure, bytes: int64(params * n / 8 * 1e9),
		formula: fmt.Sprintf("%s × 10^9 parameters (%s) × %s", trim(params), why, text)}
}

// small are folders whose files are named after the model that they go with.
var small = map[string]bool{"loras": true, "controlnet": true, "model_patches": true, "vae": false, "embeddings": true, "style_models": true, "ipadapter": true, "upscale_models": true, "vae_approx": true, "configs": true}

// byPixels takes a checkpoint of no known name for SDXL where it draws more
// than SD 1.5 was made for.
func byPixels(pixels float64) (float64, string) {
	if pixels > 0 && pixels <= 0.6e6 {
		return 1.07, "a checkpoint that draws up to 0.6 MP"
	}
	return 3.47, "a checkpoint that draws 1 MP"
}

// trim writes a number without needless digits.
func trim(f float64) string { return strconv.FormatFloat(f, 'g', 3, 64) }
