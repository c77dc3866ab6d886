package resolve

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const testMap = `{
	"https://github.com/comfyanonymous/ComfyUI": [["KSampler", "NewCore"], {"title_aux": "ComfyUI"}],
	"https://github.com/a/One": [["Alone", "Shared", "Both"], {"title_aux": "One"}],
	"https://github.com/b/Two.git": [["Shared", "Other", "Both"], {"title_aux": "Two"}],
	"https://github.com/c/owner": [["Taken"], {"title_aux": "Owner", "preemptions": ["Taken"]}],
	"https://github.com/d/thief": [["Taken", "Seed (mark)"], {"title_aux": "Thief"}],
	"https://github.com/e/mark-nodes": [["PyClassName"], {"title_aux": "Mark", "nodename_pattern": " \\(mark\\)$"}],
	"https://github.com/f/crys": [[], {"title_aux": "Crys", "nodename_pattern": " \\[Crys\\]$"}],
	"https://github.com/g/broad": [["X"], {"title_aux": "Broad", "nodename_pattern": "Shared|Unknown"}],
	"https://github.com/h/lookahead": [["Y"], {"title_aux": "No RE2", "nodename_pattern": "(?!x)y"}],
	"https://github.com/i/odd": "not a list",
	"https://gist.github.com/j/0123": [["Gist"], {"title_aux": "A gist"}]
}`

