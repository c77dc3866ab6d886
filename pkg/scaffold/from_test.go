package scaffold

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/comfyctl/comfyctl/internal/diag"
	"github.com/comfyctl/comfyctl/pkg/scaffold/from"
	"github.com/comfyctl/comfyctl/pkg/validate"
	"github.com/comfyctl/comfyctl/pkg/workflow"
	"github.com/comfyctl/comfyctl/pkg/workflow/ui"
)

// zipped packs a folder, as comfy-pack does.
func zipped(t testing.TB, dir string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	err := filepath.WalkDir(dir, func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || strings.HasPrefix(filepath.Base(name), "want") {
			return err
		}
		rel, _ := filepath.Rel(dir, name)
		w, err := z.Create(filepath.ToSlash(rel))
		if err != nil {
			return err
		}
		src, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		_, err = w.Write(src)
		return err
	})
	if err == nil {
		err = z.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// started is what init makes of files of other tools.
type started struct {
	yaml, graph []byte
	report      Report
}

func start(t testing.TB, dir string, files []string) started {
	t.Helper()
	var d *from.Description
	read := func(name string) []byte {
		if name == "zip" {
			return zipped(t, dir)
		}
		src, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return src
	}
	for _, name := range files {
		one, err := from.Read(name, read(name), from.Options{Beside: func(other string) ([]byte, error) { return os.ReadFile(filepath.Join(dir, other)) }})
		if err != nil {
			t.Fatal(err)
		}
		d = from.Merge(d, one)
	}
	var src []byte
	if d != nil {
		src = d.Graph
	}
	if _, err := os.Stat(filepath.Join(dir, "workflow.json")); src == nil && err == nil {
		src = read("workflow.json")
	} else if src == nil {
		src = read("workflow_api.json")
	}
	marks, err := from.Marks()
	if err != nil {
		t.Fatal(err)
	}
	g, found := ui.Read("workflow_api.json", src, newest(t).With(marks))
	if g == nil || diag.HasErrors(found) {
		t.Fatalf("%+v", found)
	}
	g, d = described(t, g, src, d)
	out, report := accepted(t, g, Options{WorkflowFile: "workflow_api.json", From: d})
	return started{yaml: out, graph: indented(t, g.JSON()), report: report}
}

// described adds what the graph's own file says, and takes marks out.
func described(t testing.TB, g *workflow.Graph, src []byte, d *from.Description) (*workflow.Graph, *from.Description) {
	t.Helper()
	for _, more := range []func([]byte, *workflow.Graph) (*from.Description, bool){from.App, from.Hints} {
		if one, ok := more(src, g); ok {
			d = from.Merge(d, one)
		}
	}
	m, ok := from.Unmark(g, newest(t))
	if !ok {
		return g, d
	}
	plain, found := workflow.Parse("workflow_api.json", m.Graph)
	if plain == nil || len(found) > 0 {
		t.Fatalf("%+v\n%s", found, m.Graph)
	}
	return plain, from.Merge(d, m)
}

func indented(t testing.TB, src []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := json.Indent(&b, src, "", "  "); err != nil {
		t.Fatal(err)
	}
	return append(b.Bytes(), '\n')
}

// Each tool's file gives the golden service file, graph and list of what was
// left out, and the service file is one that validate takes.
func TestFrom(t *testing.T) {
	for _, tt := range []struct {
		name  string
		files []string
		// codes are findings that stand for what init cannot know.
		codes string
	}{
		{"cpack", []string{"zip"}, ""},
		{"cpack-old", []string{"zip"}, "CW102 CW101 CM004"},
		{"manager", []string{"snapshot.json"}, "CW101 CW102"},
		{"manager-yaml", []string{"snapshot.yaml"}, "CW101 CW102"},
		{"desktop", []string{"snapshots.json"}, "CW101 CW102"},
		{"manifest", []string{"manifest.yml"}, "CW101 CW102"},
		{"build", []string{"comfy-build.yaml"}, "CW101 CW102 CM009"},
		{"cog", []string{"cog.yaml"}, "CW101 CW102"},
		{"viewcomfy", []string{"view_comfy.json"}, "CM009"},
		{"deploy", nil, "CM009"},
		{"deploy-save", nil, "CM009"},
		{"app", nil, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := filepath.Join("testdata", "from", tt.name)
			s := start(t, dir, tt.files)
			var lost strings.Builder
			for _, l := range s.report.Lost {
				lost.WriteString(l.What + ": " + l.Why + "\n")
			}
			for name, got := range map[string][]byte{"want.yaml": s.yaml, "want_graph.json": s.graph, "want_lost.txt": []byte(lost.String())} {
				golden(t, filepath.Join(dir, name), got)
			}
			validated(t, s, tt.codes)
		})
	}
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(name, got, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s: %s", name, diff)
	}
}

// validated runs the whole check over what init would have written.
func validated(t *testing.T, s started, allowed string) {
	t.Helper()
	dir := t.TempDir()
	for name, b := range map[string][]byte{"comfyctl.yaml": s.yaml, "workflow_api.json": s.graph} {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	_, list, err := validate.Load(context.Background(), validate.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range list {
		// Warnings are about what the author must decide: pins, sources, packs.
		if d.Severity != diag.SeverityError && !strings.HasPrefix(d.Code, "CY") || d.Severity == diag.SeverityNote || strings.Contains(allowed, d.Code) {
			continue
		}
		t.Errorf("%s %s: %s (%s)\n%s", d.Severity, d.Code, d.Message, d.Label, s.yaml)
	}
}
