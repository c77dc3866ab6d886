//go:build e2e

package validate

import (
	"context"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/comfyctl/comfyctl/pkg/catalog"
	"github.com/comfyctl/comfyctl/pkg/workflow"
)

// TestComfyUIAnswersAlike holds our verdicts against real ComfyUIs: one is
// started for each folder of COMFYUI_SOURCES, or the one at COMFYUI_URL is
// asked. Their worker is stopped for good, so that no prompt runs: restart such
// a ComfyUI afterwards.
//
//	COMFYUI_SOURCES        folders of source trees, with commas between
//	E2E_BASE               image with what they import (comfyctl-e2e/cpu-base:sid)
//	COMFYUI_URL            a server that may be stopped, in their place
//	DIFFERENTIAL_SEED      first seed of the mutations (1)
//	DIFFERENTIAL_MUTATIONS how many (2000)
//	DIFFERENTIAL_OUT       folder for prompts that differ (a temporary one)
func TestComfyUIAnswersAlike(t *testing.T) {
	if url := os.Getenv("COMFYUI_URL"); url != "" {
		answersAlike(t, connect(t, strings.TrimSuffix(url, "/"), ""))
		return
	}
	sources := os.Getenv("COMFYUI_SOURCES")
	if sources == "" {
		t.Fatal("neither COMFYUI_SOURCES nor COMFYUI_URL is set; start this test with e2e/run.sh")
	}
	for _, dir := range strings.Split(sources, ",") {
		t.Run(filepath.Base(dir), func(t *testing.T) { answersAlike(t, startComfyUI(t, dir)) })
	}
}

// startComfyUI starts a ComfyUI in a container whose disk has most of the files
// that the corpus names, empty.
func startComfyUI(t *testing.T, source string) *server {
	t.Helper()
	if !filepath.IsAbs(source) {
		source = filepath.Join("../..", source)
	}
	source, err := filepath.Abs(source)
	if err != nil {
		t.Fatal(err)
	}
	image := os.Getenv("E2E_BASE")
	if image == "" {
		image = "comfyctl-e2e/cpu-base:sid"
	}
	data := t.TempDir()
	files := layFiles(t, data)
	docker := func(args ...string) string {
		out, err := exec.CommandContext(t.Context(), "docker", args...).Output()
		if err != nil {
			t.Fatalf("docker %s: %v", args[0], err)
		}
		return strings.TrimSpace(string(out))
	}
	id := docker("run", "-d", "--rm", "-p", "127.0.0.1::8188", "-v", source+":/opt/comfy:ro", "-v", filepath.Join(source, "custom_nodes")+":/data/custom_nodes:ro",
		"-v", data+":/data", "-w", "/opt/comfy", image, "python3", "-B", "main.py", "--cpu", "--listen", "0.0.0.0", "--base-directory", "/data", "--database-url", "sqlite:///:memory:")
	t.Cleanup(func() { _ = exec.CommandContext(context.WithoutCancel(t.Context()), "docker", "rm", "-f", id).Run() })
	s := &server{url: "http://" + docker("port", id, "8188/tcp")}
	for range 300 {
		if res, err := http.Get(s.url + "/system_stats"); err == nil { //nolint:noctx // tried until it answers
			_ = res.Body.Close()
			s = connect(t, s.url, "")
			maps.Copy(s.files, files)
			return s
		}
		time.Sleep(time.Second)
	}
	t.Fatalf("ComfyUI does not answer:\n%s", docker("logs", "--tail", "20", id))
	return nil
}

// layFiles writes four in five of the files that the graphs of the corpus name,
// and returns those for uploads.
func layFiles(t *testing.T, data string) map[string]bool {
	t.Helper()
	for _, dir := range []string{"models", "custom_nodes", "input", "output", "temp", "user"} {
		if err := os.MkdirAll(filepath.Join(data, dir), 0o750); err != nil {
			t.Fatal(err)
		}
	}
	cat, err := catalog.For("")
	if err != nil {
		t.Fatal(err)
	}
	uploads := map[string]bool{}
	lay := func(path string) bool {
		path = filepath.Join(data, path)
		if !strings.HasPrefix(path, data) || crc32.ChecksumIEEE([]byte(path[len(data):]))%5 == 0 {
			return false
		}
		return os.MkdirAll(filepath.Dir(path), 0o750) == nil && os.WriteFile(path, nil, 0o600) == nil
	}
	for _, d := range coreGraphs(t) {
		for _, id := range d.ids() {
			cl, ok := cat.Class(d.class(id))
			if !ok {
				continue
			}
			for name, v := range d.inputs(id) {
				value, _ := v.(string)
				for _, path := range catalog.ModelFiles(cl.Name, name, value) {
					lay("models/" + path)
				}
				if in, _ := cl.Input(name); in.File != "" && value != "" && !strings.ContainsAny(value, `/\[`) && lay("input/"+value) {
					uploads[value] = true
				}
			}
		}
	}
	return uploads
}

