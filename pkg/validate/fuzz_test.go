package validate

import (
	"context"
	"io/fs"
	"strings"
	"testing"

	"github.com/comfyctl/comfyctl/internal/diag"
	"github.com/comfyctl/comfyctl/pkg/workflow"
)

// proper checks what holds for every finding: a rule of the catalogue, spans
// inside their files, edits inside theirs, a headline in the house style.
func proper(t testing.TB, list []diag.Diagnostic, source func(file string) []byte) {
	t.Helper()
	for _, d := range list {
		if _, ok := diag.Lookup(d.Code); !ok {
			t.Fatalf("no rule %s", d.Code)
		}
		inside(t, d.Span, source)
		for _, r := range d.Related {
			inside(t, r.Span, source)
		}
		if d.Message == "" || strings.HasSuffix(d.Message, ".") {
			t.Fatalf("%s: %q is no headline", d.Code, d.Message)
		}
		if d.Fix == nil {
			continue
		}
		for _, e := range d.Fix.Edits {
			if src := source(d.FixFile()); e.Start < 0 || e.End < e.Start || e.End > len(src) {
				t.Fatalf("%s: edit outside of %d bytes: %+v", d.Code, len(src), e)
			}
		}
	}
}

func inside(t testing.TB, s diag.Span, source func(file string) []byte) {
	t.Helper()
	if s == (diag.Span{}) || s.Start == (diag.Position{}) { // the file as a whole
		return
	}
	src := source(s.File)
	if src == nil {
		t.Fatalf("%q was not read", s.File)
	}
	switch {
	case s.Start.Offset < 0 || s.End.Offset < s.Start.Offset || s.End.Offset > len(src):
		t.Fatalf("span outside of %d bytes: %+v", len(src), s)
	case s.End.Line < s.Start.Line || s.End.Line == s.Start.Line && s.End.Column < s.Start.Column:
		t.Fatalf("span ends before it starts: %+v", s)
	case s.Start.Column > 0 && diag.At(src, s.Start.Offset) != s.Start:
		t.Fatalf("the offset is at %+v, the span says %+v", diag.At(src, s.Start.Offset), s.Start)
	}
}

func FuzzGraph(f *testing.F) {
	f.Add([]byte(`{` + source + `,` + save + `}`))
	f.Add([]byte(`{"1":{"class_type":"KSampler","inputs":{"seed":"NaN","cfg":"inf","steps":1e999,"sampler_name":["1",0]}}}`))
	f.Add([]byte(`{"1":{"class_type":"ResizeImageMaskNode","inputs":{"resize_type":{"__value__":[]}}},"2":{"class_type":"BatchImagesNode","inputs":{"images.image1":["1",-9]}}}`))
	f.Add([]byte("\ufeff{\"1\":{\"class_type\":\"Load Checkpoint\",\"inputs\":{\"a\":\"\\\\\\\\nas\\\\x\",\"b\":\"http://10.0.0.1/\",\"c\":[\"9\",0]}}}"))
	cat := builtin(f, "v0.30.2")
	f.Fuzz(func(t *testing.T, src []byte) {
		g, list := workflow.Parse("w", src)
		text := src
		if g != nil {
			text = g.Source
			list = append(list, Graph(g, cat, GraphOptions{HasModel: func(string) bool { return false }, HasFile: func(_, _, _ string) bool { return false }})...)
		}
		if !workflow.IsMedia(src[:min(len(src), 16)]) {
			proper(t, list, func(string) []byte { return text })
		}
	})
}

// fuzzed is a service in memory: any other name than that of the service file
// and its overlay is the graph.
func fuzzed(yaml, graph []byte) Options {
	return Options{File: "comfyctl.yaml", Env: "prod", Lock: &Locked{Missing: true}, ReadFile: func(name string) ([]byte, error) {
		switch {
		case name == "comfyctl.yaml":
			return yaml, nil
		case strings.HasSuffix(name, ".prod.yaml"):
			return nil, fs.ErrNotExist
		}
		return graph, nil
	}}
}

func seedServices(f *testing.F) {
	for _, fix := range fixtures(f) {
		files := fix.files("bad")
		f.Add([]byte(files["comfyctl.yaml"]), []byte(files["w.json"]))
	}
	f.Add([]byte("\ufeffname: a\r\nworkflow: w\r\nenvironments: { prod: { gpu: { cuont: 1 } } }\r\n"), []byte("\ufeff{}"))
}

func FuzzLoad(f *testing.F) {
	seedServices(f)
	f.Fuzz(func(t *testing.T, yaml, graph []byte) {
		if workflow.IsMedia(graph[:min(len(graph), 16)]) {
			return // its text is not its bytes
		}
		p, list, err := Load(context.Background(), fuzzed(yaml, graph))
		if err != nil {
			t.Skip()
		}
		proper(t, list, func(file string) []byte {
			if b := p.Source(file); b != nil {
				return b
			}
			return graph // of a file that holds no graph
		})
	})
}

// To fix twice is to fix once, whatever the files.
func FuzzFix(f *testing.F) {
	seedServices(f)
	f.Fuzz(func(t *testing.T, yaml, graph []byte) {
		once, err := Fix(context.Background(), fuzzed(yaml, graph), nil)
		if err != nil {
			t.Skip()
		}
		for name, b := range once.Files {
			if name == "comfyctl.yaml" {
				yaml = b
			} else {
				graph = b
			}
		}
		again, err := Fix(context.Background(), fuzzed(yaml, graph), nil)
		if err != nil {
			t.Fatal(err)
		}
		for name, b := range again.Files {
			t.Fatalf("fixing again changes %s to %q from %q %q", name, b, yaml, graph)
		}
		if len(once.Done) == 0 && len(once.Files) > 0 {
			t.Fatal("files changed without a finding")
		}
	})
}
