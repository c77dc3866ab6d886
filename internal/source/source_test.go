package source

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/comfyctl/comfyctl/internal/diag"
	"github.com/comfyctl/comfyctl/internal/modelfile"
)

func wantCode(t *testing.T, err error, code string) *diag.Error {
	t.Helper()
	var e *diag.Error
	if !errors.As(err, &e) || e.Code != code || e.Help == "" {
		t.Fatalf("got %v, want code %s", err, code)
	}
	if text := fmt.Sprint(e.Error(), e.Help, e.Facts, e.Details); strings.Contains(text, token) {
		t.Errorf("the secret is in the error: %s", text)
	}
	return e
}

func TestHuggingFace(t *testing.T) {
	h := newHub(t)
	big := safetensors(300_000)
	h.put("a dir/m (1).safetensors", big)
	c := client(t, Endpoints{HuggingFace: h.URL})
	w := Want{Path: "loras/m.safetensors", Sources: []string{"hf://o/r/a dir/m (1).safetensors"}}

	facts, err := c.Describe(t.Context(), w)
	if err != nil {
		t.Fatal(err)
	}
	want := &Facts{Source: "hf://o/r/a dir/m (1).safetensors@" + commit, Pinned: true, SHA256: sumOf(big), Size: int64(len(big)), License: "apache-2.0", ETag: "not the hash",
		Header: &modelfile.Info{Format: "safetensors", Tensors: 1, Params: 150_000, Bytes: map[string]int64{"F16": 300_000}}}
	if d := cmp.Diff(want, facts); d != "" {
		t.Error(d)
	}
	if h.storage.gets != 1 {
		t.Errorf("%d requests for a header", h.storage.gets)
	}

	var also bytes.Buffer
	w.Also = func(int64) (io.Writer, error) { also.Reset(); return &also, nil }
	got, err := c.Fetch(t.Context(), w)
	if err != nil || got.SHA256 != sumOf(big) || got.Cached || !bytes.Equal(also.Bytes(), big) {
		t.Fatalf("%+v, %v", got, err)
	}
	// The pinned source is the same file, and is here already.
	h.seen, h.storage.gets = nil, 0
	got, err = c.Fetch(t.Context(), Want{Path: "x/other.safetensors", Sources: []string{facts.Source}})
	if err != nil || !got.Cached || h.storage.gets != 0 {
		t.Errorf("%+v, %v, %d requests", got, err, h.storage.gets)
	}
	if len(h.storage.leaked) > 0 {
		t.Errorf("leaked: %q", h.storage.leaked)
	}
}

func TestHuggingFaceRenamedSmallAndBusy(t *testing.T) {
	h := newHub(t)
	h.put("m.safetensors", safetensors(1000))
	h.put("config.json", []byte("{}"))
	h.small["config.json"] = true
	c := client(t, Endpoints{HuggingFace: h.URL})
	h.busy = 2
	facts, err := c.Describe(t.Context(), Want{Path: "m.safetensors", Sources: []string{"hf://old/name/m.safetensors@main"}})
	if err != nil || facts.SHA256 != sumOf(h.files["m.safetensors"]) {
		t.Errorf("renamed: %+v, %v", facts, err)
	}
	facts, err = c.Describe(t.Context(), Want{Path: "clip/config.json", Sources: []string{"hf://o/r/config.json"}})
	if err != nil || facts.SHA256 != "" || facts.Size != 2 || len(facts.ETag) != 40 {
		t.Errorf("small: %+v, %v", facts, err)
	}
	got, err := c.Fetch(t.Context(), Want{Path: "clip/config.json", Sources: []string{"hf://o/r/config.json"}})
	if err != nil || got.SHA256 != sumOf([]byte("{}")) {
		t.Errorf("small: %+v, %v", got, err)
	}
}

func TestHuggingFaceRefusals(t *testing.T) {
	h := newHub(t)
	h.put("m.safetensors", safetensors(1000))
	c := client(t, Endpoints{HuggingFace: h.URL})
	for source, code := range map[string]string{
		"hf://o/r/none.safetensors": "model_not_found", "hf://o/r/m.safetensors@gone": "model_not_found", "hf://o/other/m.safetensors": "not_signed_in",
		"hf://o/r": "source_unsupported", "hf://o/r/../x": "source_unsupported", "hf://o/r/m@": "source_unsupported", "hf://o/r/m?token=s3cret": "source_unsupported",
	} {
		_, err := c.Fetch(t.Context(), Want{Path: "m.safetensors", Sources: []string{source}})
		wantCode(t, err, code)
	}
	h.gated = true
	w := Want{Path: "m.safetensors", Sources: []string{"hf://o/r/m.safetensors"}}
	_, err := c.Fetch(t.Context(), w)
	if e := wantCode(t, err, "not_signed_in"); e.Class != diag.ClassAuth || !strings.Contains(e.Message, "terms") {
		t.Errorf("gated: %v", e)
	}
	// With the hash known the hub is only asked for the file.
	w.SHA256 = sumOf(h.files["m.safetensors"])
	_, err = c.Fetch(t.Context(), w)
	wantCode(t, err, "not_signed_in")
	w.Auth = "OTHER"
	_, err = c.Fetch(t.Context(), w)
	wantCode(t, err, "secret_missing")
	w.Auth = "TOKEN"
	if _, err = c.Fetch(t.Context(), w); err != nil {
		t.Error(err)
	}
	facts, err := c.Describe(t.Context(), w)
	if err != nil || !facts.Gated {
		t.Errorf("%+v, %v", facts, err)
	}
	if len(h.storage.leaked) > 0 {
		t.Errorf("leaked: %q", h.storage.leaked)
	}
}

