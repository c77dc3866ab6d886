package validate

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/comfyctl/comfyctl/internal/diag"
	"github.com/comfyctl/comfyctl/pkg/catalog"
	"github.com/comfyctl/comfyctl/pkg/workflow"
)

// outside is a folder of test material that is not part of the repository.
func outside(t testing.TB, variable, name string) string {
	t.Helper()
	dir := os.Getenv(variable)
	if dir == "" {
		dir = filepath.Join("../../../shared", name)
	}
	if _, err := os.Stat(dir); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("no %s: %v", name, err)
		}
		t.Skipf("no %s: %v (set %s)", name, err, variable)
	}
	return dir
}

func builtin(t testing.TB, version string) *catalog.Catalog {
	t.Helper()
	c, err := catalog.For(version)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// transcript is what ComfyUI answered to one prompt.
type transcript struct {
	Prompt     json.RawMessage `json:"prompt"`
	PostStatus int             `json:"post_status"`
	Response   struct {
		Error struct {
			Type    string `json:"type"`
			Details string `json:"details"`
		} `json:"error"`
		NodeErrors map[string]struct {
			Errors []struct {
				Type  string `json:"type"`
				Extra struct {
					Input string `json:"input_name"`
				} `json:"extra_info"`
			} `json:"errors"`
		} `json:"node_errors"`
	} `json:"post_response"`
}

// verdicts lists what ComfyUI said as "node input type", in sorted order. The
// input is left out where ComfyUI names that of another node (the one that
// called the validation that raised).
func (tr *transcript) verdicts() []string {
	var list []string
	for id, n := range tr.Response.NodeErrors {
		for _, e := range n.Errors {
			input := e.Extra.Input
			if strings.HasPrefix(e.Type, "exception_during") {
				input = "*"
			}
			list = append(list, fmt.Sprintf("%s %s %s", id, input, e.Type))
		}
	}
	if t := tr.Response.Error.Type; t != "" && len(list) == 0 {
		_, id, _ := strings.Cut(tr.Response.Error.Details, "#")
		list = append(list, fmt.Sprintf("%s * %s", strings.Trim(id, "'"), t))
	}
	slices.Sort(list)
	return list
}

// foreseen writes our findings in the same way.
func foreseen(list []diag.Diagnostic) []string {
	var out []string
	for _, d := range list {
		if d.Server == "" || d.Code == "CW109" {
			continue
		}
		id, input := "", d.Input
		if d.Node != nil {
			id = d.Node.ID
		}
		switch {
		case strings.HasPrefix(d.Server, "exception_during") || d.Server == "invalid_prompt":
			input = "*"
		case d.Server == "prompt_no_outputs" || d.Server == "prompt_outputs_failed_validation":
			id, input = "", "*"
		}
		out = append(out, fmt.Sprintf("%s %s %s", id, input, d.Server))
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func TestVerdictsAreRecorded(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(outside(t, "COMFYCTL_RECORDED", "recorded"), "comfyui-0.3.64", "transcripts", "*.json"))
	if err != nil || len(files) < 30 {
		t.Fatalf("%d transcripts: %v", len(files), err)
	}
	cat := builtin(t, "v0.3.64")
	models := []string{"checkpoints/random-sd15-small.safetensors"}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".json")
		t.Run(name, func(t *testing.T) {
			src, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var tr transcript
			if err := json.Unmarshal(src, &tr); err != nil {
				t.Fatal(err)
			}
			g, list := workflow.Parse(name, tr.Prompt)
			if g == nil {
				t.Fatalf("no graph: %v", list)
			}
			list = append(list, Graph(g, cat, GraphOptions{
				Models:   models,
				HasModel: func(p string) bool { return slices.Contains(models, p) },
				HasFile:  func(_, _, f string) bool { return !strings.HasPrefix(f, "none-such") },
			})...)
			want, got := tr.verdicts(), foreseen(list)
			if fmt.Sprint(want) != fmt.Sprint(got) {
				t.Errorf("ComfyUI says %q, we say %q", want, got)
			}
			if refused := len(want) > 0 && name != "load_image_absent"; diag.HasErrors(list) != refused {
				t.Errorf("errors %v, want %v: %+v", diag.HasErrors(list), refused, list)
			}
		})
	}
}

