package report

import (
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"path"
	"slices"
	"strings"

	"github.com/comfyctl/comfyctl/internal/diag"
)

const (
	sarifSchema = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
	// srcRoot is the base that relative addresses are resolved against: the root
	// of the repository, which whoever reads the report knows.
	srcRoot = "SRCROOT"
	// lineHash is the one fingerprint that GitHub matches alerts by.
	lineHash = "primaryLocationLineHash"
)

// SARIF writes findings as a SARIF 2.1.0 log of one run. Its rules are those
// that were found; fixes need Source.
func SARIF(w io.Writer, f Findings) error {
	run := sarifRun{ColumnKind: "unicodeCodePoints", Results: []sarifResult{}, Bases: map[string]sarifBase{
		srcRoot: {Description: sarifText{Text: "the root of the repository"}}}}
	run.Tool.Driver = sarifDriver{Name: "comfyctl", Version: f.Version, Rules: []sarifRule{}}
	index := map[string]int{}
	for _, id := range ruleIDs(f.List) {
		index[id] = len(run.Tool.Driver.Rules)
		run.Tool.Driver.Rules = append(run.Tool.Driver.Rules, ruleOf(&f, id))
	}
	for _, file := range f.Files {
		run.Artifacts = append(run.Artifacts, sarifArtifact{Location: artifact(f.path(file))})
	}
	prints := fingerprints(f)
	for i := range f.List {
		d := &f.List[i]
		r := resultOf(&f, d)
		if at, ok := index[d.Code]; ok {
			r.RuleIndex = &at
		}
		r.Prints = map[string]string{lineHash: prints[i]}
		run.Results = append(run.Results, r)
	}
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(sarifLog{Schema: sarifSchema, Version: "2.1.0", Runs: []sarifRun{run}}); err != nil {
		return fmt.Errorf("writing SARIF: %w", err)
	}
	return nil
}

func ruleIDs(list []diag.Diagnostic) []string {
	var ids []string
	for _, d := range list {
		if d.Code != "" {
			ids = append(ids, d.Code)
		}
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

func ruleOf(f *Findings, id string) sarifRule {
	r, ok := f.rule(id)
	if !ok {
		return sarifRule{ID: id}
	}
	s := sarifRule{ID: id, Short: &sarifText{Text: r.Title}, Full: &sarifText{Text: r.Why}, Help: &sarifText{Text: ruleText(r), Markdown: ruleMarkdown(r)}}
	if l := level(r.Level); l != "" {
		s.Default = &sarifDefault{Level: l}
	}
	return s
}

// level is SARIF's word for a severity.
func level(s diag.Severity) string {
	switch s {
	case diag.SeverityError, diag.SeverityWarning, diag.SeverityNote:
		return string(s)
	}
	return ""
}

func resultOf(f *Findings, d *diag.Diagnostic) sarifResult {
	text := d.Message
	if d.Label != "" {
		text += ": " + d.Label
	}
	if d.Help != "" {
		text += "\n" + d.Help
	}
	r := sarifResult{RuleID: d.Code, Level: level(d.Severity), Message: sarifText{Text: diag.Safe(text)}, Locations: []sarifLocation{}}
	if d.File != "" {
		at := location(f, d.Span)
		if n := d.Node; n != nil {
			at.Logical = []sarifLogical{{Name: n.ID, Full: d.Pointer, Kind: "object"}}
		} else if d.Pointer != "" {
			at.Logical = []sarifLogical{{Name: path.Base(d.Pointer), Full: d.Pointer, Kind: "property"}}
		}
		r.Locations = append(r.Locations, at)
	}
	for i, rel := range d.Related {
		at := location(f, rel.Span)
		id := i + 1
		at.ID, at.Message = &id, &sarifText{Text: diag.Safe(rel.Label)}
		r.Related = append(r.Related, at)
	}
	if fix, ok := fixOf(f, d); ok {
		r.Fixes = append(r.Fixes, fix)
	}
	return r
}

func location(f *Findings, s diag.Span) sarifLocation {
	p := &sarifPhysical{Artifact: artifact(f.path(s.File))}
	p.Region = region(s)
	return sarifLocation{Physical: p}
}

// region is a span; nil where the place is not known. End is the first
// character after it, as in SARIF.
func region(s diag.Span) *sarifRegion {
	if s.Start.Line == 0 {
		return nil
	}
	r := &sarifRegion{StartLine: s.Start.Line, StartColumn: s.Start.Column}
	switch {
	case s.Start.Column == 0 || s.End.Line < s.Start.Line:
	case s.End.Line > s.Start.Line:
		r.EndLine, r.EndColumn = s.End.Line, s.End.Column
	default:
		r.EndColumn = max(s.End.Column, s.Start.Column)
	}
	return r
}

// artifact addresses a file: relative to the root where it is below it.
func artifact(name string) sarifArtifactAt {
	u := url.URL{Path: name}
	switch {
	case strings.HasPrefix(name, "/"):
		u.Scheme = "file"
	case len(name) > 2 && name[1] == ':' && name[2] == '/': // a drive
		u = url.URL{Scheme: "file", Path: "/" + name}
	default:
		return sarifArtifactAt{URI: u.EscapedPath(), Base: srcRoot}
	}
	return sarifArtifactAt{URI: u.String()}
}

// fixOf writes the edits of a finding by line and column, which needs the text.
func fixOf(f *Findings, d *diag.Diagnostic) (sarifFix, bool) {
	if d.Fix == nil {
		return sarifFix{}, false
	}
	file := d.FixFile()
	src := f.source(file)
	if src == nil || len(d.Fix.Edits) == 0 {
		return sarifFix{}, false
	}
	change := sarifChange{Artifact: artifact(f.path(file))}
	for _, e := range d.Fix.Edits {
		if e.Start < 0 || e.End < e.Start || e.End > len(src) {
			return sarifFix{}, false
		}
		from, to := diag.At(src, e.Start), diag.At(src, e.End)
		change.Replacements = append(change.Replacements, sarifReplacement{
			Deleted:  sarifRegion{StartLine: from.Line, StartColumn: from.Column, EndLine: to.Line, EndColumn: to.Column},
			Inserted: sarifText{Text: e.Text}})
	}
	return sarifFix{Description: sarifText{Text: d.Fix.Title}, Changes: []sarifChange{change}}, true
}
