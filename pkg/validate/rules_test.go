package validate

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"

	"github.com/comfyctl/comfyctl/internal/diag"
	"github.com/comfyctl/comfyctl/pkg/catalog"
)

var update = flag.Bool("update", false, "write what is found into the fixtures")

// fixture is the test material of one rule: a bad and a good service. Files
// that it does not give are those of baseYAML and portrait; more.yaml is
// added to the end of the service file. The comment of the archive may say
// `also: CODE…` (other findings of the bad one), `env: NAME`, `ci`.
type fixture struct {
	rule    diag.Rule
	archive *txtar.Archive
	path    string
	also    []string
	env     string
	ci      bool
}

const baseYAML = `name: portrait
workflow: w.json
comfyui: v0.3.64
`

const baseModels = `models:
  - path: checkpoints/sd15.safetensors
    source: https://example.com/sd15.safetensors
    sha256: 6ce0161689b3853acaa03779ec93eafe75a02f4ced659bee03f50797806fa2fa
`

func fixtures(t testing.TB) map[string]*fixture {
	t.Helper()
	files, err := filepath.Glob("testdata/rules/*.txtar")
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]*fixture{}
	for _, file := range files {
		a, err := txtar.ParseFile(file)
		if err != nil {
			t.Fatal(err)
		}
		id := strings.TrimSuffix(filepath.Base(file), ".txtar")
		f := &fixture{archive: a, path: file}
		f.rule, _ = diag.Lookup(id)
		for _, line := range strings.Split(string(a.Comment), "\n") {
			if rest, ok := strings.CutPrefix(line, "also: "); ok {
				f.also = strings.Fields(rest)
			}
			if rest, ok := strings.CutPrefix(line, "env: "); ok {
				f.env = rest
			}
			f.ci = f.ci || line == "ci"
		}
		all[id] = f
	}
	return all
}

// files are those of one side, with what it does not give filled in.
func (f *fixture) files(side string) map[string]string {
	files := map[string]string{}
	for _, file := range f.archive.Files {
		if name, ok := strings.CutPrefix(file.Name, side+"/"); ok {
			files[name] = string(file.Data)
		}
	}
	if _, ok := files["w.json"]; !ok {
		files["w.json"] = portrait
	}
	if _, ok := files["comfyctl.yaml"]; !ok {
		more := files["more.yaml"]
		base := baseYAML
		for _, line := range strings.Split(more, "\n") { // what more gives replaces the base's
			if strings.HasPrefix(line, "comfyui:") {
				base = strings.Replace(base, "comfyui: v0.3.64\n", "", 1)
			}
		}
		if !strings.Contains("\n"+more, "\nmodels:") && strings.Contains(files["w.json"], "sd15") {
			base += baseModels
		}
		files["comfyctl.yaml"] = base + more
	}
	return files
}

// options read what the lock and the known packs of a side are.
func (f *fixture) options(t testing.TB, files map[string]string) Options {
	t.Helper()
	o := Options{Env: f.env, CI: f.ci}
	if text, ok := files["lock.json"]; ok {
		o.Lock = lockOf(t, text)
	}
	if text, ok := files["packs.json"]; ok {
		known := map[string][]Pack{}
		if err := json.Unmarshal([]byte(text), &known); err != nil {
			t.Fatal(err)
		}
		o.Packs = func(class string) []Pack { return known[class] }
	}
	return o
}

// lockOf reads a Locked. `Inputs: {}` stands for those of a lock just made, and
// names in `Stale` for inputs that were others then.
func lockOf(t testing.TB, text string) *Locked {
	t.Helper()
	var lock struct {
		Locked
		ObjectInfo json.RawMessage
	}
	if err := json.Unmarshal([]byte(text), &lock); err != nil {
		t.Fatal(err)
	}
	if lock.ObjectInfo != nil {
		c, err := catalog.ParseObjectInfo(lock.ObjectInfo)
		if err != nil {
			t.Fatal(err)
		}
		lock.Classes = c
	}
	return &lock.Locked
}

