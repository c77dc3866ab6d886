package service

import (
	"errors"
	"io/fs"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/comfyctl/comfyctl/internal/diag"
	"github.com/comfyctl/comfyctl/templates"
)

func full(t testing.TB) []byte {
	t.Helper()
	b, err := fs.ReadFile(templates.FS, "comfyctl.full.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func codes(list []diag.Diagnostic) []string {
	var out []string
	for _, d := range list {
		out = append(out, d.Code)
	}
	return out
}

func TestFindings(t *testing.T) {
	const head = "name: a\nworkflow: w.json\n"
	for _, tt := range []struct {
		name, src string
		code      string
		line, col int
		help      string
	}{
		{"unknown key", head + "gpu:\n  cuont: 1\n", "CY001", 4, 3, "did you mean `count`?"},
		{"alias", head + "custom_nodes: []\n", "CY001", 3, 1, "did you mean `nodes`?"},
		{"kind", head + "models: checkpoints/x.safetensors\n", "CY002", 3, 9, "write [checkpoints/x.safetensors]"},
		{"twice", head + "name: b\n", "CY003", 3, 1, ""},
		{"wrong type", head + "runner: { port: http }\n", "CY004", 3, 17, ""},
		{"open quote", "name: \"a\nworkflow: w.json\n", "CY005", 1, 7, "close it, or leave the quotes out"},
		{"tab", "name: a\n\tworkflow: w\n", "CY005", 2, 1, "YAML wants spaces there"},
		{"second document", head + "---\nname: b\n", "CY005", 3, 1, ""},
		{"duration", head + "runner: { timeouts: { job: 5 } }\n", "CY006", 3, 28, ""},
		{"list of values", head + "rollout: { strategy: rolling }\n", "CY007", 3, 22, ""},
		{"range", head + "runner: { port: 99999 }\n", "CY007", 3, 17, ""},
		{"missing", "workflow: w.json\n", "CY008", 1, 1, ""},
		{"no workflow", "name: a\n", "CY008", 1, 1, "add `workflow: workflow_api.json`"},
		{"variable", head + "description: ${NOPE}\n", "CY009", 3, 14, "set it in the environment, or write ${NOPE:-default}"},
		{"old boolean", head + "runner: { warmup: yes }\n", "CY011", 3, 19, "write true"},
		{"secret", head + "models:\n- { path: a/b.safetensors, auth: hf_-AbC }\n", "CS001", 4, 34, "write the name of a secret listed under `secrets:`, such as HF_TOKEN"},
		{"after wide characters", "name: a\nworkflow: w.json\ndescription: größe\ngpu: {größe: 1}\n", "CY001", 4, 7, "known here: count, type, vram"},
		{"no space", "name:a\nworkflow: w\n", "CY005", 1, 5, "write `key: value`"},
		{"no space further in", head + "gpu:\n  count:1\n", "CY006", 4, 3, "a space follows the colon: `count: 1`"},
		{"no space in a mapping", head + "build:\n  python:3\n", "CY002", 4, 3, "a space follows the colon: `python: 3`"},
		{"open bracket", "name: a\nsecrets: [A, B\nworkflow: w\n", "CY005", 2, 10, "close it"},
		{"open brace", head + "gpu: { count: 1\n", "CY005", 3, 6, "close it"},
		{"wrong bracket", head + "gpu: { count: 1 ]\n", "CY005", 3, 6, "close it"},
		{"at sign", head + "inputs: { p: @T.text }\n", "CY005", 3, 14, "a value that begins with @, `, % or & needs quotes"},
		{"too far in", "name: a\n workflow: w\n", "CY005", 2, 0, "the line is indented further than the one above, which has a value already"},
		{"two colons", "name: a: b\nworkflow: w\n", "CY005", 1, 0, "the line has a second `: `; a value with a colon in it needs quotes"},
		{"key of a list", head + "? [a]\n: b\n", "CY002", 3, 3, ""},
		{"no name", "name:\nworkflow: w\n", "CY008", 1, 1, ""},
		{"empty workflow", "name: a\nworkflow: \"\"\n", "CY008", 2, 11, ""},
		{"workflow of nothing", "name: a\nworkflow:\n", "CY008", 1, 1, "add `workflow: workflow_api.json`"},
		{"input of nothing", head + "inputs:\n  prompt:\n", "CY008", 4, 10, ""},
		{"entry of nothing", head + "models:\n-\n", "CY008", 4, 2, ""},
		{"both", head + "workflows: { b: w }\n", "CY003", 3, 1, "keep one of them"},
		{"name of an input", head + "inputs: { a b: 6.text }\n", "CY006", 3, 11, ""},
		{"x- where it may not be", head + "gpu: { x-note: 1 }\n", "CY001", 3, 8, "known here: count, type, vram"},
		{"environment's shape", head + "environments: { prod: { scaling: { mni: 1 } } }\n", "CY001", 3, 36, "did you mean `min`?"},
		{"environment's value", head + "environments: { prod: { targets: { a: { ttl: 5 } } } }\n", "CY006", 3, 46, ""},
		{"environment in one", head + "environments: { a: { environments: {} } }\n", "CY001", 3, 36, ""},
		{"token", head + "description: hf_abcdefghijklmnopqrstuvwx\n", "CS001", 3, 14, "write the name of a secret, or ${VARIABLE}, and take this one out of use"},
		{"password", head + "build: { proxy: \"http://me:pass@proxy\" }\n", "CS001", 3, 17, "write the name of a secret, or ${VARIABLE}, and take this one out of use"},
		{"secret baked", head + "env: { HF_TOKEN: abc }\n", "CS001", 3, 18, "list HF_TOKEN under `secrets:`; its value then comes from the environment"},
		{"model twice", head + "models: [{ path: a/b.c }, { path: a/b.c }]\n", "CY003", 3, 35, ""},
		{"test twice", head + "tests:\n- name: x\n- name: x\n", "CY003", 5, 9, ""},
		{"requires", head + "requires: \">=9.1\"\n", "CY007", 3, 11, "install a newer comfyctl"},
		{"requires what", head + "requires: 0.4\n", "CY006", 3, 11, ""},
		{"scaling backwards", head + "scaling: { min: 4, max: 2 }\n", "CY007", 3, 25, ""},
		{"empty", "\n# nothing\n", "CY005", 1, 1, "`comfyctl init WORKFLOW` writes one"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, found := Parse("comfyctl.yaml", []byte(tt.src), Options{Version: "v0.4.1"})
			if len(found) != 1 {
				t.Fatalf("findings: %+v", found)
			}
			d := found[0]
			if d.Code != tt.code || d.Start.Line != tt.line || d.Start.Column != tt.col || d.Help != tt.help {
				t.Errorf("got %s at %d:%d help %q (%s)", d.Code, d.Start.Line, d.Start.Column, d.Help, d.Message)
			}
			if strings.Contains(d.Message, "struct {") || strings.Contains(d.Message, "unmarshal") {
				t.Errorf("speaks of Go: %s", d.Message)
			}
		})
	}
}

