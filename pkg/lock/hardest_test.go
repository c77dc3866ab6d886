package lock

import (
	"archive/zip"
	"bytes"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/comfyctl/comfyctl/internal/diag"
	"github.com/comfyctl/comfyctl/pkg/lock/locktest"
)

func archive(t *testing.T, files map[string]string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for name, text := range files {
		f, err := z.Create(name)
		if err == nil {
			_, err = f.Write([]byte(text))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func fact(e *diag.Error, name string) string {
	for _, f := range e.Facts {
		if f[0] == name {
			return f[1]
		}
	}
	return ""
}

// Case 1: many packs define one class. Nobody chooses silently; the file does.
func TestHardClassCollision(t *testing.T) {
	w := newWorld(t)
	_, big := w.repo("a/popular", "LoadClips", "Extra")
	_, small := w.repo("b/small", "LoadClips", "Rare")
	w.claim(big, locktest.Pack{Classes: []string{"LoadClips", "Extra"}, Stars: 500})
	w.claim(small, locktest.Pack{Classes: []string{"LoadClips", "Rare"}, Stars: 3})
	w.claim(DefaultComfyUI, locktest.Pack{Classes: []string{"KSampler"}})
	w.service("", "LoadClips")
	e := w.fails("packs_unresolved")
	if table := fact(e, "LoadClips"); !strings.HasPrefix(table, big) || !strings.Contains(table, "500 stars") || !strings.Contains(table, small) {
		t.Errorf("table:\n%s", table)
	}
	yaml := "  - repo: " + big + "\n    classes: [\"LoadClips\"]"
	if !strings.Contains(e.Help, yaml) {
		t.Errorf("help:\n%s", e.Help)
	}
	w.service("nodes: [{ repo: "+small+" }]\n", "LoadClips")
	if n := node(t, w.lock(), "small"); n.Rule != "service" || n.Inferred {
		t.Errorf("%+v", n)
	}
	w.service("", "LoadClips", "Rare")
	if n := node(t, w.lock(), "small"); !cmp.Equal(n.Classes, []string{"LoadClips", "Rare"}) {
		t.Errorf("another class needs it anyway: %+v", n)
	}
	// Both are needed, and both define the class: ComfyUI would keep either.
	w.service("nodes: [{ repo: "+small+" }]\n", "LoadClips", "Rare", "Extra")
	e = w.fails("class_collision")
	if fact(e, "LoadClips") != "small, popular" {
		t.Errorf("%+v", e.Facts)
	}
	w.service("nodes: [{ repo: "+small+", classes: [LoadClips] }]\n", "LoadClips", "Rare", "Extra")
	if n := node(t, w.lock(), "small"); !slices.Contains(n.Classes, "LoadClips") {
		t.Errorf("%+v", n)
	}
}

// Case 2: a pack newer than ComfyUI imports "successfully" and loses classes.
// The lock keeps what the pack asks for and says so; what it defines is there
// to be compared with the running server.
func TestHardVersionSkew(t *testing.T) {
	w := newWorld(t)
	r, url := w.repo("a/skewed", "Mine", "NeedsNewerCore")
	r.Write("pyproject.toml", "[project]\nname = \"skewed\"\n[tool.comfy]\nrequires-comfyui = \">=0.9.0\"\n")
	r.Commit("newer")
	w.service("nodes: [{ repo: "+url+" }]\n", "Mine")
	n := node(t, w.lock(), "skewed")
	if n.ForComfyUI != ">=0.9.0" || !cmp.Equal(n.Defines, []string{"Mine", "NeedsNewerCore"}) {
		t.Errorf("%+v", n)
	}
	if !slices.ContainsFunc(w.said, func(s string) bool { return strings.Contains(s, ">=0.9.0") && strings.Contains(s, "v0.3.64") }) {
		t.Errorf("nobody said that ComfyUI is older than the pack wants: %q", w.said)
	}
}

// Case 3: packs that the map knows by pattern alone, single files, classes made
// up while a pack starts, repositories that moved.
func TestHardNoMapEntry(t *testing.T) {
	w := newWorld(t)
	r, url := w.repo("a/Crystools", "other")
	r.Write("names.py", "def get_name(n):\n    return f'{n} [Crystools]'\n")
	r.Commit("names")
	w.claim(url, locktest.Pack{Pattern: ` \[Crystools\]$`})
	w.claim("https://gist.github.com/x/0123456789", locktest.Pack{Classes: []string{"FromGist"}})
	w.service("", "Stats [Crystools]")
	if n := node(t, w.lock(), "Crystools"); n.Rule != "pattern" {
		t.Errorf("%+v", n)
	}
	w.service("", "FromGist")
	w.fails("pack_is_file")
	dynamic, dynURL := w.repo("a/dynamic", "Fixed")
	dynamic.Write("more.py", "for n in ('Made Up',):\n    register(n)\n")
	dynamic.Commit("dynamic")
	w.service("nodes: [{ repo: "+dynURL+" }]\n", "Made Up", "Fixed")
	if n := node(t, w.lock(), "dynamic"); !cmp.Equal(n.Classes, []string{"Fixed", "Made Up"}) {
		t.Errorf("%+v", n)
	}
	// The host redirects to where the repository went.
	w.service("nodes: [{ repo: "+w.git.URL+"/old/a/dynamic }]\n", "Fixed")
	w.lock()
	w.service("", "Nowhere To Be Found")
	if e := w.fails("packs_unresolved"); fact(e, "Nowhere To Be Found") != "is unknown" {
		t.Errorf("%+v", e.Facts)
	}
}

// Case 4: packs find one another by the names of their folders, which a
// registry's archive and a repository spell in two ways.
func TestHardFolderNames(t *testing.T) {
	w := newWorld(t)
	_, url := w.repo("a/ComfyUI-Pack", "Mine")
	zipped := archive(t, map[string]string{"__init__.py": mappings([]string{"Mine"})})
	reg := locktest.NewRegistry(t, locktest.Registered{ID: "comfyui-pack", Repository: url, Version: "1.2.3", Zip: zipped, Classes: map[string][]string{"Mine": {"value"}}})
	w.o.Feeds.Registry = reg.URL
	w.service("nodes: [{ repo: "+url+" }]\n", "Mine")
	node(t, w.lock(), "ComfyUI-Pack")
	w.service("nodes: [{ registry: comfyui-pack@1.2.3 }]\n", "Mine")
	l := w.lock()
	n := node(t, l, "comfyui-pack")
	if n.From != FromRegistry || n.Version != "1.2.3" || len(n.SHA256) != 64 || n.Size != int64(len(zipped)) {
		t.Errorf("%+v", n)
	}
	w.o.Old, w.o.Offline = l, true
	reg.Close()
	if again := w.lock(); encode(t, again) != encode(t, l) {
		t.Error("offline: another lock")
	}
	w.o.Old, w.o.Offline = nil, false
	// Two spellings of one folder would be one on a case-blind disk.
	w.service("nodes: [{ repo: "+url+" }, { path: ./comfyui-pack }]\n", "Mine")
	w.write("comfyui-pack/__init__.py", "")
	w.fails("node_name")
}

// Case 3 and runner-ups: what the registry refuses.
func TestHardRegistryRefusals(t *testing.T) {
	w := newWorld(t)
	for status, code := range map[string]string{"Banned": "pack_refused", "Deleted": "pack_refused", "Flagged": "pack_refused"} {
		reg := locktest.NewRegistry(t, locktest.Registered{ID: "pack", Version: "1.0.0", Status: status})
		w.o.Feeds.Registry = reg.URL
		w.o.CacheDir = t.TempDir()
		w.service("nodes: [{ registry: pack@1.0.0 }]\n")
		w.fails(code)
	}
	reg := locktest.NewRegistry(t, locktest.Registered{ID: "pack", Version: "1.0.0"})
	w.o.Feeds.Registry, w.o.CacheDir = reg.URL, t.TempDir()
	w.service("nodes: [{ registry: pack@2.0.0 }]\n")
	if e := w.fails("pack_unknown"); !strings.Contains(e.Help, "1.0.0") {
		t.Errorf("%s", e.Help)
	}
	w.service("nodes: [{ registry: other@1.0.0 }]\n")
	w.fails("pack_unknown")
	w.service("nodes: [{ registry: pack@1.0.0 }]\n")
	w.fails("bad_archive") // the registry gives no archive's bytes
}

// Case 5: an install script that probes for a GPU, downloads and installs is
// not run; the lock says what it would do.
func TestHardInstallScript(t *testing.T) {
	w := newWorld(t)
	r, url := w.repo("a/impact", "Mine")
	r.Write("install.py", "import torch, subprocess, sys\nif torch.cuda.is_available():\n    subprocess.check_call([sys.executable, '-m', 'pip', 'install', 'onnxruntime-gpu'])\nopen('"+w.dir+"/ran', 'w')\n")
	r.Write("prestartup_script.py", "import subprocess\n")
	r.Commit("script")
	w.service("nodes: [{ repo: "+url+" }]\n", "Mine")
	n := node(t, w.lock(), "impact")
	want := []string{"installs Python packages with pip", "looks for a GPU, which a build does not have", "starts programs"}
	if n.Install == nil || n.Install.Policy != "skip" || !cmp.Equal(n.Install.Effects, want) {
		t.Errorf("%+v", n.Install)
	}
	if n.Prestart == nil || len(n.Prestart.SHA256) != 64 {
		t.Errorf("%+v", n.Prestart)
	}
	if !slices.ContainsFunc(w.said, func(s string) bool { return strings.HasPrefix(s, "impact: its install script is skipped") }) {
		t.Errorf("said %q", w.said)
	}
	if _, err := os.Stat(w.dir + "/ran"); err == nil {
		t.Error("the script ran")
	}
	w.service("nodes: [{ repo: "+url+", install: run }]\n", "Mine")
	if n := node(t, w.lock(), "impact"); n.Install.Policy != "run" {
		t.Errorf("%+v", n.Install)
	}
}

// Case 6: torch, OpenCV and onnxruntime are asked for in every build there is.
func TestHardPackageWar(t *testing.T) {
	locktest.NeedUV(t, os.Getenv("CI"))
	w := newWorld(t)
	wheel := func(name, version string, requires ...string) locktest.Wheel {
		return locktest.Wheel{Name: name, Version: version, Requires: requires}
	}
	w.o.Index = locktest.NewIndex(t, wheel("torch", "2.9"), wheel("opencv-python", "4.1"), wheel("opencv-contrib-python-headless", "4.1"), wheel("opencv-python-headless", "4.1"),
		wheel("onnxruntime", "1.0"), wheel("onnxruntime-gpu", "1.0"), wheel("annotator", "1.0", "opencv-python", "torch==1.13", "onnxruntime-gpu"), wheel("comfy", "9.9")).Simple()
	w.write("one/__init__.py", mappings([]string{"One"}))
	w.write("one/requirements.txt", "torch==1.13+cu117\nopencv-contrib-python\nonnxruntime-gpu\ncomfy\n")
	w.write("two/__init__.py", mappings([]string{"Two"}))
	w.write("two/requirements.txt", "opencv-python-headless\nannotator\nonnxruntime\n")
	w.service("nodes: [{ path: ./one }, { path: ./two }]\n", "One", "Two")
	var got []string
	for _, p := range w.lock().Wheels {
		got = append(got, p.Name)
	}
	if d := cmp.Diff([]string{"annotator", "onnxruntime", "opencv-contrib-python-headless"}, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	w.write("two/requirements.txt", "git+https://github.com/o/clip@v1\n")
	e := w.fails("python_repository")
	if !strings.Contains(e.Help, "- clip @ https://github.com/o/clip/archive/v1.zip") || fact(e, "two") == "" {
		t.Errorf("%+v\n%s", e.Facts, e.Help)
	}
}

// Case 8: a compiled kernel has no wheel for this Python; somebody's own wheel
// is pinned by its hash.
func TestHardCompiledKernel(t *testing.T) {
	locktest.NeedUV(t, os.Getenv("CI"))
	w := newWorld(t)
	index := locktest.NewIndex(t, locktest.Wheel{Name: "sageattention", Version: "2.0", Tag: "sdist"}, locktest.Wheel{Name: "sageattention", Version: "2.0", Tag: "cp310-cp310-manylinux_2_17_x86_64"})
	w.o.Index = index.Simple()
	w.write("fast/__init__.py", mappings([]string{"Fast"}))
	w.write("fast/requirements.txt", "sageattention>=2\n")
	w.service("nodes: [{ path: ./fast }]\n", "Fast")
	if e := w.fails("python_needs_build"); !strings.Contains(e.Help, "python_packages: [sageattention]") {
		t.Errorf("%s", e.Help)
	}
	theirs := locktest.NewIndex(t, locktest.Wheel{Name: "sageattention", Version: "2.0", Tag: "cp312-cp312-manylinux_2_17_x86_64"})
	file := locktest.Wheel{Name: "sageattention", Version: "2.0", Tag: "cp312-cp312-manylinux_2_17_x86_64"}.File()
	w.service("nodes: [{ path: ./fast }]\npython_packages: [\"sageattention @ "+theirs.Simple()+"/sageattention/"+file+"\"]\n", "Fast")
	l := w.lock()
	if len(l.Wheels) != 1 || !l.Wheels[0].Direct || l.Wheels[0].File != file || len(l.Wheels[0].SHA256) != 64 {
		t.Errorf("%+v", l.Wheels)
	}
}
