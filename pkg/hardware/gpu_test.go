package hardware

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestLookup(t *testing.T) {
	for spelled, want := range map[string]string{
		"L40S": "L40S (48GB)", "l40s": "L40S (48GB)", "4090": "RTX 4090 (24GB)", "rtx-4090": "RTX 4090 (24GB)", "NVIDIA GeForce RTX 4090": "RTX 4090 (24GB)",
		"a100": "A100 (40GB)", "A100-80GB": "A100 (80GB)", "NVIDIA A100-SXM4-80GB": "A100 (80GB)", "A100 80GB PCIe": "A100 (80GB)", "a100-40": "A100 (40GB)", "NVIDIA-A100-PCIE-40GB": "A100 (40GB)",
		"H100": "H100 (80GB)", "h100nvl": "H100 NVL (94GB)", "NVIDIA H100 80GB HBM3": "H100 (80GB)", "H100-94GB": "H100 NVL (94GB)",
		"nvidia-tesla-t4": "T4 (16GB)", "Tesla V100-SXM2-32GB": "V100 (32GB)", "v100": "V100 (16GB)", "rtx_pro_6000": "RTX PRO 6000 (96GB)",
		"NVIDIA RTX PRO 6000 Blackwell Server Edition": "RTX PRO 6000 (96GB)", "RTX 6000 Ada": "RTX 6000 Ada (48GB)", "rtx6000-ada": "RTX 6000 Ada (48GB)", "RTX 6000": "Quadro RTX 6000 (24GB)",
		"a6000": "RTX A6000 (48GB)", "rtx-3080-12gb": "RTX 3080 (12GB)", "3080": "RTX 3080 (10GB)", "RTX4060TI-16GB": "RTX 4060 Ti (16GB)", "NVIDIA B300 SXM6 AC": "B300 (288GB)", "mi300x": "MI300X (192GB)",
	} {
		g, ok := Lookup(spelled)
		if got := g.String(); !ok || got != want {
			t.Errorf("%q gives %s, %v; want %s", spelled, got, ok, want)
		}
	}
	for spelled, near := range map[string]string{"": "", "L40SS": "L40S", "rtx4091": "RTX 4090", "b2000": "B200", "A100-60GB": "A100", "h1000": "H100", "cucumber": ""} {
		if g, ok := Lookup(spelled); ok {
			t.Errorf("%q is taken for %s", spelled, g)
		}
		if got := Suggest(spelled); got != near {
			t.Errorf("%q suggests %q, want %q", spelled, got, near)
		}
	}
	if got := Find("A100"); len(got) != 2 || got[0].MemoryMiB >= got[1].MemoryMiB {
		t.Errorf("A100 is %v", got)
	}
}

// Every row can be found by its own names, and its figures are of their kind.
func TestTable(t *testing.T) {
	seen := map[string]bool{}
	for _, g := range GPUs() {
		for _, n := range append([]string{g.Name}, g.Aliases...) {
			found := false
			for _, f := range Find(n) {
				found = found || cmp.Equal(f, g)
			}
			if !found {
				t.Errorf("%q does not find %s", n, g)
			}
		}
		if seen[g.String()] {
			t.Errorf("%s is there twice", g)
		}
		seen[g.String()] = true
		if g.MemoryMiB < 4096 || g.MemoryMiB > 512<<10 || (g.Vendor == NVIDIA) != (g.Compute >= 30) || (g.Vendor == AMD) != strings.HasPrefix(g.Arch, "gfx") {
			t.Errorf("%+v", g)
		}
		if tag := BuildFor(g); tag == "" && g.Compute >= 50 || tag != "" && !Runs(g, tag, "").OK {
			t.Errorf("%s: build %q", g, tag)
		}
	}
}