func TestTextStaysAsWritten(t *testing.T) {
	s, found := Parse("f", []byte("name: a\nworkflow: w\nbuild: {python: 3.10}\nnodes: [{repo: r, ref: 9614e93}]\ninputs: {seed: {to: 3.seed, default: 18446744073709551615}}\n"), Options{})
	if len(found) > 0 {
		t.Fatal(found)
	}
	if s.Build.Python != "3.10" || s.Nodes[0].Ref != "9614e93" || string(s.Inputs.List[0].Default.RawMessage) != "18446744073709551615" {
		t.Errorf("%q %q %s", s.Build.Python, s.Nodes[0].Ref, s.Inputs.List[0].Default.RawMessage)
	}
}

func TestEnvironments(t *testing.T) {
	const src = `name: a
workflow: w
runner: { port: 8080, timeouts: { job: 5m } }
secrets: [A, B]
targets: { here: { type: docker } }
environments:
  prod: { target: here, runner: { timeouts: { job: 9m } }, secrets: [C], targets: { here: null } }
`
	s, found := Parse("comfyctl.yaml", []byte(src), Options{Env: "prod"})
	if len(found) > 0 {
		t.Fatal(found)
	}
	if s.Runner.Port != 8080 || s.Runner.Timeouts.Job.Minutes() != 9 || !cmp.Equal(s.Secrets, []string{"C"}) || len(s.Targets) != 0 || s.Environments[0].Target != "here" {
		t.Errorf("%+v %+v %+v", s.Runner, s.Secrets, s.Targets)
	}
	if got := s.At("/runner/timeouts/job").Start.Line; got != 7 {
		t.Errorf("the overlaid value stands on line %d", got)
	}
	if _, found := Parse("comfyctl.yaml", []byte(src), Options{Env: "prd"}); len(found) != 1 || found[0].Help != `did you mean "prod"?` {
		t.Errorf("%+v", found)
	}
	beside := func(string) ([]byte, error) { return []byte("runner: { port: 1 }\n"), nil }
	if _, found := Parse("comfyctl.yaml", []byte(src), Options{Env: "prod", ReadFile: beside}); !cmp.Equal(codes(found), []string{"CY003"}) {
		t.Errorf("both places: %v", codes(found))
	}
	s, found = Parse("comfyctl.yaml", []byte("name: a\nworkflow: w\n"), Options{Env: "prod", ReadFile: beside})
	if len(found) > 0 || s.Runner.Port != 1 || s.At("/runner/port").File != "comfyctl.prod.yaml" {
		t.Errorf("%v %+v", found, s.Runner)
	}
}

