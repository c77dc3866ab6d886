package packs

import (
	"archive/zip"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/comfyctl/comfyctl/internal/diag"
)

func folder(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		p := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestScan(t *testing.T) {
	dir := folder(t, map[string]string{
		"__init__.py": `
NODE_CLASS_MAPPINGS = {
    "Plain": Plain,  # "Commented": Out,
    'Single': Single, "With \"quote\"": Q,
    "Nested": {"not_a_class": 1},
    """Triple""": T,
    **OTHER,
}
NODE_DISPLAY_NAME_MAPPINGS = {"NotThis": "Not this"}
NODE_CLASS_MAPPINGS["Item"] = Item
if NODE_CLASS_MAPPINGS["Compared"] == 1: pass
NODE_CLASS_MAPPINGS.update({"Updated": Updated})
`,
		"more.py":          "IMPACT_CLASS_MAPPINGS: dict[str, type] = {'Typed': X}\nNODE_CONFIG = {'Configured': {'class': C}}\nNODE_CLASS_MAPPINGS |= {'Joined': J}",
		"v3.py":            "schema = io.Schema(node_id=\"V3 Node\", display_name='x')",
		"dynamic.py":       "name = f\"Dyn {x}\"\nget('Just Mentioned')",
		"old.py":           "'''\nNODE_CLASS_MAPPINGS = {\n    'In A Text': X,\n}\n'''\n# NODE_CLASS_MAPPINGS = {'In A Comment': X}\n",
		"broken.py":        "NODE_CLASS_MAPPINGS = {'Unclosed': ",
		"node_list.json":   `{"Listed": "it makes things"}`,
		"__pycache__/x.py": "NODE_CLASS_MAPPINGS = {'Cached': 1}",
	})
	c, err := Scan(dir)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"Configured", "Item", "Joined", "Listed", "Nested", "Plain", "Single", "Triple", "Typed", "Updated", "V3 Node", `With "quote"`}
	if d := cmp.Diff(want, c.Defined); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	if !c.Defines("Plain") || c.Defines("Commented") || !c.Mentions("Just Mentioned") || c.Mentions("Commented") {
		t.Error("wrong about what is defined or mentioned")
	}
}

func FuzzScanPython(f *testing.F) {
	f.Add("NODE_CLASS_MAPPINGS = {'A': B, \"C\": {D}}\n'''x\\'''#\n")
	f.Fuzz(func(t *testing.T, src string) {
		defined, mentioned := map[string]bool{}, map[string]bool{}
		scanPython(src, defined, mentioned)
		for d := range defined {
			if len(d) > maxName && strings.Contains(src, "{") && len(d) > len(src) {
				t.Errorf("%q came from nowhere", d)
			}
		}
	})
}

