package validate

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestMachinePath(t *testing.T) {
	for text, want := range map[string]bool{
		`C:\Users\me\x.png`: true, `d:/pictures/x.png`: true, `\\nas\share\x.png`: true, `//nas/share/x.png`: true, `%USERPROFILE%\x`: true,
		"/home/me/x.png": true, "/Users/me/x.png": true, "/mnt/data/models/": true, "/workspace/ComfyUI/input/x.png": true, "/content/drive/My Drive/x.png": true,
		"~/x.png": true, "~me/x.png": true, "$HOME/x.png": true, "${HOME}/x": true, "file:///tmp/x.png": true, "/tmp/out/": true,
		"x.png": false, "sub/x.png": false, "./x.png": false, `SDXL\x.safetensors`: false, "/imagine a fox": false, "a: b": false, "/": false, "/x": false, "": false,
		"a/b\n/home/me/x": false, "1/2": false, "https://example.com/x": false, "C:": false, "Note: /home/me": false, "%date:yyyy-MM-dd%/x": false, "//": false, "// a comment": false,
		"~": false, "~1/2 fox": false, "10:30 a.m.": false, "{a:/b}": false,
	} {
		if got := machinePath(text) != ""; got != want {
			t.Errorf("%q: %v", text, got)
		}
	}
}

