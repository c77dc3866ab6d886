package python

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/comfyctl/comfyctl/internal/diag"
	"github.com/comfyctl/comfyctl/pkg/lock/locktest"
)

func TestParseLine(t *testing.T) {
	for line, want := range map[string]string{
		"NumPy": "numpy",
		"opencv_python>=4.7 ; python_version>'3'":                    "opencv-python>=4.7 ; python_version>'3'",
		"transformers[torch] ~= 4.5, !=4.6":                          "transformers[torch] ~= 4.5, !=4.6",
		"a.b_c==1.0.*":                                               "a-b-c==1.0.*",
		"pkg (>=1.0)":                                                "pkg(>=1.0)",
		"pkg==1 --hash=sha256:00 --hash sha256:1":                    "pkg==1",
		"pkg --index-url https://e.com/simple":                       "pkg",
		"clip @ https://e.com/clip-1.0.zip":                          "clip @ https://e.com/clip-1.0.zip",
		"sage @ https://e.com/sage-1.0-cp312-cp312-linux_x86_64.whl": "sage @ https://e.com/sage-1.0-cp312-cp312-linux_x86_64.whl",
		"https://e.com/My_Pkg-1.0-py3-none-any.whl":                  "my-pkg @ https://e.com/My_Pkg-1.0-py3-none-any.whl",
		"git+https://e.com/o/clip.git":                               "clip: ",
		"sam @ git+https://e.com/o/x":                                "sam: ",
		"-e git+https://e.com/o/x#egg=Real":                          "real: ",
		"git+ssh://git@e.com/o/thing@v1":                             "thing: ",
		"-r other.txt":                                               "!",
		"--trusted-host e.com":                                       "!",
		"--find-links /tmp":                                          "!",
		"-e .":                                                       "!",
		"./wheels/x.whl":                                             "!",
		"/opt/x.whl":                                                 "!",
		"x.whl":                                                      "!",
		"file:///x":                                                  "!",
		"pkg @ file:///x":                                            "!",
		"rm -rf /":                                                   "!",
		"pkg==1; os_name=='x' && rm":                                 "pkg==1; os_name=='x' && rm", // a marker: uv refuses it
		"pkg=1":                                                      "!",
		"$(id)":                                                      "!",
	} {
		req, note := parseLine(line)
		got := req.Line
		switch {
		case req.Name == "":
			got = "!"
			if note == "" {
				t.Errorf("%q is left out without a word", line)
			}
		case req.Line == "":
			got = req.Name + ": "
		}
		if got != want {
			t.Errorf("%q: %q, want %q", line, got, want)
		}
	}
}

