package report

import (
	"bytes"
	"encoding/json"
	"flag"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/joshdk/go-junit"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/comfyctl/comfyctl/internal/diag"
)

var update = flag.Bool("update", false, "write the golden files")

const yamlText = "name: portrait\ngpu:\n  cuont: 1\nname: größe\n"

func at(file string, line, column, offset, length int) diag.Span {
	return diag.Span{File: file, Start: diag.Position{Line: line, Column: column, Offset: offset},
		End: diag.Position{Line: line, Column: column + length, Offset: offset + length}}
}

// sample has what is hard to write: names with blanks, umlauts and commas,
// control characters, percent signs, a second place, a fix, unknown places.
func sample() Findings {
	return Findings{
		Version: "1.2.3", Files: []string{"comfyctl.yaml", "bilder/größe 1,2.json", "clean.json"}, Seconds: 0.25, Line: "3 errors",
		Rule: func(id string) (diag.Rule, bool) {
			return diag.Rule{ID: id, Level: diag.SeverityError, Title: "title of " + id, Server: []string{"value_not_in_list"}, Why: "Why it is.", Bad: "a: `b`", Good: "a: c", Mend: "Write c."}, id != "CW001" && id != ""
		},
		Source: func(file string) []byte {
			if file == "comfyctl.yaml" {
				return []byte(yamlText)
			}
			return nil
		},
		List: []diag.Diagnostic{
			{Code: "CY001", Severity: diag.SeverityError, Message: "unknown key `cuont` in `gpu`", Span: at("comfyctl.yaml", 3, 3, 22, 5), Pointer: "/gpu/cuont",
				Label: "not part of the service schema", Help: "did you mean `count`?",
				Fix: &diag.Fix{Title: "rename it to `count`", Safe: true, Edits: []diag.Edit{{Start: 22, End: 27, Text: "count"}}}},
			{Code: "CY003", Severity: diag.SeverityError, Message: "`name` is set twice", Span: at("comfyctl.yaml", 4, 1, 31, 4), Pointer: "/name",
				Related: []diag.Related{{Span: at("comfyctl.yaml", 1, 1, 0, 4), Label: "first set here"}}},
			{Code: "CW105", Severity: diag.SeverityWarning, Message: "value is not one ComfyUI offers: 100%, <b>\x1b[31m", Span: at("bilder/größe 1,2.json", 9, 23, 214, 9),
				Pointer: "/3/inputs/sampler_name", Node: &diag.Node{ID: "3", Class: "KSampler"}, Input: "sampler_name", Help: "one\ntwo"},
			{Code: "CY110", Severity: diag.SeverityNote, Message: "inputs were inferred", Span: diag.Span{File: "comfyctl.yaml"}},
			{Code: "CW001", Severity: diag.SeverityError, Message: "not JSON", Span: diag.Span{File: "/elsewhere/a b.json", Start: diag.Position{Line: 7}}},
			{Severity: diag.SeverityError, Message: "no file at all"},
		},
	}
}

