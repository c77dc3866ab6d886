package catalog

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// recorded is the folder of recordings of a real ComfyUI.
func recorded(t testing.TB) string {
	dir := os.Getenv("COMFYCTL_RECORDED")
	if dir == "" {
		dir = "../../../shared/recorded"
	}
	if _, err := os.Stat(dir); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("no recordings: %v", err)
		}
		t.Skipf("no recordings: %v (set COMFYCTL_RECORDED)", err)
	}
	return dir
}

func mustFor(t testing.TB, version string) *Catalog {
	t.Helper()
	c, err := For(version)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestFor(t *testing.T) {
	for _, tc := range []struct {
		ask, want string
		exact     bool
	}{
		{"v0.3.64", "v0.3.64", true},
		{"0.30.2", "v0.30.2", true},
		{"", "v0.30.2", true},
		{"0.3.66", "v0.3.64", false},
		{"v0.3.10", "v0.3.64", false},
		{"0.30.0", "v0.30.2", false},
		{"0.29.1", "v0.30.2", false},
		{"1.0", "v0.30.2", false},
		{"master", "v0.30.2", false},
		{"a125cd84", "v0.30.2", false},
	} {
		c := mustFor(t, tc.ask)
		if c.Version != tc.want || c.Exact != tc.exact {
			t.Errorf("For(%q) = %s exact %v, want %s %v", tc.ask, c.Version, c.Exact, tc.want, tc.exact)
		}
	}
	if got := Newest(); got != "v0.30.2" {
		t.Errorf("newest = %s", got)
	}
}

func TestClass(t *testing.T) {
	c := mustFor(t, "v0.3.64")
	if c.Len() != 492 {
		t.Errorf("%d classes", c.Len())
	}
	k, ok := c.Class("KSampler")
	if !ok || k.OutputNode || len(k.Outputs) != 1 || k.Outputs[0].Type != "LATENT" || k.Module != "nodes" {
		t.Fatalf("KSampler = %+v", k)
	}
	seed, _ := k.Input("seed")
	if seed.Max != "18446744073709551615" || !seed.Seed || !seed.Required {
		t.Errorf("seed = %+v", seed)
	}
	sampler, _ := k.Input("sampler_name")
	if sampler.Type != "COMBO" || !sampler.Literal || !slices.ContainsFunc(sampler.Enum, func(r json.RawMessage) bool { return string(r) == `"dpmpp_2m"` }) {
		t.Errorf("sampler_name = %+v", sampler)
	}
	load, _ := c.Class("CheckpointLoaderSimple")
	if in, _ := load.Input("ckpt_name"); in.Folder != "checkpoints" || len(in.Enum) != 0 {
		t.Errorf("ckpt_name = %+v", in)
	}
	img, _ := c.Class("LoadImage")
	if in, _ := img.Input("image"); in.File != "image" {
		t.Errorf("image = %+v", in)
	}
	if _, ok := c.Class("NoSuchNode"); ok {
		t.Error("found a class that is not there")
	}
	if save, _ := c.Class("SaveImage"); !save.OutputNode {
		t.Error("SaveImage is no output node")
	}
}

func TestEveryClassDecodes(t *testing.T) {
	for _, v := range Versions() {
		c := mustFor(t, v)
		for _, name := range c.Names() {
			if _, ok := c.Class(name); !ok {
				t.Errorf("%s: %s does not decode", v, name)
			}
		}
	}
}

// names lists the inputs of an expanded class, with ! for required ones.
func names(list []InputSpec) []string {
	var out []string
	for _, in := range list {
		n := in.Name
		if in.Required {
			n += "!"
		}
		out = append(out, n)
	}
	return out
}

func TestExpand(t *testing.T) {
	c := mustFor(t, "v0.30.2")
	for _, tc := range []struct {
		class string
		given map[string]string
		want  string
	}{
		{"ResizeImageMaskNode", map[string]string{"resize_type": "scale dimensions"},
			"input! resize_type! resize_type.width! resize_type.height! resize_type.crop! scale_method!"},
		{"ResizeImageMaskNode", map[string]string{"resize_type": "no such"}, "input! resize_type! scale_method!"},
		{"BatchImagesNode", nil, "images.image0!"},
		{"BatchImagesNode", map[string]string{"images.image1": "", "images.image7": ""}, "images.image0! images.image1 images.image7"},
		{"SaveVideo", map[string]string{"codec": "h264", "codec.encoding": "re-encode"},
			"video! filename_prefix! format! codec! codec.encoding codec.encoding.crf!"},
	} {
		cl, ok := c.Class(tc.class)
		if !ok {
			t.Fatal(tc.class)
		}
		got := names(cl.Expand(func(n string) Value { v, ok := tc.given[n]; return Value{Given: ok, Text: v} }))
		if diff := cmp.Diff(tc.want, strings.Join(got, " ")); diff != "" {
			t.Errorf("%s %v: %s", tc.class, tc.given, diff)
		}
	}
}

func TestModelFiles(t *testing.T) {
	for _, tc := range []struct {
		class, input, value string
		want                []string
	}{
		{"CheckpointLoaderSimple", "ckpt_name", `sub\x.safetensors`, []string{"checkpoints/sub/x.safetensors"}},
		{"UNETLoader", "unet_name", "x.sft", []string{"diffusion_models/x.sft"}},
		{"VAELoader", "vae_name", "pixel_space", nil},
		{"VAELoader", "vae_name", "taesd", []string{"vae_approx/taesd_encoder.safetensors", "vae_approx/taesd_decoder.safetensors"}},
		{"VAELoader", "vae_name", "taehv.pth", []string{"vae_approx/taehv.pth"}},
		{"TrainLoraNode", "existing_lora", "[None]", nil},
		{"CheckpointLoader", "config_name", "v1-inference.yaml", nil},
		{"CheckpointLoader", "config_name", "own.yaml", []string{"configs/own.yaml"}},
		{"KSampler", "seed", "1", nil},
	} {
		if diff := cmp.Diff(tc.want, ModelFiles(tc.class, tc.input, tc.value)); diff != "" {
			t.Errorf("%s.%s %s: %s", tc.class, tc.input, tc.value, diff)
		}
	}
}

func TestSameFile(t *testing.T) {
	for _, tc := range []struct {
		have, need string
		want       bool
	}{
		{"checkpoints/a.ckpt", "checkpoints/a.ckpt", true},
		{"checkpoints/a.ckpt", "checkpoints/b.ckpt", false},
		{"unet/a.sft", "diffusion_models/a.sft", true},
		{"clip/a.sft", "text_encoders/a.sft", true},
		{"vae/a.sft", "text_encoders/a.sft", false},
		{"vae_approx/taesd_decoder.pth", "vae_approx/taesd_decoder.safetensors", true},
		{"diffusers/sd/unet/config.json", "diffusers/sd", true},
		{"diffusers/sdxl/unet/config.json", "diffusers/sd", false},
	} {
		if got := SameFile(tc.have, tc.need); got != tc.want {
			t.Errorf("SameFile(%q, %q) = %v", tc.have, tc.need, got)
		}
	}
}

// prose are the keys that the catalog does not keep.
var prose = []string{"display_name", "description", "category", "output_tooltips", "search_aliases", "essentials_category", "price_badge"}

// TestObjectInfoIsRecorded fills the combos with what lay on the recording
// machine and compares with what that ComfyUI answered.
func TestObjectInfoIsRecorded(t *testing.T) {
	src, err := os.ReadFile(filepath.Join(recorded(t), "comfyui-0.3.64", "object_info.json"))
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]map[string]any{}
	if err := decodeExact(src, &want); err != nil {
		t.Fatal(err)
	}
	info := mustFor(t, "v0.3.64").ObjectInfo(map[string][]string{"input": {"example.png", "3d/"}})
	if len(info) != len(want) {
		t.Errorf("%d classes, want %d", len(info), len(want))
	}
	for name, w := range want {
		var got map[string]any
		if err := decodeExact(info[name], &got); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for _, k := range prose {
			delete(w, k)
			delete(got, k)
		}
		simplify(w)
		simplify(got)
		if diff := cmp.Diff(w, got); diff != "" {
			t.Errorf("%s (-recorded +ours): %s", name, diff)
		}
	}
}

