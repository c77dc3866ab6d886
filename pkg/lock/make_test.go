package lock

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/comfyctl/comfyctl/pkg/lock/locktest"
)

// A branch moves; the lock stays where it was until it is told otherwise.
func TestLockStays(t *testing.T) {
	w := newWorld(t)
	r, url := w.repo("owner/pack", "Mine")
	w.claim(url, locktest.Pack{Classes: []string{"Mine"}})
	_, other := w.repo("owner/listed", "Listed")
	w.service("nodes: [{ repo: "+other+" }]\n", "Mine", "Listed")
	first := w.lock()
	mine := node(t, first, "pack")
	if !mine.Inferred || mine.Rule != "map" || !mine.Moves || mine.Commit != r.Git("rev-parse", "HEAD") || mine.Tree != r.Git("rev-parse", "HEAD^{tree}") {
		t.Errorf("%+v", mine)
	}
	if d := cmp.Diff([]string{"Listed"}, node(t, first, "listed").Classes); d != "" {
		t.Error(d)
	}
	r.Write("more.py", "x = 1")
	moved := r.Commit("two")
	w.o.Old = first
	if again := w.lock(); encode(t, again) != encode(t, first) {
		t.Errorf("nothing was asked for, and the lock changed:\n%v", Diff(first, again))
	}
	w.o.Update = []string{"pack"}
	updated := w.lock()
	if node(t, updated, "pack").Commit != moved {
		t.Error("--update pack did not take the new commit")
	}
	changes := Diff(first, updated)
	if len(changes) != 1 || changes[0].Path != "nodes.pack" || !strings.HasPrefix(changes[0].To, moved[:7]) {
		t.Errorf("%+v", changes)
	}
	w.o.Update = nil
	w.o.Offline = true
	w.git.Close()
	w.feeds.Close()
	if again := w.lock(); encode(t, again) != encode(t, first) {
		t.Error("offline from lock and cache: another lock")
	}
	w.o.Old = nil
	w.fails("offline")
}

// The map is asked for once, then only whether it changed.
func TestFeedsAreKept(t *testing.T) {
	w := newWorld(t)
	_, url := w.repo("owner/pack", "Mine")
	w.claim(url, locktest.Pack{Classes: []string{"Mine"}})
	w.service("", "Mine")
	w.lock()
	l := w.lock()
	if n := w.feeds.Sent("map.json"); n != 1 {
		t.Errorf("the map was sent %d times", n)
	}
	if len(l.Sources) != 1 || l.Sources[0].URL != w.o.Feeds.Map || len(l.Sources[0].SHA256) != 64 {
		t.Errorf("%+v", l.Sources)
	}
	w.feeds.Close()
	w.lock()
	if !slices.ContainsFunc(w.said, func(s string) bool { return strings.HasPrefix(s, "map: ") }) {
		t.Errorf("the map's server is gone, and nobody said so: %q", w.said)
	}
}

func TestCheck(t *testing.T) {
	w := newWorld(t)
	w.write("mine/__init__.py", mappings([]string{"Mine"}))
	w.service("nodes: [{ path: ./mine }]\n", "Mine")
	l := w.lock()
	check := func() []string {
		t.Helper()
		changes, err := Check(t.Context(), w.plan(), l)
		if err != nil {
			t.Fatal(err)
		}
		var paths []string
		for _, c := range changes {
			paths = append(paths, c.Path)
		}
		return paths
	}
	if got := check(); got != nil {
		t.Errorf("fresh: %q", got)
	}
	for _, tc := range []struct {
		name   string
		change func()
		want   []string
	}{
		{"a file of a local pack", func() { w.write("mine/more.py", "x = 1") }, []string{"nodes../mine"}},
		{"a file of ComfyUI", func() { w.write("ComfyUI/more.py", "x = 1") }, []string{"comfyui"}},
		{"a model", func() {
			w.service("nodes: [{ path: ./mine }]\nmodels: [{ path: loras/x.safetensors, load: mount }]\n", "Mine")
		}, []string{"models.loras/x.safetensors"}},
		{"a class", func() { w.service("nodes: [{ path: ./mine }]\n", "Mine", "Other") }, []string{"class.Other"}},
		{"a package", func() { w.service("nodes: [{ path: ./mine }]\npython_packages: [x]\n", "Mine") }, []string{"python_packages"}},
		{"the packs", func() { w.service("nodes: []\n", "Mine") }, []string{"nodes../mine"}},
		{"a text in the graph", func() {
			w.service("nodes: [{ path: ./mine }]\n", "Mine")
			b, err := os.ReadFile(filepath.Join(w.dir, "workflow_api.json"))
			if err != nil {
				t.Fatal(err)
			}
			w.write("workflow_api.json", strings.ReplaceAll(string(b), `"x"`, `"y"`))
		}, nil},
	} {
		w.write("mine/more.py", "")
		w.write("ComfyUI/more.py", "")
		for _, f := range []string{"mine/more.py", "ComfyUI/more.py"} {
			if err := os.Remove(filepath.Join(w.dir, f)); err != nil {
				t.Fatal(err)
			}
		}
		w.service("nodes: [{ path: ./mine }]\n", "Mine")
		tc.change()
		if d := cmp.Diff(tc.want, check()); d != "" {
			t.Errorf("%s (-want +got):\n%s", tc.name, d)
		}
	}
}

