package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/comfyctl/comfyctl/internal/diag"
	"github.com/comfyctl/comfyctl/internal/term"
	"github.com/comfyctl/comfyctl/pkg/validate"
)

// ValidateOptions of `comfyctl validate`.
type ValidateOptions struct {
	Files       []string
	Strict, Fix bool
	ObjectInfo  string
}

func newValidateCmd(a *App, f runFunc[ValidateOptions]) *cobra.Command {
	o := &ValidateOptions{}
	cmd := &cobra.Command{
		Use:     "validate [FILE|FOLDER…]",
		Short:   "Check YAML, graph, nodes, models",
		Example: "comfyctl validate\ncomfyctl validate --strict -o json\ncomfyctl validate --fix",
		Aliases: []string{"check"},
		GroupID: groupStart,
		RunE: func(cmd *cobra.Command, args []string) error {
			o.Files = args
			return f(cmd.Context(), a, o)
		},
	}
	fl := cmd.Flags()
	fl.BoolVar(&o.Strict, "strict", false, "warnings are errors")
	fl.BoolVar(&o.Fix, "fix", false, "make the edits that cannot change the meaning")
	fl.StringVar(&o.ObjectInfo, "object-info", "", "node definitions, as ComfyUI's GET /object_info gives them (`FILE`)")
	return cmd
}

// checked sums a validation up.
type checked struct {
	Files  []string       `json:"files"`
	Nodes  int            `json:"nodes"`
	Inputs int            `json:"inputs"`
	Rules  int            `json:"rules"`
	Counts map[string]int `json:"counts"`
	Fixed  int            `json:"fixed"`
}

func runValidate(ctx context.Context, a *App, o *ValidateOptions) error {
	files, err := a.serviceFiles(o.Files)
	if err != nil {
		return err
	}
	var info []byte
	if o.ObjectInfo != "" {
		path, err := a.path(o.ObjectInfo)
		if err != nil {
			return err
		}
		if info, err = os.ReadFile(path); err != nil {
			return usageError("unreadable_file", "`"+o.ObjectInfo+"` cannot be read", pathReason(err))
		}
	}
	sum := checked{Files: []string{}, Rules: len(diag.Rules())}
	var all []diag.Diagnostic
	for _, file := range files {
		list, err := a.validateOne(ctx, o, file, info, &sum)
		if err != nil {
			return err
		}
		all = append(all, list...)
	}
	errs, warnings, notes := counts(all)
	sum.Counts = map[string]int{"error": errs, "warning": warnings, "note": notes}
	a.reply.data, a.reply.diags = sum, all
	return a.reportFindings(all, sum)
}

// validateOne checks one service file, and checks it again after fixing it.
func (a *App) validateOne(ctx context.Context, o *ValidateOptions, file string, info []byte, sum *checked) ([]diag.Diagnostic, error) {
	vo := validate.Options{ObjectInfo: info, Strict: o.Strict}
	p, list, err := a.check(ctx, file, vo)
	if err != nil {
		return nil, err
	}
	if o.Fix {
		n, err := a.fix(p, list)
		if err != nil {
			return nil, err
		}
		if sum.Fixed += n; n > 0 {
			if p, list, err = a.check(ctx, file, vo); err != nil {
				return nil, err
			}
		}
	}
	sum.Files = append(sum.Files, p.Files()...)
	for _, w := range p.Workflows {
		sum.Inputs += len(w.Inputs)
		if w.Graph != nil {
			sum.Nodes += len(w.Graph.Nodes)
		}
	}
	if a.flags.Output == formatText {
		if err := a.printFindings(list); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// printFindings is the report on stdout, frames and all.
func (a *App) printFindings(list []diag.Diagnostic) error {
	return diag.Render(a.out, list, a.sources, a.style(a.console().Out))
}

// reportFindings writes the closing line, annotations and reports.
func (a *App) reportFindings(all []diag.Diagnostic, sum checked) error {
	errs, warnings := sum.Counts["error"], sum.Counts["warning"]
	con := a.console()
	what := fmt.Sprintf("(%s, %s, %s)", count(sum.Nodes, "node"), count(sum.Inputs, "input"), count(sum.Rules, "rule"))
	took := fmt.Sprintf("%.2fs", time.Since(a.began).Seconds())
	var line string
	switch {
	case errs > 0:
		line = fmt.Sprintf("%s %s, %s in %s %s  %s", con.Mark(con.Out, term.Fail), count(errs, "error"), count(warnings, "warning"), count(len(sum.Files), "file"), what, took)
	case warnings > 0:
		line = fmt.Sprintf("%s %s: %s %s  %s", con.Mark(con.Out, term.Warn), strings.Join(sum.Files, ", "), count(warnings, "warning"), what, took)
	default:
		line = fmt.Sprintf("%s %s: no problems %s  %s", con.Mark(con.Out, term.OK), strings.Join(sum.Files, ", "), what, took)
	}
	if n := fixable(all); n > 0 {
		line += fmt.Sprintf("\n  %d can be fixed by itself: comfyctl validate --fix", n)
	}
	if sum.Fixed > 0 {
		line += fmt.Sprintf("\n  fixed %s", count(sum.Fixed, "finding"))
	}
	var err error
	if a.flags.Output == formatGitHub {
		err = annotate(a.out, all)
	} else {
		err = a.print(diag.Safe(line))
	}
	if err == nil && a.github() {
		err = annotate(a.out, all)
	}
	if err == nil {
		err = a.summary(findingsMarkdown(all, line))
	}
	if err == nil {
		err = a.findingsReports(all, sum, line)
	}
	if err != nil || errs == 0 {
		return err
	}
	a.quietError = a.flags.Output == formatText || a.flags.Output == formatGitHub
	return checkError("invalid_service", count(errs, "error"), all)
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

func (a *App) findingsReports(all []diag.Diagnostic, sum checked, line string) error {
	for _, name := range a.flags.Reports {
		var b []byte
		switch filepath.Ext(name) {
		case ".json":
			var err error
			b, err = json.MarshalIndent(map[string]any{"data": sum, "diagnostics": append([]diag.Diagnostic{}, all...)}, "", "  ")
			if err != nil {
				return fmt.Errorf("writing %s: %w", name, err)
			}
			b = append(b, '\n')
		case ".md":
			b = []byte(findingsMarkdown(all, line))
		default:
			return usageError("bad_report", "--report "+name+" has no format for validate", "the suffix is .json or .md")
		}
		path, err := a.path(name)
		if err != nil {
			return err
		}
		if err := writeAtomic(path, b); err != nil {
			return failure("cannot_write", "the report "+name+" cannot be written", "", err)
		}
	}
	return nil
}

func findingsMarkdown(list []diag.Diagnostic, line string) string {
	var b strings.Builder
	cell := strings.NewReplacer("|", "\\|", "\n", " ", "<", "&lt;")
	fmt.Fprintf(&b, "### Check\n\n%s\n\n", cell.Replace(line))
	if len(list) > 0 {
		b.WriteString("| | Rule | Where | What | Help |\n|---|---|---|---|---|\n")
	}
	for _, d := range list {
		fmt.Fprintf(&b, "| %s | %s | %s:%d:%d | %s | %s |\n", d.Severity, d.Code, cell.Replace(d.File), d.Start.Line, d.Start.Column, cell.Replace(d.Message), cell.Replace(d.Help))
	}
	return b.String() + "\n"
}
