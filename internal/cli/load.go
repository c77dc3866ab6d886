package cli

import (
	"context"
	"fmt"
	"path/filepath"

	"github.com/comfyctl/comfyctl/internal/diag"
	"github.com/comfyctl/comfyctl/pkg/validate"
)

// project is a service that passed its checks.
type project struct {
	*validate.Plan
	// root is the folder that names of findings are relative to.
	root string
}

// abs is where a file of the project lies, by the name that findings use.
func (p *project) abs(name string) string {
	if filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(p.root, name)
}

// check reads a service file and applies every rule. Findings name files as
// people see them from the folder acted in.
func (a *App) check(ctx context.Context, file string, o validate.Options) (*project, []diag.Diagnostic, error) {
	dir, o, err := a.checkOptions(file, o)
	if err != nil {
		return nil, nil, err
	}
	plan, list, err := validate.Load(ctx, o)
	if err != nil {
		return nil, nil, err
	}
	a.sources = plan.Source
	return &project{plan, dir}, list, nil
}

// checkOptions fills in what every check of a service file shares, and gives
// the folder that findings name files from.
func (a *App) checkOptions(file string, o validate.Options) (string, validate.Options, error) {
	dir, err := a.dir()
	o.Dir, o.File, o.Env, o.Lookup, o.CI, o.Version = dir, a.shown(file), a.flags.Env, a.lookup, a.ci(), buildInfo().Version
	return dir, o, err
}

// load reads the service at hand and stops at errors, after showing them.
// Warnings do not stop it and are left to `validate`. stub is set where no
// model is needed.
func (a *App) load(ctx context.Context, stub bool) (*project, error) {
	file, err := a.serviceFile()
	if err != nil {
		return nil, err
	}
	p, list, err := a.check(ctx, file, validate.Options{Stub: stub})
	if err != nil {
		return nil, err
	}
	if !diag.HasErrors(list) {
		return p, nil
	}
	a.reply.diags = list
	return nil, a.refuse(file, list)
}

// refuse shows the errors among findings and gives the error for them.
func (a *App) refuse(file string, list []diag.Diagnostic) error {
	if err := a.showFindings(onlyErrors(list)); err != nil {
		return err
	}
	errs, _, _ := counts(list)
	return checkError("invalid_service", fmt.Sprintf("%s in %s", count(errs, "error"), a.shown(file)), list)
}

func onlyErrors(list []diag.Diagnostic) []diag.Diagnostic {
	var errs []diag.Diagnostic
	for _, d := range list {
		if d.Severity == diag.SeverityError {
			errs = append(errs, d)
		}
	}
	return errs
}
