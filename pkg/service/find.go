package service

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/comfyctl/comfyctl/internal/diag"
)

// names of a service file, in the order in which they are looked for.
var names = []string{"comfyctl.yaml", "comfyctl.yml"}

// Find looks for a service file in dir and its parents, up to the root of the
// git repository. Two candidates side by side, and none at all, are errors of
// class usage.
func Find(dir string) (string, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	for at := abs; ; {
		var found []string
		for _, n := range names {
			if st, err := os.Stat(filepath.Join(at, n)); err == nil && !st.IsDir() {
				found = append(found, n)
			}
		}
		switch len(found) {
		case 1:
			return filepath.Join(at, found[0]), nil
		case 2:
			return "", &diag.Error{Code: "two_service_files", Class: diag.ClassUsage,
				Message: "both comfyctl.yaml and comfyctl.yml are in " + at, Help: "keep one, or choose with --file"}
		}
		_, err := os.Stat(filepath.Join(at, ".git"))
		parent := filepath.Dir(at)
		if err == nil || !errors.Is(err, fs.ErrNotExist) || parent == at {
			return "", &diag.Error{Code: "no_service_file", Class: diag.ClassUsage,
				Message: "no comfyctl.yaml in " + abs + " or above it",
				Help:    "`comfyctl init WORKFLOW` writes one; --file names one elsewhere"}
		}
		at = parent
	}
}
