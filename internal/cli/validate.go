package cli

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/comfyctl/comfyctl/internal/diag"
	"github.com/comfyctl/comfyctl/pkg/validate"
)

// ValidateOptions of `comfyctl validate`.
type ValidateOptions struct {
	Files       []string
	Strict, Fix bool
	ObjectInfo  string
	// Rules are the patterns of --rule.
	Rules         []string
	Online, Print bool
}

func newValidateCmd(a *App, f runFunc[ValidateOptions]) *cobra.Command {
	o := &ValidateOptions{}
	cmd := &cobra.Command{
		Use:     "validate [FILE|FOLDER…]",
		Short:   "Check YAML, graph, nodes, models",
		Example: "comfyctl validate\ncomfyctl validate --strict -o json\ncomfyctl validate --fix\ncomfyctl validate --online\ncomfyctl validate --print -e prod\ncomfyctl validate --rule 'CW1*' --report results.sarif services/",
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
	fl.StringSliceVar(&o.Rules, "rule", nil, "only these rules: an id or a pattern such as CW1* (`RULE`; may be repeated)")
	fl.StringVar(&o.ObjectInfo, "object-info", "", "node definitions, as ComfyUI's GET /object_info gives them (`FILE` or URL)")
	fl.BoolVar(&o.Online, "online", false, "also ask the network: models' sources, refs, access; and whether secrets are set")
	fl.BoolVar(&o.Print, "print", false, "print the merged service file, with where each value comes from")
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
	Merged []merged       `json:"merged,omitempty"`

	// chosen are the rules of --rule; nil means all.
	chosen map[string]bool
}

func runValidate(ctx context.Context, a *App, o *ValidateOptions) error {
	chosen, err := chooseRules(o.Rules)
	if err != nil {
		return err
	}
	reports, err := a.reportFiles(formatSARIF, formatJUnit, formatJSON, formatMarkdown)
	if err != nil {
		return err
	}
	files, err := a.serviceFiles(o.Files)
	if err != nil {
		return err
	}
	info, err := a.objectInfo(ctx, o.ObjectInfo)
	if err != nil {
		return err
	}
	sum := checked{Files: []string{}, Rules: ruleCount(chosen, o.Online), chosen: chosen}
	var all []diag.Diagnostic
	sources := map[string][]byte{}
	for _, file := range files {
		list, err := a.validateOne(ctx, o, file, info, &sum)
		if err != nil {
			return err
		}
		for _, d := range list {
			sources[d.File] = a.sources(d.File)
		}
		all = append(all, list...)
	}
	a.sources = func(file string) []byte { return sources[file] }
	errs, warnings, notes := counts(all)
	sum.Counts = map[string]int{"error": errs, "warning": warnings, "note": notes}
	a.reply.data, a.reply.diags = sum, all
	if o.Print && errs > 0 {
		return checkError("invalid_service", count(errs, "error"), all)
	} else if o.Print {
		return nil
	}
	return a.reportFindings(all, sum, reports)
}

// validateOne checks one service file, and checks it again after fixing it.
func (a *App) validateOne(ctx context.Context, o *ValidateOptions, file string, info []byte, sum *checked) ([]diag.Diagnostic, error) {
	vo := validate.Options{Lock: &validate.Locked{}, ObjectInfo: info, Strict: o.Strict}
	p, list, err := a.check(ctx, file, vo)
	if err != nil {
		return nil, err
	}
	list = onlyRules(list, sum.chosen)
	if o.Fix {
		n, err := a.fix(ctx, file, vo, func(d diag.Diagnostic) bool { return sum.chosen == nil || sum.chosen[d.Code] })
		if err != nil {
			return nil, err
		}
		if sum.Fixed += n; n > 0 {
			if p, list, err = a.check(ctx, file, vo); err != nil {
				return nil, err
			}
			list = onlyRules(list, sum.chosen)
		}
	}
	if o.Online {
		if list, err = a.online(ctx, p, list, o.Strict); err != nil {
			return nil, err
		}
		list = onlyRules(list, sum.chosen)
	}
	sum.Files = append(sum.Files, p.Files()...)
	for _, w := range p.Workflows {
		sum.Inputs += len(w.Inputs)
		if w.Graph != nil {
			sum.Nodes += len(w.Graph.Nodes)
		}
	}
	if o.Print {
		sum.Merged = append(sum.Merged, merged{File: p.File, Lines: p.Service.Merged(p.Defaults())})
		return list, a.printMerged(p, list)
	}
	if a.flags.Output == formatText {
		return list, a.printFindings(list)
	}
	return list, nil
}

// printFindings is the report on stdout, frames and all.
func (a *App) printFindings(list []diag.Diagnostic) error {
	return diag.Render(a.out, list, a.sources, a.style(a.console().Out))
}
