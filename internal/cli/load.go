package cli

import (
	"cmp"
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/comfyctl/comfyctl/internal/diag"
	"github.com/comfyctl/comfyctl/pkg/lock"
	"github.com/comfyctl/comfyctl/pkg/validate"
)

// project is a service that passed its checks.
type project struct {
	*validate.Plan
	// root is the folder that names of findings are relative to.
	root string
	// lock is what lies beside the service file; nil where there is none.
	lock *lock.Lock
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
	dir, o, l, err := a.checkOptions(file, o)
	if err != nil {
		return nil, nil, err
	}
	plan, list, err := validate.Load(ctx, o)
	if err != nil {
		return nil, nil, err
	}
	a.sources = plan.Source
	return &project{plan, dir, l}, list, nil
}

// current refuses a lock that is out of date, or absent where one must be.
func (a *App) current(ctx context.Context, p *project, f packFlags) error {
	if p.lock == nil {
		if f.Locked || a.ci() {
			return &diag.Error{Code: "lock_missing", Class: diag.ClassStale, Message: "there is no " + lock.FileName, Help: "run `comfyctl lock` and keep the file with the service"}
		}
		return nil
	}
	changes, err := lock.Check(ctx, p.Plan, p.lock)
	if err != nil {
		return err
	}
	if want := cmp.Or(f.Platform, lock.DefaultPlatform); want != p.lock.Platform {
		changes = append(changes, lock.Change{Path: "platform", From: p.lock.Platform + " locked", To: want + " asked for"})
	}
	if len(changes) == 0 {
		return nil
	}
	return staleLock(lock.FileName+" is out of date", changes)
}

func staleLock(message string, changes []lock.Change) error {
	e := &diag.Error{Code: "lock_stale", Class: diag.ClassStale, Message: message, Help: "run `comfyctl lock`"}
	for _, c := range changes {
		e.Facts = append(e.Facts, [2]string{c.Path, strings.Join(slices.DeleteFunc([]string{c.From, c.To}, func(s string) bool { return s == "" }), ", ")})
	}
	return e
}

// checkOptions fills in what every check of a service file shares: the folder
// that findings name files from, the environment, and the lock beside it.
func (a *App) checkOptions(file string, o validate.Options) (string, validate.Options, *lock.Lock, error) {
	dir, err := a.dir()
	if err != nil {
		return "", o, nil, err
	}
	o.Dir, o.File, o.Env, o.Lookup, o.CI, o.Version = dir, a.shown(file), a.flags.Env, a.lookup, a.ci(), buildInfo().Version
	l, err := lock.Read(filepath.Dir(file))
	switch {
	case err != nil:
		return "", o, nil, err
	case l != nil:
		facts := l.Facts()
		if o.Lock == nil {
			facts.Inputs = nil // whether it is out of date is another question
		}
		o.Lock = facts
	case o.Lock != nil:
		o.Lock = &validate.Locked{File: lock.FileName, Missing: true}
	}
	return dir, o, l, nil
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