func TestGoldens(t *testing.T) {
	for name, write := range map[string]func(io.Writer, Findings) error{"findings.sarif": SARIF, "findings.xml": FindingsJUnit, "findings.github": GitHub, "findings.md": Markdown} {
		t.Run(name, func(t *testing.T) {
			var b bytes.Buffer
			if err := write(&b, sample()); err != nil {
				t.Fatal(err)
			}
			golden := filepath.Join("testdata", name)
			if *update {
				if err := os.WriteFile(golden, b.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), b.String()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestSARIFSchema asks the standard's own schema, with findings and without.
func TestSARIFSchema(t *testing.T) {
	schema, err := jsonschema.NewCompiler().Compile("testdata/sarif-schema-2.1.0.json")
	if err != nil {
		t.Fatal(err)
	}
	for name, f := range map[string]Findings{"sample": sample(), "empty": {}} {
		var b bytes.Buffer
		if err := SARIF(&b, f); err != nil {
			t.Fatal(err)
		}
		v, err := jsonschema.UnmarshalJSON(&b)
		if err != nil {
			t.Fatal(err)
		}
		if err := schema.Validate(v); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if schema.Validate(map[string]any{"version": "2.1.0"}) == nil {
		t.Error("the schema accepts a log without runs")
	}
}

func prints(t *testing.T, f Findings) []string {
	t.Helper()
	var b bytes.Buffer
	if err := SARIF(&b, f); err != nil {
		t.Fatal(err)
	}
	var log sarifLog
	if err := json.Unmarshal(b.Bytes(), &log); err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, r := range log.Runs[0].Results {
		list = append(list, r.Prints[lineHash])
	}
	return list
}

// TestFingerprints: they stay when lines move and messages are reworded, and
// differ between findings, equal ones included.
func TestFingerprints(t *testing.T) {
	before := prints(t, sample())
	moved := sample()
	for i := range moved.List {
		d := &moved.List[i]
		d.Start.Line += 40
		d.End.Line += 40
		d.Label, d.Help = "", ""
	}
	moved.List[0].Message = "there is no key `cuont` under `gpu`"
	if diff := cmp.Diff(before, prints(t, moved)); diff != "" {
		t.Error(diff)
	}
	other := sample()
	other.List[0].Message = "unknown key `cout` in `gpu`"
	other.List = append(other.List, other.List[1])
	after := prints(t, other)
	if after[0] == before[0] {
		t.Error("another argument has the same fingerprint")
	}
	seen := map[string]bool{}
	for _, p := range after {
		if seen[p] {
			t.Errorf("%s comes twice", p)
		}
		seen[p] = true
	}
}

// TestPaths: names go through Path wherever they are written.
func TestPaths(t *testing.T) {
	f := sample()
	f.Path = func(file string) string { return "services/a/" + strings.TrimPrefix(file, "/elsewhere/") }
	for name, write := range map[string]func(io.Writer, Findings) error{"sarif": SARIF, "junit": FindingsJUnit, "github": GitHub, "markdown": Markdown} {
		var b bytes.Buffer
		if err := write(&b, f); err != nil {
			t.Fatal(err)
		}
		text := b.String()
		if strings.Count(text, "comfyctl.yaml") != strings.Count(text, "services/a/comfyctl.yaml") || !strings.Contains(text, "services/a/") {
			t.Errorf("%s: %s", name, text)
		}
	}
}

// TestJUnitIsRead reads the report back with another program's parser.
func TestJUnitIsRead(t *testing.T) {
	var b bytes.Buffer
	if err := FindingsJUnit(&b, sample()); err != nil {
		t.Fatal(err)
	}
	suites, err := junit.Ingest(b.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	type result struct{ suite, name, status, message string }
	var got []result
	for _, s := range suites {
		for _, c := range s.Tests {
			r := result{s.Name, c.Name, string(c.Status), c.Message}
			got = append(got, r)
		}
	}
	want := []result{
		{"comfyctl.yaml", "CY001 /gpu/cuont", "failed", "unknown key `cuont` in `gpu`"},
		{"comfyctl.yaml", "CY003 /name", "failed", "`name` is set twice"},
		{"comfyctl.yaml", "CY110", "passed", ""},
		{"bilder/größe 1,2.json", "CW105 /3/inputs/sampler_name", "passed", ""},
		{"clean.json", "no problems", "passed", ""},
		{"/elsewhere/a b.json", "CW001", "failed", "not JSON"},
		{"", "", "failed", "no file at all"},
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(result{})); diff != "" {
		t.Error(diff)
	}
}

// TestSuites: cases of a test run keep failures, skips and output.
func TestSuites(t *testing.T) {
	var b bytes.Buffer
	err := JUnit(&b, Suite{Name: "portrait", Seconds: 1.5, Cases: []Case{
		{Class: "portrait", Name: "smoke", Seconds: 0.5},
		{Class: "portrait", Name: "size", Failures: []string{"want 768", "got <512>"}, Out: "[[ATTACHMENT|a.png]]\n"},
		{Class: "portrait", Name: "later", Skipped: true},
	}})
	if err != nil {
		t.Fatal(err)
	}
	suites, err := junit.Ingest(b.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	s := suites[0]
	if s.Totals.Passed != 1 || s.Totals.Failed != 1 || s.Totals.Skipped != 1 {
		t.Errorf("%+v", s.Totals)
	}
	if c := s.Tests[1]; c.Message != "want 768; got <512>" || c.Error.Error() != "want 768\ngot <512>" || !strings.Contains(c.SystemOut, "ATTACHMENT") {
		t.Errorf("%+v", c)
	}
}

// TestGitHubLimits: ten of each level, the worst first, then how many more.
func TestGitHubLimits(t *testing.T) {
	var f Findings
	for range 12 {
		f.List = append(f.List, diag.Diagnostic{Code: "CW009", Severity: diag.SeverityWarning, Message: "x"})
	}
	f.List = append(f.List, diag.Diagnostic{Code: "CY001", Severity: diag.SeverityError, Message: "y"})
	var b bytes.Buffer
	if err := GitHub(&b, f); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(b.String()), "\n")
	if len(lines) != 12 || !strings.HasPrefix(lines[0], "::error ") || lines[11] != "2 more are in the log" {
		t.Errorf("%d lines: %s", len(lines), b.String())
	}
}
