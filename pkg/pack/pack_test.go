package pack

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	ggcr "github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/validate"
	"go.uber.org/goleak"

	"github.com/comfyctl/comfyctl/internal/diag"
	"github.com/comfyctl/comfyctl/internal/registry"
	"github.com/comfyctl/comfyctl/pkg/contract"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// safetensors makes a valid file with one tensor of n bytes.
func safetensors(n int) []byte {
	header, err := json.Marshal(map[string]any{"w": map[string]any{"dtype": "U8", "shape": []int{n}, "data_offsets": []int{0, n}}})
	if err != nil {
		panic(err)
	}
	b := []byte{byte(len(header)), byte(len(header) >> 8), 0, 0, 0, 0, 0, 0}
	return append(append(b, header...), bytes.Repeat([]byte{7}, n)...)
}

func write(t *testing.T, file string, b []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, b, 0o644); err != nil {
		t.Fatal(err)
	}
	old := time.Now().Add(-time.Hour)
	if err := os.Chtimes(file, old, old); err != nil {
		t.Fatal(err)
	}
}

// stub is a recipe for the stub engine with a big and a small model.
func stub(t *testing.T, dir string) *Recipe {
	t.Helper()
	write(t, filepath.Join(dir, "big.safetensors"), safetensors(bigModel))
	write(t, filepath.Join(dir, "small.safetensors"), safetensors(1000))
	return &Recipe{
		Dir: dir,
		Contract: &contract.Contract{
			Schema: contract.Schema, Name: "portrait", Description: "A test", Engine: contract.Engine{Kind: contract.EngineStub, Version: "v0.3.64"},
			Workflows: []contract.Workflow{{Name: "portrait", Version: "1", Graph: json.RawMessage(`{"9":{"class_type":"EmptyImage","inputs":{"width":64,"height":64,"batch_size":1,"color":0},"_meta":{"title":"E"}},"10":{"class_type":"SaveImage","inputs":{"images":["9",0],"filename_prefix":"x"},"_meta":{"title":"S"}}}`),
				Inputs: []contract.Input{}, Outputs: []contract.Output{{Name: "image", Node: "10"}}}},
			Models: []contract.Model{}, Runner: contract.Runner{Port: 8080},
		},
		Models: []Model{
			{Path: "loras/small.safetensors", Sources: []string{"small.safetensors"}, Load: contract.LoadBake},
			{Path: "checkpoints/big.safetensors", Sources: []string{"./big.safetensors"}, Load: contract.LoadBake},
			{Path: "vae/mounted.safetensors", Load: contract.LoadMount},
		},
	}
}

// sharedCache keeps the compiled runner between tests.
var sharedCache = filepath.Join(os.TempDir(), "comfyctl-test-cache")

func build(t *testing.T, r *Recipe, cache string) *Built {
	t.Helper()
	runner := testRunner(t)
	if r.Runner == "" {
		r.Runner = runner
	}
	b, err := Build(t.Context(), r, BuildOptions{CacheDir: cache})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestStubImage(t *testing.T) {
	b := build(t, stub(t, t.TempDir()), t.TempDir())
	checkImage(t, b.Image)
	kinds := []string{}
	for _, l := range b.Layers {
		kinds = append(kinds, l.Kind)
	}
	if got := strings.Join(kinds, " "); got != "weights models runner service" {
		t.Errorf("layers %s", got)
	}
	cfg, err := b.Image.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	if len(cfg.History) != len(cfg.RootFS.DiffIDs) {
		t.Errorf("%d entries of history for %d layers", len(cfg.History), len(cfg.RootFS.DiffIDs))
	}
	c, err := contract.Decode([]byte(cfg.Config.Labels[contract.Label]))
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Models) != 3 || len(c.Models[1].SHA256) != 64 || c.Models[1].Size <= bigModel || c.Models[2].Load != contract.LoadMount {
		t.Errorf("models in the contract: %+v", c.Models)
	}
	m, err := b.Image.Manifest()
	if err != nil {
		t.Fatal(err)
	}
	if got := string(m.Layers[0].MediaType); got != "application/vnd.oci.image.layer.v1.tar" {
		t.Errorf("the big model is %s", got)
	}
	if m.Layers[0].Annotations[annotationKind] != KindWeights || m.Annotations[annotationTitle] != "portrait" {
		t.Errorf("annotations %v, %v", m.Layers[0].Annotations, m.Annotations)
	}
}

