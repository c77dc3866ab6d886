package hardware

import (
	"encoding/csv"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/comfyctl/comfyctl/pkg/workflow"
)

// Sizes guessed from names are near those of the published files, in GB.
func TestGuessed(t *testing.T) {
	for file, want := range map[string]float64{
		"checkpoints/v1-5-pruned-emaonly-fp16.safetensors": 2.13, "checkpoints/sd_xl_base_1.0.safetensors": 6.94, "checkpoints/sd_xl_refiner_1.0.safetensors": 6.08, "vae/sdxl_vae.safetensors": 0.167,
		"checkpoints/sd3.5_large.safetensors": 16.5, "checkpoints/sd3.5_medium.safetensors": 5.1, "text_encoders/clip_l.safetensors": 0.246, "text_encoders/clip_g.safetensors": 1.39,
		"text_encoders/t5xxl_fp16.safetensors": 9.79, "text_encoders/t5xxl_fp8_e4m3fn.safetensors": 4.89, "diffusion_models/flux1-dev.safetensors": 23.8, "diffusion_models/flux1-dev-fp8.safetensors": 11.9,
		"diffusion_models/flux1-dev-Q4_K_S.gguf": 6.81, "diffusion_models/flux1-dev-Q8_0.gguf": 12.7, "vae/ae.safetensors": 0.168, "clip_vision/sigclip_vision_patch14_384.safetensors": 0.857,
		"diffusion_models/Chroma1-HD.safetensors": 17.8, "diffusion_models/hidream_i1_full_fp16.safetensors": 34, "diffusion_models/qwen_image_fp8_e4m3fn.safetensors": 20.4, "diffusion_models/qwen_image_edit_2509_bf16.safetensors": 40.9,
		"text_encoders/qwen_2.5_vl_7b.safetensors": 16.6, "diffusion_models/z_image_turbo_bf16.safetensors": 12.3, "text_encoders/qwen_3_4b.safetensors": 8.0, "diffusion_models/wan2.1_t2v_14B_fp8_scaled.safetensors": 14.3,
		"diffusion_models/wan2.1_i2v_720p_14B_fp16.safetensors": 32.8, "diffusion_models/wan2.1_t2v_1.3B_fp16.safetensors": 2.84, "text_encoders/umt5_xxl_fp16.safetensors": 11.4, "diffusion_models/wan2.2_ti2v_5B_fp16.safetensors": 10,
		"vae/wan_2.1_vae.safetensors": 0.254, "diffusion_models/hunyuan_video_t2v_720p_bf16.safetensors": 25.6, "text_encoders/llava_llama3_fp16.safetensors": 16.1, "checkpoints/ltx-video-2b-v0.9.5.safetensors": 6.34,
		"checkpoints/ltxv-13b-0.9.7-dev.safetensors": 28.6, "checkpoints/ltx-2-19b-dev.safetensors": 43.3, "diffusion_models/Cosmos-1_0-Diffusion-14B-Text2World.safetensors": 28.5, "clip_vision/CLIP-ViT-H-14-laion2B-s32B-b79K.safetensors": 1.26,
		"diffusion_models/somebodys-7b-fp8.safetensors": 7,
	} {
		got := float64(guessed(file, 1e6).bytes) / 1e9
		if got < want*0.88 || got > want*1.12 {
			t.Errorf("%s: %.2f GB, and it has %.2f", file, got, want)
		}
	}
}

func parse(t testing.TB, nodes ...string) *workflow.Graph {
	t.Helper()
	g, found := workflow.Parse("w", []byte("{"+strings.Join(nodes, ",")+"}"))
	if g == nil || len(found) > 0 {
		t.Fatalf("%+v", found)
	}
	return g
}

func node(id int, class, inputs string) string {
	return fmt.Sprintf(`"%d":{"class_type":%q,"inputs":{%s}}`, id, class, inputs)
}