func decodeExact(b []byte, v any) error {
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.UseNumber()
	return dec.Decode(v)
}

// simplify drops prose and empty options from every input in place.
func simplify(class map[string]any) {
	groups, _ := class["input"].(map[string]any)
	for _, g := range groups {
		specs, _ := g.(map[string]any)
		for name, s := range specs {
			list, ok := s.([]any)
			if !ok || len(list) < 2 {
				continue
			}
			o, _ := list[1].(map[string]any)
			for _, k := range []string{"tooltip", "display", "advanced"} {
				delete(o, k)
			}
			if d, ok := o["default"].(string); ok && len(d) > 118 || o["default"] == nil {
				delete(o, "default")
			}
			if len(o) == 0 {
				specs[name] = list[:1]
			}
		}
	}
}

func TestObjectInfoFillsCombos(t *testing.T) {
	files := map[string][]string{"checkpoints": {"a.ckpt"}, "vae": {"b.pt"}, "upscale_models": {"c.pth"}, "input": {"cat.png"}}
	for _, v := range Versions() {
		c := mustFor(t, v)
		for _, tc := range []struct{ class, input, want string }{
			{"CheckpointLoaderSimple", "ckpt_name", `["a.ckpt"]`},
			{"VAELoader", "vae_name", `["b.pt","pixel_space"]`},
			{"UpscaleModelLoader", "model_name", `["c.pth"]`},
			{"LoadImage", "image", `["cat.png"]`},
			{"LoraLoader", "lora_name", `[]`},
		} {
			raw, ok := c.ObjectInfoOf(tc.class, files)
			if !ok {
				t.Fatal(tc.class)
			}
			cl, err := decodeClass(tc.class, raw)
			if err != nil {
				t.Fatal(err)
			}
			in, _ := cl.Input(tc.input)
			got, _ := json.Marshal(in.Enum)
			if string(got) != tc.want && (tc.want != "[]" || in.Enum != nil) {
				t.Errorf("%s %s.%s = %s, want %s", v, tc.class, tc.input, got, tc.want)
			}
		}
	}
}

