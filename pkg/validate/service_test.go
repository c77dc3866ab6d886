package validate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/comfyctl/comfyctl/internal/diag"
	"github.com/comfyctl/comfyctl/pkg/contract"
)

const portrait = `{
 "3": {"class_type": "KSampler", "inputs": {"seed": 8412, "steps": 20, "cfg": 7.5, "sampler_name": "euler", "scheduler": "normal", "denoise": 1,
   "model": ["4", 0], "positive": ["6", 0], "negative": ["7", 0], "latent_image": ["5", 0]}, "_meta": {"title": "Sampler"}},
 "4": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "sd15.safetensors"}},
 "5": {"class_type": "EmptyLatentImage", "inputs": {"width": 512, "height": 512, "batch_size": 1}},
 "6": {"class_type": "CLIPTextEncode", "inputs": {"text": "a fox", "clip": ["4", 1]}, "_meta": {"title": "Text"}},
 "7": {"class_type": "CLIPTextEncode", "inputs": {"text": "blurry", "clip": ["4", 1]}, "_meta": {"title": "Text"}},
 "8": {"class_type": "VAEDecode", "inputs": {"samples": ["3", 0], "vae": ["4", 2]}},
 "9": {"class_type": "SaveImage", "inputs": {"images": ["8", 0], "filename_prefix": "x"}}
}`

const model = "models: [{ path: checkpoints/sd15.safetensors, source: https://example.com/sd15.safetensors, sha256: 6ce0161689b3853acaa03779ec93eafe75a02f4ced659bee03f50797806fa2fa }]\n"

// head is the start of a good service file.
const start = "name: portrait\nworkflow: w.json\ncomfyui: v0.3.64\n" + model