func parse(t *testing.T, text string) *Map {
	t.Helper()
	m, err := ParseMap([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// brief is a result as "Class rule pack" and "Class ? candidates".
func brief(r Result) []string {
	var out []string
	for _, c := range r.Choices {
		out = append(out, c.Class+" "+c.Rule+" "+strings.TrimPrefix(c.Pack.Repo+c.Pack.Registry, "https://github.com/"))
	}
	for _, q := range r.Questions {
		line := q.Class + " ?"
		for _, c := range q.Candidates {
			line += " " + strings.TrimPrefix(c.Repo+c.Registry, "https://github.com/")
		}
		if len(q.Near) > 0 {
			line += " near " + strings.Join(q.Near, ",")
		}
		if q.Core {
			line += " core"
		}
		if q.Subgraph {
			line += " subgraph"
		}
		out = append(out, line)
	}
	return out
}

func TestResolve(t *testing.T) {
	m := parse(t, testMap)
	core := func(c string) bool { return c == "KSampler" }
	if err := m.AddStats([]byte(`{"https://github.com/b/two": {"stars": 9, "last_update": "2026-01-01 00:00:00"}, "https://github.com/a/one": {"stars": 5}}`)); err != nil {
		t.Fatal(err)
	}
	use := func(class string, inputs ...string) Use { return Use{Class: class, Inputs: inputs} }
	for _, tc := range []struct {
		name string
		in   Input
		want []string
	}{
		{"core and the editor's own are nobody's", Input{Uses: []Use{use("KSampler"), use("Note"), use("workflow>Group"), use("Reroute")}}, nil},
		{"one claimant", Input{Uses: []Use{use("Alone")}}, []string{"Alone map a/One"}},
		{"several: asked, by stars", Input{Uses: []Use{use("Shared")}}, []string{"Shared ? b/Two.git a/One"}},
		{"several, one needed anyway", Input{Uses: []Use{use("Shared"), use("Other")}}, []string{"Other map b/Two.git", "Shared cover b/Two.git"}},
		{"several, both needed anyway", Input{Uses: []Use{use("Shared"), use("Other"), use("Alone")}}, []string{"Alone map a/One", "Other map b/Two.git", "Shared ? b/Two.git a/One"}},
		{"preempted", Input{Uses: []Use{use("Taken")}}, []string{"Taken preemption c/owner"}},
		{"a copy of a marked name", Input{Uses: []Use{use("Seed (mark)")}}, []string{"Seed (mark) pattern e/mark-nodes"}},
		{"by pattern alone", Input{Uses: []Use{use("Stat [Crys]")}}, []string{"Stat [Crys] pattern f/crys"}},
		{"a broad pattern claims nothing", Input{Uses: []Use{use("Unknown Thing")}}, []string{"Unknown Thing ?"}},
		{"near names", Input{Uses: []Use{use("alone|pysssss"), use("ALONE MultiGPU")}}, []string{"ALONE MultiGPU ? near Alone", "alone|pysssss ? near Alone"}},
		{"core of another release", Input{Uses: []Use{use("NewCore")}}, []string{"NewCore ? core"}},
		{"a subgraph", Input{Uses: []Use{use("0b8c1f2e-1111-2222-3333-444455556666")}}, []string{"0b8c1f2e-1111-2222-3333-444455556666 ? subgraph"}},
		{"the file's word comes first", Input{Uses: []Use{use("Taken")}, Declared: map[string]Choice{"Taken": {Class: "Taken", Pack: Pack{Repo: "mine"}, Rule: RuleService}}}, []string{"Taken service mine"}},
		{"then the lock's", Input{Uses: []Use{use("Taken")}, Locked: map[string]Choice{"Taken": {Class: "Taken", Pack: Pack{Repo: "mine"}, Rule: RuleMap}}}, []string{"Taken map mine"}},
		{"a hint", Input{Uses: []Use{{Class: "Shared", Hint: Hint{Aux: "A/one", Ver: "0123456789012345678901234567890123456789"}}}}, []string{"Shared aux_id A/one"}},
		{"a hint that only the graph knows is asked about", Input{Uses: []Use{{Class: "Alone", Hint: Hint{Aux: "evil/one"}}}}, []string{"Alone ? a/One evil/one"}},
		{"a registry id", Input{Uses: []Use{{Class: "Shared", Hint: Hint{CNR: "two", Ver: "1.2.3"}}}}, []string{"Shared cnr_id b/Two.gittwo"}},
		{"signature", Input{Uses: []Use{use("Shared", "seed")}, Registry: map[string][]Candidate{"Shared": {
			{Pack: Pack{Repo: "https://github.com/b/Two", Registry: "two"}, Inputs: []string{"image"}}}}}, []string{"Shared signature a/One"}},
		{"the registry alone", Input{Uses: []Use{use("Fresh")}, Registry: map[string][]Candidate{"Fresh": {{Pack: Pack{Registry: "fresh"}}}}}, []string{"Fresh registry fresh"}},
		{"the registry against the map", Input{Uses: []Use{use("Alone")}, Registry: map[string][]Candidate{"Alone": {{Pack: Pack{Registry: "popular"}}}}}, []string{"Alone ? a/One popular"}},
	} {
		tc.in.Map, tc.in.Core = m, core
		if d := cmp.Diff(tc.want, brief(Resolve(tc.in))); d != "" {
			t.Errorf("%s (-want +got):\n%s", tc.name, d)
		}
	}
}

func TestParseMap(t *testing.T) {
	m := parse(t, testMap)
	if len(m.Notes) != 2 || !strings.Contains(m.Notes[0], "h/lookahead") || !strings.Contains(m.Notes[1], "i/odd") {
		t.Errorf("notes %q", m.Notes)
	}
	if names, ok := m.Classes("git@github.com:B/two"); !ok || len(names) != 3 {
		t.Errorf("another spelling: %v, %v", names, ok)
	}
	if got := m.Only("Alone") + m.Only("Shared") + m.Only("KSampler"); got != "https://github.com/a/One" {
		t.Errorf("%q", got)
	}
	for _, bad := range []string{``, `[]`, `{"a": 1}`} {
		if _, err := ParseMap([]byte(bad)); err == nil {
			t.Errorf("%q is a map", bad)
		}
	}
}

func TestKey(t *testing.T) {
	for _, s := range []string{"https://github.com/O/R", "https://github.com/o/r.git", "http://www.github.com/o/r/", "git@github.com:o/r", "ssh://git@github.com/O/r.git", " https://user:pass@github.com/o/r "} {
		if got := Key(s); got != "github.com/o/r" {
			t.Errorf("%s: %s", s, got)
		}
	}
	for s, want := range map[string]bool{"https://github.com/o/r": false, "https://gist.github.com/x/1": true, "https://raw.githubusercontent.com/o/r/main/n.py": true} {
		if IsFile(s) != want {
			t.Errorf("IsFile(%s) = %v", s, !want)
		}
	}
}

func TestHints(t *testing.T) {
	editor := `{"nodes": [
		{"type": "A", "properties": {"cnr_id": "pack-a", "ver": "1.0.0"}},
		{"type": "KSampler", "properties": {"cnr_id": "comfy-core", "ver": "0.3.0"}},
		{"type": "B", "properties": {"aux_id": "o/r", "ver": "abc"}},
		{"type": "C", "properties": {"cnr_id": "one"}}, {"type": "C", "properties": {"cnr_id": "two"}},
		{"type": "D", "properties": {"aux_id": "../../etc"}}, {"type": "E", "properties": []}, 7
	], "definitions": {"subgraphs": [{"nodes": [{"type": "F", "properties": {"cnr_id": "inner"}}]}]}}`
	if d := cmp.Diff(map[string]Hint{"A": {CNR: "pack-a", Ver: "1.0.0"}, "B": {Aux: "o/r", Ver: "abc"}, "F": {CNR: "inner"}}, Hints([]byte(editor))); d != "" {
		t.Errorf("editor (-want +got):\n%s", d)
	}
	export := `{"1": {"class_type": "A", "_meta": {"title": "x", "cnr_id": "pack-a"}}, "2": {"class_type": "B", "properties": {"aux_id": "o/r"}}, "3": {"class_type": "C"}}`
	for name, text := range map[string]string{"export": export, "wrapped": `{"input": {"workflow": ` + export + `}}`} {
		if d := cmp.Diff(map[string]Hint{"A": {CNR: "pack-a"}, "B": {Aux: "o/r"}}, Hints([]byte(text))); d != "" {
			t.Errorf("%s (-want +got):\n%s", name, d)
		}
	}
}

func FuzzParseMap(f *testing.F) {
	f.Add([]byte(testMap))
	f.Add([]byte(`{"a":[["b"],{"nodename_pattern":"^(a|b$)"}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := ParseMap(b)
		if err != nil {
			return
		}
		Resolve(Input{Uses: []Use{{Class: "b"}, {Class: "KSampler"}}, Map: m})
	})
}

func FuzzHints(f *testing.F) {
	f.Add([]byte(`{"nodes":[{"type":"A","properties":{"cnr_id":"x"}}]}`))
	f.Add([]byte(`{"workflow":{"workflow":{"1":{"class_type":"A","_meta":{"aux_id":"o/r"}}}}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		for class, h := range Hints(b) {
			if class == "" || h.CNR == "" && h.Repo() == "" {
				t.Errorf("%q: %+v", class, h)
			}
		}
	})
}
