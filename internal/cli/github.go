package cli

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sort"
	"strings"

	"github.com/comfyctl/comfyctl/internal/diag"
)

// GitHub shows ten annotations of each level a step.
const annotationsPerLevel = 10

var (
	escapeData     = strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A")
	escapeProperty = strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A", ":", "%3A", ",", "%2C")
)

// annotate writes findings as workflow commands: the ten worst of each level,
// then how many more there are.
func annotate(w io.Writer, list []diag.Diagnostic) error {
	list = append([]diag.Diagnostic{}, list...)
	rank := map[diag.Severity]int{diag.SeverityError: 0, diag.SeverityWarning: 1, diag.SeverityNote: 2}
	sort.SliceStable(list, func(i, j int) bool { return rank[list[i].Severity] < rank[list[j].Severity] })
	shown, left := map[diag.Severity]int{}, 0
	var b strings.Builder
	for _, d := range list {
		if shown[d.Severity]++; shown[d.Severity] > annotationsPerLevel {
			left++
			continue
		}
		b.WriteString(annotation(d) + "\n")
	}
	if left > 0 {
		fmt.Fprintf(&b, "%d more are in the log\n", left)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func annotation(d diag.Diagnostic) string {
	level := map[diag.Severity]string{diag.SeverityError: "error", diag.SeverityWarning: "warning", diag.SeverityNote: "notice"}[d.Severity]
	var props []string
	add := func(key, value string) { props = append(props, key+"="+escapeProperty.Replace(value)) }
	if d.File != "" {
		add("file", d.File)
	}
	if d.Start.Line > 0 {
		add("line", fmt.Sprint(d.Start.Line))
		if d.Start.Column > 0 {
			add("col", fmt.Sprint(d.Start.Column))
		}
		if d.End.Line == d.Start.Line && d.End.Column > d.Start.Column {
			add("endColumn", fmt.Sprint(d.End.Column))
		}
	}
	title := d.Code
	if r, ok := diag.Lookup(d.Code); ok {
		title += " " + r.Title
	}
	add("title", strings.TrimSpace(title))
	text := d.Message
	if d.Help != "" {
		text += "\n" + d.Help
	}
	return "::" + level + " " + strings.Join(props, ",") + "::" + escapeData.Replace(diag.Safe(text))
}

// annotateError tells GitHub why a command failed, unless its findings did.
func (a *App) annotateError(err error) {
	if !a.github() || len(a.reply.diags) > 0 {
		return
	}
	var d *diag.Error
	if !errors.As(err, &d) {
		d = &diag.Error{Code: "failed", Message: err.Error()}
	}
	// A closed stdout cannot be told about.
	_ = annotate(a.out, []diag.Diagnostic{{Code: d.Code, Severity: diag.SeverityError, Message: d.Error(), Help: d.Help}})
}

// output sets an output of the step, such as image or url.
func (a *App) output(name, value string) error {
	if !a.github() && a.env["GITHUB_OUTPUT"] == "" {
		return nil
	}
	return a.appendTo("GITHUB_OUTPUT", name+"="+strings.NewReplacer("\r", "", "\n", " ").Replace(value)+"\n")
}

// maxSummary is below GitHub's cap of 1 MiB.
const maxSummary = 900 << 10

// summary adds Markdown to the step's summary.
func (a *App) summary(markdown string) error {
	if len(markdown) > maxSummary {
		markdown = markdown[:maxSummary] + "\n… and more, see the log\n"
	}
	return a.appendTo("GITHUB_STEP_SUMMARY", markdown)
}

func (a *App) appendTo(variable, text string) error {
	name := a.env[variable]
	if name == "" || a.flags.NoCI {
		return nil
	}
	f, err := os.OpenFile(name, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return fmt.Errorf("writing $%s: %w", variable, err)
	}
	if _, err := f.WriteString(text); err != nil {
		return errors.Join(fmt.Errorf("writing $%s: %w", variable, err), f.Close())
	}
	return f.Close()
}
