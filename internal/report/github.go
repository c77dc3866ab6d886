package report

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/comfyctl/comfyctl/internal/diag"
)

// annotationsPerLevel is how many annotations of each level GitHub shows a
// step.
const annotationsPerLevel = 10

var (
	escapeData     = strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A")
	escapeProperty = strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A", ":", "%3A", ",", "%2C")
)

// rank puts severities in order, worst first.
func rank(s diag.Severity) int {
	return slices.Index([]diag.Severity{diag.SeverityError, diag.SeverityWarning, diag.SeverityNote}, s)
}

// GitHub writes findings as workflow commands of GitHub Actions: ten of each
// level, worst first, then how many more there are.
func GitHub(w io.Writer, f Findings) error {
	list := slices.Clone(f.List)
	slices.SortStableFunc(list, func(a, b diag.Diagnostic) int { return rank(a.Severity) - rank(b.Severity) })
	shown, left := map[diag.Severity]int{}, 0
	var b strings.Builder
	for i := range list {
		d := &list[i]
		if shown[d.Severity]++; shown[d.Severity] > annotationsPerLevel {
			left++
			continue
		}
		b.WriteString(annotation(&f, d) + "\n")
	}
	if left > 0 {
		fmt.Fprintf(&b, "%d more are in the log\n", left)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func annotation(f *Findings, d *diag.Diagnostic) string {
	word := map[diag.Severity]string{diag.SeverityError: "error", diag.SeverityWarning: "warning", diag.SeverityNote: "notice"}[d.Severity]
	var props []string
	add := func(key, value string) { props = append(props, key+"="+escapeProperty.Replace(value)) }
	if d.File != "" {
		add("file", f.path(d.File))
	}
	if d.Start.Line > 0 {
		add("line", strconv.Itoa(d.Start.Line))
		if d.Start.Column > 0 {
			add("col", strconv.Itoa(d.Start.Column))
		}
		if d.End.Line == d.Start.Line && d.End.Column > d.Start.Column {
			add("endColumn", strconv.Itoa(d.End.Column))
		}
	}
	title := d.Code
	if r, ok := f.rule(d.Code); ok {
		title += " " + r.Title
	}
	if title != "" {
		add("title", title)
	}
	text := d.Message
	if d.Help != "" {
		text += "\n" + d.Help
	}
	return "::" + word + " " + strings.Join(props, ",") + "::" + escapeData.Replace(diag.Safe(text))
}