// The estimate agrees with what the models' makers and users say they need,
// in GB: need lies between the card that is said to do and the one that is
// said to be comfortable.
func TestGuidance(t *testing.T) {
	latent := func(w, h int) string {
		return node(5, "EmptyLatentImage", fmt.Sprintf(`"width":%d,"height":%d,"batch_size":1`, w, h))
	}
	video := func(w, h, n int) string {
		return node(5, "EmptyHunyuanLatentVideo", fmt.Sprintf(`"width":%d,"height":%d,"length":%d,"batch_size":1`, w, h, n))
	}
	unet := func(f string) string {
		return node(1, "UNETLoader", fmt.Sprintf(`"unet_name":%q,"weight_dtype":"default"`, f))
	}
	ckpt := func(f string) string { return node(1, "CheckpointLoaderSimple", fmt.Sprintf(`"ckpt_name":%q`, f)) }
	clip := func(f string) string { return node(2, "CLIPLoader", fmt.Sprintf(`"clip_name":%q,"type":"x"`, f)) }
	vae := func(f string) string { return node(3, "VAELoader", fmt.Sprintf(`"vae_name":%q`, f)) }
	for _, tt := range []struct {
		name     string
		graph    *workflow.Graph
		from, to float64
	}{
		{"SD 1.5: 4 GB", parse(t, ckpt("v1-5-pruned-emaonly-fp16.safetensors"), latent(512, 512)), 2, 4},
		{"SDXL: 8 GB", parse(t, ckpt("sd_xl_base_1.0.safetensors"), latent(1024, 1024)), 6, 8},
		{"SD 3.5 large: 18 GB", parse(t, ckpt("sd3.5_large.safetensors"), latent(1024, 1024)), 13, 18.5},
		{"SD 3.5 large and its encoders: 18 GB", parse(t, ckpt("sd3.5_large.safetensors"), clip("t5xxl_fp16.safetensors"), latent(1024, 1024)), 17, 19},
		{"Flux fp8: 12 to 16 GB", parse(t, unet("flux1-dev-fp8.safetensors"), clip("t5xxl_fp8_e4m3fn.safetensors"), vae("ae.safetensors"), latent(1024, 1024)), 12, 16},
		{"Flux bf16: 24 GB and more", parse(t, unet("flux1-dev.safetensors"), clip("t5xxl_fp16.safetensors"), vae("ae.safetensors"), latent(1024, 1024)), 24, 26},
		{"Flux Q4: 8 GB", parse(t, unet("flux1-dev-Q4_K_S.gguf"), clip("t5xxl_fp8_e4m3fn.safetensors"), vae("ae.safetensors"), latent(1024, 1024)), 6, 8.5},
		{"Qwen-Image fp8: 86 % of 24 GB", parse(t, unet("qwen_image_fp8_e4m3fn.safetensors"), clip("qwen_2.5_vl_7b_fp8_scaled.safetensors"), vae("qwen_image_vae.safetensors"), latent(1328, 1328)), 20, 24},
		{"Qwen-Image bf16: 48 GB", parse(t, unet("qwen_image_bf16.safetensors"), latent(1328, 1328)), 40, 48},
		{"Z-Image: 16 GB, some 13 seen", parse(t, unet("z_image_turbo_bf16.safetensors"), clip("qwen_3_4b.safetensors"), latent(1024, 1024)), 12.5, 16},
		{"Wan 14B fp8: 83 to 89 % of 24 GB", parse(t, unet("wan2.2_t2v_high_noise_14B_fp8_scaled.safetensors"), clip("umt5_xxl_fp8_e4m3fn_scaled.safetensors"), vae("wan_2.1_vae.safetensors"), video(640, 640, 81)), 19, 23},
		{"Wan 1.3B: 8 GB", parse(t, unet("wan2.1_t2v_1.3B_fp16.safetensors"), clip("umt5_xxl_fp8_e4m3fn_scaled.safetensors"), vae("wan_2.1_vae.safetensors"), video(832, 480, 81)), 5, 8},
		{"HunyuanVideo bf16 is far more than 24 GB", parse(t, unet("hunyuan_video_t2v_720p_bf16.safetensors"), video(1280, 720, 129)), 30, 48},
	} {
		e := Of(tt.graph, Options{})
		if got := float64(e.Need) / 1e9; got < tt.from || got > tt.to {
			t.Errorf("%s: need %.1f GB = %s, want %.1f to %.1f", tt.name, got, e.Short(), tt.from, tt.to)
		}
		if e.Floor > e.Need || e.Need > e.Comfortable {
			t.Errorf("%s: floor %d, need %d, comfortable %d", tt.name, e.Floor, e.Need, e.Comfortable)
		}
	}
}

