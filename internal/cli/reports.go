package cli

import (
	"bytes"
	"encoding/json"
	"io"
	"path/filepath"
	"slices"
	"strings"

	"github.com/comfyctl/comfyctl/internal/diag"
	"github.com/comfyctl/comfyctl/internal/report"
)

// reportSuffixes are the formats of --report by what a file's name ends in.
var reportSuffixes = map[string]string{".sarif": formatSARIF, ".xml": formatJUnit, ".json": formatJSON, ".md": formatMarkdown}

// reportFile is one --report.
type reportFile struct{ format, name string }

// reportFiles reads --report: FILE, whose suffix tells the format, or
// FORMAT=FILE. Only the formats of the command are accepted.
func (a *App) reportFiles(formats ...string) ([]reportFile, error) {
	var list []reportFile
	for _, arg := range a.flags.Reports {
		r := reportFile{name: arg}
		if format, name, ok := strings.Cut(arg, "="); ok && slices.Contains(formats, format) {
			r = reportFile{format, name}
		} else if strings.HasSuffix(arg, ".sarif.json") {
			r.format = formatSARIF
		} else {
			r.format = reportSuffixes[filepath.Ext(arg)]
		}
		if !slices.Contains(formats, r.format) || r.name == "" {
			return nil, usageError("bad_report", "--report "+arg+" has no format for "+a.command, "write "+strings.Join(suffixesOf(formats), ", ")+" at the end, or FORMAT=FILE with one of "+strings.Join(formats, ", "))
		}
		list = append(list, r)
	}
	return list, nil
}

func suffixesOf(formats []string) []string {
	var list []string
	for suffix, f := range reportSuffixes {
		if slices.Contains(formats, f) {
			list = append(list, suffix)
		}
	}
	slices.Sort(list)
	return list
}

// writeReports writes each report with the writer of its format.
func (a *App) writeReports(list []reportFile, writers map[string]func(io.Writer) error) error {
	for _, r := range list {
		path, err := a.path(r.name)
		if err != nil {
			return err
		}
		var b bytes.Buffer
		if err := writers[r.format](&b); err != nil {
			return err
		}
		if err := writeAtomic(path, b.Bytes()); err != nil {
			return failure("cannot_write", "the report "+r.name+" cannot be written", "", err)
		}
	}
	return nil
}

// indented writes a value as JSON for people.
func indented(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

// findings are findings as reports want them: files by their path in the
// repository, so that whoever reads the report finds them.
func (a *App) findings(list []diag.Diagnostic) report.Findings {
	return report.Findings{Version: buildInfo().Version, List: list, Path: a.inRepository(), Source: a.sources}
}

// inRepository turns names as findings have them into paths from the root of
// the repository: GITHUB_WORKSPACE, else the folder with .git, else the folder
// acted in.
func (a *App) inRepository() func(string) string {
	dir, err := a.dir()
	if err != nil {
		return filepath.ToSlash
	}
	root := gitRoot(dir)
	if w := a.env["GITHUB_WORKSPACE"]; w != "" && below(w, dir) {
		root = w
	}
	return func(name string) string {
		path := name
		if !filepath.IsAbs(path) {
			path = filepath.Join(dir, path)
		}
		if !below(root, path) {
			return filepath.ToSlash(path)
		}
		rel, err := filepath.Rel(root, path)
		if err != nil {
			return filepath.ToSlash(path)
		}
		return filepath.ToSlash(rel)
	}
}
