package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/comfyctl/comfyctl/internal/diag"
	"github.com/comfyctl/comfyctl/internal/term"
	"github.com/comfyctl/comfyctl/pkg/validate"
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

// fix makes the safe edits to a service and its graphs, and says what it
// changed.
func (a *App) fix(ctx context.Context, file string, o validate.Options, wanted func(diag.Diagnostic) bool) (int, error) {
	dir, o, _, err := a.checkOptions(file, o)
	if err != nil {
		return 0, err
	}
	f, err := validate.Fix(ctx, o, wanted)
	if err != nil {
		return 0, err
	}
	for name, b := range f.Files {
		path := name
		if !filepath.IsAbs(path) {
			path = filepath.Join(dir, name)
		}
		if err := writeAtomic(path, b); err != nil {
			return 0, failure("cannot_write", "`"+name+"` cannot be written", "", err)
		}
	}
	for _, d := range f.Done {
		a.console().Say("  %s %s:%d  %s", a.console().Mark(a.console().Err, term.OK), diag.Safe(d.File), d.Start.Line, diag.Safe(d.Fix.Title))
	}
	return len(f.Done), nil
}