// The method is shown, every figure with its formula.
func TestLines(t *testing.T) {
	g := parse(t, node(1, "UNETLoader", `"unet_name":"flux1-dev.safetensors","weight_dtype":"fp8_e4m3fn"`), node(2, "DualCLIPLoader", `"clip_name1":"t5xxl_fp16.safetensors","clip_name2":"clip_l.safetensors","type":"flux"`),
		node(3, "VAELoader", `"vae_name":"ae.safetensors"`), node(4, "LoraLoaderModelOnly", `"lora_name":"mine.safetensors"`), node(5, "EmptySD3LatentImage", `"width":["6",0],"height":768,"batch_size":2`), node(6, "PrimitiveInt", `"value":1024`))
	e := Of(g, Options{SizeOf: func(f string) int64 {
		return map[string]int64{"diffusion_models/flux1-dev.safetensors": 23_802_932_552}[f]
	}})
	var got []string
	for _, l := range e.Lines {
		got = append(got, fmt.Sprintf("%s %s %s [%s] = %s", l.Part, l.Of, GB(l.Bytes), l.Sure, l.Formula))
	}
	want := []string{
		"weights diffusion_models/flux1-dev.safetensors 12GB [given] = size of the file, half of it since the loader asks for fp8",
		"weights text_encoders/t5xxl_fp16.safetensors 9.8GB [likely] = 4.9 × 10^9 parameters (by its name) × 16 bits",
		"weights text_encoders/clip_l.safetensors 0.2GB [likely] = 0.123 × 10^9 parameters (by its name) × 16 bits",
		"weights vae/ae.safetensors 0.2GB [likely] = 0.084 × 10^9 parameters (by its name) × 16 bits",
		"weights loras/mine.safetensors 0.2GB [guess] = 0.1 × 10^9 parameters (usual in loras) × 16 bits",
		"sampling  0.9GB [likely] = 6144 tokens (1024×768, batch 2, 16×16 pixels each) × width 3072 of Flux × 2 bytes × 24 tensors at once",
		"decode  3.4GB [likely] = 0.786 MP × 4300 bytes a pixel in 16 bits",
		"overhead  0.9GB [likely] = driver, torch and what ComfyUI keeps free",
		"need  14GB [likely] = 12GB weights + 0.9GB sampling + 0.9GB overhead",
		"comfortable  27GB [likely] = all weights + the larger of 2.5 × sampling and a decode in one piece + 1.5GB",
		"floor  3.0GB [guess] = sampling + a tenth of the weights, the rest moved in as it is used + 0.9GB",
		"memory  29GB [likely] = 1.1 × all weights, which are kept there while others compute, + 4GB",
		"disk  34GB [likely] = all weights + 12GB for Python, torch and ComfyUI",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	for vram, fit := range map[int64]Fit{2e9: TooSmall, 8e9: Offloads, 16e9: Fits, 32e9: Comfortable} {
		if got := e.Fit(vram); got != fit {
			t.Errorf("%s: %d, want %d", GB(vram), got, fit)
		}
	}
}

// Loaders of packs are told by their words.
func TestStrange(t *testing.T) {
	for in, want := range map[string]string{"UnetLoaderGGUF unet_name flux1-dev-Q4_K_S.gguf": "diffusion_models/flux1-dev-Q4_K_S.gguf", "CLIPLoaderGGUF clip_name t5.gguf": "text_encoders/t5.gguf",
		"WanVideoLoraSelect lora a.safetensors": "loras/a.safetensors", "WanVideoVAELoader model_name v.safetensors": "vae/v.safetensors", "UltralyticsDetectorProvider model_name bbox\\face.pt": "others/bbox/face.pt",
		"SaveThing filename_prefix x.safetensors": "", "CLIPTextEncode text a fox": "", "LoadImage image a.png": ""} {
		f := strings.SplitN(in, " ", 3)
		if got := strings.Join(strange(f[0], f[1], f[2]), ","); got != want {
			t.Errorf("%s gives %q", in, got)
		}
	}
	e := Of(parse(t, node(1, "UnetLoaderGGUF", `"unet_name":"flux1-dev-Q4_K_S.gguf"`), node(2, "SAMLoader", `"model_name":"sam.pth"`)), Options{})
	if got := float64(e.Need) / 1e9; got < 7 || got > 9 || e.Sure != Guess {
		t.Errorf("need %.1f GB = %s", got, e.Short())
	}
}

func TestNothing(t *testing.T) {
	e := Of(parse(t, node(1, "EmptyImage", `"width":64`)), Options{})
	if e.Models || e.Need != 0 || e.Fit(0) != Comfortable || e.Disk == 0 {
		t.Errorf("%+v", e)
	}
}

func TestRung(t *testing.T) {
	for n, want := range map[int64]string{0: "4GB", 4e9: "4GB", 4e9 + 1: "6GB", 20_600_000_000: "24GB", 150e9: "180GB", 400e9: "400GB"} {
		if got := Rung(n); got != want {
			t.Errorf("%d: %s, want %s", n, got, want)
		}
	}
}

// No graph that people have makes an estimate that is absurd.
func TestCorpus(t *testing.T) {
	dir := os.Getenv("COMFYCTL_CORPUS")
	if dir == "" {
		dir = filepath.Join("..", "..", "..", "shared", "corpus")
	}
	f, err := os.Open(filepath.Join(dir, "workflows", "index.tsv"))
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("the corpus is missing; set COMFYCTL_CORPUS: ", err)
		}
		t.Skip("no corpus; set COMFYCTL_CORPUS")
	}
	defer f.Close()
	r := csv.NewReader(f)
	r.Comma, r.LazyQuotes, r.FieldsPerRecord = '\t', true, -1
	rows, err := r.ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	tried, rungs := 0, map[string]int{}
	for _, row := range rows[1:] {
		if row[5] != "api" {
			continue
		}
		src, err := os.ReadFile(filepath.Join(dir, "workflows", row[0]+".json"))
		if err != nil {
			t.Fatal(err)
		}
		g, _ := workflow.Parse(row[0], src)
		if g == nil {
			continue
		}
		tried++
		e := Of(g, Options{})
		if e.Models {
			rungs[Rung(e.Need)]++
		}
		if e.Need < 0 || e.Need > 200e9 || e.Floor > e.Need || e.Need > e.Comfortable || e.Disk <= 0 {
			t.Errorf("%s: floor %s, need %s = %s, comfortable %s", row[0], GB(e.Floor), GB(e.Need), e.Short(), GB(e.Comfortable))
		}
	}
	if tried < 100 {
		t.Errorf("only %d graphs tried", tried)
	}
	t.Logf("%d graphs; %v", tried, rungs)
}

func FuzzOf(f *testing.F) {
	f.Add(`{"1":{"class_type":"EmptyLatentImage","inputs":{"width":1e300,"height":512,"batch_size":-3}},"2":{"class_type":"CheckpointLoaderSimple","inputs":{"ckpt_name":"x/../y"}}}`)
	f.Add(`{"1":{"class_type":"EmptyLatentVideo","inputs":{"width":["1",0],"height":["2",0],"length":100000,"batch_size":4096}}}`)
	f.Fuzz(func(t *testing.T, s string) {
		g, _ := workflow.Parse("w", []byte(s))
		if g == nil {
			return
		}
		e := Of(g, Options{})
		if e.Floor > e.Need || e.Need > e.Comfortable || e.Floor < 0 {
			t.Errorf("%+v", e)
		}
	})
}