// One resolution for ComfyUI, packs and the service file; every package by one
// file and its hash; who asked is known.
func TestPython(t *testing.T) {
	locktest.NeedUV(t, os.Getenv("CI"))
	index := locktest.NewIndex(t,
		locktest.Wheel{Name: "alpha", Version: "1.0"}, locktest.Wheel{Name: "alpha", Version: "2.0"},
		locktest.Wheel{Name: "beta", Version: "1.0", Requires: []string{"alpha<2", "torch"}},
		locktest.Wheel{Name: "torch", Version: "9.9"},
		locktest.Wheel{Name: "gamma", Version: "1.0", Tag: "cp312-cp312-manylinux_2_17_x86_64"}, locktest.Wheel{Name: "gamma", Version: "1.0", Tag: "cp38-abi3-manylinux_2_17_x86_64"})
	w := newWorld(t)
	w.o.Index = index.Simple()
	w.write("ComfyUI/requirements.txt", "torch\ncomfyui-frontend-package==1\nalpha\n")
	w.write("mine/__init__.py", mappings([]string{"Mine"}))
	w.write("mine/requirements.txt", "\ufeffbeta>=1.0   # needed\r\ntorch==2.0\r\n--extra-index-url https://example.com/simple\r\n./local.whl\r\n")
	w.service("nodes: [{ path: ./mine }]\npython_packages: [gamma]\n", "Mine")
	l := w.lock()
	var got []string
	for _, p := range l.Wheels {
		got = append(got, p.File+" "+strings.Join(p.RequestedBy, ","))
	}
	want := []string{"alpha-1.0-py3-none-any.whl beta,comfyui", "beta-1.0-py3-none-any.whl mine", "gamma-1.0-cp312-cp312-manylinux_2_17_x86_64.whl service"}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	if len(l.Notes) != 3 {
		t.Errorf("notes %+v", l.Notes)
	}
	index.Add(t, locktest.Wheel{Name: "alpha", Version: "1.5"})
	w.o.Old = l
	w.write("mine/more.txt", "")
	if again := w.lock(); again.Wheels[0].Version != "1.0" {
		t.Error("a new release moved the lock")
	}
	w.o.Update = []string{"alpha"}
	if again := w.lock(); again.Wheels[0].Version != "1.5" {
		t.Error("--update alpha did nothing")
	}
}

func TestCodec(t *testing.T) {
	w := newWorld(t)
	w.write("mine/__init__.py", mappings([]string{"Mine", "<&>"}))
	w.service("nodes: [{ path: ./mine }]\n", "Mine")
	l := w.lock()
	text := encode(t, l)
	back, err := Decode([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(text, encode(t, back)); d != "" {
		t.Error(d)
	}
	if !strings.Contains(text, "<&>") || strings.Contains(text, w.o.CacheDir) || strings.Contains(text, w.dir) {
		t.Error("the lock holds escapes, or paths of this machine:\n" + text)
	}
	for name, change := range map[string][2]string{
		"no JSON":            {"{", "x"},
		"a newer format":     {`"version": 1`, `"version": 2`},
		"an unknown field":   {`"packer"`, `"pecker"`},
		"a folder above":     {`"dir":"mine"`, `"dir":"../mine"`},
		"no pin":             {`"tree":"`, `"tree":"x`},
		"more after its end": {"}\n", "}\n{}"},
	} {
		broken := strings.Replace(text, change[0], change[1], 1)
		if name == "more after its end" {
			broken = text + "{}"
		}
		if _, err := Decode([]byte(broken)); err == nil || broken == text {
			t.Errorf("%s was read", name)
		}
	}
	dir := t.TempDir()
	if err := l.Write(dir); err != nil {
		t.Fatal(err)
	}
	if got, err := Read(dir); err != nil || encode(t, got) != text {
		t.Errorf("%v", err)
	}
	if list, _ := os.ReadDir(dir); len(list) != 1 {
		t.Errorf("writing left %v", list)
	}
	if got, err := Read(t.TempDir()); got != nil || err != nil {
		t.Errorf("no lock: %v, %v", got, err)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"version":1,"packer":"x","platform":"linux/amd64","inputs":{},"comfyui":{"source":"a","tree":"0000000000000000000000000000000000000000"},"base":{},"python":{"version":"","torch":""},"wheels":[],"nodes":[],"models":[]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		l, err := Decode(b)
		if err != nil {
			return
		}
		text, err := l.Encode()
		if err != nil {
			t.Fatal(err)
		}
		back, err := Decode(text)
		if err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		again, err := back.Encode()
		if err != nil || string(again) != string(text) {
			t.Errorf("not canonical: %v\n%s\n%s", err, text, again)
		}
	})
}