func TestNative(t *testing.T) {
	for name, want := range map[string]string{"K80": "fp32", "P100": "fp32 fp16", "P40": "fp32", "V100": "fp32 fp16", "T4": "fp32 fp16 int8", "A100": "fp32 fp16 bf16 int8", "L4": "fp32 fp16 bf16 fp8 int8",
		"H100": "fp32 fp16 bf16 fp8 int8", "5090": "fp32 fp16 bf16 fp8 fp4 int8", "B200": "fp32 fp16 bf16 fp8 fp4 int8", "MI300X": "fp32 fp16 bf16 fp8 int8", "MI210": "fp32 fp16 bf16 int8"} {
		g, _ := Lookup(name)
		var got []string
		for _, d := range g.NativeTypes() {
			got = append(got, string(d))
		}
		if s := strings.Join(got, " "); s != want {
			t.Errorf("%s computes %s, want %s", name, s, want)
		}
	}
}

func TestRuns(t *testing.T) {
	for _, tt := range []struct {
		gpu, tag, torch string
		ok              bool
		why, use        string
	}{
		{"5090", "cu126", "", false, "torch cu126 has code up to compute capability 9.0, and RTX 5090 has 12.0: CUDA 12.8 or newer is needed", "cu128"},
		{"5090", "cu128", "2.7.1", true, "", ""},
		{"B200", "cu124", "2.6", false, "torch cu124 has code up to compute capability 9.0, and B200 has 10.0: CUDA 12.8 or newer is needed", "cu128"},
		{"B300", "cu128", "2.9", true, "", ""}, // the same major
		{"V100", "cu128", "2.7.0", false, "torch cu128 has code from compute capability 7.5 on, and V100 has 7.0", "cu126"},
		{"V100", "cu128", "2.9.1", true, "", ""},
		{"V100", "cu128", "2.11.0", false, "torch cu128 has code from compute capability 7.5 on, and V100 has 7.0", "cu126"},
		{"V100", "cu130", "", false, "torch cu130 has code from compute capability 7.5 on, and V100 has 7.0", "cu126"},
		{"P100", "cu128", "", false, "torch cu128 has code from compute capability 7.0 on, and P100 has 6.0", "cu126"},
		{"P100", "cu126", "2.8", true, "", ""},
		{"GTX 1080", "cu126", "", true, "", ""},
		{"T4", "cu130", "", true, "", ""},
		{"K80", "cu118", "", false, "torch cu118 has code from compute capability 5.0 on, and K80 has 3.7", ""},
		{"4090", "cu118", "", true, "", ""},
		{"L4", "", "", true, "", ""},
		{"L4", "cpu", "", false, "torch cpu computes on no L4", "cu128"},
		{"L4", "rocm6.4", "", false, "torch rocm6.4 is for cards of another maker than L4", "cu128"},
		{"MI300X", "rocm6.4", "", true, "", ""},
		{"MI300X", "cu128", "", false, "torch cu128 is for cards of another maker than MI300X", "rocm6.4"},
		{"V100", "cu135", "", false, "V100 has compute capability 7.0, and CUDA 12.9 was the last to know it", "cu126"},
		{"5090", "cu127", "", false, "RTX 5090 has compute capability 12.0, and CUDA knows it from 12.8 on", "cu128"},
		{"5090", "cu140", "", true, "", ""}, // nobody knows
	} {
		g, ok := Lookup(tt.gpu)
		if !ok {
			t.Fatal(tt.gpu)
		}
		v := Runs(g, tt.tag, tt.torch)
		if v.OK != tt.ok || v.Why != tt.why || v.Use != tt.use {
			t.Errorf("%s %s %s: %+v", tt.gpu, tt.tag, tt.torch, v)
		}
	}
	for want, names := range map[string][]string{"cu128": {"L4", "5090"}, "cu126": {"V100", "L4"}, "": {"V100", "5090"}, "rocm6.4": {"MI300X"}} {
		var cards []GPU
		for _, n := range names {
			g, _ := Lookup(n)
			cards = append(cards, g)
		}
		if got := BuildFor(cards...); got != want {
			t.Errorf("%v: build %q, want %q", names, got, want)
		}
	}
}

func FuzzLookup(f *testing.F) {
	for _, g := range gpus {
		f.Add(g.Name)
	}
	f.Add("NVIDIA A100-SXM4-80GB")
	f.Add("4090:2")
	f.Add("\xff 12")
	f.Fuzz(func(t *testing.T, s string) {
		g, ok := Lookup(s)
		if ok && g.Name == "" {
			t.Error("an empty card")
		}
		Suggest(s)
	})
}