// write puts files into a new folder.
func write(t testing.TB, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func load(t testing.TB, o Options, files map[string]string) (*Plan, []diag.Diagnostic) {
	t.Helper()
	o.Dir = write(t, files)
	p, list, err := Load(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	return p, list
}

// placed writes findings as "CODE severity file:line:column message".
func placed(list []diag.Diagnostic) []string {
	var out []string
	for _, d := range list {
		out = append(out, fmt.Sprintf("%s %s %s:%d:%d %s", d.Code, d.Severity, d.File, d.Start.Line, d.Start.Column, d.Message))
	}
	return out
}

func TestServiceFindings(t *testing.T) {
	in := func(s string) string { return start + "inputs:\n  " + s + "\n" }
	for _, tc := range []struct {
		name, yaml string
		want       []string
	}{
		{"good", in("prompt: 6.text"), nil},
		{"no node", in("prompt: 66.text"), []string{"CY101 error comfyctl.yaml:6:11 `to` `66.text` names no node"}},
		{"no dot", in("prompt: text"), []string{"CY101 error comfyctl.yaml:6:11 `to` is `text`, NODE.INPUT is wanted"}},
		{"title of several", in(`prompt: "@Text.text"`), []string{"CY101 error comfyctl.yaml:6:11 `to` `@Text.text` names several nodes"}},
		{"no title", in(`prompt: "@Txt.text"`), []string{"CY101 error comfyctl.yaml:6:11 `to` `@Txt.text` names no node"}},
		{"no such input", in("prompt: 6.txt"), []string{"CY102 error comfyctl.yaml:6:11 node `6` (CLIPTextEncode) has no input `txt`"}},
		{"two writers", in("a: 6.text\n  b: [7.text, 6.text]"), []string{"CY103 error comfyctl.yaml:7:15 inputs `a` and `b` write the same node input"}},
		{"a link", in("m: 3.model"), []string{"CY105 error comfyctl.yaml:6:6 `3.model` is a link, not a value"}},
		{"default outside", in("steps: { to: 3.steps, max: 50, default: 99 }"), []string{"CY104 error comfyctl.yaml:6:43 default of input `steps` is outside its own rules"}},
		{"example outside", in("cfg: { to: 3.cfg, example: high }"), []string{"CY104 error comfyctl.yaml:6:30 example of input `cfg` is outside its own rules"}},
		{"the graph's value outside", in("steps: { to: 3.steps, max: 10 }"), []string{"CY104 error comfyctl.yaml:6:3 the graph's own value of input `steps` is outside its rules"}},
		{"wider", in("steps: { to: 3.steps, min: 0, max: 20000, default: 4 }"), []string{
			"CY106 warning comfyctl.yaml:6:30 `min` of input `steps` is wider than the node's own",
			"CY106 warning comfyctl.yaml:6:38 `max` of input `steps` is wider than the node's own"}},
		{"min above max", in("steps: { to: 3.steps, min: 9, max: 3, required: true }"), []string{"CY104 error comfyctl.yaml:6:3 `min` of input `steps` is above its `max`"}},
		{"enum", in("s: { to: 3.sampler_name, enum: [euler, dpmpp2m] }"), []string{"CY104 error comfyctl.yaml:6:42 \"dpmpp2m\" is not an option of `KSampler`"}},
		{"output missing", in("p: 6.text") + "outputs: { image: 10 }\n", []string{"CY107 error comfyctl.yaml:7:19 `from` `10` names no node"}},
		{"no output node", in("p: 6.text") + "outputs: { image: 8 }\n", []string{"CY107 error comfyctl.yaml:7:19 node `8` (VAEDecode) gives no output"}},
		{"tests", in("steps: { to: 3.steps, max: 50 }\n  p: { to: 6.text, required: true }") + "tests:\n  - { name: a, input: { p: x, step: 3 } }\n  - { name: b, input: { p: x, steps: 99 } }\n" +
			"  - { name: c, input: { p: x, steps: 99 }, expect: { status: 422 } }\n  - { name: d, input: {} }\n  - { name: e, input: { p: x }, matrix: { steps: [min, 60] } }\n" +
			"  - { name: f, input: { p: x }, expect: { outputs: { picture: { width: 3 } } } }\n", []string{
			"CY108 error comfyctl.yaml:9:31 the test names an unknown input `step`",
			"CY104 error comfyctl.yaml:10:38 the test sends `steps` a value that it does not take",
			"CY104 error comfyctl.yaml:12:5 the test does not send the required input `p`",
			"CY104 error comfyctl.yaml:13:50 the test sends `steps` a value that it does not take",
			"CY108 error comfyctl.yaml:14:63 there is no output `picture`"}},
		{"tier and environment", in("steps: 3.steps") + "limits: { tiers: { free: { max: { step: 3 } } } }\nenvironments: { prod: { target: awss }, dev: { target: local } }\ntargets: { aws: { type: aws } }\n", []string{
			"CY108 error comfyctl.yaml:7:35 the tier names an unknown input `step`",
			"CY109 error comfyctl.yaml:8:33 environment `prod` names an unknown target `awss`"}},
		{"no workflow file", "name: a\nworkflow: x.json\ncomfyui: v0.3.64\n", []string{"CW001 error comfyctl.yaml:2:11 there is no workflow file `x.json`"}},
		{"models", "name: a\nworkflow: w.json\ncomfyui: v0.3.64\ninputs: {p: 6.text}\nmodels:\n  - path: checkpoint/sd15.safetensors\n    source: ./x.safetensors\n  - path: loras/a.pt\n", []string{
			"CM005 error comfyctl.yaml:6:11 ComfyUI has no model folder `checkpoint`",
			"CM010 error comfyctl.yaml:7:13 model file `./x.safetensors` is not there",
			"CM009 warning comfyctl.yaml:8:5 model `loras/a.pt` has no `source`",
			"CM002 warning comfyctl.yaml:8:5 model `loras/a.pt` is listed but never used",
			"CM004 warning comfyctl.yaml:8:11 model `loras/a.pt` is in a pickle format"}},
		{"another release", strings.Replace(in("p: 6.text"), "v0.3.64", "v0.3.70", 1), []string{
			"CW101 note comfyctl.yaml:3:10 node classes of ComfyUI v0.3.70 are not built in; checked against v0.3.64"}},
		{"inferred", start, []string{"CY110 note comfyctl.yaml:2:1 8 inputs are inferred from `w.json`"}},
		{"checks", strings.Replace(start, "sd15.safetensors,", "sd15.safetensors, load: bake,", 1) + "checks: { CY110: off, CX999: off }\n", []string{"CY007 error comfyctl.yaml:5:23 there is no rule `CX999`"}},
		{"raised", start + "checks: { CY110: error }\n", []string{"CY110 error comfyctl.yaml:2:1 8 inputs are inferred from `w.json`"}},
		{"ignores", in("steps: { to: 3.steps, max: 20000 } # comfyctl: ignore CY106 - trusted\n  p: 6.text # comfyctl: ignore CM004"), []string{
			"CY012 warning comfyctl.yaml:7:13 this ignore silences nothing"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, list := load(t, Options{}, map[string]string{"comfyctl.yaml": tc.yaml, "w.json": portrait})
			got := placed(list)
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Error(diff)
			}
			for _, d := range list {
				if _, ok := diag.Lookup(d.Code); !ok {
					t.Errorf("no rule %s", d.Code)
				}
			}
		})
	}
}

func TestStrict(t *testing.T) {
	_, list := load(t, Options{Strict: true}, map[string]string{"w.json": portrait,
		"comfyctl.yaml": start + "inputs: { steps: { to: 3.steps, max: 20000 } }\n"})
	if len(list) != 1 || list[0].Severity != diag.SeverityError {
		t.Errorf("findings: %v", placed(list))
	}
}

func TestInputs(t *testing.T) {
	p, list := load(t, Options{}, map[string]string{"w.json": portrait, "comfyctl.yaml": start + `inputs:
  prompt: { to: 6.text, required: true }
  seed: { to: [3.seed], default: random }
  steps: "@Sampler.steps"
  guidance: { to: 3.cfg, max: 15 }
  sampler: { to: 3.sampler_name, enum: [euler, ddim] }
  model: 4.ckpt_name
`})
	if len(list) > 0 {
		t.Fatal(placed(list))
	}
	raw := func(s string) json.RawMessage { return json.RawMessage(s) }
	want := []contract.Input{
		{Name: "prompt", Type: "text", To: []contract.Target{{Node: "6", Input: "text"}}, Required: true},
		{Name: "seed", Type: "seed", To: []contract.Target{{Node: "3", Input: "seed"}}, Random: true, Min: "0", Max: "18446744073709551615"},
		{Name: "steps", Type: "int", To: []contract.Target{{Node: "3", Input: "steps"}}, Default: raw("20"), Min: "1", Max: "10000"},
		{Name: "guidance", Type: "float", To: []contract.Target{{Node: "3", Input: "cfg"}}, Default: raw("7.5"), Min: "0.0", Max: "15"},
		{Name: "sampler", Type: "enum", To: []contract.Target{{Node: "3", Input: "sampler_name"}}, Default: raw(`"euler"`), Enum: []json.RawMessage{raw(`"euler"`), raw(`"ddim"`)}},
		{Name: "model", Type: "enum", To: []contract.Target{{Node: "4", Input: "ckpt_name"}}, Default: raw(`"sd15.safetensors"`), Enum: []json.RawMessage{raw(`"sd15.safetensors"`)}},
	}
	if diff := cmp.Diff(want, p.Workflows[0].Inputs); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]contract.Output{{Name: "image", Node: "9", Type: "image"}}, p.Workflows[0].Outputs); diff != "" {
		t.Error(diff)
	}
}

