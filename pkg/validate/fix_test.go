package validate

import (
	"bytes"
	"context"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/comfyctl/comfyctl/internal/diag"
)

func fixed(t testing.TB, o Options, files map[string]string) (map[string]string, []diag.Diagnostic) {
	t.Helper()
	o.Dir = write(t, files)
	f, err := Fix(context.Background(), o, nil)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for name, b := range f.Files {
		out[name] = string(b)
	}
	return out, f.Done
}

func TestFix(t *testing.T) {
	const head = "name: portrait\nworkflow: w.json\n"
	small := "{" + source + ",\n " + save + "}\n"
	nan := `{` + source + `, "2":{"class_type":"SaveImage","inputs":{"images":["1",0],"filename_prefix":"x"},"is_changed":[NaN, -Infinity]}}`
	packs := func(class string) []Pack {
		return map[string][]Pack{"A": {{Repo: "https://g.it/a", Ref: "v1"}}, "B": {{Registry: "b@2.0.0"}}, "C": {{Repo: "x"}, {Repo: "y"}}}[class]
	}
	needs := `{"1":{"class_type":"A","inputs":{}},"2":{"class_type":"B","inputs":{"x":["1",0]}}}`
	needsA := `{"1":{"class_type":"A","inputs":{}}}`
	for _, tc := range []struct {
		name, yaml, graph string
		packs             bool
		want              map[string]string
	}{
		{"nothing to do", head, small, false, map[string]string{}},
		{"a key, its comment kept", head + "gpu:   # the card\n  cuont:  2   # two\n", small, false,
			map[string]string{"comfyctl.yaml": head + "gpu:   # the card\n  count:  2   # two\n"}},
		{"a key in quotes", head + "gpu: { \"cuont\": 2 }\n", small, false, map[string]string{"comfyctl.yaml": head + "gpu: { \"count\": 2 }\n"}},
		{"two words for one key", head + "gpu: { cuont: 2, coutn: 3 }\n", small, false, map[string]string{}},
		{"the key is there", head + "gpu: { cuont: 2, count: 3 }\n", small, false, map[string]string{}},
		{"a value that would not fit", head + "runner: { prot: http }\n", small, false, map[string]string{}},
		{"one good, one not", head + "runner: { prot: http }\ngpu: { cuont: 2 }\n", small, false,
			map[string]string{"comfyctl.yaml": head + "runner: { prot: http }\ngpu: { count: 2 }\n"}},
		{"words", head + "runner:\n  warmup: yes # please\n  raw: Off\n", small, false, map[string]string{"comfyctl.yaml": head + "runner:\n  warmup: true # please\n  raw: false\n"}},
		{"a word with an anchor", head + "runner: { warmup: &w yes }\nx-note: *w\n", small, false, map[string]string{}},
		{"deprecated", head + "inputs: { w: { target: 1.width } }\nrunner: { retries: { on: [crash] } }\n", small, false,
			map[string]string{"comfyctl.yaml": head + "inputs: { w: { to: 1.width } }\nrunner: { retries: { when: [crash] } }\n"}},
		{"NaN, several files", head + "gpu: { cuont: 2 }\n", nan, false,
			map[string]string{"comfyctl.yaml": head + "gpu: { count: 2 }\n", "w.json": `{` + source + `, "2":{"class_type":"SaveImage","inputs":{"images":["1",0],"filename_prefix":"x"},"is_changed":[null, null]}}`}},
		{"CRLF and a byte order mark", "\ufeffname: portrait\r\nworkflow: w.json\r\ngpu: { cuont: 2 }\r\n", "\ufeff" + nan, false,
			map[string]string{"comfyctl.yaml": "\ufeffname: portrait\r\nworkflow: w.json\r\ngpu: { count: 2 }\r\n",
				"w.json": "\ufeff" + `{` + source + `, "2":{"class_type":"SaveImage","inputs":{"images":["1",0],"filename_prefix":"x"},"is_changed":[null, null]}}`}},
		{"a byte order mark before the key", "\ufeffnmae: portrait\nworkflow: w.json\n", small, false, map[string]string{"comfyctl.yaml": "\ufeffname: portrait\nworkflow: w.json\n"}},
		{"no inputs", head, `{` + source + `,"2":{"class_type":"SaveImage","inputs":{"images":["1",0],"filename_prefix":"x"}}, "3": {"class_type":"PreviewAny"}}`, false,
			map[string]string{"w.json": `{` + source + `,"2":{"class_type":"SaveImage","inputs":{"images":["1",0],"filename_prefix":"x"}}, "3": {"class_type":"PreviewAny", "inputs": {}}}`}},
		{"packs, none before", head + "# end", needs, true, map[string]string{"comfyctl.yaml": head + "# end\nnodes:\n  - repo: https://g.it/a\n    ref: v1\n  - registry: b@2.0.0\n"}},
		{"a pack to a list", head + "nodes:\n- repo: https://g.it/z # mine\n  ref: v9\n\n# then\ngpu: none\n", needsA, true,
			map[string]string{"comfyctl.yaml": head + "nodes:\n- repo: https://g.it/z # mine\n  ref: v9\n- repo: https://g.it/a\n  ref: v1\n\n# then\ngpu: none\n"}},
		{"a pack at the end", head + "nodes:\n  - { path: ./z }", needsA, true, map[string]string{"comfyctl.yaml": head + "nodes:\n  - { path: ./z }\n  - repo: https://g.it/a\n    ref: v1"}},
		{"a pack in brackets", head + "nodes: [{ path: ./z }]   # one\n", needsA, true, map[string]string{"comfyctl.yaml": head + "nodes: [{ path: ./z }, { repo: https://g.it/a, ref: v1 }]   # one\n"}},
		{"a pack in empty brackets", head + "nodes: []\n", needsA, true, map[string]string{"comfyctl.yaml": head + "nodes: [{ repo: https://g.it/a, ref: v1 }]\n"}},
		{"a pack, several known", head, `{"1":{"class_type":"C","inputs":{}}}`, true, map[string]string{}},
		{"a hash", head + "models: [{ path: loras/a.safetensors, source: ./a, sha256: \"ABCDEF0123456789abcdef0123456789abcdef0123456789abcdef0123456789\" }]\n", small, false,
			map[string]string{"comfyctl.yaml": head + "models: [{ path: loras/a.safetensors, source: ./a, sha256: \"abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789\" }]\n"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			files := map[string]string{"comfyctl.yaml": tc.yaml, "w.json": tc.graph, "a": "x", "z/x.py": ""}
			o := Options{}
			if tc.packs {
				// The lock lacks what is added: there is one note for that.
				o.Packs, o.Lock = packs, &Locked{Packs: []LockedPack{{Key: "https://g.it/z", Commit: "v9"}, {Key: "./z"}}}
			}
			got, _ := fixed(t, o, files)
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Error(diff)
			}
			maps.Copy(files, got)
			if again, _ := fixed(t, o, files); len(again) > 0 {
				t.Errorf("fixing again changes %v", again)
			}
		})
	}
}

