package cli

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/comfyctl/comfyctl/internal/diag"
	"github.com/comfyctl/comfyctl/internal/report"
)

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
	_ = report.GitHub(a.out, report.Findings{List: []diag.Diagnostic{{Code: d.Code, Severity: diag.SeverityError, Message: d.Error(), Help: d.Help}}})
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
