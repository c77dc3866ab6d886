package cli

import (
	"context"
	"fmt"

	"github.com/comfyctl/comfyctl/internal/diag"
	"github.com/comfyctl/comfyctl/pkg/validate"
)

// project is a service that passed its checks.
type project struct {
	*validate.Plan
}

// validateOptions are what every command that reads a service checks with.
func (a *App) validateOptions() (validate.Options, error) {
	file, err := a.serviceFile()
	if err != nil {
		return validate.Options{}, err
	}
	return validate.Options{File: file, Env: a.flags.Env, Lookup: a.lookup, CI: a.ci()}, nil
}

// load reads the service at hand and stops at errors, after showing them.
// Warnings do not stop it and are left to `validate`.
func (a *App) load(ctx context.Context) (*project, error) {
	o, err := a.validateOptions()
	if err != nil {
		return nil, err
	}
	plan, list, err := validate.Load(ctx, o)
	if err != nil {
		return nil, err
	}
	if !diag.HasErrors(list) {
		return &project{plan}, nil
	}
	a.reply.diags = list
	return nil, a.refuse(o.File, list)
}

// refuse shows the errors among findings and gives the error for them.
func (a *App) refuse(file string, list []diag.Diagnostic) error {
	a.findSources(file)
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