// checkImage is the oracle: ggcr's own takes every layer for gzipped, so bare
// ones are read here.
func checkImage(t *testing.T, img v1.Image) {
	t.Helper()
	if err := validate.Image(img, validate.Fast); err != nil {
		t.Error(err)
	}
	layers, err := img.Layers()
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	m, err := img.Manifest()
	if err != nil {
		t.Fatal(err)
	}
	for i, l := range layers {
		digest, size := sum(t, l.Compressed)
		diffID, _ := sum(t, l.Uncompressed)
		if d := m.Layers[i]; d.Digest != digest || d.Size != size {
			t.Errorf("layer %d: manifest says %s, %d bytes; it is %s, %d", i, d.Digest, d.Size, digest, size)
		}
		if cfg.RootFS.DiffIDs[i] != diffID {
			t.Errorf("layer %d: config says %s, it is %s", i, cfg.RootFS.DiffIDs[i], diffID)
		}
	}
}

func sum(t *testing.T, open func() (io.ReadCloser, error)) (v1.Hash, int64) {
	t.Helper()
	r, err := open()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	h, n, err := v1.SHA256(r)
	if err != nil {
		t.Fatal(err)
	}
	return h, n
}

func digest(t *testing.T, img v1.Image) string {
	t.Helper()
	d, err := img.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return d.String()
}

func TestOCILayout(t *testing.T) {
	cache, work := t.TempDir(), t.TempDir()
	b := build(t, stub(t, t.TempDir()), cache)
	out := filepath.Join(work, "image")
	ref, err := OCILayout{Dir: out, Name: "portrait", Tag: "latest"}.Publish(t.Context(), b.Image)
	if err != nil {
		t.Fatal(err)
	}
	if ref != "portrait@"+digest(t, b.Image) {
		t.Errorf("reference %s", ref)
	}
	readBack := func() v1.Image {
		t.Helper()
		idx, err := layout.ImageIndexFromPath(out)
		if err != nil {
			t.Fatal(err)
		}
		m, err := idx.IndexManifest()
		if err != nil {
			t.Fatal(err)
		}
		if len(m.Manifests) != 1 {
			t.Fatalf("%d manifests", len(m.Manifests))
		}
		img, err := idx.Image(m.Manifests[0].Digest)
		if err != nil {
			t.Fatal(err)
		}
		return img
	}
	if digest(t, readBack()) != digest(t, b.Image) {
		t.Error("read back another image")
	}
	checkLayoutBlobs(t, out)

	// Another image in the same place replaces it; the model is linked over.
	r := stub(t, t.TempDir())
	r.Contract.Description = "changed"
	next := build(t, r, cache)
	before, err := os.Stat(filepath.Join(out, "blobs", "sha256", strings.TrimPrefix(b.Layers[0].Digest, "sha256:")))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := (OCILayout{Dir: out, Name: "portrait"}).Publish(t.Context(), next.Image); err != nil {
		t.Fatal(err)
	}
	after, err := os.Stat(filepath.Join(out, "blobs", "sha256", strings.TrimPrefix(b.Layers[0].Digest, "sha256:")))
	if err != nil || !os.SameFile(before, after) {
		t.Errorf("the model was copied again (%v)", err)
	}
	if digest(t, readBack()) != digest(t, next.Image) {
		t.Error("the old image is still there")
	}
	checkLayoutBlobs(t, out)
	if list, _ := os.ReadDir(work); len(list) != 1 {
		t.Errorf("left beside the layout: %v", list)
	}
}

// checkLayoutBlobs hashes every blob.
func checkLayoutBlobs(t *testing.T, dir string) {
	t.Helper()
	list, err := os.ReadDir(filepath.Join(dir, "blobs", "sha256"))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range list {
		h, _ := sum(t, func() (io.ReadCloser, error) { return os.Open(filepath.Join(dir, "blobs", "sha256", e.Name())) })
		if h.Hex != e.Name() {
			t.Errorf("blob %s has the hash %s", e.Name(), h.Hex)
		}
	}
}