func TestCivitai(t *testing.T) {
	m := newMarket(t)
	m.files["1"], m.files["2"] = safetensors(200_000), safetensors(1000)
	m.private = true
	c := client(t, Endpoints{Civitai: m.URL})
	for source, id := range map[string]string{"civitai://7": "1", "civitai://3@7": "1", "civitai://7/2": "2", "civitai://7?fileId=2": "2"} {
		w := Want{Path: "loras/m.safetensors", Sources: []string{source}, Auth: "TOKEN"}
		facts, err := c.Describe(t.Context(), w)
		if err != nil {
			t.Fatal(source, err)
		}
		want := &Facts{Source: "civitai://7/" + id, Pinned: true, SHA256: sumOf(m.files[id]), Size: int64(len(m.files[id]))}
		if d := cmp.Diff(want, facts, cmpopts.IgnoreFields(Facts{}, "Header", "ETag")); d != "" || facts.Header.Format != "safetensors" {
			t.Error(source, d)
		}
		got, err := c.Fetch(t.Context(), w)
		if err != nil || got.SHA256 != sumOf(m.files[id]) {
			t.Errorf("%s: %+v, %v", source, got, err)
		}
	}
	// The hash finds the file among several.
	got, err := client(t, Endpoints{Civitai: m.URL}).Fetch(t.Context(), Want{Path: "m.safetensors", Sources: []string{"civitai://7"}, SHA256: sumOf(m.files["2"]), Auth: "TOKEN"})
	if err != nil || got.Size != int64(len(m.files["2"])) {
		t.Errorf("%+v, %v", got, err)
	}
	if len(m.storage.leaked) > 0 {
		t.Errorf("leaked: %q", m.storage.leaked)
	}
}

func TestCivitaiRefusals(t *testing.T) {
	m := newMarket(t)
	m.files["1"], m.files["2"] = safetensors(1000), safetensors(2000)
	m.private = true
	for login, code := range map[string]string{"401": "not_signed_in", "redirect": "not_a_model", "page": "not_a_model", "json": "not_a_model"} {
		m.login = login
		c := client(t, Endpoints{Civitai: m.URL})
		_, err := c.Fetch(t.Context(), Want{Path: "m.safetensors", Sources: []string{"civitai://7/1"}})
		if e := wantCode(t, err, code); !strings.Contains(e.Help, "auth:") {
			t.Errorf("%s: no word of auth: %s", login, e.Help)
		}
		if items, _ := c.store.Items(); len(items) > 0 {
			t.Errorf("%s: kept %+v", login, items)
		}
	}
	for source, code := range map[string]string{"civitai://8": "model_not_found", "civitai://7/9": "model_not_found", "civitai://x": "source_unsupported", "civitai://7/../8": "source_unsupported"} {
		_, err := client(t, Endpoints{Civitai: m.URL}).Fetch(t.Context(), Want{Path: "m.safetensors", Sources: []string{source}, Auth: "TOKEN"})
		wantCode(t, err, code)
	}
}

// The secret goes to the hub that it is for, and to no mirror.
func TestSecretStaysInScope(t *testing.T) {
	h := newHub(t)
	h.put("m.safetensors", safetensors(1000))
	h.gated = true
	var leaked []string
	mirror := newStorage(t)
	mirror.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		leaked = append(leaked, r.Header.Get("Authorization"))
		http.NotFound(w, r)
	})
	w := Want{Path: "m.safetensors", Sources: []string{mirror.URL + "/m.safetensors", "hf://o/r/m.safetensors"}, Auth: "TOKEN"}
	if _, err := client(t, Endpoints{HuggingFace: h.URL}).Fetch(t.Context(), w); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]string{""}, leaked); d != "" {
		t.Error(d)
	}
	// Alone, the mirror is what the secret is for.
	leaked, w.Sources = nil, w.Sources[:1]
	_, err := client(t, Endpoints{}).Fetch(t.Context(), w)
	wantCode(t, err, "model_not_found")
	if d := cmp.Diff([]string{"Bearer " + token}, leaked); d != "" {
		t.Error(d)
	}
}

