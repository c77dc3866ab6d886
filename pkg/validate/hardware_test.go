package validate

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestHardware(t *testing.T) {
	flux := `{"1":{"class_type":"UNETLoader","inputs":{"unet_name":"flux1-dev.safetensors","weight_dtype":"default"}},"2":{"class_type":"ModelSave","inputs":{"model":["1",0],"filename_prefix":"x"}}}`
	const head = "name: a\nworkflow: w.json\ninputs: {}\nmodels: [{ path: diffusion_models/flux1-dev.safetensors, load: mount }]\n"
	lock := &Locked{Models: map[string]LockedModel{"diffusion_models/flux1-dev.safetensors": {Size: 23_800_000_000}}}
	for _, tc := range []struct {
		name, yaml string
		want       []string
	}{
		{"enough", "gpu: 48GB\n", nil},
		{"not at once", "gpu: 16GB\n", []string{"CM007 note comfyctl.yaml:5:6 a GPU with 16GB does not hold each model as a whole"}},
		{"hardly", "gpu: { vram: 8GB }\n", []string{"CM007 warning comfyctl.yaml:5:14 a GPU with 8.0GB does not hold each model as a whole"}},
		{"none", "gpu: none\n", nil},
		{"a card", "gpu: { type: [h100, t4] }\n", []string{"CM007 note comfyctl.yaml:5:21 `T4` with 16GB does not hold each model as a whole"}},
		{"the larger of one name", "gpu: A100\n", nil},
		{"no such card", "gpu: H1000\n", []string{"CY007 warning comfyctl.yaml:5:6 `h1000` is no known GPU"}},
		{"disk", "disk: 20GB\n", []string{"CM007 warning comfyctl.yaml:5:7 the models and the environment need more disk than the machine is to have"}},
		{"memory", "memory: 8GB\n", []string{"CM007 warning comfyctl.yaml:5:9 the models need more memory than the machine is to have"}},
		{"enough of both", "disk: 100GB\nmemory: 64GB\n", nil},
		{"too old", "gpu: { type: [h100, v100] }\nbuild: { torch: cu130 }\nchecks: { CM007: off }\n", []string{"CM008 error comfyctl.yaml:5:21 torch cu130 does not run on `v100`"}},
		{"too new", "gpu: B200\nbuild: { torch: cu126 }\n", []string{"CM008 error comfyctl.yaml:5:6 torch cu126 does not run on `b200`"}},
		{"another maker", "gpu: H100\nbuild: { torch: rocm6.4 }\n", []string{"CM008 error comfyctl.yaml:5:6 torch rocm6.4 does not run on `h100`"}},
		{"no build for both", "gpu: { type: [h100, mi300x] }\n", []string{"CM008 error comfyctl.yaml:5:14 no one build of torch runs on all of these cards"}},
		{"not told", "gpu: V100\nbuild: { torch: system }\nchecks: { CM007: off }\n", nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, list := load(t, Options{Lock: lock}, map[string]string{"w.json": flux, "comfyctl.yaml": head + tc.yaml})
			if diff := cmp.Diff(tc.want, placed(list)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestAccess(t *testing.T) {
	for _, tc := range []struct {
		name, yaml string
		want       []string
	}{
		{"no targets", "auth: none\n", nil},
		{"this machine", "auth: none\ntargets: { here: { type: docker } }\n", nil},
		{"this machine, with a name", "auth: none\ntargets: { here: { type: docker, domain: x.example.com } }\n", []string{"CS002 warning comfyctl.yaml:6:7 `auth: none` with the public target `here`"}},
		{"a server", "auth: none\ntargets: { lab: { type: ssh, host: a@b } }\n", []string{"CS002 warning comfyctl.yaml:6:7 `auth: none` with the public target `lab`"}},
		{"a server of one network", "auth: none\ntargets: { lab: { type: ssh, host: a@b, allow: [10.0.0.0/8, 192.168.1.7, \"fd00::/8\"] } }\n", nil},
		{"a cloud for all", "auth: none\ntargets: { aws: { type: aws, allow: [10.0.0.0/8, 0.0.0.0/0] } }\n", []string{"CS002 warning comfyctl.yaml:6:7 `auth: none` with the public target `aws`"}},
		{"keys", "auth: [{ type: api-key }]\ntargets: { aws: { type: aws } }\n", nil},
		{"left out", "targets: { aws: { type: aws } }\n", nil},
		{"no webhooks", "runner: { port: 90 }\n", nil},
		{"signed webhooks", "runner: { webhooks: { secret: S } }\n", nil},
		{"unsigned webhooks", "runner: { webhooks: {} }\n", []string{"CS003 warning comfyctl.yaml:6:11 webhooks are not signed"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, list := load(t, Options{}, map[string]string{"w.json": portrait, "comfyctl.yaml": start + "inputs: { p: 6.text }\n" + tc.yaml})
			if diff := cmp.Diff(tc.want, placed(list)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestGated(t *testing.T) {
	flux := `{"1":{"class_type":"UNETLoader","inputs":{"unet_name":"m.safetensors","weight_dtype":"default"}},"2":{"class_type":"ModelSave","inputs":{"model":["1",0],"filename_prefix":"x"}}}`
	const sum = ", sha256: 6ce0161689b3853acaa03779ec93eafe75a02f4ced659bee03f50797806fa2fa"
	for _, tc := range []struct {
		name, rest string
		locked     bool
		want       int
	}{
		{"gated", "source: hf://Black-Forest-Labs/FLUX.1-dev/x@main", false, 1},
		{"gated by address", "source: https://huggingface.co/black-forest-labs/FLUX.1-dev/resolve/main/x", false, 1},
		{"with a secret", "auth: HF_TOKEN, source: hf://black-forest-labs/FLUX.1-dev/x", false, 0},
		{"open", "source: hf://black-forest-labs/FLUX.1-schnell/x", false, 0},
		{"open, but the lock knows better", "source: hf://someone/else/x", true, 1},
		{"a mirror for all", "source: [hf://black-forest-labs/FLUX.1-dev/x, https://example.com/x]", false, 0},
		{"mounted", "load: mount, source: hf://black-forest-labs/FLUX.1-dev/x", false, 0},
		{"a family", "source: hf://google/gemma-3-12b-it/x", false, 1},
	} {
		o := Options{}
		if tc.locked {
			o.Lock = &Locked{Models: map[string]LockedModel{"diffusion_models/m.safetensors": {Gated: true}}}
		}
		_, list := load(t, o, map[string]string{"w.json": flux, "comfyctl.yaml": "name: a\nworkflow: w.json\ninputs: {}\nmodels: [{ path: diffusion_models/m.safetensors, " + tc.rest + sum + " }]\n"})
		got := 0
		for _, d := range list {
			if d.Code == "CM006" {
				got++
			} else {
				t.Errorf("%s: %s", tc.name, placed(list))
			}
		}
		if got != tc.want {
			t.Errorf("%s: %d findings, want %d", tc.name, got, tc.want)
		}
	}
}