func (f *fixture) load(t testing.TB, side string) (*Plan, []diag.Diagnostic) {
	t.Helper()
	files := f.files(side)
	o := f.options(t, files)
	o.Dir = write(t, files)
	if text, ok := files["locked.yaml"]; ok { // the lock was made of this file
		if o.Lock == nil {
			o.Lock = &Locked{File: "comfyctl.lock"}
		}
		files["comfyctl.yaml"] = text
		p, _, err := Load(context.Background(), Options{Dir: write(t, files)})
		if err != nil {
			t.Fatal(err)
		}
		o.Lock.Inputs = p.LockInputs()
	}
	p, list, err := Load(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	return p, list
}

// Of every rule there is a page, a bad and a good example of it that were
// tried, and the finding as people see it. The example of the page is part of
// what was tried. Rules of the network are tried against servers, elsewhere.
func TestRules(t *testing.T) {
	all := fixtures(t)
	for _, r := range diag.Rules() {
		if all[r.ID] == nil && !r.Online {
			t.Errorf("%s has no fixture testdata/rules/%[1]s.txtar", r.ID)
		}
	}
	for id, f := range all {
		t.Run(id, func(t *testing.T) {
			if f.rule.ID == "" {
				t.Fatal("no such rule")
			}
			f.bad(t)
			f.good(t)
		})
	}
}

func (f *fixture) bad(t *testing.T) {
	f.shows(t, "bad", f.rule.Bad)
	p, list := f.load(t, "bad")
	seen := map[string]bool{}
	kept := list[:0]
	for _, d := range list {
		seen[d.Code] = true
		if d.Code != f.rule.ID && !slices.Contains(f.also, d.Code) && d.Code != "CY110" {
			t.Errorf("the bad example has another finding: %s %s", d.Code, d.Message)
		}
		if d.Server != "" && !slices.Contains(mustRule(t, d.Code).Server, d.Server) {
			t.Errorf("%s foresees %s, which its page does not say", d.Code, d.Server)
		}
		if d.Code != "CY110" || f.rule.ID == "CY110" {
			kept = append(kept, d)
		}
	}
	for _, code := range append([]string{f.rule.ID}, f.also...) {
		if !seen[code] {
			t.Errorf("the bad example has no %s: %v", code, placed(list))
		}
	}
	var b strings.Builder
	if err := diag.Render(&b, kept, p.Source, diag.Style{}); err != nil {
		t.Fatal(err)
	}
	f.golden(t, "bad.txt", b.String())
}

func mustRule(t testing.TB, id string) diag.Rule {
	t.Helper()
	r, ok := diag.Lookup(id)
	if !ok {
		t.Fatalf("no rule %s", id)
	}
	return r
}

func (f *fixture) good(t *testing.T) {
	f.shows(t, "good", f.rule.Good)
	_, list := f.load(t, "good")
	for _, d := range list {
		if d.Code != "CY110" || f.rule.ID == "CY110" {
			t.Errorf("the good example has a finding: %s %s:%d:%d %s", d.Code, d.File, d.Start.Line, d.Start.Column, d.Message)
		}
	}
}

// shows checks that a page's example is part of the fixture. CL001 is about a
// file that is not there, which no example can hold.
func (f *fixture) shows(t *testing.T, side, example string) {
	t.Helper()
	if f.rule.ID == "CL001" {
		return
	}
	files := f.files(side)
	for _, line := range strings.Split(example, "\n") {
		found := false
		for _, text := range files {
			found = found || strings.Contains(text, strings.TrimRight(line, ","))
		}
		if !found {
			t.Errorf("the %s example of the page is not in the fixture: %s", side, line)
		}
	}
}

// golden holds a text against the file of that name in the archive.
func (f *fixture) golden(t *testing.T, name, got string) {
	t.Helper()
	i := slices.IndexFunc(f.archive.Files, func(file txtar.File) bool { return file.Name == name })
	if *update {
		if i < 0 {
			f.archive.Files = append(f.archive.Files, txtar.File{Name: name})
			i = len(f.archive.Files) - 1
		}
		f.archive.Files[i].Data = []byte(got)
		if err := os.WriteFile(f.path, txtar.Format(f.archive), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want := ""
	if i >= 0 {
		want = string(f.archive.Files[i].Data)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (run with -update and look at the diff): %s", f.path, fmt.Sprint(diff))
	}
}
