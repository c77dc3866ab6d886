//go:build e2e

package e2e

import (
	"encoding/json"
	"flag"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/comfyctl/comfyctl/internal/diag"
	"github.com/comfyctl/comfyctl/pkg/catalog"
	"github.com/comfyctl/comfyctl/pkg/workflow/ui"
	"github.com/comfyctl/comfyctl/pkg/workflow/ui/uitest"
)

var update = flag.Bool("update", false, "record the editor's answers for the saves of pkg/workflow/ui")

// unlike are the classes whose saves the editor exports in a way that cannot be
// repeated, with the reason. Saves that use one are left out and counted.
var unlike = map[string]string{
	"Load3D":          "the browser draws the scene and uploads it under a new name on every export",
	"WebcamCapture":   "the browser takes the picture",
	"RecordAudio":     "the browser records the sound",
	"LoadImageOutput": "the browser asks the server for the list of files and puts its first entry in place of the saved value",
}

// groups is why saves with group nodes, which editors no longer make, are left
// out: what they hold is tested in pkg/workflow/ui.
const groups = "editor 1.47 takes lists for sockets when it turns them into subgraphs, and so puts values and links beside their place"

// refused are errors with which the editor ends an export, and what comfyctl
// says of the same save.
var refused = map[string]string{
	"InvalidLinkError": "CW004",
	"RecursionError":   "CW005",
}

// TestEditor opens editor saves in the editor that a real ComfyUI serves and
// compares its export with the conversion: the saves of pkg/workflow/ui, of the
// corpus, and of the folders in E2E_SAVES (commas between). E2E_EDITOR is the
// folder of another editor than the one in the base image. Titles that the file
// does not give are the editor's, and count where it is the release's own.
func TestEditor(t *testing.T) {
	editorTools(t)
	for _, r := range releases(t) {
		t.Run(r.version, func(t *testing.T) {
			e := openEditor(t, r)
			own, err := filepath.Glob("../pkg/workflow/ui/testdata/*.json")
			if err != nil || len(own) == 0 {
				t.Fatalf("no saves of our own: %v", err)
			}
			e.compare(t, "own", own)
			for _, dir := range saveFolders(t) {
				files, err := filepath.Glob(filepath.Join(dir, "*.json"))
				if err != nil {
					t.Fatal(err)
				}
				e.compare(t, dir, files)
			}
		})
	}
}

// editorTools installs what drives the browser.
func editorTools(t *testing.T) {
	t.Helper()
	if _, err := os.Stat("editor/node_modules/playwright-core"); err == nil {
		return
	}
	cmd := exec.CommandContext(t.Context(), "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund")
	cmd.Dir = "editor"
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("installing what drives Chromium: %v\n%s", err, out)
	}
}

func saveFolders(t *testing.T) []string {
	t.Helper()
	corpus := os.Getenv("COMFYCTL_CORPUS")
	if corpus == "" {
		corpus = "../shared/corpus"
	}
	dirs := []string{filepath.Join(fromRoot(corpus), "workflows")}
	if more := os.Getenv("E2E_SAVES"); more != "" {
		for _, d := range strings.Split(more, ",") {
			dirs = append(dirs, fromRoot(d))
		}
	}
	for _, d := range dirs {
		if _, err := os.Stat(d); err != nil {
			t.Fatal(err)
		}
	}
	return dirs
}

// editor is a ComfyUI that serves its page.
type editor struct {
	url     string
	version string
	classes *catalog.Catalog
	// pinned is set where the editor is the one that the release asks for.
	pinned bool
}

func openEditor(t *testing.T, r release) *editor {
	t.Helper()
	name := "comfyctl-e2e-editor-" + strings.ReplaceAll(r.version, ".", "-")
	dockerQuietly("rm", "-f", name)
	args := []string{"run", "-d", "--name", name, "-v", r.dir + ":/comfyui:ro"}
	page := ""
	if dir := os.Getenv("E2E_EDITOR"); dir != "" {
		args, page = append(args, "-v", fromRoot(dir)+":/editor:ro"), " --front-end-root /editor"
	}
	docker(t, append(args, need(t, "E2E_BASE"), "sh", "-c",
		"mkdir -p /data/models /data/custom_nodes /data/input /data/output /data/temp /data/user; cd /comfyui && "+
			"exec python3 -B main.py --cpu --listen 0.0.0.0 --base-directory /data --database-url sqlite:///:memory:"+page)...)
	t.Cleanup(func() { dockerQuietly("rm", "-f", name) })
	ip := docker(t, "inspect", "-f", "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}", name)
	e := &editor{url: "http://" + net.JoinHostPort(ip, "8188"), version: r.version}
	info := e.get(t, "/object_info")
	var err error
	if e.classes, err = catalog.ParseObjectInfo(info); err != nil {
		t.Fatal(err)
	}
	e.classes.Version = r.version
	var stats struct {
		System struct {
			Required string                             `json:"required_frontend_version"`
			Packages []struct{ Name, Installed string } `json:"comfy_package_versions"`
		} `json:"system"`
	}
	if err := json.Unmarshal(e.get(t, "/system_stats"), &stats); err != nil {
		t.Fatal(err)
	}
	for _, p := range stats.System.Packages {
		e.pinned = e.pinned || p.Name == "comfyui-frontend-package" && p.Installed == stats.System.Required
	}
	return e
}

