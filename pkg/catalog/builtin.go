package catalog

import (
	"bytes"
	"compress/gzip"
	"embed"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// data holds one file for each release: a line for each class, the name and
// its schema as JSON with a tab between, gzip'd.
//
//go:embed data/*.txt.gz
var data embed.FS

const (
	dataDir    = "data"
	dataSuffix = ".txt.gz"
)

// Versions lists the built-in releases, oldest first, written as v0.3.64.
func Versions() []string {
	entries, err := data.ReadDir(dataDir)
	if err != nil {
		return nil
	}
	var list []string
	for _, e := range entries {
		list = append(list, strings.TrimSuffix(e.Name(), dataSuffix))
	}
	slices.SortFunc(list, func(a, b string) int {
		va, _ := parseVersion(a)
		vb, _ := parseVersion(b)
		return slices.Compare(va[:], vb[:])
	})
	return list
}

// Newest is the newest built-in release.
func Newest() string {
	list := Versions()
	return list[len(list)-1]
}

// For returns the built-in classes of a release, written with or without the
// v. Another release gives the nearest one, anything else (a branch, a commit)
// the newest, both with Exact false. Empty means the newest. One catalog serves
// all who ask for it: reading a release, and decoding its classes, takes longer
// than checking a graph.
func For(version string) (*Catalog, error) {
	pick, exact := nearest(version, Versions())
	kept.Lock()
	defer kept.Unlock()
	key := release{pick, exact}
	if c := kept.catalogs[key]; c != nil {
		return c, nil
	}
	c, err := load(pick)
	if err != nil {
		return nil, err
	}
	c.Exact = exact
	kept.catalogs[key] = c
	return c, nil
}

type release struct {
	version string
	exact   bool
}

// kept are the catalogs that were read so far; nothing of them changes but
// which of their classes are decoded.
var kept = struct {
	sync.Mutex
	catalogs map[release]*Catalog
}{catalogs: map[release]*Catalog{}}

func nearest(version string, have []string) (string, bool) {
	newest := have[len(have)-1]
	if version == "" {
		return newest, true
	}
	want, ok := parseVersion(version)
	if !ok {
		return newest, false
	}
	if v, _ := parseVersion(newest); slices.Compare(want[:], v[:]) >= 0 {
		return newest, want == v
	}
	best, bestDistance := newest, [3]int{1 << 30}
	for _, h := range have {
		v, _ := parseVersion(h)
		var d [3]int
		for i := range d {
			d[i] = max(v[i]-want[i], want[i]-v[i])
		}
		if slices.Compare(d[:], bestDistance[:]) < 0 {
			best, bestDistance = h, d
		}
	}
	return best, bestDistance == [3]int{}
}

// parseVersion reads v1.2.3 and 1.2.
func parseVersion(s string) ([3]int, bool) {
	var v [3]int
	parts := strings.Split(strings.TrimPrefix(s, "v"), ".")
	if len(parts) < 2 || len(parts) > 3 {
		return v, false
	}
	for i, p := range parts {
		n, err := strconv.Atoi(p)
		if err != nil || n < 0 {
			return v, false
		}
		v[i] = n
	}
	return v, true
}

func load(version string) (*Catalog, error) {
	packed, err := data.ReadFile(dataDir + "/" + version + dataSuffix)
	if err != nil {
		return nil, fmt.Errorf("reading the node catalog of ComfyUI %s: %w", version, err)
	}
	z, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return nil, fmt.Errorf("reading the node catalog of ComfyUI %s: %w", version, err)
	}
	text, err := io.ReadAll(z)
	if err != nil {
		return nil, fmt.Errorf("reading the node catalog of ComfyUI %s: %w", version, err)
	}
	raw := map[string]json.RawMessage{}
	for line := range bytes.Lines(text) {
		name, schema, ok := bytes.Cut(bytes.TrimSuffix(line, []byte("\n")), []byte("\t"))
		if !ok {
			return nil, fmt.Errorf("reading the node catalog of ComfyUI %s: a line without a tab", version)
		}
		raw[string(name)] = schema
	}
	c := newCatalog(raw)
	c.Version = version
	return c, nil
}
