package graphview

import (
	"archive/tar"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// mermaidVersion is the release that the drawings are checked with.
const mermaidVersion = "11.12.0"

// mermaidScript fetches Mermaid's own bundle and returns its path; it is kept
// in the user's cache.
func mermaidScript(t *testing.T) string {
	t.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(cache, "comfyctl-test")
	script := filepath.Join(dir, "mermaid-"+mermaidVersion+".min.js")
	if _, err := os.Stat(script); err == nil {
		return script
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	tmp := t.TempDir()
	if out, err := exec.Command("npm", "pack", "--silent", "--pack-destination", tmp, "mermaid@"+mermaidVersion).CombinedOutput(); err != nil {
		t.Fatalf("npm: %v\n%s", err, out)
	}
	f, err := os.Open(filepath.Join(tmp, "mermaid-"+mermaidVersion+".tgz"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if err != nil {
			t.Fatal("the package has no bundle: ", err)
		}
		if h.Name != "package/dist/mermaid.min.js" {
			continue
		}
		b, err := io.ReadAll(r)
		if err == nil {
			err = errors.Join(os.WriteFile(script+".tmp", b, 0o644), os.Rename(script+".tmp", script))
		}
		if err != nil {
			t.Fatal(err)
		}
		return script
	}
}

const mermaidPage = `<!doctype html><meta charset="utf-8"><script src="%s"></script><pre id="result"></pre><script>
const sources = %s;
(async () => {
  mermaid.initialize({ startOnLoad: false });
  const out = [];
  for (const [i, source] of sources.entries()) {
    try {
      const { svg } = await mermaid.render("g" + i, source);
      const d = document.createElement("div");
      d.innerHTML = svg;
      out.push({ nodes: [...d.querySelectorAll(".node")].map((n) => n.textContent), links: d.querySelectorAll(".edgePaths path").length, scripts: d.querySelectorAll("script").length });
    } catch (e) { out.push({ error: String(e) }); }
  }
  document.getElementById("result").textContent = JSON.stringify(out);
})();
</script>`

// TestMermaid has Mermaid draw the graphs in a browser and reads back what
// it drew.
func TestMermaid(t *testing.T) {
	if os.Getenv("COMFYCTL_TEST_BROWSER") == "" {
		if os.Getenv("CI") == "true" {
			t.Fatal("COMFYCTL_TEST_BROWSER is not set: drawings must be tried in CI")
		}
		t.Skip("COMFYCTL_TEST_BROWSER is not set")
	}
	views := []*View{sample(t), {Nodes: []Node{{ID: "end", Class: "end"}, {ID: "1.", Class: "- a", Title: "**b** __c__ $$x$$ {{y}} :::z click href"}}, Links: []Link{{From: "end", To: "1.", Input: "a|b"}}}, random(3, 40)}
	var sources []string
	for _, v := range views {
		sources = append(sources, written(t, v, "mermaid"))
	}
	list, err := json.Marshal(sources) // which also keeps < out of the script
	if err != nil {
		t.Fatal(err)
	}
	page := filepath.Join(t.TempDir(), "page.html")
	if err := os.WriteFile(page, fmt.Appendf(nil, mermaidPage, "file://"+mermaidScript(t), list), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("chromium", "--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=20000", "--user-data-dir="+t.TempDir(), "--dump-dom", "file://"+page)
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`(?s)<pre id="result">(.*?)</pre>`).FindSubmatch(out)
	if m == nil {
		t.Fatalf("no result in %.2000s", out)
	}
	var drawn []struct {
		Nodes   []string
		Links   int
		Scripts int
		Error   string
	}
	if err := json.Unmarshal([]byte(html.UnescapeString(string(m[1]))), &drawn); err != nil || len(drawn) != len(views) {
		t.Fatalf("%v: %s", err, m[1])
	}
	for i, d := range drawn {
		v := views[i]
		if d.Error != "" || len(d.Nodes) != len(v.Nodes) || d.Links != len(v.Links) || d.Scripts != 0 {
			t.Errorf("%d: %q, %d nodes of %d, %d links of %d, %d scripts\n%s", i, d.Error, len(d.Nodes), len(v.Nodes), d.Links, len(v.Links), d.Scripts, sources[i])
		}
		for _, n := range v.Nodes {
			found := false
			for _, text := range d.Nodes {
				found = found || strings.NewReplacer("\u200b", "", "\n", "").Replace(text) == strings.Join(n.lines(), "")
			}
			if !found {
				t.Errorf("%d: no node says %q, they say %q", i, strings.Join(n.lines(), ""), d.Nodes)
			}
		}
	}
}