// get waits for the server and reads an answer.
func (e *editor) get(t *testing.T, path string) []byte {
	t.Helper()
	for deadline := time.Now().Add(5 * time.Minute); ; time.Sleep(time.Second) {
		resp, err := http.Get(e.url + path)
		if err == nil {
			b, err := io.ReadAll(resp.Body)
			resp.Body.Close()
			if err == nil && resp.StatusCode == http.StatusOK {
				return b
			}
		}
		if time.Now().After(deadline) {
			t.Fatalf("ComfyUI does not answer at %s: %v", e.url+path, err)
		}
	}
}

// compare lets the editor export every save and holds the conversion against it.
func (e *editor) compare(t *testing.T, what string, files []string) {
	t.Helper()
	out := t.TempDir()
	var saves []string
	left := map[string]int{}
	for _, f := range files {
		src, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		if why := e.leaveOut(f, src); why != "" {
			left[why]++
			continue
		}
		saves = append(saves, f)
	}
	cmd := exec.CommandContext(t.Context(), "node", append([]string{"editor/export.mjs", e.url, out}, saves...)...)
	if b, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("driving the editor: %v\n%s", err, b)
	}
	equal := 0
	for _, f := range saves {
		b, err := os.ReadFile(filepath.Join(out, filepath.Base(f)))
		if err != nil {
			t.Fatal(err)
		}
		if e.same(t, f, b) {
			equal++
		}
		if *update && what == "own" {
			e.record(t, filepath.Base(f), b)
		}
	}
	t.Logf("%s: %d of %d exports are equal; left out: %v", what, equal, len(saves), left)
	if equal == 0 {
		t.Errorf("%s: no export is equal", what)
	}
}

// leaveOut says why a file cannot be compared, or nothing.
func (e *editor) leaveOut(file string, src []byte) string {
	var save struct{ Nodes []struct{ Type string } }
	if json.Unmarshal(src, &save) != nil || save.Nodes == nil {
		return "no editor save"
	}
	for _, n := range save.Nodes {
		if strings.HasPrefix(n.Type, "workflow>") || strings.HasPrefix(n.Type, "workflow/") {
			return "group nodes: " + groups
		}
	}
	g, list := ui.Read(file, src, e.classes)
	for _, d := range list {
		if d.Code == "CW002" && d.Severity == diag.SeverityError {
			return "classes that this ComfyUI does not have"
		}
	}
	if g == nil {
		return ""
	}
	for _, class := range slices.Sorted(maps.Keys(unlike)) {
		for _, n := range g.Nodes {
			if n.Class == class {
				return class + ": " + unlike[class]
			}
		}
	}
	return ""
}

func (e *editor) same(t *testing.T, file string, answer []byte) bool {
	t.Helper()
	var want uitest.Answer
	if err := json.Unmarshal(answer, &want); err != nil {
		t.Fatal(err)
	}
	src, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	g, list := ui.Read(filepath.Base(file), src, e.classes)
	if want.Error != "" {
		kind, _, _ := strings.Cut(want.Error, ":")
		if code := refused[kind]; code != "" && slices.ContainsFunc(list, func(d diag.Diagnostic) bool { return d.Code == code }) {
			return true
		}
		t.Errorf("%s: the editor says %s; comfyctl says %v", file, want.Error, list)
		return false
	}
	if g == nil {
		t.Errorf("%s: %v", file, list)
		return false
	}
	diffs := uitest.Diff(g, want, e.pinned)
	for _, d := range diffs {
		t.Errorf("%s: %s", filepath.Base(file), d)
	}
	return len(diffs) == 0
}

// record keeps an answer for the test that has no editor.
func (e *editor) record(t *testing.T, name string, answer []byte) {
	t.Helper()
	dir := filepath.Join("../pkg/workflow/ui/testdata", e.version)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, name), answer, 0o644); err != nil {
		t.Fatal(err)
	}
}
