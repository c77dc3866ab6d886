package pack

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/comfyctl/comfyctl/internal/cas"
	"github.com/comfyctl/comfyctl/internal/diag"
	"github.com/comfyctl/comfyctl/internal/progress"
	"github.com/comfyctl/comfyctl/internal/source"
	"github.com/comfyctl/comfyctl/pkg/contract"
)

func hexSum(b []byte) string {
	s := sha256.Sum256(b)
	return hex.EncodeToString(s[:])
}

// find runs Models on one model.
func find(t *testing.T, dir string, m Model, o ModelOptions) (Model, error) {
	t.Helper()
	if o.Store == nil {
		o.Store = cas.Open(t.TempDir())
	}
	tr := &http.Transport{}
	t.Cleanup(tr.CloseIdleConnections)
	o.Sources.HTTP = &http.Client{Transport: tr}
	m.Load = contract.LoadBake
	r := &Recipe{Dir: dir, Models: []Model{m}}
	err := Models(t.Context(), r, o)
	return r.Models[0], err
}

func TestLocalModelIsReadOnce(t *testing.T) {
	dir, store := t.TempDir(), cas.Open(t.TempDir())
	b := safetensors(5000)
	write(t, filepath.Join(dir, "m.safetensors"), b)
	m := Model{Path: "loras/m.safetensors", Sources: []string{"m.safetensors"}}
	for i, want := range []progress.State{progress.Done, progress.Cached} {
		var last progress.Event
		got, err := find(t, dir, m, ModelOptions{Store: store, Progress: func(e progress.Event) { last = e }})
		if err != nil {
			t.Fatal(err)
		}
		if got.SHA256 != hexSum(b) || got.Size != int64(len(b)) || got.File != filepath.Join(dir, "m.safetensors") {
			t.Errorf("%+v", got)
		}
		if last.State != want {
			t.Errorf("time %d: %s, want %s", i+1, last.State, want)
		}
	}
	if _, ok := store.Has(hexSum(b)); ok {
		t.Error("a local model was copied into the store")
	}
}

func TestBadModels(t *testing.T) {
	dir := t.TempDir()
	good := safetensors(5000)
	write(t, filepath.Join(dir, "good.safetensors"), good)
	write(t, filepath.Join(dir, "cut.safetensors"), good[:4000])
	write(t, filepath.Join(dir, "head.safetensors"), good[:20])
	write(t, filepath.Join(dir, "empty.safetensors"), nil)
	write(t, filepath.Join(dir, "junk.safetensors"), []byte(strings.Repeat("junk", 50)))
	write(t, filepath.Join(dir, "page.gguf"), []byte("<!DOCTYPE html><html>"))
	write(t, filepath.Join(dir, "lfs.sft"), []byte("version https://git-lfs.github.com/spec/v1\noid sha256:0\n"))
	write(t, filepath.Join(dir, "no.gguf"), []byte("not it"))
	write(t, filepath.Join(dir, "folder/x"), []byte("x"))
	for _, tc := range []struct {
		source, sha, code, says string
		class                   diag.Class
	}{
		{"none.safetensors", "", "model_missing", "does not exist", diag.ClassCheck},
		{"cut.safetensors", "", "model_truncated", "cut short", diag.ClassCheck},
		{"head.safetensors", "", "model_truncated", "cut short", diag.ClassCheck},
		{"empty.safetensors", "", "not_a_model", "empty", diag.ClassCheck},
		{"junk.safetensors", "", "not_a_model", "safetensors", diag.ClassCheck},
		{"page.gguf", "", "not_a_model", "web page", diag.ClassCheck},
		{"lfs.sft", "", "not_a_model", "Git LFS", diag.ClassCheck},
		{"no.gguf", "", "not_a_model", "GGUF", diag.ClassCheck},
		{"folder", "", "not_a_model", "regular file", diag.ClassCheck},
		{"good.safetensors", strings.Repeat("0", 64), "wrong_hash", "not the file", diag.ClassCheck},
		{"s3://bucket/x", "", "source_unsupported", "s3://", diag.ClassCheck},
		{"civitai://one", "", "source_unsupported", "civitai://", diag.ClassCheck},
		{"gopher://x/y", "", "source_unsupported", "no such scheme", diag.ClassCheck},
		{"hf://owner/repo", "", "source_unsupported", "hf://OWNER/REPO/FILE", diag.ClassCheck},
		{"hf://owner/repo/../x", "", "source_unsupported", "dotted", diag.ClassCheck},
	} {
		t.Run(tc.source, func(t *testing.T) {
			name := "checkpoints/x" + filepath.Ext(tc.source)
			_, err := find(t, dir, Model{Path: name, Sources: []string{tc.source}, SHA256: tc.sha}, ModelOptions{})
			var e *diag.Error
			if !errors.As(err, &e) || e.Code != tc.code || e.Class != tc.class || !strings.Contains(e.Message, tc.says) || e.Help == "" {
				// A scheme's reason may stand in the help.
				if e == nil || !strings.Contains(e.Message+e.Help, tc.says) || e.Code != tc.code {
					t.Errorf("got %v", err)
				}
			}
		})
	}
	for _, p := range []string{"", "/abs", "../up", "a/../b", `a\b`, "."} {
		if _, err := find(t, dir, Model{Path: p, Sources: []string{"good.safetensors"}}, ModelOptions{}); err == nil {
			t.Errorf("path %q: no error", p)
		}
	}
}

