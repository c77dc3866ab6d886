package validate

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/comfyctl/comfyctl/internal/diag"
	"github.com/comfyctl/comfyctl/pkg/catalog"
	"github.com/comfyctl/comfyctl/pkg/scaffold"
	"github.com/comfyctl/comfyctl/pkg/workflow"
)

// TestWhatInitWritesValidates makes a service of every API-format file of the
// corpus: the service file that comes out has no error of its own.
func TestWhatInitWritesValidates(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(outside(t, "COMFYCTL_CORPUS", "corpus"), "workflows", "*.json"))
	if err != nil || len(files) < 100 {
		t.Fatalf("%d files: %v", len(files), err)
	}
	cat := builtin(t, catalog.Newest())
	made := 0
	for _, file := range files {
		src, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		g, _ := workflow.Parse("w.json", src)
		if g == nil || len(g.Nodes) == 0 {
			continue
		}
		made++
		yaml, _ := scaffold.Init(g, cat, scaffold.Options{WorkflowFile: "w.json", Name: "made"})
		dir := write(t, map[string]string{"comfyctl.yaml": string(yaml), "w.json": string(src)})
		p, list, err := Load(context.Background(), Options{Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range list {
			if d.Severity == diag.SeverityError && !strings.HasPrefix(d.Code, "CW") {
				t.Errorf("%s: %s %d:%d %s (%s)", filepath.Base(file), d.Code, d.Start.Line, d.Start.Column, d.Message, d.Label)
			}
		}
		if _, err := p.Contract("stub", "test").Encode(); err != nil {
			t.Errorf("%s: %v", filepath.Base(file), err)
		}
	}
	if made < 100 {
		t.Errorf("only %d graphs", made)
	}
}