// All mirrors failed: the first says why, the others in a line each.
func TestAllMirrorsFail(t *testing.T) {
	h := newHub(t)
	_, err := client(t, Endpoints{HuggingFace: h.URL}).Fetch(t.Context(), Want{Path: "m.safetensors", Sources: []string{"none.safetensors", "hf://o/r/none.safetensors"}})
	if e := wantCode(t, err, "model_missing"); len(e.Facts) != 2 || !strings.Contains(e.Facts[1][1], "no file") {
		t.Errorf("%+v", e.Facts)
	}
}

func TestPicklePolicy(t *testing.T) {
	dir := t.TempDir()
	for _, kind := range []string{"good/state.pt", "bad/system.ckpt"} {
		b, err := os.ReadFile(filepath.Join("../modelfile/testdata", kind))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, filepath.Base(kind)), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	good, _ := os.ReadFile(filepath.Join(dir, "state.pt"))
	bad, _ := os.ReadFile(filepath.Join(dir, "system.ckpt"))
	for _, tc := range []struct {
		w    Want
		code string
	}{
		{Want{Path: "a/x.pt", Sources: []string{"state.pt"}, AllowPickle: true, SHA256: sumOf(good)}, ""},
		{Want{Path: "a/x.pt", Sources: []string{"state.pt"}, AllowPickle: true}, "pickle_not_allowed"},
		{Want{Path: "a/x.pt", Sources: []string{"state.pt"}, SHA256: sumOf(good)}, "pickle_not_allowed"},
		{Want{Path: "a/x.ckpt", Sources: []string{"system.ckpt"}, AllowPickle: true, SHA256: sumOf(bad)}, "pickle_refused"},
	} {
		tc.w.Dir = dir
		_, err := client(t, Endpoints{}).Fetch(t.Context(), tc.w)
		if tc.code == "" {
			if err != nil {
				t.Errorf("%+v: %v", tc.w, err)
			}
			continue
		}
		wantCode(t, err, tc.code)
	}
}

func TestParse(t *testing.T) {
	for in, want := range map[string]Ref{
		"https://huggingface.co/o/r/resolve/main/a/b.safetensors?download=true": {Raw: "hf://o/r/a/b.safetensors@main", Scheme: "hf", Rest: "o/r/a/b.safetensors@main"},
		"https://huggingface.co/datasets/o/r/blob/v1/b.bin":                     {Raw: "hf://datasets/o/r/b.bin@v1", Scheme: "hf", Rest: "datasets/o/r/b.bin@v1"},
		"https://civitai.com/api/download/models/87153?type=Model&token=s3cret": {Raw: "civitai://87153", Scheme: "civitai", Rest: "87153"},
		"https://civitai.com/models/5/name?modelVersionId=7":                    {Raw: "civitai://7", Scheme: "civitai", Rest: "7"},
		"https://u:p@h.example/x?token=1":                                       {Raw: "https://…@h.example/x?…", Scheme: "https", Rest: "u:p@h.example/x?token=1"},
		"S3://b/k":                                                              {Raw: "s3://b/k", Scheme: "s3", Rest: "b/k"},
		"a/b":                                                                   {Raw: "a/b", Scheme: "file", Rest: "/dir/a/b"},
		"file:///a/b":                                                           {Raw: "file:///a/b", Scheme: "file", Rest: "/a/b"},
	} {
		got, err := Parse(in, "/dir")
		if err != nil {
			t.Error(in, err)
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Error(in, d)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"x", "hf://a/b/c@d", "https://h/x", "civitai://1", "C:\\x", "hf://a/b/%2e%2e/c", "gs://b/o#1", "az://a/c/b?versionid=1", "https://civitai.com/models/1?modelVersionId=2"} {
		f.Add(s)
	}
	hubs := Hubs(Endpoints{})
	f.Fuzz(func(t *testing.T, s string) {
		ref, err := Parse(s, "/dir")
		if err != nil || ref.Scheme == "file" || hubs[ref.Scheme] == nil {
			return
		}
		place, err := hubs[ref.Scheme].Locate(ref.Rest)
		if err != nil {
			return
		}
		if place.Scope() == "" {
			t.Errorf("%q has no scope", s)
		}
		if ref.Scheme == "hf" {
			target, _ := place.Target(t.Context(), Asker{})
			if !strings.HasPrefix(target.URL, "https://huggingface.co/") || strings.Contains(target.URL, "/../") {
				t.Errorf("%q leads to %s", s, target.URL)
			}
		}
	})
}
