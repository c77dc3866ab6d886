package diag

import (
	"strings"
	"testing"
)

// What people write, and what they mean.
func TestSuggest(t *testing.T) {
	keys := []string{"name", "description", "workflow", "workflows", "models", "nodes", "count", "type", "vram", "min", "max", "scale_to_zero_after", "secrets", "runner", "timeouts"}
	samplers := []string{"euler", "euler_cfg_pp", "euler_ancestral", "heun", "dpm_2", "dpm_2_ancestral", "lms", "dpm_fast", "dpmpp_2s_ancestral", "dpmpp_sde", "dpmpp_2m", "dpmpp_2m_sde", "dpmpp_3m_sde", "ddim", "uni_pc", "uni_pc_bh2", "ipndm", "lcm"}
	classes := []string{"KSampler", "KSamplerAdvanced", "KSamplerSelect", "CheckpointLoaderSimple", "CheckpointLoader", "unCLIPCheckpointLoader", "SaveImage", "SaveImageWebsocket", "PreviewImage", "LoadImage", "LoadImageMask",
		"VAEDecode", "VAEDecodeTiled", "VAEEncode", "CLIPTextEncode", "CLIPTextEncodeFlux", "EmptyLatentImage", "LoraLoader", "LoraLoaderModelOnly", "ControlNetApply", "ControlNetApplyAdvanced", "UpscaleModelLoader", "ImageUpscaleWithModel"}
	inputs := []string{"seed", "steps", "cfg", "sampler_name", "scheduler", "denoise", "model", "positive", "negative", "latent_image"}
	for _, tt := range []struct {
		got  string
		of   []string
		want string
	}{
		{"cuont", keys, "count"}, {"tpye", keys, "type"}, {"VRAM", keys, "vram"}, {"scale_to_zero", keys, "scale_to_zero_after"}, {"zebra", keys, ""}, {"", keys, ""},
		{"timeout", keys, "timeouts"}, {"model", keys, "models"}, {"desc", keys, "description"}, {"secret", keys, "secrets"}, {"node", keys, "nodes"}, {"work flow", keys, "workflow"},
		{"dpmpp2m", samplers, "dpmpp_2m"}, {"DPM++ 2M", samplers, "dpmpp_2m"}, {"DPM++ 2M Karras", samplers, "dpmpp_2m"}, {"DPM++ 2M SDE", samplers, "dpmpp_2m_sde"}, {"Euler a", samplers, "euler_ancestral"},
		{"UniPC", samplers, "uni_pc"}, {"Euler", samplers, "euler"}, {"eular", samplers, "euler"}, {"dpm2", samplers, "dpm_2"}, {"DDIM ", samplers, "ddim"}, {"res_multistep", samplers, ""},
		{"KSamplr", classes, "KSampler"}, {"ksampler", classes, "KSampler"}, {"KSampler (Advanced)", classes, "KSamplerAdvanced"}, {"SaveImag", classes, "SaveImage"}, {"Save Image", classes, "SaveImage"},
		{"CheckpointLoaderSimpel", classes, "CheckpointLoaderSimple"}, {"LoadCheckpoint", classes, "CheckpointLoader"}, {"ImageSave", classes, "SaveImage"}, {"VAE Decode", classes, "VAEDecode"}, {"VAEDecoder", classes, "VAEDecode"},
		{"ClipTextEncoder", classes, "CLIPTextEncode"}, {"EmptyLatent", classes, "EmptyLatentImage"}, {"LoadLora", classes, "LoraLoader"}, {"FaceDetailer", classes, ""}, {"WanVideoSampler", classes, ""},
		{"sampler", inputs, "sampler_name"}, {"cfg_scale", inputs, "cfg"}, {"latent", inputs, "latent_image"}, {"num_steps", inputs, "steps"}, {"noise_seed", inputs, "seed"}, {"strength", inputs, ""},
	} {
		if s := Suggest(tt.got, tt.of); s != tt.want {
			t.Errorf("%q gives %q, want %q", tt.got, s, tt.want)
		}
	}
}

func TestSuggestFile(t *testing.T) {
	have := []string{"checkpoints/v1-5-pruned-emaonly-fp16.safetensors", "checkpoints/sd_xl_base_1.0.safetensors", "loras/film_grain.safetensors", "vae/ae.safetensors",
		"text_encoders/t5xxl_fp8_e4m3fn.safetensors", "diffusion_models/flux1-dev.safetensors", "checkpoints/dreamshaper_8.safetensors"}
	for got, want := range map[string]string{
		"checkpoints/v1-5-pruned-emaonly.safetensors": "checkpoints/v1-5-pruned-emaonly-fp16.safetensors",
		"checkpoints/v1-5-pruned-emaonly.ckpt":        "checkpoints/v1-5-pruned-emaonly-fp16.safetensors",
		"checkpoints/sd_xl_base_1.0.ckpt":             "checkpoints/sd_xl_base_1.0.safetensors",
		"loras/film-grain.safetensors":                "loras/film_grain.safetensors",
		"text_encoders/t5xxl_fp16.safetensors":        "text_encoders/t5xxl_fp8_e4m3fn.safetensors",
		"checkpoints/flux1-dev.safetensors":           "diffusion_models/flux1-dev.safetensors",
		`checkpoints/SD15\dreamshaper_8.safetensors`:  "checkpoints/dreamshaper_8.safetensors",
		"checkpoints/dreamshaper8.safetensors":        "checkpoints/dreamshaper_8.safetensors",
		"checkpoints/dreamshaper_7.safetensors":       "checkpoints/dreamshaper_8.safetensors",
		"checkpoints/realvis.safetensors":             "",
		"loras/add_detail.safetensors":                "",
	} {
		if s := SuggestFile(got, have); s != want {
			t.Errorf("%q gives %q, want %q", got, s, want)
		}
	}
}

func FuzzSuggest(f *testing.F) {
	f.Add("DPM++ 2M", "dpmpp_2m\neuler")
	f.Add("", "")
	f.Add("é\xff", "É\n\xfe")
	f.Fuzz(func(t *testing.T, got, list string) {
		all := strings.Split(list, "\n")
		for _, s := range []string{Suggest(got, all), SuggestFile(got, all)} {
			if s != "" && !strings.Contains("\n"+list+"\n", "\n"+s+"\n") {
				t.Fatalf("%q is no candidate", s)
			}
		}
	})
}

func BenchmarkSuggest(b *testing.B) {
	var list []string
	for i := range 800 {
		list = append(list, "SomeNodeClassOfAPack"+strings.Repeat("x", i%17)+string(rune('a'+i%26)))
	}
	for b.Loop() {
		Suggest("SomeNodClassOfAPak", list)
	}
}
