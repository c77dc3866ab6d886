package validate

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/comfyctl/comfyctl/pkg/catalog"
)

// packGraph uses the classes A and B of packs.
const packGraph = `{"1":{"class_type":"A","inputs":{}},"2":{"class_type":"B","inputs":{"x":["1",0]}},"3":{"class_type":"PreviewAny","inputs":{"source":["2",0]}}}`

func packLock(t testing.TB, packs ...LockedPack) *Locked {
	t.Helper()
	c, err := catalog.ParseObjectInfo([]byte(`{"A":{"input":{},"output":["X"],"python_module":"custom_nodes.a"},"B":{"input":{"required":{"x":["X"]}},"output":["X"],"python_module":"custom_nodes.b"},
		"KSampler":{"input":{},"output":["X"],"python_module":"custom_nodes.a"}}`))
	if err != nil {
		t.Fatal(err)
	}
	return &Locked{File: "comfyctl.lock", Packs: packs, Classes: c}
}

func TestPacks(t *testing.T) {
	const hash = "33ff89fd354d8ec3ab6affb605a79a931b445d99"
	a := LockedPack{Key: "https://g.it/me/a", Name: "a", Commit: hash, Classes: []string{"A", "KSampler", "Other"}}
	b := LockedPack{Key: "b-pack", Name: "b", Classes: []string{"B"}}
	both := "nodes:\n  - { repo: https://g.it/Me/a.git, ref: v1 }\n  - { registry: b-pack@1.0.0 }\n"
	script := a
	script.Install = []string{"run pip install x", "fetch y"}
	clash, unusedClash := b, b
	clash.Classes, unusedClash.Classes = []string{"B", "A", "KSampler"}, []string{"B", "Other"}
	for _, tc := range []struct {
		name, nodes string
		lock        *Locked
		want        []string
	}{
		{"all is well", both, packLock(t, a, b), nil},
		{"found for a class, not listed", "nodes:\n  - { registry: b-pack@1.0.0 }\n", packLock(t, a, b), nil},
		{"not in the lock yet", both, &Locked{Packs: []LockedPack{a}, Classes: packLock(t).Classes}, nil},
		{"no lock at all", both, nil, []string{"CW101 note w.json:1:20 2 node classes are not checked: the node packs under `nodes:` are not locked"}},
		{"a branch", "nodes:\n  - { repo: https://g.it/me/a, ref: Main }\n  - { registry: b-pack@1.0.0 }\n", packLock(t, a, b), []string{"CN001 warning comfyctl.yaml:5:37 node pack `https://g.it/me/a` follows the branch `Main`"}},
		{"a branch with a slash", "nodes:\n  - { repo: https://g.it/me/a, ref: feature/x }\n  - { registry: b-pack@1.0.0 }\n", packLock(t, a, b), []string{"CN001 warning comfyctl.yaml:5:37 node pack `https://g.it/me/a` follows the branch `feature/x`"}},
		{"a tag, a commit, part of one", "nodes:\n  - { repo: https://g.it/me/a, ref: refs/tags/v1 }\n  - { registry: b-pack }\n", packLock(t, a, b), nil},
		{"no ref, locked", "nodes:\n  - { repo: https://g.it/me/a }\n  - { registry: b-pack@1.0.0 }\n", packLock(t, a, b), nil},
		{"no ref, not locked", "nodes:\n  - { repo: https://g.it/me/a }\n  - { registry: b-pack@1.0.0 }\n", packLock(t, b), []string{"CN001 warning comfyctl.yaml:5:5 node pack `https://g.it/me/a` has no `ref`"}},
		{"the newest of the registry", "nodes:\n  - { repo: https://g.it/me/a, ref: v1 }\n  - { registry: b-pack@latest }\n", packLock(t, a, b), []string{"CN001 warning comfyctl.yaml:6:17 node pack `b-pack@latest` has no fixed version"}},
		{"unused by the lock", both + "  - { path: ./c }\n", packLock(t, a, b, LockedPack{Key: "./c", Name: "c", Classes: []string{"C"}}), []string{"CN002 warning comfyctl.yaml:7:5 node pack `./c` is never used"}},
		{"no classes at all", both + "  - { path: ./c }\n", packLock(t, a, b, LockedPack{Key: "./c", Name: "c"}), nil},
		{"unused by its classes", both + "  - { path: ./c, classes: [C] }\n", packLock(t, a, b, LockedPack{Key: "./c"}), []string{"CN002 warning comfyctl.yaml:7:5 node pack `./c` is never used"}},
		{"a clash that is used", both, packLock(t, a, clash), []string{"CN003 error comfyctl.yaml:6:5 node packs `a` and `b` both define `A`"}},
		{"a clash that is not used", both, packLock(t, a, unusedClash), []string{"CN003 warning comfyctl.yaml:6:5 node packs `a` and `b` both define `Other`"}},
		{"a clash that is settled", "nodes:\n  - { repo: https://g.it/me/a, ref: v1, classes: [A] }\n  - { registry: b-pack@1.0.0 }\n", packLock(t, a, clash), nil},
		{"a script", both, packLock(t, script, b), []string{"CN004 warning comfyctl.yaml:5:5 node pack `https://g.it/Me/a.git` has an install script, which is skipped"}},
		{"a script that may run", "nodes:\n  - { repo: https://g.it/me/a, ref: v1, install: run }\n  - { registry: b-pack@1.0.0 }\n", packLock(t, script, b), nil},
		{"a script that shall not run", "nodes:\n  - { repo: https://g.it/me/a, ref: v1, install: skip }\n  - { registry: b-pack@1.0.0 }\n", packLock(t, script, b), nil},
		{"ComfyUI's branch", "nodes: []\ncomfyui: { version: master }\n", packLock(t, a, b), []string{"CW101 note comfyctl.yaml:5:21 node classes of ComfyUI master are not built in; checked against v0.30.2",
			"CN001 warning comfyctl.yaml:5:21 `comfyui` follows the branch `master`"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			yaml := "name: p\nworkflow: w.json\ninputs: {}\n" + tc.nodes
			_, list := load(t, Options{Lock: tc.lock}, map[string]string{"w.json": packGraph, "comfyctl.yaml": yaml})
			if diff := cmp.Diff(tc.want, placed(list)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// Core keeps its own class where a pack has one of that name.
func TestCoreClassesWin(t *testing.T) {
	p, _ := load(t, Options{Lock: packLock(t, LockedPack{Key: "./a", Name: "a"})}, map[string]string{"w.json": packGraph, "comfyctl.yaml": "name: p\nworkflow: w.json\nnodes: [{ path: ./a }]\n"})
	if cl, ok := p.Catalog.Class("KSampler"); !ok || len(cl.Inputs) < 5 || p.Catalog.Version != "v0.30.2" || !p.Catalog.Exact {
		t.Errorf("KSampler: %+v of %s", cl, p.Catalog.Version)
	}
	if _, ok := p.Catalog.Class("A"); !ok {
		t.Error("the pack's class is not there")
	}
}

// What a lock depends on, and what it does not.
func TestLockInputs(t *testing.T) {
	base := "name: p\nworkflow: w.json\ncomfyui: v0.3.64\nmodels:\n  - { path: loras/a.safetensors, source: ./a }\nnodes:\n  - { path: ./a }\nsystem_packages: [x, y]\n"
	inputs := func(yaml, graph string) map[string]string {
		p, _ := load(t, Options{Lock: packLock(t)}, map[string]string{"w.json": graph, "comfyctl.yaml": yaml, "a": ""})
		return p.LockInputs()
	}
	was := inputs(base, packGraph)
	for _, tc := range []struct {
		name, yaml, graph string
		want              []string
	}{
		{"the same", base, packGraph, nil},
		{"what no lock holds", base + "gpu: 16GB\ndescription: x\nrunner: { port: 99 }\ninputs: {}\n", packGraph, nil},
		{"the order of packages", base[:len(base)-len("[x, y]\n")] + "[y, x]\n", packGraph, nil},
		{"the release", base[:0] + "name: p\nworkflow: w.json\ncomfyui: v0.30.2\n" + base[len("name: p\nworkflow: w.json\ncomfyui: v0.3.64\n"):], packGraph, []string{"comfyui changed"}},
		{"torch", base + "build: { torch: cu128 }\n", packGraph, []string{"build changed"}},
		{"packages", base + "python_packages: [x]\n", packGraph, []string{"python_packages changed"}},
		{"another graph of the same classes", base, packGraph[:len(packGraph)-1] + `,"4":{"class_type":"A","inputs":{}}}`, nil},
		{"a class fewer", base, `{"1":{"class_type":"A","inputs":{}},"3":{"class_type":"PreviewAny","inputs":{"source":["1",0]}}}`, []string{"class/B is gone"}},
		{"a class more", base, packGraph[:len(packGraph)-1] + `,"4":{"class_type":"Z","inputs":{}}}`, []string{"class/Z is new"}},
		{"a core class more", base, packGraph[:len(packGraph)-1] + `,"4":{"class_type":"EmptyImage","inputs":{}}}`, nil},
	} {
		p, _ := load(t, Options{Lock: packLock(t)}, map[string]string{"w.json": tc.graph, "comfyctl.yaml": tc.yaml, "a": ""})
		l := &loader{plan: p}
		var got []string
		for _, m := range l.moved(was, p.LockInputs()) {
			got = append(got, m.what)
		}
		if diff := cmp.Diff(tc.want, got); diff != "" {
			t.Errorf("%s: %s", tc.name, diff)
		}
	}
}
