package reduce

import (
	"bytes"
	"compress/gzip"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/comfyctl/comfyctl/pkg/catalog"
)

func unzip(t *testing.T, b []byte) string {
	t.Helper()
	z, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestCatalog(t *testing.T) {
	src := `{
	"VAELoader": {"input": {"required": {"vae_name": [["mine.safetensors", "taesd", "pixel_space"]]}}, "input_order": {"required": ["vae_name"]},
		"output": ["VAE"], "display_name": "Prose", "description": "More prose"},
	"LoadImage": {"input": {"required": {"image": [["mine.png"], {"image_upload": true, "tooltip": "prose"}]}}},
	"KSampler": {"input": {"required": {"seed": ["INT", {"max": 18446744073709551615, "default": 0, "tooltip": "prose"}], "model": ["MODEL", {"tooltip": "prose"}]}, "hidden": {"p": "PROMPT"}}},
	"Long": {"input": {"optional": {"x": ["STRING", {"default": "` + strings.Repeat("x", 200) + `"}],
		"d": ["COMFY_DYNAMICCOMBO_V3", {"options": [{"key": "k", "inputs": {"required": {"w": ["INT", {"min": 1, "tooltip": "prose"}]}}}]}]}}}
}`
	got, err := Catalog([]byte(src))
	if err != nil {
		t.Fatal(err)
	}
	want := `KSampler	{"input":{"required":{"seed":["INT",{"max":18446744073709551615,"default":0}],"model":["MODEL"]},"hidden":{"p":"PROMPT"}}}
LoadImage	{"input":{"required":{"image":[[],{"image_upload":true}]}}}
Long	{"input":{"optional":{"x":["STRING"],"d":["COMFY_DYNAMICCOMBO_V3",{"options":[{"key":"k","inputs":{"required":{"w":["INT",{"min":1}]}}}]}]}}}
VAELoader	{"input":{"required":{"vae_name":[["pixel_space"]]}},"output":["VAE"],"display_name":"Prose"}
`
	if diff := cmp.Diff(want, unzip(t, got)); diff != "" {
		t.Error(diff)
	}
	again, _ := Catalog([]byte(src))
	if !bytes.Equal(got, again) {
		t.Error("two runs differ")
	}
}

func TestBadInput(t *testing.T) {
	for _, src := range []string{``, `[]`, `{"a": 1}`, `{"a\tb": {}}`} {
		if _, err := Catalog([]byte(src)); err == nil {
			t.Errorf("%q is accepted", src)
		}
	}
}

// TestCommittedDataIsCurrent fails when the generator and data/ disagree: run
// the command in the package comment of pkg/catalog again.
func TestCommittedDataIsCurrent(t *testing.T) {
	dir := os.Getenv("COMFYCTL_RECORDED")
	if dir == "" {
		dir = "../../../../../shared/recorded"
	}
	if _, err := os.Stat(dir); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("no recordings: %v", err)
		}
		t.Skipf("no recordings: %v (set COMFYCTL_RECORDED)", err)
	}
	for _, v := range catalog.Versions() {
		src, err := os.ReadFile(filepath.Join(dir, "comfyui-"+strings.TrimPrefix(v, "v"), "object_info.json"))
		if err != nil {
			t.Fatal(err)
		}
		got, err := Catalog(src)
		if err != nil {
			t.Fatal(err)
		}
		want, err := os.ReadFile("../../data/" + v + ".txt.gz")
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(unzip(t, want), unzip(t, got)); diff != "" {
			t.Errorf("%s: %.2000s", v, diff)
		}
	}
}