func TestVariables(t *testing.T) {
	look := func(n string) (string, bool) { return map[string]string{"P": "90", "E": ""}[n], n == "P" || n == "E" }
	s, found := Parse("f", []byte("name: ${N:-x}y\nworkflow: w\nrunner: {port: \"${P}\"}\ndescription: a$${P} ${E:-d} ${E}.\n"), Options{Lookup: look})
	if len(found) > 0 || s.Name != "xy" || s.Runner.Port != 90 || s.Description != "a${P} d ." {
		t.Errorf("%v %+v", found, s)
	}
	_, found = Parse("f", []byte("name: a\nworkflow: ${W:?which graph}\n"), Options{})
	if len(found) != 1 || found[0].Label != "which graph" {
		t.Errorf("%+v", found)
	}
}

func TestFind(t *testing.T) {
	dir := t.TempDir()
	_ = os.MkdirAll(dir+"/a/b", 0o755)
	_ = os.Mkdir(dir+"/.git", 0o755)
	var e *diag.Error
	if _, err := Find(dir + "/a/b"); !errors.As(err, &e) || e.Code != "no_service_file" {
		t.Errorf("%v", err)
	}
	_ = os.WriteFile(dir+"/comfyctl.yml", nil, 0o600)
	if got, err := Find(dir + "/a/b"); err != nil || !strings.HasSuffix(got, "comfyctl.yml") {
		t.Errorf("%q %v", got, err)
	}
	_ = os.WriteFile(dir+"/comfyctl.yaml", nil, 0o600)
	if _, err := Find(dir); !errors.As(err, &e) || e.Code != "two_service_files" || e.Class != diag.ClassUsage {
		t.Errorf("%v", err)
	}
}

func TestAliasBombs(t *testing.T) {
	bomb := "a: &a [x,x,x,x,x,x,x,x,x]\n"
	for c := 'b'; c < 'h'; c++ {
		prev := string(c - 1)
		bomb += string(c) + ": &" + string(c) + " [" + strings.Repeat("*"+prev+",", 9) + "*" + prev + "]\n"
	}
	for _, src := range []string{bomb, "a: &x [*x]\n", "a: &x {<<: *x}\n"} {
		if s, found := Parse("f", []byte(src), Options{}); s != nil || !cmp.Equal(codes(found), []string{"CY005"}) {
			t.Errorf("%.20q: %v", src, codes(found))
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(full(f))
	f.Add([]byte("a: &x [*x]\n<<: *x\n"))
	f.Add([]byte("name: \"a\ngpu: L4:2\nscaling: 0..4\n"))
	f.Fuzz(func(t *testing.T, src []byte) {
		s, found := Parse("comfyctl.yaml", src, Options{Env: "prod"})
		if s == nil && len(found) == 0 {
			t.Fatal("no service and no reason")
		}
		for _, d := range found {
			if d.Start.Offset > len(src) || d.End.Offset < d.Start.Offset {
				t.Fatalf("span out of the file: %+v", d)
			}
		}
	})
}

// What is no mistake is no finding.
func TestNoFindings(t *testing.T) {
	const head = "name: a\nworkflow: w.json\n"
	for _, src := range []string{
		head + "description: |\n  a list:\n  \t- tab\n",
		head + "description: it's [1 \"here\n",
		head + "gpu: none\n", head + "gpu: L4:2\n", head + "gpu: 16GB\n",
		head + "auth: none\ninputs: auto\nscaling: 0..4\ncomfyui: v0.3.64\n",
		head + "models:\n- checkpoints/x.safetensors: https://h/x\n",
		head + "outputs: { image: 9, other: { from: \"57:8\" } }\n",
		head + "env: { TOKENIZERS_PARALLELISM: \"false\", HF_TOKEN: \"\" }\n",
		head + "build: { proxy: \"http://${P:-u}:${Q:-p}@h\" }\n",
		head + "targets: { a: { type: docker, x-note: 1 } }\nx-y: {}\n",
		head + "environments: { prod: null, dev: { targets: { a: { ttl: 5m } }, x-note: 1 } }\n",
		head + "requires: \">=0.4\"\n", head + "requires: \">= 0.4.1\"\n",
		"x-d: &d { port: 90 }\n" + head + "runner: { <<: *d, raw: true }\n",
	} {
		if _, found := Parse("f", []byte(src), Options{Version: "v0.4.1"}); len(found) > 0 {
			t.Errorf("%q: %+v", src, found)
		}
	}
}

func TestOlder(t *testing.T) {
	for _, tt := range []struct {
		version, requires string
		want              bool
	}{
		{"v0.4.0", ">=0.4", false}, {"0.3.9", ">=0.4", true}, {"0.10.0", ">=0.9", false}, {"1.0", ">=1.0.1", true},
		{"v0.4.0-3-gabc-dirty", ">=0.4.1", true}, {"dev", ">=9", false}, {"", ">=9", false}, {"abc1234", ">=9", false},
	} {
		if got := older(tt.version, tt.requires); got != tt.want {
			t.Errorf("%s for %s: %v", tt.version, tt.requires, got)
		}
	}
}

func BenchmarkParse(b *testing.B) {
	src := full(b)
	for b.Loop() {
		Parse("comfyctl.yaml", src, Options{})
	}
}