func TestOCILayoutRefusesAForeignFolder(t *testing.T) {
	b := build(t, stub(t, t.TempDir()), t.TempDir())
	dir := t.TempDir()
	write(t, filepath.Join(dir, "thesis.tex"), []byte("x"))
	_, err := OCILayout{Dir: dir, Name: "x"}.Publish(t.Context(), b.Image)
	var e *diag.Error
	if !errors.As(err, &e) || e.Code != "not_a_layout" || e.Class != diag.ClassUsage {
		t.Fatalf("got %v", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "thesis.tex")); err != nil {
		t.Error("the file is gone")
	}
}

func TestArchive(t *testing.T) {
	b := build(t, stub(t, t.TempDir()), t.TempDir())
	file := filepath.Join(t.TempDir(), "image.tar")
	a := Archive{File: file, Name: "portrait", Tag: "latest"}
	if _, err := a.Publish(t.Context(), b.Image); err != nil {
		t.Fatal(err)
	}
	first, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.Publish(t.Context(), b.Image); err != nil {
		t.Fatal(err)
	}
	second, err := os.ReadFile(file)
	if err != nil || !bytes.Equal(first, second) {
		t.Errorf("two archives of one image differ (%v)", err)
	}
	img, err := tarball.ImageFromPath(file, nil)
	if err != nil {
		t.Fatal(err)
	}
	want, _ := b.Image.ConfigName()
	if got, err := img.ConfigName(); err != nil || got != want {
		t.Errorf("read back %s, %v", got, err)
	}
}

func TestPush(t *testing.T) {
	srv := httptest.NewServer(ggcr.New(ggcr.Logger(log.New(io.Discard, "", 0))))
	defer srv.Close()
	tr := &http.Transport{}
	defer tr.CloseIdleConnections()
	c := registry.Client{ConfigDir: t.TempDir(), Transport: tr}
	host := strings.TrimPrefix(srv.URL, "http://")
	b := build(t, stub(t, t.TempDir()), t.TempDir())
	ref, err := Registry{Client: c, Refs: []string{host + "/acme/portrait:1", host + "/acme/portrait:latest"}}.Publish(t.Context(), b.Image)
	if err != nil {
		t.Fatal(err)
	}
	if ref != host+"/acme/portrait@"+digest(t, b.Image) {
		t.Errorf("reference %s", ref)
	}
	for _, tag := range []string{"1", "latest"} {
		r, err := registry.Parse(host + "/acme/portrait:" + tag)
		if err != nil {
			t.Fatal(err)
		}
		back, err := c.Image(t.Context(), r, v1.Platform{OS: "linux", Architecture: "amd64"})
		if err != nil {
			t.Fatal(err)
		}
		if digest(t, back) != digest(t, b.Image) {
			t.Errorf("%s is another image", tag)
		}
	}
	for _, refs := range [][]string{{}, {host + "/acme/x:1", host + "/acme/y:1"}, {ref}} {
		var e *diag.Error
		if _, err := (Registry{Client: c, Refs: refs}).Publish(t.Context(), b.Image); !errors.As(err, &e) || e.Class != diag.ClassUsage {
			t.Errorf("%v: %v", refs, err)
		}
	}
}

type fixed struct {
	ref string
	err error
}

func (f fixed) Publish(context.Context, v1.Image) (string, error) { return f.ref, f.err }

func TestMulti(t *testing.T) {
	boom := errors.New("boom")
	if ref, err := (Multi{fixed{"a", nil}, fixed{"b", nil}}).Publish(t.Context(), nil); ref != "a" || err != nil {
		t.Errorf("%q, %v", ref, err)
	}
	if _, err := (Multi{fixed{"a", nil}, fixed{"", boom}}).Publish(t.Context(), nil); !errors.Is(err, boom) {
		t.Errorf("%v", err)
	}
	if _, err := (Multi{}).Publish(t.Context(), nil); err == nil {
		t.Error("nowhere: no error")
	}
}
