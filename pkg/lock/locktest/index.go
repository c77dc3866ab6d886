// Package locktest plays the services that a lock is made from, for tests: a
// package index, a node registry, and the public files that packs are looked up
// in, each over its real protocol.
package locktest

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"path"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// Wheel is a package for an Index.
type Wheel struct {
	Name, Version string
	// Tag is the end of the file's name, such as cp312-cp312-manylinux_2_28_x86_64;
	// empty means py3-none-any. "sdist" makes a source archive.
	Tag string
	// Requires are its dependencies.
	Requires []string
}

// File is the name of the package's file.
func (w Wheel) File() string {
	name := strings.ReplaceAll(w.Name, "-", "_")
	switch w.Tag {
	case "sdist":
		return name + "-" + w.Version + ".tar.gz"
	case "":
		return name + "-" + w.Version + "-py3-none-any.whl"
	}
	return name + "-" + w.Version + "-" + w.Tag + ".whl"
}

func (w Wheel) metadata() string {
	var b strings.Builder
	fmt.Fprintf(&b, "Metadata-Version: 2.2\nName: %s\nVersion: %s\n", w.Name, w.Version)
	for _, r := range w.Requires {
		fmt.Fprintf(&b, "Requires-Dist: %s\n", r)
	}
	return b.String()
}

// Bytes are the package's file, the same on every call.
func (w Wheel) Bytes(t testing.TB) []byte {
	t.Helper()
	var b bytes.Buffer
	module := strings.ReplaceAll(w.Name, "-", "_")
	if w.Tag == "sdist" {
		z := gzip.NewWriter(&b)
		tw := tar.NewWriter(z)
		for _, f := range [][2]string{{"PKG-INFO", w.metadata()}, {"pyproject.toml", "[build-system]\nrequires = [\"setuptools\"]\n[project]\nname = \"" + w.Name + "\"\nversion = \"" + w.Version + "\"\n"}} {
			h := &tar.Header{Name: module + "-" + w.Version + "/" + f[0], Mode: 0o644, Size: int64(len(f[1])), ModTime: time.Unix(0, 0)}
			must(t, tw.WriteHeader(h))
			_, err := tw.Write([]byte(f[1]))
			must(t, err)
		}
		must(t, tw.Close())
		must(t, z.Close())
		return b.Bytes()
	}
	z := zip.NewWriter(&b)
	info := module + "-" + w.Version + ".dist-info/"
	record := ""
	add := func(name, text string) {
		f, err := z.Create(name)
		must(t, err)
		_, err = f.Write([]byte(text))
		must(t, err)
		sum := sha256.Sum256([]byte(text))
		record += fmt.Sprintf("%s,sha256=%s,%d\n", name, base64.RawURLEncoding.EncodeToString(sum[:]), len(text))
	}
	add(module+"/__init__.py", fmt.Sprintf("__version__ = %q\n", w.Version))
	add(info+"METADATA", w.metadata())
	add(info+"WHEEL", "Wheel-Version: 1.0\nGenerator: locktest\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
	add(info+"RECORD", record+info+"RECORD,,\n")
	must(t, z.Close())
	return b.Bytes()
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// Index is a package index in the simple form.
type Index struct {
	*httptest.Server
	mu    sync.Mutex
	files map[string][]byte // by project/file
}

// NewIndex serves packages below /simple/.
func NewIndex(t testing.TB, wheels ...Wheel) *Index {
	t.Helper()
	x := &Index{files: map[string][]byte{}}
	x.Add(t, wheels...)
	x.Server = httptest.NewServer(x)
	t.Cleanup(x.Close)
	return x
}

// Add puts more packages in.
func (x *Index) Add(t testing.TB, wheels ...Wheel) {
	t.Helper()
	for _, w := range wheels {
		b := w.Bytes(t)
		x.mu.Lock()
		x.files[strings.ToLower(w.Name)+"/"+w.File()] = b
		x.mu.Unlock()
	}
}

// Simple is the address that pip calls an index.
func (x *Index) Simple() string { return x.URL + "/simple" }

// ServeHTTP answers a project's page, or a file.
func (x *Index) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	x.mu.Lock()
	defer x.mu.Unlock()
	rest, _ := strings.CutPrefix(r.URL.Path, "/simple/")
	if b, ok := x.files[rest]; ok {
		_, _ = w.Write(b)
		return
	}
	project := strings.TrimSuffix(rest, "/")
	var names []string
	for name := range x.files {
		if path.Dir(name) == project {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		http.NotFound(w, r)
		return
	}
	slices.Sort(names)
	w.Header().Set("Content-Type", "text/html")
	for _, name := range names {
		sum := sha256.Sum256(x.files[name])
		fmt.Fprintf(w, "<a href=\"/simple/%s#sha256=%s\">%s</a>\n", name, hex.EncodeToString(sum[:]), path.Base(name))
	}
}

// NeedUV skips a test where uv is not on PATH; in continuous integration, where
// the variable CI is set, that is a failure.
func NeedUV(t testing.TB, ci string) {
	t.Helper()
	if _, err := exec.LookPath("uv"); err != nil {
		if ci != "" && ci != "false" {
			t.Fatal("uv is not on PATH; pip install uv")
		}
		t.Skip("uv is not on PATH; pip install uv")
	}
}
