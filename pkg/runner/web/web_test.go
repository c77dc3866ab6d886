package web_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/comfyctl/comfyctl/pkg/contract"
	"github.com/comfyctl/comfyctl/pkg/runner/boot"
	"github.com/comfyctl/comfyctl/pkg/runner/web"
)

func TestHandler(t *testing.T) {
	get := func(path, etag string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(http.MethodGet, path, nil)
		r.Header.Set("If-None-Match", etag)
		w := httptest.NewRecorder()
		web.Handler().ServeHTTP(w, r)
		return w
	}
	for path, typ := range map[string]string{"/": "text/html", "/app.css": "text/css", "/app.js": "text/javascript"} {
		w := get(path, "")
		if w.Code != 200 || !strings.HasPrefix(w.Header().Get("Content-Type"), typ) || !strings.Contains(w.Header().Get("Content-Security-Policy"), "default-src 'none'") {
			t.Errorf("%s: %d %v", path, w.Code, w.Header())
		}
		if again := get(path, w.Header().Get("ETag")); again.Code != 304 || again.Body.Len() > 0 {
			t.Errorf("%s again: %d", path, again.Code)
		}
		// A page behind a path prefix must not reach for the root.
		if body := w.Body.String(); strings.Contains(body, `href="/`) || strings.Contains(body, `src="/`) {
			t.Errorf("%s has an absolute address", path)
		}
	}
	if w := get("/../web.go", ""); w.Code != 404 {
		t.Errorf("%d", w.Code)
	}
}

func TestScriptParses(t *testing.T) {
	if _, err := exec.LookPath("node"); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("node is missing")
		}
		t.Skip("node is missing")
	}
	if out, err := exec.Command("node", "--check", "app.js").CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// pageContract has an input of each kind, and a workflow that takes a file.
func pageContract() *contract.Contract {
	raw := func(s string) json.RawMessage { return json.RawMessage(s) }
	to := func(node, input string) []contract.Target { return []contract.Target{{Node: node, Input: input}} }
	return &contract.Contract{Schema: contract.Schema, Name: "page", Engine: contract.Engine{Kind: contract.EngineStub, Version: "v0.3.64"},
		Models: []contract.Model{{Path: "checkpoints/x.safetensors", Load: contract.LoadMount}},
		Runner: contract.Runner{Playground: true},
		Workflows: []contract.Workflow{{Name: "portrait", Version: "1", Description: "Portraits from a text prompt",
			Graph: raw(`{"3":{"class_type":"KSampler","inputs":{"seed":7,"steps":4,"cfg":7.0,"sampler_name":"euler","scheduler":"normal","denoise":1.0,"model":["4",0],"positive":["6",0],"negative":["7",0],"latent_image":["5",0]},"_meta":{"title":"Face pass"}},
				"4":{"class_type":"CheckpointLoaderSimple","inputs":{"ckpt_name":"x.safetensors"}},"5":{"class_type":"EmptyLatentImage","inputs":{"width":128,"height":128,"batch_size":1}},
				"6":{"class_type":"CLIPTextEncode","inputs":{"text":"x","clip":["4",1]}},"7":{"class_type":"CLIPTextEncode","inputs":{"text":"blurry","clip":["4",1]}},
				"8":{"class_type":"VAEDecode","inputs":{"samples":["3",0],"vae":["4",2]}},"9":{"class_type":"SaveImage","inputs":{"images":["8",0],"filename_prefix":"p"}}}`),
			Inputs: []contract.Input{
				{Name: "prompt", Type: contract.TypeText, Required: true, To: to("6", "text"), Description: "What to draw", Example: raw(`"a red fox in snow"`)},
				{Name: "negative", Type: contract.TypeText, To: to("7", "text"), Default: raw(`"blurry"`), Description: "What to keep out"},
				{Name: "seed", Type: contract.TypeSeed, Random: true, To: to("3", "seed")},
				{Name: "steps", Type: contract.TypeInt, Min: "1", Max: "50", Default: raw("4"), To: to("3", "steps")},
				{Name: "guidance", Type: contract.TypeFloat, Min: "1", Max: "15", Step: "0.5", Default: raw("7"), To: to("3", "cfg")},
				{Name: "sampler", Type: contract.TypeEnum, Enum: []json.RawMessage{raw(`"euler"`), raw(`"ddim"`)}, Default: raw(`"euler"`), To: to("3", "sampler_name")},
			},
			Outputs: []contract.Output{{Name: "image", Node: "9", Type: contract.TypeImage}}},
			{Name: "invert", Version: "1", Description: "A photo with its colours turned round",
				Graph: raw(`{"1":{"class_type":"LoadImage","inputs":{"image":"a.png"}},"2":{"class_type":"ImageInvert","inputs":{"image":["1",0]}},
				"3":{"class_type":"SaveImage","inputs":{"images":["2",0],"filename_prefix":"i"}},"4":{"class_type":"PrimitiveString","inputs":{"value":""}},"5":{"class_type":"PreviewAny","inputs":{"source":["4",0]}}}`),
				Inputs: []contract.Input{{Name: "photo", Type: contract.TypeImage, Required: true, To: to("1", "image"), MaxSize: 1 << 20},
					{Name: "note", Type: contract.TypeString, To: to("4", "value"), Description: "A word to go with it"}},
				Outputs: []contract.Output{{Name: "image", Node: "3", Type: contract.TypeImage}, {Name: "note", Node: "5", Type: contract.TypeString}}}}}
}