func TestRemoteModels(t *testing.T) {
	b := safetensors(5000)
	var asked []string
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, strings.TrimSpace(r.Method+" "+r.URL.Path+" "+r.Header.Get("Authorization")))
		w.Header().Set("ETag", `"v1"`)
		switch {
		case r.URL.Path == "/gone":
			http.NotFound(w, r)
		case r.Header.Get("If-None-Match") == `"v1"`:
			w.WriteHeader(http.StatusNotModified)
		default:
			_, _ = w.Write(b)
		}
	}))
	defer srv.Close()
	store := cas.Open(t.TempDir())
	secret := func(name string) (string, bool) { return "s3cret\n", name == "HF_TOKEN" }
	o := ModelOptions{Store: store, Sources: source.Options{Secret: secret, Backends: source.Hubs(source.Endpoints{HuggingFace: srv.URL})}}

	m, err := find(t, "", Model{Path: "loras/m.safetensors", Sources: []string{srv.URL + "/gone", "hf://o/r/a b/m.safetensors@rev"}, Auth: "HF_TOKEN"}, o)
	if err != nil {
		t.Fatal(err)
	}
	if m.SHA256 != hexSum(b) || m.File != store.Path(m.SHA256) {
		t.Errorf("%+v", m)
	}
	// The secret is for the hub; the mirror is asked without it.
	file := " /o/r/resolve/rev/a b/m.safetensors Bearer s3cret"
	want := []string{"GET /gone", "HEAD" + file, "GET" + file}
	if d := cmp.Diff(want, asked); d != "" {
		t.Error(d)
	}

	// Without a hash the server is asked whether it changed; with one, nobody.
	asked = nil
	if _, err := find(t, "", Model{Path: "loras/m.safetensors", Sources: []string{"hf://o/r/a b/m.safetensors@rev"}}, o); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]string{"HEAD /o/r/resolve/rev/a b/m.safetensors", "GET /o/r/resolve/rev/a b/m.safetensors"}, asked); d != "" {
		t.Error(d)
	}
	asked = nil
	if _, err := find(t, "", Model{Path: "loras/m.safetensors", Sources: []string{srv.URL + "/never"}, SHA256: strings.ToUpper(hexSum(b))}, o); err != nil {
		t.Fatal(err)
	}
	if len(asked) != 0 {
		t.Errorf("asked %q though the hash is known and here", asked)
	}

	var e *diag.Error
	_, err = find(t, "", Model{Path: "loras/m.safetensors", Sources: []string{srv.URL + "/x"}, Auth: "OTHER"}, o)
	if !errors.As(err, &e) || e.Code != "secret_missing" || e.Class != diag.ClassAuth {
		t.Errorf("unset secret: %v", err)
	}
	_, err = find(t, "", Model{Path: "loras/m.safetensors", Sources: []string{srv.URL + "/x"}, SHA256: strings.Repeat("0", 64)}, o)
	if !errors.As(err, &e) || e.Code != "wrong_hash" {
		t.Errorf("wrong hash: %v", err)
	}
}

