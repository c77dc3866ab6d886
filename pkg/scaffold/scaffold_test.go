package scaffold

import (
	"encoding/csv"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/comfyctl/comfyctl/internal/diag"
	"github.com/comfyctl/comfyctl/pkg/catalog"
	"github.com/comfyctl/comfyctl/pkg/service"
	"github.com/comfyctl/comfyctl/pkg/workflow"
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
	got, report := Init(g, newest(t), Options{WorkflowFile: "workflow_api.json", ComfyUI: "v0.3.64", Schema: "./schema.json"})
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

// Whatever graph people have, the file that comes of it is accepted.
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
	tried, prompts := 0, 0
	for _, row := range rows[1:] {
		if row[5] != "api" {
			continue
		}
		src, err := os.ReadFile(filepath.Join(dir, "workflows", row[0]+".json"))
		if err != nil {
			t.Fatal(err)
		}
		g, found := workflow.Parse(row[0], src)
		if g == nil || len(g.Nodes) == 0 || diag.HasErrors(found) {
			continue
		}
		tried++
		if _, report := write(t, row[0], src); len(report.Inputs) > 0 && report.Inputs[0].Name == "prompt" {
			prompts++
		}
	}
	if tried < 100 {
		t.Errorf("only %d graphs tried", tried)
	}
	t.Logf("%d graphs, %d with a prompt", tried, prompts)
}

func TestServiceName(t *testing.T) {
	for file, want := range map[string]string{"dir/My Portrait_api.json": "my-portrait", "workflow_api.json": "workflow", "3d.json": "w-3d", "ü.json": "workflow", `C:\x\a_b.png`: "a-b"} {
		if got := ServiceName(file); got != want {
			t.Errorf("%s gives %s, want %s", file, got, want)
		}
	}
}