func TestHashFolder(t *testing.T) {
	files := map[string]string{"a.py": "1", "d/b.py": "2"}
	one, two := folder(t, files), folder(t, files)
	hash := func(dir string) string {
		h, err := HashFolder(dir, Keep)
		if err != nil {
			t.Fatal(err)
		}
		return h
	}
	if hash(one) != hash(two) {
		t.Error("equal folders, two hashes")
	}
	before := hash(one)
	for name, change := range map[string]func() error{
		"bytes": func() error { return os.WriteFile(filepath.Join(two, "a.py"), []byte("3"), 0o644) },
		"mode":  func() error { return os.Chmod(filepath.Join(two, "a.py"), 0o755) },
		"name":  func() error { return os.Rename(filepath.Join(two, "a.py"), filepath.Join(two, "c.py")) },
	} {
		was := hash(two)
		if err := change(); err != nil {
			t.Fatal(err)
		}
		if hash(two) == was {
			t.Errorf("another %s, the same hash", name)
		}
	}
	if err := os.WriteFile(filepath.Join(one, "x.pyc"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if hash(one) != before {
		t.Error("a compiled file counts")
	}
	if err := os.Symlink("/etc/passwd", filepath.Join(one, "evil")); err != nil {
		t.Fatal(err)
	}
	if _, err := HashFolder(one, Keep); err == nil {
		t.Error("a link out of the folder was let in")
	}
}

func archive(t *testing.T, entries map[string]string, mode fs.FileMode) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "x.zip")
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	z := zip.NewWriter(f)
	for n, text := range entries {
		h := &zip.FileHeader{Name: n, Method: zip.Deflate}
		h.SetMode(mode)
		w, err := z.CreateHeader(h)
		if err == nil {
			_, err = w.Write([]byte(text))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(z.Close(), f.Close()); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestUnzip(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "out")
	good := archive(t, map[string]string{"__init__.py": "x", "web/js/a.js": "y", `back\slash.py`: "z"}, 0o755)
	if err := Unzip(good, dir); err != nil {
		t.Fatal(err)
	}
	for _, n := range []string{"__init__.py", "web/js/a.js", "back/slash.py"} {
		if _, err := os.Stat(filepath.Join(dir, n)); err != nil {
			t.Error(err)
		}
	}
	for _, n := range []string{"../evil", "a/../../evil", "/evil", "a//b", "./a", "..", `..\evil`} {
		err := Unzip(archive(t, map[string]string{n: "x"}, 0o644), filepath.Join(t.TempDir(), "out"))
		var e *diag.Error
		if !errors.As(err, &e) || e.Code != "bad_archive" {
			t.Errorf("%q: %v", n, err)
		}
	}
	err := Unzip(archive(t, map[string]string{"link": "../../etc/passwd"}, fs.ModeSymlink|0o777), filepath.Join(t.TempDir(), "out"))
	var e *diag.Error
	if !errors.As(err, &e) || e.Code != "link_escapes" {
		t.Errorf("a link out of the archive: %v", err)
	}
	page := filepath.Join(t.TempDir(), "page.zip")
	if err := os.WriteFile(page, []byte("<html>sign in"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := Unzip(page, filepath.Join(t.TempDir(), "out")); !errors.As(err, &e) || e.Code != "bad_archive" {
		t.Errorf("a page: %v", err)
	}
}

func TestScripts(t *testing.T) {
	dir := folder(t, map[string]string{"install.py": `
import subprocess, sys, torch
# os.system("sudo rm")
subprocess.check_call([sys.executable, "-m", "pip", "install", "x"])
if torch.cuda.is_available():
    urlretrieve("https://example.com/model.pth?token=secret", "m")
`, "pyproject.toml": "[tool.comfy]\nrequires-comfyui = \">=0.3.68\"\n"})
	s, ok, err := InstallScript(dir)
	if err != nil || !ok || len(s.SHA256) != 64 {
		t.Fatal(s, ok, err)
	}
	want := []string{"installs Python packages with pip", "downloads files", "looks for a GPU, which a build does not have", "starts programs", "names https://example.com/model.pth"}
	if d := cmp.Diff(want, s.Effects); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	if _, ok, err := StartScript(dir); ok || err != nil {
		t.Error(ok, err)
	}
	if got := RequiresComfyUI(dir); got != ">=0.3.68" {
		t.Errorf("%q", got)
	}
}

func TestKeepComfyUI(t *testing.T) {
	for path, want := range map[string]bool{
		"main.py": true, "comfy/sd.py": true, "models/": true, "models/checkpoints/": true, "models/checkpoints/x.safetensors": false,
		"models/configs/v1.yaml": true, "input/example.png": false, "output/": false, "temp/": false, "user/": false,
		"custom_nodes/": true, "custom_nodes/websocket_image_save.py": true, "custom_nodes/mine/": false,
		".git/": false, "comfy/__pycache__/": false, "x.pyc": false, "venv/": false, "comfy/user/": true, "comfy/models.py": true,
	} {
		name, dir := strings.CutSuffix(path, "/")
		if KeepComfyUI(name, dir) != want {
			t.Errorf("KeepComfyUI(%q) = %v", path, !want)
		}
	}
}

func TestSatisfies(t *testing.T) {
	for _, tc := range []struct {
		release, wanted string
		want            bool
	}{
		{"v0.3.64", ">=0.3.60", true}, {"v0.3.64", ">=0.3.68", false}, {"v0.3.64", ">=0.3.60, <0.4", true}, {"v0.30.2", "<0.4", false},
		{"v0.3.64", "==0.3.64", true}, {"v0.3", "==0.3.0", true}, {"v0.3.64", "~=0.3.60", true}, {"v0.4.0", "~=0.3.60", false}, {"v0.3.64", "!=0.3.64", false},
		{"main", ">=9", true}, {"v0.3.64", "latest", true}, {"v0.3.64", "", true},
	} {
		if got := Satisfies(tc.release, tc.wanted); got != tc.want {
			t.Errorf("%s for %q: %v", tc.release, tc.wanted, got)
		}
	}
}