// TestTypes has the TypeScript compiler check the script's annotations.
func TestTypes(t *testing.T) {
	npm(t)
	if out, err := exec.Command("browser/node_modules/.bin/tsc", "--noEmit", "--allowJs", "--checkJs", "--strict", "--target", "es2022", "--lib", "es2022,dom,dom.iterable",
		"--moduleDetection", "force", "app.js").CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// npm installs what the page's tests run on.
func npm(t *testing.T) {
	t.Helper()
	if os.Getenv("COMFYCTL_TEST_BROWSER") == "" {
		if os.Getenv("CI") == "true" {
			t.Fatal("COMFYCTL_TEST_BROWSER is not set: the page must be tried in CI")
		}
		t.Skip("COMFYCTL_TEST_BROWSER is not set")
	}
	if err := installed(); err != nil {
		t.Fatal(err)
	}
}

var installed = sync.OnceValue(func() error {
	if out, err := exec.Command("npm", "--prefix", "browser", "ci", "--no-audit", "--no-fund", "--silent").CombinedOutput(); err != nil {
		return fmt.Errorf("npm: %w\n%s", err, out)
	}
	return nil
})

// serve runs a runner for the test and gives its address.
func serve(t *testing.T, o boot.Options) *url.URL {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done, ready := make(chan error, 1), make(chan struct{})
	o.Contract, o.StateDir, o.API, o.Pace, o.OnReady = pageContract(), t.TempDir(), l, 1, func() { close(ready) }
	go func() { done <- boot.Run(ctx, o) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	select {
	case <-ready:
	case err := <-done:
		done <- nil
		t.Fatal(err)
	case <-time.After(time.Minute):
		t.Fatal("the runner was not ready")
	}
	return &url.URL{Scheme: "http", Host: l.Addr().String(), Path: "/"}
}

// TestBrowser drives the page in Chromium against runners on the stub engine:
// one behind a proxy that adds a path, one that wants a key.
func TestBrowser(t *testing.T) {
	npm(t)
	open := serve(t, boot.Options{Auth: "off"})
	const key, prefix = "ck_for_the_test_of_the_page", "/behind/a proxy/"
	keyed := serve(t, boot.Options{Auth: "api-key", Keys: "page " + key})
	proxy := httptest.NewServer(http.StripPrefix(strings.TrimSuffix(prefix, "/"), &httputil.ReverseProxy{
		Rewrite:       func(r *httputil.ProxyRequest) { r.SetURL(open); r.Out.Host = r.In.Host },
		FlushInterval: -1,
	}))
	t.Cleanup(proxy.Close)
	cmd := exec.Command("node", "browser/test.mjs", proxy.URL+strings.ReplaceAll(prefix, " ", "%20"), keyed.String(), key, t.TempDir())
	if dir := os.Getenv("COMFYCTL_SCREENSHOTS"); dir != "" {
		cmd.Args = append(cmd.Args, dir)
	}
	out, err := cmd.CombinedOutput()
	t.Logf("%s", out)
	if err != nil {
		t.Error(err)
	}
}
