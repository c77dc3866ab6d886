package scaffold

import (
	"encoding/csv"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/comfyctl/comfyctl/internal/diag"
	"github.com/comfyctl/comfyctl/pkg/catalog"
	"github.com/comfyctl/comfyctl/pkg/scaffold/from"
	"github.com/comfyctl/comfyctl/pkg/service"
	"github.com/comfyctl/comfyctl/pkg/workflow"
	"github.com/comfyctl/comfyctl/pkg/workflow/ui"
)

var update = flag.Bool("update", false, "write the golden files")

func newest(t testing.TB) *catalog.Catalog {
	t.Helper()
	c, err := catalog.For(catalog.Newest())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// Every example's graph gives the golden file, which is read without a finding.
func TestExamples(t *testing.T) {
	graphs, _ := filepath.Glob("../../examples/*/workflow_api.json")
	if len(graphs) < 4 {
		t.Fatalf("only %d examples", len(graphs))
	}
	for _, file := range graphs {
		name := filepath.Base(filepath.Dir(file))
		t.Run(name, func(t *testing.T) {
			src, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got, _ := write(t, file, src)
			golden := filepath.Join("testdata", name+".yaml")
			if *update {
				if err := os.WriteFile(golden, got, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), string(got)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func write(t testing.TB, file string, src []byte) ([]byte, Report) {
	t.Helper()
	g, found := workflow.Parse(file, src)
	if g == nil {
		t.Fatalf("%v", found)
	}
	return accepted(t, g, Options{WorkflowFile: "workflow_api.json", ComfyUI: "v0.3.64", Schema: "./schema.json"})
}

// accepted writes a service file that service.Parse must take as it is.
func accepted(t testing.TB, g *workflow.Graph, o Options) ([]byte, Report) {
	t.Helper()
	got, report := Init(g, newest(t), o)
	s, list := service.Parse("comfyctl.yaml", got, service.Options{})
	if s == nil || len(list) > 0 {
		t.Fatalf("the file is not accepted: %+v\n%s", list, got)
	}
	for _, todo := range report.Todo {
		line := strings.Split(string(got), "\n")[todo.Line-1]
		if !strings.Contains(line, "TODO") && !strings.HasPrefix(line, "#") {
			t.Errorf("line %d is %q, not %s", todo.Line, line, todo.What)
		}
	}
	return got, report
}

// Whatever graph people have, in the API's format or the editor's, the file
// that comes of it is accepted.
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
	marks, err := from.Marks()
	if err != nil {
		t.Fatal(err)
	}
	known := newest(t).With(marks)
	tried, prompts, saves, sources := 0, 0, 0, 0
	for _, row := range rows[1:] {
		src, err := os.ReadFile(filepath.Join(dir, "workflows", row[0]+".json"))
		if err != nil {
			t.Fatal(err)
		}
		g, found := ui.Read(row[0], src, known)
		if g == nil || len(g.Nodes) == 0 || diag.HasErrors(found) {
			continue
		}
		tried++
		g, d := described(t, g, src, nil)
		got, report := accepted(t, g, Options{WorkflowFile: "workflow_api.json", From: d})
		if slices.ContainsFunc(report.Inputs, func(in Input) bool { return in.Name == "prompt" }) {
			prompts++
		}
		if row[5] == "ui" {
			saves++
			sources += strings.Count(string(got), "source: hf://")
		}
	}
	if tried < 150 || saves < 20 || sources < 20 {
		t.Errorf("only %d graphs tried, %d editor saves with %d sources", tried, saves, sources)
	}
	t.Logf("%d graphs, %d with a prompt; %d editor saves with %d sources", tried, prompts, saves, sources)
}

func TestServiceName(t *testing.T) {
	for file, want := range map[string]string{"dir/My Portrait_api.json": "my-portrait", "workflow_api.json": "workflow", "3d.json": "w-3d", "ü.json": "workflow", `C:\x\a_b.png`: "a-b"} {
		if got := ServiceName(file); got != want {
			t.Errorf("%s gives %s, want %s", file, got, want)
		}
	}
}

// The whole reference is appended as comments, but for what is written.
func TestFull(t *testing.T) {
	src, err := os.ReadFile("../../examples/text-to-image/workflow_api.json")
	if err != nil {
		t.Fatal(err)
	}
	g, _ := workflow.Parse("w", src)
	short, _ := accepted(t, g, Options{WorkflowFile: "w.json"})
	long, _ := accepted(t, g, Options{WorkflowFile: "w.json", Full: true})
	tail, ok := strings.CutPrefix(string(long), string(short))
	if !ok {
		t.Fatal("the file does not begin with the short one")
	}
	var plain []string
	for _, l := range strings.Split(strings.TrimSpace(tail), "\n") {
		if !strings.HasPrefix(l, "#") {
			t.Errorf("%q is no comment", l)
		}
		if !strings.HasPrefix(l, "# ──") && !strings.HasPrefix(l, "# Everything") {
			plain = append(plain, strings.TrimPrefix(strings.TrimPrefix(l, "#"), " "))
		}
	}
	for _, key := range []string{"build:", "runner:", "auth:", "environments:"} {
		if !strings.Contains(tail, "\n# "+key) {
			t.Errorf("%s is not shown", key)
		}
	}
	for _, key := range []string{"models:", "inputs:", "workflow:", "workflows:", "gpu:"} {
		if strings.Contains(tail, "\n# "+key) {
			t.Errorf("%s is shown again", key)
		}
	}
	whole := string(short) + strings.Join(plain, "\n") + "\n"
	if _, list := service.Parse("comfyctl.yaml", []byte(whole), service.Options{}); len(list) > 0 {
		t.Errorf("uncommented: %+v\n%s", list, whole)
	}
}

// Whatever texts a graph holds, they cannot break out of their place.
func FuzzInit(f *testing.F) {
	for _, s := range []string{"a red fox", "true", "no", "a\nb", "x\u2028y: z", "\u0085", "#", "'\"", "{a: b}", "9614e93", "~", "-", "@t", "${HOME}", "\ufeff", "a\r\tb", "\x00", "C:\\x\\y.safetensors"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if !utf8.ValidString(s) {
			return
		}
		q, _ := json.Marshal(s)
		id, _ := json.Marshal(s + "5")
		src := `{"3":{"class_type":"KSampler","_meta":{"title":` + string(q) + `},"inputs":{"seed":1,"steps":2,"positive":[` + string(id) + `,0],"model":["4",0]}},` +
			string(id) + `:{"class_type":"CLIPTextEncode","inputs":{"text":` + string(q) + `}},"4":{"class_type":"CheckpointLoaderSimple","inputs":{"ckpt_name":` + string(q) + `}},` +
			`"8":{"class_type":"PrimitiveString","_meta":{"title":` + string(q) + `},"inputs":{"value":` + string(q) + `}},"7":{"class_type":` + string(q) + `,"inputs":{}},` +
			`"9":{"class_type":"SaveImage","inputs":{"images":["8",0]}}}`
		g, _ := workflow.Parse("w", []byte(src))
		if g == nil {
			return
		}
		got, _ := Init(g, newest(t), Options{WorkflowFile: "w.json", Name: "a"})
		sv, list := service.Parse("f", got, service.Options{})
		if sv == nil {
			t.Fatalf("unreadable: %+v\n%s", list, got)
		}
		for _, d := range list {
			if d.Code != "CY006" && d.Code != "CS001" { // a file name that is no path, a prompt that is somebody's token
				t.Fatalf("%+v\n%s", d, got)
			}
		}
		for _, in := range sv.Inputs.List {
			if in.Name == "prompt" {
				var back string
				if err := json.Unmarshal(in.Example.RawMessage, &back); err != nil || back != s {
					t.Fatalf("%q came back as %s", s, in.Example.RawMessage)
				}
			}
		}
	})
}
