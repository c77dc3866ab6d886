package from

import (
	"archive/zip"
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/comfyctl/comfyctl/internal/diag"
	"github.com/comfyctl/comfyctl/pkg/catalog"
	"github.com/comfyctl/comfyctl/pkg/workflow"
)

func TestDetect(t *testing.T) {
	for src, want := range map[string]Kind{
		"PK\x03\x04rest": CPack,
		`{"python":"3.12","comfyui":"x","models":[],"git_custom_nodes":{}}`:            CPackList,
		"\xef\xbb\xbf" + `{"comfyui":"x","git_custom_nodes":{},"cnr_custom_nodes":{}}`: Manager,
		"custom_nodes:\n  comfyui: x\n  git_custom_nodes: {}\n":                        Manager,
		`{"type":"comfyui-desktop-2-snapshot","snapshots":[]}`:                         Desktop,
		"custom_nodes:\n- a\n- b\n":                                                    Manifest,
		"models:\n  before_start: []\n":                                                Manifest,
		"\t{\"apt\": [\"ffmpeg\"]}":                                                    Manifest,
		"schema: comfy-build/1\ndefinition: {}\n":                                      Build,
		`{"schema":"distribution-definition/0","models":[]}`:                           Build,
		"build:\n  gpu: true\npredict: a.py:P\n":                                       Cog,
		"build:\n  python_version: \"3.12\"\n":                                         Cog,
		`[{"repo":"https://github.com/a/b","commit":"1234567"}]`:                       CogNodes,
		`{"file_type":"view_comfy","workflows":[]}`:                                    ViewComfy,
		// Workflows and what is none of them.
		`{"3":{"class_type":"KSampler","inputs":{}}}`: "",
		`{"nodes":[],"links":[],"models":{}}`:         "",
		`{"prompt":{"3":{"class_type":"A"}}}`:         "",
		`[]`:                                          "",
		"":                                            "",
		"a: [b":                                       "",
		"\x89PNG\r\n\x1a\n":                           "",
		"services:\n  web:\n    build: .\n":           "",
		"name: portrait\nworkflow: w.json\n":          "",
	} {
		if got := Detect([]byte(src)); got != want {
			t.Errorf("%q is taken for %q, want %q", src, got, want)
		}
	}
}

type entry struct {
	name, text string
	mode       fs.FileMode
}

