package service

import (
	"io/fs"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"gopkg.in/yaml.v3"
)

const mergedYAML = `name: portrait
description: |
  two
  lines
workflow: w.json
comfyui: v0.3.64
build: { proxy: "http://me:${PASS}@proxy", args: }
models:
  - path: checkpoints/a.safetensors
    source: [https://a.example.com/x, "https://b.example.com/x?token=0123456789abcdef"]
  - &b { path: loras/b.safetensors, source: ./b }
env: { TZ: UTC, API_TOKEN: geheim, OTHER: "${OTHER:-x}" }
secrets: [HF_TOKEN, API_KEYS]
scaling: { min: 0, max: 4 }
tests: []
runner:
  webhooks: { secret: WEBHOOK_SECRET }
environments:
  prod:
    target: aws
    scaling:
      max: 8
    gpu: [l4,
          a10g]
`

func TestMerged(t *testing.T) {
	lookup := func(name string) (string, bool) { return "wert-von-" + name, name == "PASS" }
	s, _ := Parse("comfyctl.yaml", []byte(mergedYAML), Options{Env: "prod", Lookup: lookup})
	var got []string
	var text strings.Builder
	for _, l := range s.Merged([]Default{{"/runner/port", "8080"}, {"/scaling/max", "1"}, {"/models/1/load", "bake"}, {"/comfyui/x", "1"}, {"/rollout/strategy", "auto"}}) {
		got = append(got, l.Text+" # "+l.Origin)
		text.WriteString(l.Text + "\n")
	}
	want := []string{
		`name: portrait # comfyctl.yaml:1`,
		`description: "two\nlines\n" # comfyctl.yaml:2`,
		`workflow: w.json # comfyctl.yaml:5`,
		`comfyui: v0.3.64 # comfyctl.yaml:6`,
		`build: # `,
		`  proxy: "http://me:${PASS}@proxy" # comfyctl.yaml:7`,
		`  args: null # comfyctl.yaml:7`,
		`models: # `,
		`  - path: checkpoints/a.safetensors # comfyctl.yaml:9`,
		`    source: # `,
		`      - https://a.example.com/x # comfyctl.yaml:10`,
		`      - … # comfyctl.yaml:10, not shown`,
		`  - path: loras/b.safetensors # comfyctl.yaml:11`,
		`    source: ./b # comfyctl.yaml:11`,
		`    load: bake # default`,
		`env: # `,
		`  TZ: UTC # comfyctl.yaml:12`,
		`  API_TOKEN: … # comfyctl.yaml:12, not shown`,
		`  OTHER: "${OTHER:-x}" # comfyctl.yaml:12`,
		`secrets: [HF_TOKEN, API_KEYS] # comfyctl.yaml:13, names only`,
		`scaling: # `,
		`  min: 0 # comfyctl.yaml:14`,
		`  max: 8 # environments.prod (comfyctl.yaml:22)`,
		`tests: [] # comfyctl.yaml:15`,
		`runner: # `,
		`  webhooks: # `,
		`    secret: WEBHOOK_SECRET # comfyctl.yaml:17`,
		`  port: 8080 # default`,
		`gpu: [l4, a10g] # environments.prod (comfyctl.yaml:23)`,
		`rollout: # `,
		`  strategy: auto # default`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	var v map[string]any
	if err := yaml.Unmarshal([]byte(text.String()), &v); err != nil {
		t.Errorf("the merged file is no YAML: %v", err)
	}
	if strings.Contains(text.String(), "geheim") || strings.Contains(text.String(), "wert-von") || strings.Contains(text.String(), "0123456789") {
		t.Errorf("a secret is shown:\n%s", text.String())
	}
}

// An overlay beside the file is named as the origin.
func TestMergedOverlay(t *testing.T) {
	s, _ := Parse("comfyctl.yaml", []byte("name: a\nworkflow: w.json\nscaling: 1..2\n"), Options{Env: "prod", ReadFile: func(name string) ([]byte, error) {
		if name == "comfyctl.prod.yaml" {
			return []byte("# here\nscaling: 3..4\n"), nil
		}
		return nil, fs.ErrNotExist
	}})
	lines := s.Merged(nil)
	if diff := cmp.Diff(Line{"scaling: 3..4", "comfyctl.prod.yaml:2"}, lines[len(lines)-1]); diff != "" {
		t.Error(diff)
	}
}
