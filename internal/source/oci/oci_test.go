package oci

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"go.uber.org/goleak"

	"github.com/comfyctl/comfyctl/internal/cas"
	"github.com/comfyctl/comfyctl/internal/diag"
	"github.com/comfyctl/comfyctl/internal/source"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func safetensors(n int) []byte {
	h, _ := json.Marshal(map[string]any{"w": map[string]any{"dtype": "U8", "shape": []int{n}, "data_offsets": []int{0, n}}})
	b := binary.LittleEndian.AppendUint64(nil, uint64(len(h)))
	return append(append(b, h...), make([]byte, n)...)
}

const login, password = "user", "s3cret"

// artifacts is a registry that wants a login and sends blobs by redirect to a
// storage that refuses to see one.
type artifacts struct {
	host   string
	leaked []string
	http   *http.Client
}

func start(t *testing.T, blobs map[string][]byte) *artifacts {
	a := &artifacts{}
	storage := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if v := r.Header.Get("Authorization"); v != "" {
			a.leaked = append(a.leaked, v)
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		http.ServeContent(w, r, "", time.Time{}, strings.NewReader(string(blobs[r.URL.Path])))
	}))
	reg := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if u, p, ok := r.BasicAuth(); !ok || u != login || p != password {
			w.Header().Set("WWW-Authenticate", `Basic realm="x"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		if _, digest, ok := strings.Cut(r.URL.Path, "/blobs/sha256:"); ok && r.Method == http.MethodGet {
			http.Redirect(w, r, storage.URL+"/"+digest, http.StatusTemporaryRedirect)
			return
		}
		reg.ServeHTTP(w, r)
	}))
	tr := &http.Transport{}
	t.Cleanup(func() { srv.Close(); storage.Close(); tr.CloseIdleConnections() })
	a.host, a.http = strings.TrimPrefix(srv.URL, "http://"), &http.Client{Transport: tr}
	return a
}

// push writes an artifact of files by name.
func (a *artifacts) push(t *testing.T, tag string, blobs map[string][]byte, media types.MediaType, files ...string) v1.Hash {
	t.Helper()
	img := mutate.MediaType(empty.Image, types.OCIManifestSchema1)
	for _, f := range files {
		l := static.NewLayer(blobs[f], media)
		d, err := l.Digest()
		if err != nil {
			t.Fatal(err)
		}
		blobs["/"+d.Hex] = blobs[f]
		if img, err = mutate.Append(img, mutate.Addendum{Layer: l, Annotations: map[string]string{title: f}}); err != nil {
			t.Fatal(err)
		}
	}
	ref, err := name.ParseReference(a.host + "/models/x:" + tag)
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(ref, img, remote.WithAuth(&authn.Basic{Username: login, Password: password}), remote.WithTransport(a.http.Transport)); err != nil {
		t.Fatal(err)
	}
	d, err := img.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestArtifacts(t *testing.T) {
	blobs := map[string][]byte{"a.safetensors": safetensors(300_000), "b.safetensors": safetensors(500)}
	a := start(t, blobs)
	const media = "application/vnd.comfyctl.test.model"
	one := a.push(t, "one", blobs, media, "a.safetensors")
	a.push(t, "two", blobs, media, "a.safetensors", "b.safetensors")
	a.push(t, "image", blobs, types.OCILayer, "a.safetensors")
	at := "oci://" + a.host + "/models/x"
	c := source.New(cas.Open(t.TempDir()), source.Options{HTTP: a.http, Backends: map[string]source.Backend{"oci": Backend{}},
		Secret: func(n string) (string, bool) {
			return map[string]string{"GOOD": login + ":" + password, "BAD": login + ":x"}[n], true
		}})
	for _, tc := range []struct{ source, path, auth, size, code string }{
		{at + ":one", "loras/m.safetensors", "GOOD", "a", ""},
		{at + "@" + one.String(), "loras/m.safetensors", "GOOD", "a", ""},
		{at + ":two", "loras/b.safetensors", "GOOD", "b", ""},
		{at + ":two#a.safetensors", "loras/m.safetensors", "GOOD", "a", ""},
		{at + ":two", "loras/m.safetensors", "GOOD", "", "model_ambiguous"},
		{at + ":two#c", "loras/m.safetensors", "GOOD", "", "model_ambiguous"},
		{at + ":image", "loras/m.safetensors", "GOOD", "", "source_unsupported"},
		{at + ":none", "loras/m.safetensors", "GOOD", "", "model_not_found"},
		{at + ":one", "loras/m.safetensors", "BAD", "", "not_signed_in"},
		{at + ":one", "loras/m.safetensors", "", "", "not_signed_in"},
		{"oci://UPPER/case", "loras/m.safetensors", "", "", "source_unsupported"},
	} {
		w := source.Want{Path: tc.path, Sources: []string{tc.source}, Auth: tc.auth}
		facts, err := c.Describe(t.Context(), w)
		if tc.code != "" {
			var e *diag.Error
			if !errors.As(err, &e) || e.Code != tc.code || strings.Contains(e.Error(), password) {
				t.Errorf("%+v: %v", tc, err)
			}
			continue
		}
		want := blobs[tc.size+".safetensors"]
		if err != nil || facts.Size != int64(len(want)) || !facts.Pinned || facts.Header == nil {
			t.Errorf("%+v: %+v, %v", tc, facts, err)
			continue
		}
		got, err := c.Fetch(t.Context(), w)
		if err != nil || got.SHA256 != facts.SHA256 || got.Size != facts.Size {
			t.Errorf("%+v: %+v, %v", tc, got, err)
		}
		w.Sources = []string{facts.Source}
		if again, err := c.Describe(t.Context(), w); err != nil || again.SHA256 != facts.SHA256 {
			t.Errorf("%s: %+v, %v", facts.Source, again, err)
		}
	}
	if len(a.leaked) > 0 {
		t.Errorf("the storage saw %q", a.leaked)
	}
}

func FuzzLocate(f *testing.F) {
	for _, s := range []string{"ghcr.io/a/b@sha256:x", "h/a:t#f", "#"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if p, err := (Backend{}).Locate(s); err == nil && p.Scope() == "oci://" {
			t.Errorf("%q has no scope", s)
		}
	})
}