func write(t *testing.T, dir, name, text string) {
	t.Helper()
	p := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(p, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestRead(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "requirements.txt", "\ufeff# head\r\nalpha>=1 \\\r\n  ,<2 # tail\r\ntorch\r\ncomfy\r\ndropped\r\n-r req/more.txt\r\n-r nowhere.txt\r\n-c constraints.txt\r\n")
	write(t, dir, "req/more.txt", "beta#not a comment\ngamma # one\n")
	got, err := Read(dir, "pack", map[string]bool{"dropped": true})
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, r := range got.Requirements {
		lines = append(lines, r.Line+" "+r.Place())
	}
	if d := cmp.Diff([]string{"alpha>=1 ,<2 requirements.txt:2", "gamma req/more.txt:2"}, lines); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	if len(got.Notes) != 5 { // torch, comfy, the file that is not there, -c, beta#…
		t.Errorf("%+v", got.Notes)
	}
	project := t.TempDir()
	write(t, project, "pyproject.toml", "[project]\nname='x'\ndependencies = [\"alpha>=1\", \"torch\"]\n")
	if got, err = Read(project, "pack", nil); err != nil || len(got.Requirements) != 1 || got.Requirements[0].Place() != "pyproject.toml" {
		t.Errorf("%+v, %v", got, err)
	}
	write(t, project, "pyproject.toml", "[project\n")
	if got, err = Read(project, "pack", nil); err != nil || len(got.Notes) != 1 {
		t.Errorf("a broken pyproject.toml: %+v, %v", got, err)
	}
	for name, text := range map[string]string{"a loop": "-r requirements.txt\n", "a way out": "-r ../../etc/passwd\n"} {
		bad := t.TempDir()
		write(t, bad, "requirements.txt", text)
		if _, err := Read(bad, "pack", nil); err == nil {
			t.Errorf("%s was read", name)
		}
	}
}

func TestSettle(t *testing.T) {
	req := func(lines ...string) []Requirement {
		return Given(lines, "p", "f").Requirements
	}
	for _, tc := range []struct {
		asked []string
		cuda  bool
		want  []string
	}{
		{[]string{"opencv-python>=4"}, false, []string{"opencv-python-headless>=4"}},
		{[]string{"opencv-python", "opencv-contrib-python==4.1; python_version<'4'"}, false, []string{"opencv-contrib-python-headless", "opencv-contrib-python-headless==4.1; python_version<'4'"}},
		{[]string{"onnxruntime", "onnxruntime-gpu"}, true, []string{"onnxruntime-gpu", "onnxruntime-gpu"}},
		{[]string{"onnxruntime", "onnxruntime-gpu"}, false, []string{"onnxruntime", "onnxruntime"}},
		{[]string{"onnxruntime"}, true, []string{"onnxruntime"}},
		{[]string{"numpy"}, true, []string{"numpy"}},
	} {
		list, _, _ := settle(req(tc.asked...), nil, tc.cuda)
		var got []string
		for _, r := range list {
			got = append(got, r.Line)
		}
		if d := cmp.Diff(tc.want, got); d != "" {
			t.Errorf("%q (-want +got):\n%s", tc.asked, d)
		}
	}
}

func TestParsePylock(t *testing.T) {
	const head = "lock-version = \"1.0\"\ncreated-by = \"uv\"\n"
	const hash = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	file := func(name string) string {
		return `{ url = "https://user:pass@e.com/` + name + `", size = 5, hashes = { sha256 = "` + hash + `" } }`
	}
	pkg := func(name string, wheels ...string) string {
		return "[[packages]]\nname = \"" + name + "\"\nversion = \"1.0\"\nwheels = [" + strings.Join(wheels, ", ") + "]\n"
	}
	got, err := ParsePylock([]byte(head +
		pkg("b", file("b-1.0-py3-none-any.whl"), file("b-1.0-cp312-cp312-manylinux_2_17_x86_64.whl"), file("b-1.0-cp312-cp312-manylinux_2_28_x86_64.whl"), file("b-1.0-cp38-abi3-manylinux_2_28_x86_64.whl")) +
		pkg("A", file("a-1.0%2Bcu128-cp310-abi3-linux_x86_64.whl"), file("a-1.0-cp38-abi3-linux_x86_64.whl")) +
		"[[packages]]\nname = \"c\"\nversion = \"1.0\"\nsdist = " + file("c-1.0.tar.gz") + "\n" +
		"[[packages]]\nname = \"d\"\narchive = " + file("d-2.0-py3-none-any.whl") + "\n"))
	if err != nil {
		t.Fatal(err)
	}
	var files []string
	for _, p := range got {
		files = append(files, p.Name+" "+p.Version+" "+p.File)
		if strings.Contains(p.URL, "pass") {
			t.Errorf("%s holds a password", p.URL)
		}
	}
	if d := cmp.Diff([]string{"a 1.0 a-1.0+cu128-cp310-abi3-linux_x86_64.whl", "b 1.0 b-1.0-cp312-cp312-manylinux_2_28_x86_64.whl", "c 1.0 c-1.0.tar.gz", "d 2.0 d-2.0-py3-none-any.whl"}, files); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	if !got[2].Source || got[0].Source || !got[3].Direct {
		t.Errorf("%+v", got)
	}
	for name, text := range map[string]string{"nothing": "", "another version": "lock-version = \"2.0\"", "no hash": head + "[[packages]]\nname = \"x\"\nwheels = [{ url = \"https://e.com/x-1-py3-none-any.whl\" }]\n", "no file": head + "[[packages]]\nname = \"x\"\n", "no TOML": "{"} {
		if _, err := ParsePylock([]byte(text)); err == nil {
			t.Errorf("%s was read", name)
		}
	}
}

// Real uv against an index of our own: who stands against whom, and what has to
// be built.
func TestExplain(t *testing.T) {
	locktest.NeedUV(t, os.Getenv("CI"))
	index := locktest.NewIndex(t, locktest.Wheel{Name: "alpha", Version: "1.0"}, locktest.Wheel{Name: "alpha", Version: "2.0"},
		locktest.Wheel{Name: "built", Version: "1.0", Tag: "sdist"}, locktest.Wheel{Name: "needs-old", Version: "1.0", Requires: []string{"alpha<2"}})
	tool, err := FindTool(t.Context(), t.TempDir(), false)
	if err != nil {
		t.Fatal(err)
	}
	from := func(who string, lines ...string) []Requirement {
		r := Given(lines, who, "requirements.txt").Requirements
		for i := range r {
			r[i].No = i + 1
		}
		return r
	}
	for _, tc := range []struct {
		name string
		list []Requirement
		code string
		want []string
	}{
		{"two packs", append(from("new", "alpha>=2"), from("old", "alpha<2")...), "python_conflict", []string{"new: alpha>=2   (requirements.txt:1)", "old: alpha<2   (requirements.txt:1)"}},
		{"by way of a third", append(from("new", "alpha>=2"), from("old", "needs-old")...), "python_conflict", []string{"new: alpha>=2   (requirements.txt:1)", "old: needs-old   (requirements.txt:1)"}},
		{"to be compiled", from("pack", "built"), "python_needs_build", []string{"pack: built   (requirements.txt:1)"}},
		{"unknown", from("pack", "nowhere"), "python_unknown", []string{"pack: nowhere   (requirements.txt:1)"}},
	} {
		_, err := Compile(t.Context(), tc.list, Options{Tool: tool, Python: "3.12", Platform: "linux/amd64", Torch: "system", Index: index.Simple()})
		var d *diag.Error
		if !errors.As(err, &d) || d.Code != tc.code || d.Class != diag.ClassCheck {
			t.Errorf("%s: %v, want %s", tc.name, err, tc.code)
			continue
		}
		var got []string
		for _, f := range d.Facts {
			if f[0] != "uv" {
				got = append(got, f[0]+": "+f[1])
			}
		}
		if diff := cmp.Diff(tc.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tc.name, diff)
		}
	}
	r, err := Compile(t.Context(), from("service", "built"), Options{Tool: tool, Python: "3.12", Platform: "linux/amd64", Torch: "system", Index: index.Simple(), Build: []string{"built"}})
	if err != nil || len(r.Packages) != 1 || !r.Packages[0].Source {
		t.Errorf("allowed by the service file: %+v, %v", r.Packages, err)
	}
}

