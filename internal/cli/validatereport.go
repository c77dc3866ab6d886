package cli

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/comfyctl/comfyctl/internal/diag"
	"github.com/comfyctl/comfyctl/internal/report"
	"github.com/comfyctl/comfyctl/internal/term"
)

// reportFindings writes the result of a check: closing line, annotations,
// reports, exit.
func (a *App) reportFindings(all []diag.Diagnostic, sum checked, reports []reportFile) error {
	errs := sum.Counts[string(diag.SeverityError)]
	f := a.findings(all)
	f.Files, f.Seconds = slices.Compact(slices.Sorted(slices.Values(sum.Files))), time.Since(a.began).Seconds()
	mark, line := a.closingLine(all, sum)
	f.Line = line
	writers := map[string]func(io.Writer) error{
		formatSARIF:    func(w io.Writer) error { return report.SARIF(w, f) },
		formatJUnit:    func(w io.Writer) error { return report.FindingsJUnit(w, f) },
		formatGitHub:   func(w io.Writer) error { return report.GitHub(w, f) },
		formatMarkdown: func(w io.Writer) error { return report.Markdown(w, f) },
		formatJSON: func(w io.Writer) error {
			return indented(w, map[string]any{"data": sum, "diagnostics": append([]diag.Diagnostic{}, all...)})
		},
	}
	if err := a.writeFindings(f, mark, writers); err != nil {
		return err
	}
	var markdown strings.Builder
	if err := report.Markdown(&markdown, f); err != nil {
		return err
	}
	if err := a.summary(markdown.String()); err != nil {
		return err
	}
	if err := a.writeReports(reports, writers); err != nil || errs == 0 {
		return err
	}
	a.quietError = a.flags.Output != formatJSON && a.flags.Output != formatNDJSON
	return checkError("invalid_service", count(errs, "error"), all)
}

// writeFindings is what stdout gets after the frames.
func (a *App) writeFindings(f report.Findings, mark term.Mark, writers map[string]func(io.Writer) error) error {
	switch a.flags.Output {
	case formatSARIF, formatJUnit, formatGitHub:
		return writers[a.flags.Output](a.out)
	}
	if err := a.print(a.console().Mark(a.console().Out, mark) + " " + diag.Safe(f.Line)); err != nil {
		return err
	}
	if a.github() {
		return report.GitHub(a.out, f)
	}
	return nil
}

// closingLine sums a check up.
func (a *App) closingLine(all []diag.Diagnostic, sum checked) (term.Mark, string) {
	errs, warnings := sum.Counts[string(diag.SeverityError)], sum.Counts[string(diag.SeverityWarning)]
	files := strings.Join(sum.Files, ", ")
	if len(sum.Files) > 4 {
		files = count(len(sum.Files), "file")
	}
	mark, line := term.OK, files+": no problems"
	switch {
	case errs > 0:
		mark, line = term.Fail, fmt.Sprintf("%s, %s in %s", count(errs, "error"), count(warnings, "warning"), count(len(sum.Files), "file"))
	case warnings > 0:
		mark, line = term.Warn, files+": "+count(warnings, "warning")
	}
	line += fmt.Sprintf(" (%s, %s, %s)  %.2fs", count(sum.Nodes, "node"), count(sum.Inputs, "input"), count(sum.Rules, "rule"), time.Since(a.began).Seconds())
	if n := fixable(all); n > 0 {
		line += fmt.Sprintf("\n  %d can be fixed by itself: comfyctl validate --fix", n)
	}
	if sum.Fixed > 0 {
		line += fmt.Sprintf("\n  fixed %s", count(sum.Fixed, "finding"))
	}
	return mark, line
}

func fixable(list []diag.Diagnostic) int {
	n := 0
	for _, d := range list {
		if d.Fix != nil && d.Fix.Safe {
			n++
		}
	}
	return n
}
