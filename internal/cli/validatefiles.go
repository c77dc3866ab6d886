package cli

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/comfyctl/comfyctl/internal/diag"
	"github.com/comfyctl/comfyctl/internal/term"
)

// serviceFiles settles the arguments: files, folders with services below, or
// the one at hand.
func (a *App) serviceFiles(args []string) ([]string, error) {
	if len(args) == 0 {
		f, err := a.serviceFile()
		return []string{f}, err
	}
	var files []string
	for _, arg := range args {
		path, err := a.path(arg)
		if err != nil {
			return nil, err
		}
		st, err := os.Stat(path)
		switch {
		case errors.Is(err, os.ErrNotExist):
			return nil, usageError("no_service_file", "there is no file `"+arg+"`", "validate takes service files and folders")
		case err != nil:
			return nil, usageError("no_service_file", "`"+arg+"` cannot be read", pathReason(err))
		case !st.IsDir() && filepath.Ext(path) == ".json":
			return nil, usageError("not_a_service_file", "`"+arg+"` is a workflow; validate takes the service file that names it", "comfyctl init "+arg)
		case !st.IsDir():
			files = append(files, path)
			continue
		}
		found, err := servicesBelow(path)
		if err != nil {
			return nil, err
		}
		if len(found) == 0 {
			return nil, usageError("no_service_file", "no comfyctl.yaml in `"+arg+"`", "")
		}
		files = append(files, found...)
	}
	return files, nil
}

func servicesBelow(dir string) ([]string, error) {
	var found []string
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && path != dir && (strings.HasPrefix(d.Name(), ".") || d.Name() == "node_modules"):
			return filepath.SkipDir
		case !d.IsDir() && slices.Contains([]string{"comfyctl.yaml", "comfyctl.yml"}, d.Name()):
			found = append(found, path)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("looking for services: %w", err)
	}
	return found, nil
}

// fix makes the safe edits, last one first so that offsets hold, and says
// what it changed.
func (a *App) fix(p *project, list []diag.Diagnostic) (int, error) {
	edits := map[string][]diag.Edit{}
	n := 0
	for _, d := range list {
		if d.Fix == nil || !d.Fix.Safe {
			continue
		}
		edits[d.File] = append(edits[d.File], d.Fix.Edits...)
		n++
		a.console().Say("  %s %s:%d  %s", a.console().Mark(a.console().Err, term.OK), diag.Safe(d.File), d.Start.Line, diag.Safe(d.Fix.Title))
	}
	for name, some := range edits {
		path := p.abs(name)
		b, err := os.ReadFile(path)
		if err != nil {
			return 0, fmt.Errorf("fixing %s: %w", name, err)
		}
		if b, err = diag.Apply(b, some); err != nil {
			return 0, fmt.Errorf("fixing %s: %w", name, err)
		}
		if err := writeAtomic(path, b); err != nil {
			return 0, failure("cannot_write", "`"+name+"` cannot be written", "", err)
		}
	}
	return n, nil
}