func answersAlike(t *testing.T, s *server) {
	t.Helper()
	_, body := s.call(t, http.MethodGet, "/system_stats", nil)
	var stats struct {
		System struct {
			Version string `json:"comfyui_version"`
		} `json:"system"`
	}
	if err := json.Unmarshal(body, &stats); err != nil {
		t.Fatal(err)
	}
	s.cat.Version = "v" + stats.System.Version
	s.stopWorker(t, time.Second)
	seed, n := number(t, "DIFFERENTIAL_SEED", 1), number(t, "DIFFERENTIAL_MUTATIONS", 2000)
	out := os.Getenv("DIFFERENTIAL_OUT")
	if out == "" {
		out = t.TempDir()
	}
	x := &differential{t: t, s: s, out: out, own: newTally(), builtin: newTally()}
	var err error
	if x.known, err = catalog.For(s.cat.Version); err != nil {
		t.Fatal(err)
	}
	graphs := coreGraphs(t)
	for _, name := range slices.Sorted(maps.Keys(graphs)) {
		x.check("corpus "+name, graphs[name])
	}
	t.Logf("ComfyUI %s, corpus:\n%s", s.cat.Version, x.own)
	x.own, x.builtin = newTally(), newTally()
	for round := range uint64(2) {
		for name, d := range everyClass(s.cat, seed+round) {
			x.check(fmt.Sprintf("class %q round %d", name, round), d)
		}
	}
	t.Logf("every class:\n%s", x.own)
	x.own, x.builtin = newTally(), newTally()
	mutants(graphs, s.cat, seed, int(n), func(seed uint64, from string, steps []string, d document) {
		x.check(fmt.Sprintf("seed %d: %s: %s", seed, from, strings.Join(steps, "; ")), d)
	})
	t.Logf("seeds %d to %d, with the server's own classes:\n%s", seed, seed+n-1, x.own)
	t.Logf("with the built-in classes of %s:\n%s", x.known.Version, x.builtin)
}

func number(t *testing.T, name string, otherwise uint64) uint64 {
	v := os.Getenv(name)
	if v == "" {
		return otherwise
	}
	n, err := strconv.ParseUint(v, 10, 64)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}

type differential struct {
	t            *testing.T
	s            *server
	known        *catalog.Catalog
	out          string
	own, builtin *tally
	failed       int
}

// check compares one prompt in both ways; one that differs is written out
// small.
func (x *differential) check(name string, d document) {
	src := d.encode()
	a := x.s.ask(x.t, src)
	diff := compare(src, x.s.cat, x.s.options(), a, x.own)
	if len(diff) == 0 {
		diff = x.againstBuiltin(src, a, x.builtin)
	}
	if len(diff) == 0 {
		return
	}
	x.failed++
	if x.failed > 40 {
		x.t.Fatal("more differ; enough")
	}
	small := shrink(d, func(c document) bool {
		src := c.encode()
		a := x.s.ask(x.t, src)
		now := compare(src, x.s.cat, x.s.options(), a, newTally())
		if len(now) == 0 {
			now = x.againstBuiltin(src, a, newTally())
		}
		return slices.Contains(now, diff[0])
	})
	src = small.encode()
	a = x.s.ask(x.t, src)
	diff = append(compare(src, x.s.cat, x.s.options(), a, newTally()), x.againstBuiltin(src, a, newTally())...)
	file := filepath.Join(x.out, fmt.Sprintf("differs%d.json", x.failed))
	if err := os.WriteFile(file, src, 0o600); err != nil {
		x.t.Error(err)
	}
	x.t.Errorf("%s\n  %s\n  %s\n  ComfyUI: %+v\n  %s", name, strings.Join(diff, "\n  "), src, a, file)
}

// againstBuiltin compares with the classes that are built in; of the server it
// takes which files lie there.
func (x *differential) againstBuiltin(src []byte, a answer, n *tally) []string {
	if g, _ := workflow.Parse("", src); g != nil {
		for _, node := range g.Nodes {
			_, there := x.s.cat.Class(node.Class)
			if _, known := x.known.Class(node.Class); known && !there {
				n.ours["a class that this server does not have: "+node.Class]++
				return nil
			}
		}
	}
	return compare(src, x.known, x.s.options(), a, n)
}
