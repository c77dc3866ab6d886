package validate

import (
	"context"
	"path/filepath"
	"testing"

	"github.com/comfyctl/comfyctl/internal/diag"
	"github.com/comfyctl/comfyctl/pkg/contract"
)

func TestExamples(t *testing.T) {
	dirs, err := filepath.Glob("../../examples/*/comfyctl.yaml")
	if err != nil || len(dirs) == 0 {
		t.Fatalf("no examples: %v", err)
	}
	for _, file := range dirs {
		p, list, err := Load(context.Background(), Options{File: file, Stub: true})
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		for _, d := range list {
			t.Logf("%s: %s[%s] %s: %s %d:%d", file, d.Severity, d.Code, d.Message, d.File, d.Start.Line, d.Start.Column)
		}
		if diag.HasErrors(list) {
			t.Errorf("%s has errors", file)
		}
		c := p.Contract("stub", "test")
		b, err := c.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := contract.Decode(b); err != nil {
			t.Errorf("%s: %v", file, err)
		}
	}
}