func TestPrivateHost(t *testing.T) {
	for text, want := range map[string]string{
		"http://localhost:8000/x": "localhost", "http://127.0.0.1/x": "127.0.0.1", "https://192.168.1.2/x": "192.168.1.2", "http://10.1.2.3:80": "10.1.2.3", "http://172.16.0.1/": "172.16.0.1",
		"http://169.254.169.254/latest": "169.254.169.254", "http://[::1]:8080/": "::1", "http://[fd00::1]/": "fd00::1", "http://100.64.1.1/": "100.64.1.1", "http://0.0.0.0:8188": "0.0.0.0",
		"http://nas.local/x": "nas.local", "https://git.corp/x": "git.corp", "http://comfyui:8188/": "comfyui", "ws://localhost/ws": "localhost", "http://me:pw@nas.lan/x": "nas.lan", "HTTP://LOCALHOST/": "localhost",
		"https://example.com/x": "", "http://172.32.0.1/": "", "http://8.8.8.8/": "", "hf://owner/repo/file": "", "civitai://123": "", "s3://bucket/key": "", "gs://b/k": "", "localhost:8000": "",
		"see http://localhost/": "", "http://": "", "http://%zz/": "", "https://${HOST}/x": "", "http://[::ffff:10.0.0.1]/": "::ffff:10.0.0.1", "oci://registry.example.com/x": "", "http://example.com./": "",
	} {
		if got := privateHost(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

// Where a file lies outside of the project it is one finding; where it is
// missing that is the finding.
func TestFilesOutside(t *testing.T) {
	small := "{" + source + ",\n " + save + "}\n"
	models := func(s string) string {
		return "models: [{ path: loras/a.safetensors, source: '" + s + "' }]\nchecks: { CM002: off }\n"
	}
	for _, tc := range []struct {
		name, yaml string
		files      map[string]string
		want       []string
	}{
		{"beside it", models("./a.safetensors"), map[string]string{"p/a.safetensors": ""}, nil},
		{"above, in the repository", models("../m/a.safetensors"), map[string]string{"m/a.safetensors": "", ".git/HEAD": ""}, nil},
		{"above, in none", models("../m/a.safetensors"), map[string]string{"m/a.safetensors": ""}, []string{"CY111 warning comfyctl.yaml:4:47 `../m/a.safetensors` lies outside of the project"}},
		{"absolute and missing", models("/no/such/a.safetensors"), nil, []string{"CM010 error comfyctl.yaml:4:47 model file `/no/such/a.safetensors` is not there"}},
		{"absolute and there", models("ABS/m/a.safetensors"), map[string]string{"m/a.safetensors": ""}, []string{"CY111 warning comfyctl.yaml:4:47 `ABS/m/a.safetensors` lies outside of the project"}},
		{"Windows", models(`D:\m\a.safetensors`), nil, []string{`CM010 error comfyctl.yaml:4:47 model file ` + "`" + `D:\m\a.safetensors` + "`" + ` is not there`}},
		{"a private host", models("http://nas.local/a.safetensors"), nil, []string{"CM003 warning comfyctl.yaml:4:10 model `loras/a.safetensors` has neither a `sha256` nor an entry in the lock",
			"CY112 warning comfyctl.yaml:4:47 `nas.local` can be reached from one network only"}},
		{"node packs", "nodes:\n  - { repo: \"http://10.0.0.2/x.git\", ref: v1 }\n  - path: ~/packs/mine\n  - path: \\\\nas\\packs\\mine\nchecks: { CM002: off }\n", nil, []string{
			"CY112 warning comfyctl.yaml:5:13 `10.0.0.2` can be reached from one network only",
			"CY111 warning comfyctl.yaml:6:11 `~/packs/mine` lies outside of the project",
			`CY111 warning comfyctl.yaml:7:11 ` + "`" + `\\nas\packs\mine` + "`" + ` lies outside of the project`}},
		{"hooks, ca and keys", "runner: { hooks: { pre: { run: /usr/local/bin/check.sh } } }\nbuild: { ca: ../ca.pem }\nauth: [{ type: jwt, jwks: /etc/keys/jwks.json }]\n", nil, []string{
			"CY111 warning comfyctl.yaml:4:32 `/usr/local/bin/check.sh` lies outside of the project",
			"CY111 warning comfyctl.yaml:5:14 `../ca.pem` lies outside of the project",
			"CY111 warning comfyctl.yaml:6:27 `/etc/keys/jwks.json` lies outside of the project"}},
		{"keys from a server", "auth: [{ type: jwt, jwks: \"https://idp.example.com/jwks\" }]\n", nil, nil},
		{"a picture of a test", "tests: [{ name: a, input: {}, expect: { outputs: { image: { like: ~/cube.png } } } }]\n", nil, []string{"CY111 warning comfyctl.yaml:4:67 `~/cube.png` lies outside of the project"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			files := map[string]string{"p/w.json": small}
			for n, text := range tc.files {
				files[n] = text
			}
			dir := write(t, files)
			yaml := strings.ReplaceAll("name: a\nworkflow: w.json\ninputs: {}\n"+tc.yaml, "ABS", dir)
			if err := os.WriteFile(filepath.Join(dir, "p", "comfyctl.yaml"), []byte(yaml), 0o644); err != nil {
				t.Fatal(err)
			}
			_, list, err := Load(t.Context(), Options{Dir: filepath.Join(dir, "p")})
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, line := range placed(list) {
				got = append(got, strings.ReplaceAll(line, dir, "ABS"))
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// A value that every job writes, a model's name and an upload's are no such
// finding, and neither is what ComfyUI ignores.
func TestLocalValues(t *testing.T) {
	g := `{"1":{"class_type":"PrimitiveString","inputs":{"value":"/home/me/x.png"}},"2":{"class_type":"PreviewAny","inputs":{"source":["1",0]}},
"3":{"class_type":"LoadImage","inputs":{"image":"/home/me/y.png"}},"4":{"class_type":"SaveImage","inputs":{"images":["3",0],"filename_prefix":"x","mine":"/home/me/z.png"}}}`
	const head = "name: a\nworkflow: w.json\ncomfyui: v0.3.64\n"
	_, list := load(t, Options{}, map[string]string{"w.json": g, "comfyctl.yaml": head + "inputs: {}\n"})
	want := []string{"CW113 warning w.json:1:56 `value` of node `1` is a path of one machine", "CW112 warning w.json:2:49 node `3` reads the uploaded file `/home/me/y.png`, which no input provides",
		"CW107 warning w.json:2:147 `SaveImage` has no input `mine`"}
	if diff := cmp.Diff(want, placed(list)); diff != "" {
		t.Error(diff)
	}
	_, list = load(t, Options{}, map[string]string{"w.json": g, "comfyctl.yaml": head + "inputs: { a: { to: 1.value, required: true }, b: { to: 3.image, required: true } }\n"})
	if diff := cmp.Diff(want[2:], placed(list)); diff != "" {
		t.Error(diff)
	}
}