// What every job writes need not be valid in the graph: a placeholder is fine.
func TestPlaceholders(t *testing.T) {
	g := strings.Replace(strings.Replace(portrait, "8412", `"{{SEED}}"`, 1), `"steps": 20`, `"steps": "{{STEPS}}"`, 1)
	p, list := load(t, Options{}, map[string]string{"w.json": g, "comfyctl.yaml": start + "inputs:\n  seed: { to: 3.seed, default: random }\n  steps: 3.steps\n"})
	if diff := cmp.Diff([]string{"CW106 error w.json:2:74 value of `steps` cannot be read as INT"}, placed(list)); diff != "" {
		t.Error(diff)
	}
	if in := p.Workflows[0].Inputs[1]; in.Default != nil {
		t.Errorf("default = %s", in.Default)
	}
}

func TestSeveralWorkflows(t *testing.T) {
	p, list := load(t, Options{}, map[string]string{"a/w.json": portrait, "a/old.json": portrait, "comfyctl.yaml": "name: many\ncomfyui: v0.3.64\n" + model + `workflows:
  portrait:
    file: a/w.json
    version: 1.4.0
    aliases: [headshot]
    inputs: { prompt: 6.text }
    versions: { 1.3.0: { file: a/old.json } }
  other: { file: a/w.json, inputs: { prompt: 7.text }, aliases: [portrait] }
tests:
  - { name: a, workflow: headshot, input: { prompt: x } }
  - { name: b, workflow: portrai, input: { prompt: x } }
  - { name: c, input: { prompt: x } }
`})
	want := []string{"CY003 error comfyctl.yaml:11:66 the name `portrait` stands for two workflows",
		"CY108 error comfyctl.yaml:14:26 there is no workflow `portrai`",
		"CY108 error comfyctl.yaml:15:5 the test does not say which workflow it is for"}
	if diff := cmp.Diff(want, placed(list)); diff != "" {
		t.Error(diff)
	}
	var got []string
	for _, w := range p.Workflows {
		got = append(got, fmt.Sprintf("%s@%s %s %s", w.Name, w.Version, w.File, w.Inputs[0].To[0].Node))
	}
	if diff := cmp.Diff([]string{"portrait@1.4.0 a/w.json 6", "portrait@1.3.0 a/old.json 6", "other@" + p.Workflows[2].Graph.Version() + " a/w.json 7"}, got); diff != "" {
		t.Error(diff)
	}
	if p.Source("a/w.json") == nil || p.Source("comfyctl.yaml") == nil || p.Source("b") != nil {
		t.Error("sources are not kept")
	}
}