func TestTruncatedDownloadIsNotKept(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = w.Write(safetensors(5000)[:4000]) }))
	defer srv.Close()
	store := cas.Open(t.TempDir())
	_, err := find(t, "", Model{Path: "loras/m.safetensors", Sources: []string{srv.URL + "/x"}}, ModelOptions{Store: store})
	var e *diag.Error
	if !errors.As(err, &e) || e.Code != "model_truncated" {
		t.Fatalf("got %v", err)
	}
	if list, _ := os.ReadDir(filepath.Join(store.Dir(), "sha256")); len(list) != 0 {
		t.Error("it was kept")
	}
}

func TestBuildRefuses(t *testing.T) {
	comfy := func(change func(*Recipe)) *Recipe {
		r := &Recipe{Contract: &contract.Contract{Schema: contract.Schema, Name: "x", Engine: contract.Engine{Kind: contract.EngineComfyUI}},
			Environment: &Environment{Base: "python:3.12-slim", Torch: "cpu", ComfyUI: ComfyUI{Source: "/nowhere"}}}
		change(r)
		return r
	}
	for name, tc := range map[string]struct {
		r    *Recipe
		code string
	}{
		"load start":   {&Recipe{Contract: &contract.Contract{Engine: contract.Engine{Kind: contract.EngineStub}}, Models: []Model{{Path: "a", Load: contract.LoadStart}}}, "load_unsupported"},
		"no base":      {comfy(func(r *Recipe) { r.Environment.Base = "" }), "base_missing"},
		"rootfs":       {comfy(func(r *Recipe) { r.Environment.Base = "rootfs" }), "base_missing"},
		"base, shell":  {comfy(func(r *Recipe) { r.Environment.Base = "x\nRUN evil" }), "base_name"},
		"torch, shell": {comfy(func(r *Recipe) { r.Environment.Torch = "cpu; evil" }), "torch_choice"},
		"python":       {comfy(func(r *Recipe) { r.Environment.Python = "3.12 evil" }), "python_version"},
		"apt option":   {comfy(func(r *Recipe) { r.Environment.SystemPackages = []string{"--purge"} }), "package_name"},
		"pip option":   {comfy(func(r *Recipe) { r.Environment.PythonPackages = []string{"--index-url=x"} }), "package_name"},
		"install: run": {comfy(func(r *Recipe) { r.Environment.Nodes = []NodePack{{Path: "x", Install: "run"}} }), "install_unsupported"},
		"no ComfyUI":   {comfy(func(*Recipe) {}), "comfyui_missing"},
		"bad ref": {comfy(func(r *Recipe) {
			r.Environment.ComfyUI = ComfyUI{Source: "https://127.0.0.1:1/x", Version: "--upload-pack=evil"}
		}), "git_ref"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Build(t.Context(), tc.r, BuildOptions{CacheDir: t.TempDir()})
			var e *diag.Error
			if !errors.As(err, &e) || e.Code != tc.code || e.Help == "" {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestCanceledHash(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "m.safetensors"), safetensors(20<<20))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r := &Recipe{Dir: dir, Models: []Model{{Path: "m.safetensors", Sources: []string{"m.safetensors"}, Load: contract.LoadBake}}}
	err := Models(ctx, r, ModelOptions{Store: cas.Open(t.TempDir())})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}