func TestParseObjectInfo(t *testing.T) {
	c, err := ParseObjectInfo([]byte(`{"A": {"input": {"required": {"x": ["FLOAT", {"max": Infinity, "default": NaN, "t": "NaN \" Infinity"}],
		"y": [[1, "a"]], "z": "IMAGE"}}, "output": [["p", "q"], "INT"], "output_name": [null, "n"], "output_is_list": [true]}}`))
	if err != nil {
		t.Fatal(err)
	}
	want := &Class{Name: "A", Title: "A", Inputs: []InputSpec{
		{Name: "x", Type: "FLOAT", Required: true},
		{Name: "y", Type: "COMBO", Literal: true, Required: true, Enum: []json.RawMessage{json.RawMessage("1"), json.RawMessage(`"a"`)}},
		{Name: "z", Type: "IMAGE", Required: true},
	}, Outputs: []OutputSpec{{Name: "COMBO", Type: "COMBO", List: true}, {Name: "n", Type: "INT"}}}
	got, _ := c.Class("A")
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	for _, bad := range []string{``, `[]`, `{}`, `{"A": 1}`, `{"A": {"input": {"required": {"x": []}}}}`, `{"A": {"input": 3}}`} {
		if _, err := ParseObjectInfo([]byte(bad)); err == nil {
			t.Errorf("%q is accepted", bad)
		}
	}
}

func FuzzParseObjectInfo(f *testing.F) {
	f.Add([]byte(`{"A": {"input": {"required": {"x": ["FLOAT", {"max": Infinity}], "y": [[1, "a"]]}}, "output": ["INT"]}}`))
	f.Add([]byte(`{"A": {"input": {"optional": {"x": ["COMFY_DYNAMICCOMBO_V3", {"options": [{"key": "k", "inputs": {"required": {"w": ["INT"]}}}]}]}}}}`))
	f.Add([]byte(`{"A": {"input": {"optional": {"x": ["COMFY_AUTOGROW_V3", {"template": {"input": {"required": {"i": ["INT", {}]}}, "prefix": "p", "min": 1}}]}}}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := ParseObjectInfo(b)
		if err != nil {
			return
		}
		for _, n := range c.Names() {
			cl, ok := c.Class(n)
			if !ok {
				t.Fatalf("class %q is listed but not there", n)
			}
			cl.Expand(func(string) Value { return Value{Given: true, Text: "k"} })
		}
		for n, raw := range c.ObjectInfo(map[string][]string{"input": {"a"}}) {
			if !json.Valid(raw) {
				t.Fatalf("class %q is not JSON: %s", n, raw)
			}
		}
	})
}

func BenchmarkLoad(b *testing.B) {
	for b.Loop() {
		if _, err := load("v0.30.2"); err != nil {
			b.Fatal(err)
		}
	}
}