// Torch and its companions come from their own index, everything else from the
// default one.
func TestTorchIndex(t *testing.T) {
	locktest.NeedUV(t, os.Getenv("CI"))
	def := locktest.NewIndex(t, locktest.Wheel{Name: "torch", Version: "9.0"}, locktest.Wheel{Name: "torchvision", Version: "9.0"}, locktest.Wheel{Name: "torchaudio", Version: "9.0"},
		locktest.Wheel{Name: "alpha", Version: "1.0", Requires: []string{"torch"}})
	torch := locktest.NewIndex(t, locktest.Wheel{Name: "torch", Version: "2.0+cu128", Requires: []string{"alpha"}}, locktest.Wheel{Name: "torchvision", Version: "2.0+cu128"}, locktest.Wheel{Name: "torchaudio", Version: "2.0+cu128"},
		locktest.Wheel{Name: "alpha", Version: "0.1"})
	tool, err := FindTool(t.Context(), t.TempDir(), false)
	if err != nil {
		t.Fatal(err)
	}
	// The index of a build lies below the address of all of them: the fake
	// serves every project below /simple/.
	r, err := Compile(t.Context(), Given([]string{"alpha"}, "pack", "f").Requirements, Options{Tool: tool, Python: "3.12", Platform: "linux/amd64", Torch: "simple", TorchIndex: torch.URL, Index: def.Simple()})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, p := range r.Packages {
		where := "default"
		if p.Index != "" {
			where = "torch"
		}
		if (p.Index != "") != strings.HasPrefix(p.URL, torch.URL) {
			t.Errorf("%s is from %s", p.Name, p.URL)
		}
		got = append(got, p.Name+" "+p.Version+" "+where)
	}
	if d := cmp.Diff([]string{"alpha 1.0 default", "torch 2.0+cu128 torch", "torchaudio 2.0+cu128 torch", "torchvision 2.0+cu128 torch"}, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

func FuzzParseLine(f *testing.F) {
	for _, s := range []string{"numpy>=1", "a @ https://e.com/x", "-e git+https://e.com/o/r#egg=x", "pkg[extra]==1; python_version<'3'", "--index-url x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, line string) {
		req, note := parseLine(line)
		if req.Name == "" && note == "" {
			t.Errorf("%q is left out without a word", line)
		}
		if strings.HasPrefix(req.Line, "-") || req.Name != Normal(req.Name) {
			t.Errorf("%q became %+v", line, req)
		}
	})
}

func FuzzParsePylock(f *testing.F) {
	f.Add("lock-version = \"1.0\"\n[[packages]]\nname = \"a\"\nwheels = [{ url = \"https://e.com/a-1-py3-none-any.whl\", hashes = { sha256 = \"00\" } }]\n")
	f.Fuzz(func(t *testing.T, text string) {
		list, err := ParsePylock([]byte(text))
		if err != nil {
			return
		}
		for _, p := range list {
			if p.SHA256 == "" || p.URL == "" {
				t.Errorf("%+v", p)
			}
		}
	})
}
