package pack

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/comfyctl/comfyctl/internal/diag"
	"github.com/comfyctl/comfyctl/internal/progress"
	"github.com/comfyctl/comfyctl/pkg/contract"
)

func TestNodeNames(t *testing.T) {
	for want, n := range map[string]NodePack{
		"ComfyUI_essentials": {Repo: "https://github.com/cubiq/ComfyUI_essentials"},
		"pack":               {Repo: "git@github.com:o/pack.git"},
		"tail":               {Repo: "https://h/o/tail.git/"},
		"mine":               {Path: "./nodes/mine/"},
		"given":              {Path: "./x", Name: "given"},
	} {
		if got := nodeName(n); got != want {
			t.Errorf("%+v: %q, want %q", n, got, want)
		}
	}
	dir := t.TempDir()
	write(t, filepath.Join(dir, "a/p/x.py"), nil)
	write(t, filepath.Join(dir, "b/P/x.py"), nil)
	for _, nodes := range [][]NodePack{{{Path: "a/p"}, {Path: "b/P"}}, {{Path: "none"}}} {
		r := &Recipe{Dir: dir, Environment: &Environment{Nodes: nodes}}
		var e *diag.Error
		if _, err := nodeTrees(t.Context(), r, BuildOptions{CacheDir: t.TempDir()}, progress.Discard); !errors.As(err, &e) || e.Class != diag.ClassCheck {
			t.Errorf("%v: %v", nodes, err)
		}
	}
}

func TestRequirements(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "requirements.txt"), []byte("\ufefftorch\r\ntorchvision>=0.1\r\nTorch_Audio-Tools\r\n# note\r\n-r more/extra.txt\r\nComfyUI_Embedded.Docs==1\r\nnumpy>=1.25 \\\r\n  ; python_version > '3'\r\n--extra-index-url https://x\r\ntorch @ https://h/torch.whl\r\ngit+https://h/torch\r\n"))
	write(t, filepath.Join(dir, "more/extra.txt"), []byte("torchaudio\nscipy\n"))
	got, err := readRequirements(dir, torchPackages, editorPackages)
	if err != nil {
		t.Fatal(err)
	}
	want := "Torch_Audio-Tools\nscipy\nnumpy>=1.25    ; python_version > '3'\n--extra-index-url https://x\ngit+https://h/torch\n"
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if got, err := readRequirements(t.TempDir()); got != "" || err != nil {
		t.Errorf("no file: %q, %v", got, err)
	}
	for _, bad := range []string{"-r ../../etc/passwd\n", "-r requirements.txt\n", "-r none.txt\n"} {
		write(t, filepath.Join(dir, "requirements.txt"), []byte(bad))
		if _, err := readRequirements(dir); err == nil {
			t.Errorf("%q: no error", bad)
		}
	}
}

func FuzzPackageName(f *testing.F) {
	for _, s := range []string{"torch", "a-b_c.d>=1", "git+https://x", "-r x", "x @ https://y", "\x00"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if n := packageName(s); strings.ContainsAny(n, " _.\n/") {
			t.Errorf("packageName(%q) = %q", s, n)
		}
	})
}

func TestEnvironmentKey(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "requirements.txt"), []byte("numpy\n"))
	write(t, filepath.Join(dir, "ca.pem"), []byte("cert"))
	const base = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	key := func(e Environment) string {
		t.Helper()
		if e.Torch == "" {
			e.Torch = "cpu"
		}
		p, err := planEnvironment(&e, base, "linux/amd64", tree{dir: dir}, nil)
		if err != nil {
			t.Fatal(err)
		}
		return p.key
	}
	first := key(Environment{})
	for name, e := range map[string]Environment{
		"the way there": {Proxy: "http://p:1", CA: filepath.Join(dir, "ca.pem"), Pip: map[string]string{"PIP_RETRIES": "9"}},
		"again":         {},
	} {
		if key(e) != first {
			t.Errorf("%s: another key", name)
		}
	}
	for name, e := range map[string]Environment{
		"torch": {Torch: "cu128"}, "python": {Python: "3.12"}, "package": {PythonPackages: []string{"x"}},
		"system package": {SystemPackages: []string{"x"}}, "index": {Pip: map[string]string{"PIP_INDEX_URL": "https://x"}},
	} {
		if key(e) == first {
			t.Errorf("%s: the same key", name)
		}
	}
	write(t, filepath.Join(dir, "requirements.txt"), []byte("numpy\nscipy\n"))
	if key(Environment{}) == first {
		t.Error("other requirements: the same key")
	}
}

func TestSettingsAreQuoted(t *testing.T) {
	got := settings(&Environment{Pip: map[string]string{"PIP_INDEX_URL": "https://u:p'$(id)@h"}})
	if got != `PIP_INDEX_URL='https://u:p'\''$(id)@h'`+"\n" {
		t.Errorf("got %s", got)
	}
}

func TestPipSettings(t *testing.T) {
	got := pipSettings(map[string]string{
		"PIP_INDEX_URL": "https://x", "PIP_CACHE_DIR": "/c", "PIP_FIND_LINKS": "/wheels", "PIP_RETRIES": "3", "PIP_USER": "1", "PIP_PRE": "",
	})
	if d := cmp.Diff(map[string]string{"PIP_INDEX_URL": "https://x", "PIP_RETRIES": "3"}, got); d != "" {
		t.Error(d)
	}
}

func TestPlanIsOrdered(t *testing.T) {
	dir := t.TempDir()
	c := contents{contract: &contract.Contract{Name: "x", Engine: contract.Engine{Version: "v1"}}, runner: []byte("r")}
	for name, size := range map[string]int{"a": bigModel, "b": bigModel + 1, "c": 5, "d": 6} {
		file := filepath.Join(dir, name)
		write(t, file, make([]byte, size))
		c.models = append(c.models, Model{Path: "m/" + name, File: file, Size: int64(size)})
	}
	plans, err := c.layers()
	if err != nil {
		t.Fatal(err)
	}
	got := []string{}
	for _, p := range plans {
		got = append(got, p.Kind+" "+p.Name)
	}
	if d := cmp.Diff([]string{"weights m/b", "weights m/a", "models bundle 1, 2 files", "runner comfy-runner", "service x"}, got); d != "" {
		t.Error(d)
	}
}

func TestDry(t *testing.T) {
	r := stub(t, t.TempDir())
	r.Runner = testRunner(t)
	r.Models = append(r.Models, Model{Path: "vae/far.safetensors", Sources: []string{"https://example.invalid/x"}, Load: contract.LoadBake})
	cache := t.TempDir()
	plans, err := Dry(t.Context(), r, BuildOptions{CacheDir: cache})
	if err != nil {
		t.Fatal(err)
	}
	got := []string{}
	for _, p := range plans {
		size := "known"
		if p.Size < 0 {
			size = "unknown"
		}
		got = append(got, p.Kind+" "+p.Name+" "+size)
	}
	want := []string{"weights vae/far.safetensors unknown", "weights checkpoints/big.safetensors known", "models bundle 1, 1 files known", "runner comfy-runner known", "service portrait known"}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if list, _ := os.ReadDir(filepath.Join(cache, "cas")); len(list) != 0 {
		t.Errorf("a dry run wrote %v", list)
	}
}
