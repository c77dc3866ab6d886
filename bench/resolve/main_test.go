package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestCorpus holds the resolver to the corpus: no class that one pack alone
// claims goes to another, and none goes elsewhere than the editor noted.
func TestCorpus(t *testing.T) {
	dir := os.Getenv("COMFYCTL_CORPUS")
	if dir == "" {
		dir = "../../../shared/corpus"
	}
	if _, err := os.Stat(filepath.Join(dir, "workflows")); err != nil {
		if ci := os.Getenv("CI"); ci != "" && ci != "false" {
			t.Fatal("the corpus is missing; set COMFYCTL_CORPUS: ", err)
		}
		t.Skip("no corpus; set COMFYCTL_CORPUS")
	}
	data := filepath.Join(dir, "manager", "2026-08")
	var out bytes.Buffer
	if err := measure(&out, filepath.Join(data, "extension-node-map.json"), filepath.Join(data, "github-stats.json"), []string{filepath.Join(dir, "workflows")}, false); err != nil {
		t.Fatal(err)
	}
	t.Log(out.String())
	// rgthree-comfy gives this class by its pattern; another pack's copy of the
	// name is the map's only exact entry.
	const known = "Seed (rgthree): https://github.com/rgthree/rgthree-comfy by pattern"
	for line := range strings.Lines(out.String()) {
		if strings.Contains(line, ", the map's only") && !strings.Contains(line, known) || strings.Contains(line, ", the editor wrote") {
			t.Error(strings.TrimSpace(line))
		}
	}
	if !strings.Contains(out.String(), "resolved ") {
		t.Error("nothing was measured")
	}
}