func TestUploads(t *testing.T) {
	g := `{"1":{"class_type":"LoadImage","inputs":{"image":"me.png"}},"2":{"class_type":"SaveImage","inputs":{"images":["1",0],"filename_prefix":"x"}}}`
	y := "name: a\nworkflow: w.json\ncomfyui: v0.3.64\n"
	_, list := load(t, Options{}, map[string]string{"w.json": g, "comfyctl.yaml": y + "inputs: {}\n"})
	if diff := cmp.Diff([]string{"CW112 warning w.json:1:50 node `1` reads the uploaded file `me.png`, which no input provides"}, placed(list)); diff != "" {
		t.Error(diff)
	}
	p, list := load(t, Options{}, map[string]string{"w.json": g, "comfyctl.yaml": y})
	if len(list) != 1 || list[0].Code != "CY110" {
		t.Error(placed(list))
	}
	want := []contract.Input{{Name: "image", Type: "image", Required: true, Description: "The file that the graph loads", To: []contract.Target{{Node: "1", Input: "image"}}}}
	if diff := cmp.Diff(want, p.Workflows[0].Inputs); diff != "" {
		t.Error(diff)
	}
}

func TestPacksAndObjectInfo(t *testing.T) {
	g := `{"1":{"class_type":"Mine","inputs":{"x":5}},"2":{"class_type":"PreviewAny","inputs":{"source":["1",0]}}}`
	y := "name: a\nworkflow: w.json\ncomfyui: v0.3.64\ninputs: { x: 1.x }\n"
	for _, tc := range []struct {
		name, yaml, info string
		want             []string
	}{
		{"unknown", y, "", []string{"CW101 error w.json:1:20 ComfyUI has no node class `Mine`"}},
		{"not locked", y + "nodes: [{ path: ./mine }]\n", "", []string{"CW101 note w.json:1:20 1 node class is not checked: the node packs under `nodes:` are not locked"}},
		{"object_info", y, `{"Mine":{"input":{"required":{"x":["INT",{"max":3}]}},"output":["INT"]},"PreviewAny":{"input":{"required":{"source":["*"]}},"output":[],"output_node":true}}`,
			[]string{"CY104 error comfyctl.yaml:4:11 the graph's own value of input `x` is outside its rules", "CW104 error w.json:1:41 `x` of node `1` is above its maximum"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			o := Options{}
			if tc.info != "" {
				o.ObjectInfo = []byte(tc.info)
			}
			_, list := load(t, o, map[string]string{"w.json": g, "comfyctl.yaml": tc.yaml})
			if diff := cmp.Diff(tc.want, placed(list)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestLoadErrors(t *testing.T) {
	for _, tc := range []struct {
		name string
		o    Options
		code string
	}{
		{"no file", Options{}, "no_service_file"},
		{"named file missing", Options{File: "x.yaml"}, "no_service_file"},
		{"bad object_info", Options{File: "good.yaml", ObjectInfo: []byte("[]")}, "bad_object_info"},
	} {
		tc.o.Dir = write(t, map[string]string{"good.yaml": start, "w.json": portrait, ".git/HEAD": ""})
		_, _, err := Load(context.Background(), tc.o)
		var e *diag.Error
		if !errors.As(err, &e) || e.Code != tc.code || e.Class != diag.ClassUsage {
			t.Errorf("%s: %v", tc.name, err)
		}
	}
	dir := write(t, map[string]string{"comfyctl.yaml": start, "w.json": portrait})
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, _, err := Load(ctx, Options{Dir: dir}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestUnreadableYAML(t *testing.T) {
	p, list := load(t, Options{}, map[string]string{"comfyctl.yaml": "name: 'a\n"})
	if p == nil || p.Service != nil || !diag.HasErrors(list) || p.Source("comfyctl.yaml") == nil {
		t.Errorf("plan %+v, findings %v", p, placed(list))
	}
}

func TestContractDefaults(t *testing.T) {
	p, _ := load(t, Options{}, map[string]string{"w.json": portrait, "comfyctl.yaml": start + "gpu: none\nauth: none\nenv: { TZ: UTC }\nrunner: { playground: false, timeouts: { job: 90s } }\n"})
	c := p.Contract(contract.EngineComfyUI, "1.2.3")
	if c.Runner.Port != 8080 || c.Runner.Playground || c.Runner.Timeouts.JobMS != 90_000 || c.Runner.Timeouts.StartMS != 600_000 || c.Runner.Limits.Body != 1_000_000 {
		t.Errorf("runner = %+v", c.Runner)
	}
	if c.Auth == nil || len(*c.Auth) != 0 || c.GPU.Count != 0 || c.Env["TZ"] != "UTC" || c.Packer != "1.2.3" || c.Engine.Version != "v0.3.64" {
		t.Errorf("contract = %+v", c)
	}
	a, err := c.Digest()
	if err != nil {
		t.Fatal(err)
	}
	if b, _ := p.Contract(contract.EngineComfyUI, "1.2.3").Digest(); a != b {
		t.Error("two contracts of one plan differ")
	}
}

func BenchmarkLoad(b *testing.B) {
	dir := write(b, map[string]string{"w.json": portrait, "comfyctl.yaml": start})
	for b.Loop() {
		if _, _, err := Load(context.Background(), Options{Dir: dir}); err != nil {
			b.Fatal(err)
		}
	}
}
