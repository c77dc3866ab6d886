package web_test

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
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

// TestBrowser drives the page in Chromium against a runner on the stub engine.
func TestBrowser(t *testing.T) {
	if os.Getenv("COMFYCTL_TEST_BROWSER") == "" {
		if os.Getenv("CI") == "true" {
			t.Fatal("COMFYCTL_TEST_BROWSER is not set: the page must be tried in CI")
		}
		t.Skip("COMFYCTL_TEST_BROWSER is not set")
	}
	if out, err := exec.Command("npm", "--prefix", "browser", "ci", "--no-audit", "--no-fund", "--silent").CombinedOutput(); err != nil {
		t.Fatalf("npm: %v\n%s", err, out)
	}
	raw := func(s string) json.RawMessage { return json.RawMessage(s) }
	to := func(node, input string) []contract.Target { return []contract.Target{{Node: node, Input: input}} }
	c := &contract.Contract{Schema: contract.Schema, Name: "page", Engine: contract.Engine{Kind: contract.EngineStub, Version: "v0.3.64"}, Models: []contract.Model{{Path: "checkpoints/x.safetensors", Load: contract.LoadMount}},
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
			Outputs: []contract.Output{{Name: "image", Node: "9", Type: contract.TypeImage}}}}}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done, ready := make(chan error, 1), make(chan struct{})
	go func() {
		done <- boot.Run(ctx, boot.Options{Contract: c, StateDir: t.TempDir(), API: l, Pace: 1, OnReady: func() { close(ready) }})
	}()
	defer func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}()
	select {
	case <-ready:
	case err := <-done:
		t.Fatal(err)
	case <-time.After(20 * time.Second):
		t.Fatal("the runner was not ready")
	}
	args := []string{"browser/test.mjs", "http://" + l.Addr().String() + "/"}
	if dir := os.Getenv("COMFYCTL_SCREENSHOTS"); dir != "" {
		args = append(args, dir)
	}
	out, err := exec.Command("node", args...).CombinedOutput()
	t.Logf("%s", out)
	if err != nil {
		t.Error(err)
	}
}