func pack(t testing.TB, list ...entry) []byte {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for _, e := range list {
		h := &zip.FileHeader{Name: e.name, Method: zip.Deflate}
		if e.mode != 0 {
			h.SetMode(e.mode)
		}
		w, err := z.CreateHeader(h)
		if err == nil {
			_, err = w.Write([]byte(e.text))
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

// What is not in order is refused before it is unpacked.
func TestRefused(t *testing.T) {
	good := entry{name: "snapshot.json", text: `{}`}
	huge := entry{name: "workflow.json", text: strings.Repeat(" ", 8<<20)}
	many := make([]entry, maxEntries+1)
	for i := range many {
		many[i].name = "input/" + strings.Repeat("x", i%100) + string(rune('a'+i%26)) + json.Number(strings.Repeat("1", 1+i%5)).String() + "_" + strings.Repeat("y", i/1000)
	}
	whole := pack(t, good)
	for _, tt := range []struct {
		name string
		src  []byte
		want string
	}{
		{"climbs", pack(t, good, entry{name: "../evil"}), "leads out"},
		{"climbs within", pack(t, good, entry{name: "input/../../evil"}), "leads out"},
		{"absolute", pack(t, good, entry{name: "/etc/passwd"}), "leads out"},
		{"drive", pack(t, good, entry{name: "C:/x"}), "leads out"},
		{"backslash", pack(t, good, entry{name: `..\evil`}), "leads out"},
		{"link", pack(t, good, entry{name: "input/a", text: "/etc/passwd", mode: fs.ModeSymlink | 0o777}), "link or a device"},
		{"twice", pack(t, good, good), "twice"},
		{"bomb", pack(t, good, huge), "unpack to more"},
		{"entries", pack(t, many...), "entries"},
		{"cut off", whole[:len(whole)-9], "not a complete zip"},
		{"nothing", pack(t, entry{name: "readme.txt"}), "no snapshot.json"},
		{"no JSON", pack(t, entry{name: "snapshot.json", text: "[1"}), "end of JSON"},
		{"another shape", pack(t, entry{name: "snapshot.json", text: `{"models":7}`}), "wrong type"},
		{"another kind", []byte(`{"a":1}`), "none of the files"},
		{"no workflow", []byte(`{"file_type":"view_comfy","workflows":[]}`), "no workflow"},
		{"no snapshot", []byte(`{"type":"comfyui-desktop-2-snapshot","snapshots":[]}`), "no snapshot"},
		{"wrong type", []byte(`{"type":"comfyui-desktop-2-snapshot","snapshots":7}`), "wrong type"},
	} {
		_, err := Read("x", tt.src, Options{})
		var e *diag.Error
		if !errors.As(err, &e) || e.Class != diag.ClassCheck || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}

// Where a file holds several, one is taken by name or number.
func TestPick(t *testing.T) {
	apps := []byte(`{"file_type":"view_comfy","workflows":[{"viewComfyJSON":{"title":"One"},"workflowApiJSON":{"1":{}}},{"viewComfyJSON":{"title":"Two"},"workflowApiJSON":{"2":{}}}]}`)
	shots := []byte(`{"type":"comfyui-desktop-2-snapshot","snapshots":[{"createdAt":"2026-01-01","label":"first","comfyui":{"ref":"v0.1.0"}},{"createdAt":"2026-03-01","comfyui":{"ref":"v0.3.0"}},{"createdAt":"2026-02-01","comfyui":{"ref":"v0.2.0"}}]}`)
	for _, tt := range []struct {
		src        []byte
		pick, want string
	}{{apps, "", "One"}, {apps, "two", "Two"}, {apps, "1", "One"}, {apps, "Tow", "did you mean `Two`?"}, {apps, "7", "there are One, Two"},
		{shots, "", "v0.3.0"}, {shots, "first", "v0.1.0"}, {shots, "3", "v0.2.0"}, {shots, "2026-03-01", "v0.3.0"}} {
		d, err := Read("x", tt.src, Options{Pick: tt.pick})
		got := ""
		var e *diag.Error
		switch {
		case errors.As(err, &e):
			got = e.Help
		case d != nil:
			got = d.Name + d.ComfyUI
		}
		if got != tt.want {
			t.Errorf("%q gives %q, want %q", tt.pick, got, tt.want)
		}
	}
}

// The size in an archive's list is a claim: an entry that holds more is refused.
func TestLyingSize(t *testing.T) {
	src := pack(t, entry{name: "snapshot.json", text: `{"python":"3.12"}`})
	at := bytes.Index(src, []byte("PK\x01\x02"))
	copy(src[at+24:], []byte{1, 0, 0, 0}) // the uncompressed size in the central list
	if _, err := Read("x", src, Options{}); err == nil {
		t.Error("taken")
	}
}

func TestSource(t *testing.T) {
	for in, want := range map[string]string{
		"https://huggingface.co/a/b/resolve/main/x.safetensors?download=true": "hf://a/b/x.safetensors ",
		"https://huggingface.co/a/b/blob/v1/dir/x.safetensors":                "hf://a/b/dir/x.safetensors@v1 ",
		"https://hf.co/a/b/resolve/main/x%20y.safetensors":                    "hf://a/b/x y.safetensors ",
		"https://huggingface.co/a/b":                                          "https://huggingface.co/a/b ",
		"https://civitai.com/api/download/models/87153":                       "civitai://87153 ",
		"https://civitai.com/api/download/models/87153?token=abc":             "civitai://87153 token",
		"https://civitai.com/api/download/models/87153?type=Model":            "https://civitai.com/api/download/models/87153?type=Model ",
		"https://civitai.com/models/80000/name?modelVersionId=87153":          "civitai://87153 ",
		"https://me:secret@example.com/x.safetensors":                         "https://example.com/x.safetensors user",
		"https://example.com/x.safetensors?api_key=1&v=2#top":                 "https://example.com/x.safetensors?v=2 api_key",
		"./x.safetensors": "./x.safetensors ",
		"s3://bucket/x":   "s3://bucket/x ",
	} {
		s, lost := source(in)
		if got := s + " " + lost; got != want {
			t.Errorf("%s gives %q, want %q", in, got, want)
		}
	}
}

func TestNames(t *testing.T) {
	for in, want := range map[string]string{"models/checkpoints/a.safetensors": "checkpoints/a.safetensors", `models\loras\b\c.safetensors`: "loras/b/c.safetensors", "/opt/ComfyUI/models/vae/x.pt": "vae/x.pt",
		"./models/vae/x.pt": "vae/x.pt", "x.pt": "", "../vae/x.pt": "", "models/../x/y": "", "C:/x/y": "", "/etc/passwd": "", "vae/": "", "": "", "a/b\nc": "", "ckpt/../../x": ""} {
		if got, ok := modelPath(in); got != want || ok != (want != "") {
			t.Errorf("%q gives %q, %v", in, got, ok)
		}
	}
	for in, want := range map[string]string{"git@github.com:a/b.git": "https://github.com/a/b", "https://github.com/a/b/": "https://github.com/a/b", "ComfyUI-X": "", "https://u:p@github.com/a/b": "", "file:///etc": "", "--upload-pack=x": "", "https://": ""} {
		if got := repository(in); got != want {
			t.Errorf("%q gives %q", in, got)
		}
	}
	for in, want := range map[string]string{"https://github.com/a/b/tree/v1": "https://github.com/a/b v1", "https://github.com/a/b.git/commit/abc": "https://github.com/a/b abc", "https://gitlab.com/a/b/-/tree/dev": "https://gitlab.com/a/b dev",
		"https://bitbucket.org/a/b/src/dev": "https://bitbucket.org/a/b dev", "https://github.com/a/b/releases/tag/v2": "https://github.com/a/b v2", "https://github.com/a/b@main": "https://github.com/a/b main", "https://github.com/a/b": "https://github.com/a/b "} {
		r, ref := splitRef(in)
		if got := r + " " + ref; got != want {
			t.Errorf("%q gives %q", in, got)
		}
	}
	for in, want := range map[string]string{"0.3.64": "v0.3.64", "v0.3.64": "v0.3.64", "master": "master", "--x": "", "a b": ""} {
		if got := tag(in); got != want {
			t.Errorf("%q gives %q", in, got)
		}
	}
}

func newest(t testing.TB) *catalog.Catalog {
	t.Helper()
	c, err := catalog.For(catalog.Newest())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func graph(t testing.TB, src string) *workflow.Graph {
	t.Helper()
	g, found := workflow.Parse("w", []byte(src))
	if g == nil {
		t.Fatalf("%+v", found)
	}
	return g
}

// Marks that cannot be taken out stay, with their pack.
func TestUnmarkKept(t *testing.T) {
	g := graph(t, `{"1":{"class_type":"ComfyUIDeployExternalAudio","inputs":{"input_id":"voice","audio_file":"a.mp3"}},
		"2":{"class_type":"CPackOutputFile","inputs":{"filename":["1",0],"filename_prefix":"x"},"_meta":{"title":"sound"}},
		"3":{"class_type":"CPackInputString","inputs":{"value":["1",0]},"_meta":{"title":"fed"}},
		"4":{"class_type":"PrimitiveString","inputs":{"value":["3",0]}},
		"5":{"class_type":"CPackInputAny","inputs":{"input":[1,2,3]},"_meta":{"title":"list"}},
		"6":{"class_type":"Other","inputs":{"x":["5",0]}},
		"7":{"class_type":"CPackOutputImage","inputs":{"filename_prefix":"x"},"_meta":{"title":"nothing"}}}`)
	d, ok := Unmark(g, newest(t))
	if !ok {
		t.Fatal("no marks")
	}
	want := `{"1":{"class_type":"ComfyUIDeployExternalAudio","inputs":{"input_id":"voice","audio_file":"a.mp3"},"_meta":{"title":"ComfyUIDeployExternalAudio"}},` +
		`"2":{"class_type":"CPackOutputFile","inputs":{"filename":["1",0],"filename_prefix":"x"},"_meta":{"title":"sound"}},` +
		`"4":{"class_type":"PrimitiveString","inputs":{"value":["1",0]},"_meta":{"title":"PrimitiveString"}},` +
		`"6":{"class_type":"Other","inputs":{"x":{"__value__":[1,2,3]}},"_meta":{"title":"Other"}}}`
	if diff := cmp.Diff(want, string(d.Graph)); diff != "" {
		t.Error(diff)
	}
	var packs, lost []string
	for _, p := range d.Packs {
		packs = append(packs, p.Repo)
	}
	for _, l := range d.Lost {
		lost = append(lost, l.What)
	}
	if diff := cmp.Diff([]string{deployRepo, cpackRepo}, packs); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"input `fed` (CPackInputString)", "output `nothing` (CPackOutputImage)"}, lost); diff != "" {
		t.Error(diff)
	}
	if _, ok := Unmark(graph(t, `{"1":{"class_type":"SaveImage","inputs":{}}}`), newest(t)); ok {
		t.Error("a graph without marks has some")
	}
}

// Names that clash are told apart, and every one is a name.
func TestUnmarkNames(t *testing.T) {
	g := graph(t, `{"1":{"class_type":"CPackInputString","inputs":{"value":"a"},"_meta":{"title":"text"}},"2":{"class_type":"CPackInputString","inputs":{"value":"b"},"_meta":{"title":"text"}},
		"3":{"class_type":"CPackInputString","inputs":{"value":"c"},"_meta":{"title":"Größe!"}},"4":{"class_type":"ComfyUIDeployExternalText","inputs":{"input_id":"9 lives","default_value":"d"}},
		"5":{"class_type":"ComfyUIDeployExternalImage","inputs":{"input_id":"https://example.com/a.png","default_value_url":"https://example.com/a.png"}},
		"9":{"class_type":"X","inputs":{"a":["1",0],"b":["2",0],"c":["3",0],"d":["4",0]}}}`)
	d, _ := Unmark(g, newest(t))
	var names []string
	for _, in := range d.Inputs {
		names = append(names, in.Name)
	}
	if diff := cmp.Diff([]string{"text", "text_2", "c", "text_4", "image"}, names); diff != "" {
		t.Error(diff)
	}
}

func TestApp(t *testing.T) {
	g := graph(t, `{"6":{"class_type":"CLIPTextEncode","inputs":{"text":"a","clip":["4",1]}},"3":{"class_type":"KSampler","inputs":{"seed":1,"steps":["7",0]}},"12:8":{"class_type":"CLIPTextEncode","inputs":{"text":"b"}},
		"13:8":{"class_type":"Other","inputs":{"scale":2}},"9":{"class_type":"SaveImage","inputs":{"images":["3",0]}}}`)
	d, ok := App([]byte(`{"nodes":[],"links":[],"extra":{"linearData":{"inputs":[[6,"text"],["6","text"],[3,"seed",{"height":80}],["b2a3:8","text"],["widget:b2a3:13:scale","scale"],["b2a3:3:seed","seed"],[3,"steps"],[99,"x"],[3]],"outputs":[9,"77"]}}}`), g)
	if !ok {
		t.Fatal("no app")
	}
	var got []string
	for _, in := range d.Inputs {
		got = append(got, in.Name+"="+in.To[0].Node+"."+in.To[0].Input)
	}
	for _, o := range d.Outputs {
		got = append(got, o.Name+"="+o.Node)
	}
	for _, l := range d.Lost {
		got = append(got, l.What)
	}
	if diff := cmp.Diff([]string{"text=6.text", "seed=3.seed", "text_12_8=12:8.text", "scale=13:8.scale", "image=9", "widget `steps` of node 3", "widget `x` of node 99", "output of node 77"}, got); diff != "" {
		t.Error(diff)
	}
	for _, src := range []string{`{"nodes":[]}`, `{"extra":{"linearData":{}}}`, `{"extra":7}`, ``, `[`} {
		if _, ok := App([]byte(src), g); ok {
			t.Errorf("%s is an app", src)
		}
	}
}

// seeds are the files of the golden tests.
func seeds(f *testing.F) {
	for _, pattern := range []string{"*/*.json", "*/*.y*ml"} {
		list, _ := filepath.Glob(filepath.Join("..", "testdata", "from", pattern))
		for _, name := range list {
			if src, err := os.ReadFile(name); err == nil {
				f.Add(src)
			}
		}
	}
	f.Add(pack(f, entry{name: "snapshot.json", text: `{"python":"3.12","comfyui":"x","models":[{"filename":"models/vae/x"}]}`}, entry{name: "workflow_api.json", text: "{}"}, entry{name: "input/a.png"}))
}

// checked holds for every description, whatever it was read from.
func checked(t *testing.T, d *Description) {
	t.Helper()
	for _, m := range d.Models {
		if p, ok := modelPath(m.Path); !ok || p != m.Path {
			t.Errorf("model path %q", m.Path)
		}
		if m.SHA256 != "" && digest(m.SHA256) != m.SHA256 || m.Size < 0 {
			t.Errorf("%+v", m)
		}
	}
	for _, p := range d.Packs {
		if (p.Repo == "") == (p.Registry == "") || p.Repo != "" && repository(p.Repo) == "" || strings.HasPrefix(p.Ref, "-") || strings.ContainsAny(p.Repo+p.Ref+p.Registry+p.Version, " \n\x00") {
			t.Errorf("%+v", p)
		}
	}
	for _, in := range d.Inputs {
		if !goodName.MatchString(in.Name) || len(in.To) == 0 {
			t.Errorf("%+v", in)
		}
	}
	for _, o := range d.Outputs {
		if !goodName.MatchString(o.Name) || o.Node == "" {
			t.Errorf("%+v", o)
		}
	}
	if strings.ContainsAny(d.ComfyUI+d.Python+d.Torch, " \n\x00") || strings.HasPrefix(d.ComfyUI, "-") {
		t.Errorf("%+v", d)
	}
}

func FuzzRead(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, src []byte) {
		d, err := Read("x", src, Options{Beside: func(string) ([]byte, error) { return src, nil }})
		if err != nil {
			var e *diag.Error
			if !errors.As(err, &e) {
				t.Errorf("%T %v", err, err)
			}
			return
		}
		checked(t, d)
	})
}

func FuzzUnmark(f *testing.F) {
	seeds(f)
	c := newest(f)
	f.Fuzz(func(t *testing.T, src []byte) {
		g, _ := workflow.Parse("w", src)
		if g == nil {
			return
		}
		for _, read := range []func([]byte, *workflow.Graph) (*Description, bool){App, Hints} {
			if d, ok := read(src, g); ok {
				checked(t, d)
			}
		}
		d, ok := Unmark(g, c)
		if !ok {
			return
		}
		checked(t, d)
		again, found := workflow.Parse("w", d.Graph)
		if again == nil {
			t.Fatalf("%+v\n%s", found, d.Graph)
		}
		for _, in := range d.Inputs {
			for _, to := range in.To {
				n := again.Node(to.Node)
				if n == nil || n.Input(to.Input) == nil || n.Input(to.Input).Link != nil {
					t.Errorf("%s.%s is no value\n%s", to.Node, to.Input, d.Graph)
				}
			}
		}
	})
}

// Every mark that Unmark knows has a definition with the inputs it reads.
func TestMarks(t *testing.T) {
	c, err := Marks()
	if err != nil {
		t.Fatal(err)
	}
	for class, m := range marks {
		cl, ok := c.Class(class)
		if class == "ComfyUIDeployExternalTextList" || class == "CPackOutputVideoZip" {
			continue // of a fork, or gone again: known by name only
		}
		if !ok {
			t.Errorf("%s has no definition", class)
			continue
		}
		if cl.OutputNode != (m.output != "") {
			t.Errorf("%s: output node %v", class, cl.OutputNode)
		}
		names := []string{m.name}
		if len(m.value) > 0 && (m.becomes == "" || m.output == "") {
			found := false
			for _, v := range m.value {
				_, has := cl.Input(v)
				found = found || has
			}
			if !found {
				t.Errorf("%s has none of %v", class, m.value)
			}
		}
		if m.output != "" && m.to != "" {
			names = append(names, m.to)
		}
		for _, n := range names {
			if _, has := cl.Input(n); n != "" && !has {
				t.Errorf("%s has no %s", class, n)
			}
		}
	}
}

func TestHints(t *testing.T) {
	g := graph(t, `{"1":{"class_type":"A","inputs":{}},"2":{"class_type":"B","inputs":{}},"5:3":{"class_type":"C","inputs":{}}}`)
	d, ok := Hints([]byte(`{"nodes":[{"type":"A","properties":{"cnr_id":"pack-a","ver":"1.2.3","models":[{"name":"x.safetensors","url":"https://hf.co/a/b/resolve/main/x.safetensors","directory":"vae","hash":"zz","hash_type":"SHA256"}]}},
		{"type":"B","properties":{"aux_id":"me/Pack.b","ver":"2222222222222222222222222222222222222222"}},{"type":"gone","properties":{"cnr_id":"pack-gone","ver":"1.0.0"}},{"type":"A","properties":7},{"type":"A"},
		{"type":"B","properties":{"cnr_id":"comfy-core","ver":"0.3.64"}}],
		"models":[{"name":"y","url":"","directory":"../.."}],
		"definitions":{"subgraphs":[{"nodes":[{"type":"C","properties":{"cnr_id":"pack-c","ver":"3333333333333333333333333333333333333333"}}]}]}}`), g)
	if !ok {
		t.Fatal("no hints")
	}
	want := &Description{Packs: []Pack{{Registry: "pack-a", Version: "1.2.3"}, {Repo: "https://github.com/me/Pack.b", Ref: "2222222222222222222222222222222222222222"}, {Registry: "pack-c"}},
		Models: []Model{{Path: "vae/x.safetensors", Sources: []string{"hf://a/b/x.safetensors"}}}, Lost: []Lost{{What: "model `../../y`", Why: "it does not lie in a folder of ComfyUI's models"}}}
	if diff := cmp.Diff(want, d); diff != "" {
		t.Error(diff)
	}
	for _, src := range []string{`{}`, `{"nodes":7}`, `[`, ``} {
		if _, ok := Hints([]byte(src), g); ok {
			t.Errorf("%s has hints", src)
		}
	}
}