// The bad example of every rule: to fix it twice is to fix it once, each
// finding that is fixed is gone, and no other comes.
func TestFixesDoNoHarm(t *testing.T) {
	count := 0
	for id, f := range fixtures(t) {
		t.Run(id, func(t *testing.T) {
			files := f.files("bad")
			o := f.options(t, files)
			_, before := load(t, o, files)
			got, done := fixed(t, o, files)
			count += len(done)
			maps.Copy(files, got)
			_, after := load(t, o, files)
			for _, d := range after {
				if d.Fix != nil && d.Fix.Safe && len(done) > 0 {
					t.Errorf("left: %s %s", d.Code, d.Message)
				}
			}
			note := func(d diag.Diagnostic) bool { return d.Severity == diag.SeverityNote }
			before, after = slices.DeleteFunc(before, note), slices.DeleteFunc(after, note)
			if len(after) > len(before)-len(done) {
				t.Errorf("%d findings, %d fixed, %d left", len(before), len(done), len(after))
			}
			if again, _ := fixed(t, o, files); len(again) > 0 {
				t.Errorf("fixing again changes %v", again)
			}
		})
	}
	if count < 5 {
		t.Errorf("only %d fixes in all examples", count)
	}
}

// A picture that carries a workflow is not edited.
func TestPicturesAreNotFixed(t *testing.T) {
	png, err := os.ReadFile(filepath.Join("testdata", "nan.png"))
	if err != nil {
		t.Fatal(err)
	}
	dir := write(t, map[string]string{"comfyctl.yaml": "name: a\nworkflow: w.png\n", "w.png": string(png)})
	_, list, err := Load(context.Background(), Options{Dir: dir})
	if err != nil || !bytes.Contains(png, []byte("NaN")) {
		t.Fatal(err)
	}
	found := false
	for _, d := range list {
		found = found || d.Code == "CW003"
		if d.Fix != nil {
			t.Errorf("%s has a fix", d.Code)
		}
	}
	if !found {
		t.Error("NaN is not found")
	}
}
