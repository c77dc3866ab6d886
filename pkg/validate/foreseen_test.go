package validate

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/comfyctl/comfyctl/internal/diag"
	"github.com/comfyctl/comfyctl/pkg/workflow"
)

// unrecorded are error types that a rule foresees and no recording of ComfyUI
// 0.3.64 shows, and why.
var unrecorded = map[string]string{
	"CW002 invalid_prompt":                    "an editor's save has no class_type: recorded as CW007",
	"CW005 dependency_cycle":                  "newer than the recordings (0.20)",
	"CW007 missing_node_type":                 "newer than the recordings (0.12)",
	"CW010 exception_during_validation":       "as CW004: an exception on an output node",
	"CW010 exception_during_inner_validation": "as CW011: an exception further up",
	"CW011 exception_during_validation":       "as CW004: an exception on an output node",
	"CW101 missing_node_type":                 "newer than the recordings (0.12)",
	"CW102 missing_node_type":                 "newer than the recordings (0.12)",
	"CW102 invalid_prompt":                    "to ComfyUI a class of a missing pack is an unknown class: recorded as CW101",
	"CY106 value_smaller_than_min":            "about what callers may send: the error itself is recorded as CW104",
	"CY106 value_bigger_than_max":             "about what callers may send: the error itself is recorded as CW104",
}

// Every error type on a rule's page was recorded from ComfyUI for a graph of
// which we find that rule, or has a reason not to be.
func TestForeseenErrorsAreRecorded(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(outside(t, "COMFYCTL_RECORDED", "recorded"), "comfyui-0.3.64", "transcripts", "*.json"))
	if err != nil || len(files) < 30 {
		t.Fatalf("%d transcripts: %v", len(files), err)
	}
	cat := builtin(t, "v0.3.64")
	seen := map[string]bool{}
	for _, file := range files {
		src, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var tr transcript
		if err := json.Unmarshal(src, &tr); err != nil {
			t.Fatal(err)
		}
		g, list := workflow.Parse("w", tr.Prompt)
		if g == nil {
			t.Fatal(list)
		}
		list = append(list, Graph(g, cat, GraphOptions{HasModel: func(p string) bool { return p == "checkpoints/random-sd15-small.safetensors" },
			HasFile: func(_, _, f string) bool { return !strings.HasPrefix(f, "none-such") }})...)
		verdicts := strings.Join(tr.verdicts(), "\n")
		for _, d := range list {
			if d.Server == "" {
				continue
			}
			if !slices.Contains(mustRule(t, d.Code).Server, d.Server) {
				t.Errorf("%s: %s foresees %s, which its page does not say", filepath.Base(file), d.Code, d.Server)
			}
			if strings.Contains(verdicts, d.Server) {
				seen[d.Code+" "+d.Server] = true
			}
		}
	}
	for _, r := range diag.Rules() {
		for _, s := range r.Server {
			switch pair := r.ID + " " + s; {
			case seen[pair] && unrecorded[pair] != "":
				t.Errorf("%s is recorded after all", pair)
			case !seen[pair] && unrecorded[pair] == "":
				t.Errorf("%s: no recording shows it", pair)
			}
		}
	}
}
