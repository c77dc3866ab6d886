package ui

import (
	"bytes"
	"encoding/json"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/comfyctl/comfyctl/internal/diag"
	"github.com/comfyctl/comfyctl/pkg/catalog"
	"github.com/comfyctl/comfyctl/pkg/workflow"
	"github.com/comfyctl/comfyctl/pkg/workflow/ui/uitest"
)

// saves lists the editor saves of testdata by name.
func saved(t testing.TB) map[string][]byte {
	t.Helper()
	files, err := filepath.Glob("testdata/*.json")
	if err != nil || len(files) < 10 {
		t.Fatalf("%d saves, %v", len(files), err)
	}
	m := map[string][]byte{}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		m[filepath.Base(f)] = b
	}
	return m
}

func classes(t testing.TB, version string) *catalog.Catalog {
	t.Helper()
	c, err := catalog.For(version)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// editorOf is the release whose own editor, 1.47.12, gave the recorded answers.
const editorOf = "v0.30.2"

// TestEditor compares with what the editor itself exported: the answers were
// recorded by the test of the same name in e2e, with -update.
func TestEditor(t *testing.T) {
	for _, version := range catalog.Versions() {
		cat := classes(t, version)
		files, err := filepath.Glob(filepath.Join("testdata", version, "*.json"))
		if err != nil || len(files) < 9 {
			t.Fatalf("%s: %d answers, %v", version, len(files), err)
		}
		saves := saved(t)
		for _, f := range files {
			name := filepath.Base(f)
			t.Run(version+"/"+strings.TrimSuffix(name, ".json"), func(t *testing.T) {
				b, err := os.ReadFile(f)
				if err != nil {
					t.Fatal(err)
				}
				var want uitest.Answer
				if err := json.Unmarshal(b, &want); err != nil || want.Error != "" || len(want.Output) == 0 {
					t.Fatalf("the answer is no export: %v %s", err, want.Error)
				}
				g, list := Read(name, saves[name], cat)
				if g == nil || diag.HasErrors(list) {
					t.Fatalf("not converted: %v", list)
				}
				for _, d := range uitest.Diff(g, want, version == editorOf) {
					t.Error(d)
				}
			})
		}
	}
}

// TestPlaces fails when a value does not lie where the graph says.
func TestPlaces(t *testing.T) {
	for name, src := range saved(t) {
		g, list := Read(name, src, classes(t, ""))
		if g == nil {
			t.Fatalf("%s: %v", name, list)
		}
		places(t, g)
	}
}

func places(t *testing.T, g *workflow.Graph) {
	t.Helper()
	at := func(s diag.Span) []byte { return g.Source[s.Start.Offset:s.End.Offset] }
	for _, n := range g.Nodes {
		var class string
		if err := json.Unmarshal(at(n.ClassSpan), &class); err != nil || class != n.Class {
			t.Fatalf("node %s %s: class at %q", n.ID, n.Class, at(n.ClassSpan))
		}
		for _, in := range n.Inputs {
			if got := at(in.ValueSpan); !in.Derived && !bytes.Equal(got, in.Raw) {
				t.Fatalf("node %s: %s is %s, in the file %s", n.ID, in.Name, in.Raw, got)
			}
			if in.ValueSpan.End.Offset == 0 {
				t.Fatalf("node %s: %s has no place", n.ID, in.Name)
			}
		}
	}
}

func TestPlaceOfAValue(t *testing.T) {
	src := saved(t)["plain.json"]
	g, _ := Read("plain.json", src, classes(t, ""))
	in := g.Node("3").Input("sampler_name")
	if in.Pointer != "/nodes/4/widgets_values/4" || in.Text != "euler" || in.ValueSpan.Start.Line != 6 || in.Derived {
		t.Errorf("%+v", in)
	}
	if g.Node("3").Input("seed").Kind != workflow.Number || string(g.Node("3").Input("seed").Raw) != "18446744073709551615" {
		t.Error("a seed lost digits")
	}
	link := g.Node("3").Input("model")
	if !link.Derived || link.Link == nil || link.Link.Node != "4" || !strings.HasPrefix(string(src[link.ValueSpan.Start.Offset:]), `[1,4,0,3,0,"MODEL"]`) {
		t.Errorf("%+v", link)
	}
	g, _ = Read("subgraphs.json", saved(t)["subgraphs.json"], classes(t, ""))
	if n := g.Node("2:31:21"); n == nil || n.Title != "Soft" || n.Pointer != "/definitions/subgraphs/0/nodes/1" {
		t.Errorf("%+v", n)
	}
}

// short is a finding in one line.
func short(list []diag.Diagnostic) []string {
	var s []string
	for _, d := range list {
		s = append(s, string(d.Severity)+" "+d.Code+" "+d.Message)
	}
	return s
}

func TestFindings(t *testing.T) {
	for _, tc := range []struct {
		name, src string
		want      []string
	}{
		{"unknown classes", `{"nodes":[{"id":1,"type":"A"},{"id":2,"type":"B"},{"id":3,"type":"A"},{"id":4,"type":"C","mode":2},{"id":5,"type":"D","mode":4}],"links":[]}`,
			[]string{"error CW002 this is ComfyUI's editor save, and 2 node classes are not known here: `A`, `B`"}},
		{"link to nowhere", `{"nodes":[{"id":1,"type":"PreviewImage","inputs":[{"name":"images","type":"IMAGE","link":7}]}],"links":[[7,9,0,1,0,"IMAGE"]]}`,
			[]string{"error CW004 input `images` of node 1 is linked to a node that is not there"}},
		{"link that is not there", `{"nodes":[{"id":1,"type":"PreviewImage","inputs":[{"name":"images","type":"IMAGE","link":7}]}],"links":[]}`,
			[]string{"error CW004 input `images` of node 1 is linked to a node that is not there"}},
		{"circle of reroutes", `{"nodes":[{"id":1,"type":"PreviewImage","inputs":[{"name":"images","type":"IMAGE","link":1}]},{"id":2,"type":"Reroute","inputs":[{"name":"","type":"*","link":2}]},{"id":3,"type":"Reroute","inputs":[{"name":"","type":"*","link":3}]}],"links":[[1,2,0,1,0,"*"],[2,3,0,2,0,"*"],[3,2,0,3,0,"*"]]}`,
			[]string{"error CW005 the link into input `images` of node 1 goes in a circle"}},
		{"subgraph in itself", `{"nodes":[{"id":1,"type":"s"}],"links":[],"definitions":{"subgraphs":[{"id":"s","nodes":[{"id":2,"type":"s"}]}]}}`,
			[]string{"error CW002 this editor save cannot be converted"}},
		{"made in the browser", `{"nodes":[{"id":1,"type":"Load3D","widgets_values":["m.glb"]}],"links":[]}`,
			[]string{"warning CW002 input `image` of node 1 Load3D is made in the browser for every run"}},
		{"nothing", `{"nodes":[],"links":[]}`, nil},
		{"NaN", `{"nodes":[{"id":1,"type":"EmptyImage","widgets_values":[NaN]}],"links":[]}`, []string{"error CW003 `NaN` is not JSON"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, list := Read("w.json", []byte(tc.src), classes(t, ""))
			if diff := cmp.Diff(tc.want, short(list)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestGroupNode holds a group node to what its file says. The editor that the
// other answers come from puts such values beside their place.
func TestGroupNode(t *testing.T) {
	g, list := Read("groupnode.json", saved(t)["groupnode.json"], classes(t, ""))
	if g == nil || len(list) > 0 {
		t.Fatal(short(list))
	}
	places(t, g)
	want := map[string]string{
		"15:11": `{"width":640,"height":384,"batch_size":2}`,
		"15:12": `{"text":"a fox","clip":["1",1]}`,
		"15:13": `{"text":"blur","clip":["1",1]}`,
		"15:14": `{"seed":99,"steps":12,"cfg":6.5,"sampler_name":"euler","scheduler":"normal","denoise":0.9,"model":["1",0],"positive":["15:12",0],"negative":["15:13",0],"latent_image":["15:11",0]}`,
		"3":     `{"samples":["15:14",0],"vae":["1",2]}`,
	}
	var got map[string]struct{ Inputs json.RawMessage }
	if err := json.Unmarshal(g.JSON(), &got); err != nil {
		t.Fatal(err)
	}
	for id, inputs := range want {
		if diff := cmp.Diff(inputs, string(got[id].Inputs)); diff != "" {
			t.Errorf("node %s: %s", id, diff)
		}
	}
}

// TestPacks holds what is known of classes that packs add to the editor alone.
func TestPacks(t *testing.T) {
	src := `{"nodes":[
{"id":1,"type":"EmptyImage","outputs":[{"name":"IMAGE","type":"IMAGE","links":[1]}],"widgets_values":[8,8,1,0]},
{"id":2,"type":"SetNode","inputs":[{"name":"IMAGE","type":"IMAGE","link":1}],"widgets_values":["pic"]},
{"id":3,"type":"GetNode","outputs":[{"name":"IMAGE","type":"IMAGE","links":[2]}],"widgets_values":["pic"]},
{"id":4,"type":"PreviewImage","inputs":[{"name":"images","type":"IMAGE","link":2}]},
{"id":5,"type":"Fast Groups Muter (rgthree)"}],"links":[[1,1,0,2,0,"IMAGE"],[2,3,0,4,0,"IMAGE"]]}`
	g, list := Read("w.json", []byte(src), classes(t, ""))
	if g == nil || len(list) > 0 || len(g.Nodes) != 2 || g.Node("4").Input("images").Link.Node != "1" {
		t.Errorf("%v %v", g, list)
	}
}

// corpus is the folder of real workflow files.
func corpus(t testing.TB) string {
	dir := os.Getenv("COMFYCTL_CORPUS")
	if dir == "" {
		dir = "../../../../shared/corpus"
	}
	if _, err := os.Stat(dir); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("no corpus: %v", err)
		}
		t.Skipf("no corpus: %v (set COMFYCTL_CORPUS)", err)
	}
	return filepath.Join(dir, "workflows")
}

// TestCorpus converts every real save whose classes are known; what becomes of
// the others is told with their classes.
func TestCorpus(t *testing.T) {
	dir := corpus(t)
	index, err := os.ReadFile(filepath.Join(dir, "index.tsv"))
	if err != nil {
		t.Fatal(err)
	}
	cat := classes(t, "")
	converted, unknown := 0, 0
	for _, row := range strings.Split(strings.TrimSpace(string(index)), "\n")[1:] {
		col := strings.Split(row, "\t")
		if col[5] != "ui" {
			continue
		}
		src, err := os.ReadFile(filepath.Join(dir, col[0]+".json"))
		if err != nil {
			t.Fatal(err)
		}
		g, list := Read(col[0], src, cat)
		switch {
		case g != nil:
			converted++
			places(t, g)
			if diag.HasErrors(list) {
				t.Errorf("%s: %v", col[0], short(list))
			}
		case len(list) == 1 && list[0].Code == "CW002" && strings.Contains(list[0].Message, "not known here"):
			unknown++
		default:
			t.Errorf("%s: %v", col[0], short(list))
		}
	}
	t.Logf("%d converted, %d with classes that are not known", converted, unknown)
	if converted == 0 {
		t.Error("none converted")
	}
}

func FuzzRead(f *testing.F) {
	for _, src := range saved(f) {
		f.Add(src)
	}
	f.Add([]byte(`{"nodes":[{"id":1,"type":"s"}],"links":[],"definitions":{"subgraphs":[{"id":"s","nodes":[{"id":2,"type":"s"}]}]}}`))
	cat := classes(f, "")
	f.Fuzz(func(t *testing.T, src []byte) {
		g, list := Read("w.json", src, cat)
		if g == nil {
			if !diag.HasErrors(list) {
				t.Fatal("neither graph nor error")
			}
			return
		}
		if !json.Valid(g.JSON()) {
			t.Fatalf("not JSON: %s", g.JSON())
		}
		for _, n := range g.Nodes {
			for _, in := range n.Inputs {
				if got := g.Source[in.ValueSpan.Start.Offset:in.ValueSpan.End.Offset]; !in.Derived && !bytes.Equal(got, in.Raw) {
					t.Fatalf("span %q, raw %q", got, in.Raw)
				}
			}
		}
	})
}

// FuzzMutated changes whole parts of a save, where FuzzRead changes its letters.
func FuzzMutated(f *testing.F) {
	saves := saved(f)
	names := slices.Sorted(maps.Keys(saves))
	for i := range names {
		f.Add(uint8(i), uint64(1))
	}
	cat := classes(f, "")
	f.Fuzz(func(t *testing.T, i uint8, seed uint64) {
		var v any
		if err := json.Unmarshal(saves[names[int(i)%len(names)]], &v); err != nil {
			t.Fatal(err)
		}
		r := rand.New(rand.NewPCG(seed, 1)) //nolint:gosec // a test
		for range 1 + r.IntN(6) {
			v = mutated(r, v, v)
		}
		src, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		g, list := Read("w.json", src, cat)
		if g == nil && !diag.HasErrors(list) {
			t.Fatalf("neither graph nor error: %s", src)
		}
		if g != nil && !json.Valid(g.JSON()) {
			t.Fatalf("not JSON: %s", g.JSON())
		}
	})
}

// mutated walks down at random and puts something else there: a part of the
// whole, a value of another kind, or nothing.
func mutated(r *rand.Rand, v, whole any) any {
	if r.IntN(6) == 0 {
		switch r.IntN(8) {
		case 0:
			return nil
		case 1:
			return r.IntN(60) - 20
		case 2:
			return "aaaaaaaa-0000-4000-8000-000000000001"
		case 3:
			return []any{}
		case 4:
			return map[string]any{}
		case 5:
			return true
		default:
			return part(r, whole)
		}
	}
	switch x := v.(type) {
	case map[string]any:
		keys := slices.Sorted(maps.Keys(x))
		if len(keys) == 0 {
			return x
		}
		k, out := keys[r.IntN(len(keys))], maps.Clone(x)
		if r.IntN(8) == 0 {
			delete(out, k)
		} else {
			out[k] = mutated(r, x[k], whole)
		}
		return out
	case []any:
		if len(x) == 0 {
			return x
		}
		i, out := r.IntN(len(x)), slices.Clone(x)
		switch r.IntN(8) {
		case 0:
			return slices.Delete(out, i, i+1)
		case 1:
			return append(out, out[i])
		}
		out[i] = mutated(r, x[i], whole)
		return out
	}
	return v
}

// part is something that lies in a save.
func part(r *rand.Rand, v any) any {
	for range r.IntN(8) {
		switch x := v.(type) {
		case map[string]any:
			keys := slices.Sorted(maps.Keys(x))
			if len(keys) > 0 {
				v = x[keys[r.IntN(len(keys))]]
			}
		case []any:
			if len(x) > 0 {
				v = x[r.IntN(len(x))]
			}
		}
	}
	return v
}

func BenchmarkRead(b *testing.B) {
	cat := classes(b, "")
	src := big(1000)
	b.SetBytes(int64(len(src)))
	for b.Loop() {
		if g, list := Read("w", src, cat); g == nil || len(g.Nodes) != 1000 {
			b.Fatal(list)
		}
	}
}

// big is a save with a chain of n nodes.
func big(n int) []byte {
	var nodes, links []string
	for i := range n {
		s := `{"id":` + itoa(i) + `,"type":"ImageScale","mode":0,"inputs":[{"name":"image","type":"IMAGE","link":` + itoa(i) + `}],"outputs":[{"name":"IMAGE","type":"IMAGE","links":[` + itoa(i+1) + `]}],"widgets_values":["lanczos",64,64,"disabled"]}`
		if i == 0 {
			s = `{"id":0,"type":"EmptyImage","mode":0,"outputs":[{"name":"IMAGE","type":"IMAGE","links":[1]}],"widgets_values":[64,64,1,0]}`
		} else {
			links = append(links, `[`+itoa(i)+`,`+itoa(i-1)+`,0,`+itoa(i)+`,0,"IMAGE"]`)
		}
		nodes = append(nodes, s)
	}
	return []byte(`{"nodes":[` + strings.Join(nodes, ",") + `],"links":[` + strings.Join(links, ",") + `],"version":0.4}`)
}

func itoa(i int) string {
	b, _ := json.Marshal(i) // a number always encodes
	return string(b)
}