// unlike are core-only corpus files in which ComfyUI 0.30.2 would refuse
// something else than a missing model, and why.
var unlike = map[string]string{
	"animede__simple_video__video_ltx2_depth_to_video_api":     "made before LTXAVTextEncoderLoader got the required input device",
	"animede__simple_video__video_wan2_2_14B_s2v_api":          "seed is the word randomize",
	"ImDarkTom__ComfyUIMini__default_comfyui_workflow":         "one entry is another program's notes, not a node",
	"JavaDerek__music-video-pipeline__missing_node_h3":         "a link to a node that is not in the file, as its name says",
	"jmpijll__discomfy__qwen_image_edit_3":                     "made before ImageScaleToTotalPixels got the required input resolution_steps",
	"palant__integrated-nodes-comfyui__inpaint":                "a template: its program fills in the values",
	"replicate__cog-comfyui__comfyui_api_node_api":             "IdeogramV3 has renamed the speeds since",
	"replicate__cog-comfyui__hunyuan_video_image_to_video_api": "made before two inputs became required",
	"replicate__cog-comfyui__sdxl_lightning_unet_api":          "made before UNETLoader got the required input weight_dtype",
	"replicate__cog-comfyui__sdxl_revision_zero_positive":      "made before CLIPVisionEncode got the required input crop",
	"Silverzonegames__online-sd-ui__lcm_img2img_api":           "the folder of a model is written as on Windows",
	"stewlab__comfyui-mcp-server__3d_hunyuan3d":                "the node id of a link is a number",
	"stewlab__comfyui-mcp-server__generate_song":               "placeholders in place of numbers",
	"vast-ai__base-image__video_ltx2_3_flf2v":                  "placeholder in place of a seed",
	"vast-ai__base-image__image_z_image":                       "placeholder in place of a seed",
	"XXXxx7258__maibot_comfyui_plugin__workflow_api":           "a link to a node that is not in the file",
	"yunkst__novel_builder__t2i_768x1280":                      "placeholder in place of a seed",
	"yunkst__novel_builder__v17.5":                             "placeholder in place of a seed",
}

func TestCorpus(t *testing.T) {
	dir := filepath.Join(outside(t, "COMFYCTL_CORPUS", "corpus"), "workflows")
	index, err := os.ReadFile(filepath.Join(dir, "index.tsv"))
	if err != nil {
		t.Fatal(err)
	}
	cat := builtin(t, "v0.30.2")
	checked := 0
	for _, row := range strings.Split(strings.TrimSpace(string(index)), "\n")[1:] {
		col := strings.Split(row, "\t")
		id, format, custom := col[0], col[5], col[10]
		src, err := os.ReadFile(filepath.Join(dir, id+".json"))
		if err != nil {
			t.Fatal(err)
		}
		g, list := workflow.Parse(id, src)
		if format != "api" || g == nil {
			continue
		}
		list = append(list, Graph(g, cat, GraphOptions{HasModel: func(string) bool { return true }, Unlocked: custom == "yes"})...)
		if custom != "no" {
			continue
		}
		checked++
		var errs []string
		for _, d := range list {
			if d.Severity == diag.SeverityError {
				node := ""
				if d.Node != nil {
					node = d.Node.ID + " " + d.Node.Class
				}
				errs = append(errs, fmt.Sprintf("%s %s %s: %s (%s)", d.Code, node, d.Input, d.Message, d.Label))
			}
		}
		if _, known := unlike[id]; (len(errs) > 0) != known {
			t.Errorf("%s: known exception %v:\n  %s", id, known, strings.Join(errs, "\n  "))
		}
	}
	if checked < 30 {
		t.Errorf("only %d core-only graphs", checked)
	}
	t.Logf("%d core-only graphs, %d of them explained", checked, len(unlike))
}
