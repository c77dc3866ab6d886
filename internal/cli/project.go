package cli

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/comfyctl/comfyctl/internal/diag"
	"github.com/comfyctl/comfyctl/pkg/service"
)

// stateDir holds what comfyctl keeps beside a service file.
const stateDir = ".comfyctl"

// serviceFile is the file that -f names, or the one found from the folder
// acted in upwards.
func (a *App) serviceFile() (string, error) {
	if a.flags.File != "" {
		name, err := a.path(a.flags.File)
		if err != nil {
			return "", err
		}
		st, err := os.Stat(name)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return "", usageError("no_service_file", "there is no file `"+a.flags.File+"`", "--file takes a service file; `comfyctl init WORKFLOW` writes one")
		case err != nil:
			return "", usageError("no_service_file", "`"+a.flags.File+"` cannot be read", err.Error())
		case st.IsDir():
			return service.Find(name)
		}
		return name, nil
	}
	d, err := a.dir()
	if err != nil {
		return "", err
	}
	return service.Find(d)
}

// state is the folder of comfyctl's own files: beside the service file, or in
// the folder acted in where there is none.
func (a *App) state() (string, error) {
	file, err := a.serviceFile()
	if err == nil {
		return filepath.Join(filepath.Dir(file), stateDir), nil
	}
	if a.flags.File != "" {
		return "", err
	}
	d, err := a.dir()
	if err != nil {
		return "", err
	}
	return filepath.Join(d, stateDir), nil
}

// running is what `run` leaves for call, test and destroy to find it.
type running struct {
	URL    string `json:"url"`
	PID    int    `json:"pid"`
	Engine string `json:"engine"`
}

func runningFile(state string) string { return filepath.Join(state, "run.json") }

// readRunning gives the service that `run` started here, if its file is there.
func readRunning(state string) (running, bool) {
	var r running
	b, err := os.ReadFile(runningFile(state))
	if err != nil || json.Unmarshal(b, &r) != nil {
		return r, false
	}
	return r, r.URL != ""
}

// forgetRunning removes what this process left.
func forgetRunning(state string) error {
	if r, ok := readRunning(state); !ok || r.PID != os.Getpid() {
		return nil
	}
	return os.Remove(runningFile(state))
}

// writeAtomic replaces a file as a whole: a reader sees the old bytes or the
// new ones.
func writeAtomic(name string, b []byte) error {
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(name), ".tmp-*")
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	err = errors.Join(err, f.Chmod(0o644), f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}

// counts sums findings up by severity.
func counts(list []diag.Diagnostic) (errs, warnings, notes int) {
	for _, d := range list {
		switch d.Severity {
		case diag.SeverityError:
			errs++
		case diag.SeverityWarning:
			warnings++
		case diag.SeverityNote:
			notes++
		}
	}
	return errs, warnings, notes
}

// environ is the environment as a process takes it.
func (a *App) environ() []string {
	var list []string
	for k, v := range a.env {
		list = append(list, k+"="+v)
	}
	return list
}

// tail is the last n lines of a text.
func tail(text string, n int) string {
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

// gitRoot is the folder with .git that dir lies in, or dir.
func gitRoot(dir string) string {
	for at := dir; ; at = filepath.Dir(at) {
		if _, err := os.Stat(filepath.Join(at, ".git")); err == nil {
			return at
		}
		if at == filepath.Dir(at) {
			return dir
		}
	}
}

// below reports whether path is root or lies in it.
func below(root, path string) bool {
	rel, err := filepath.Rel(root, path)
	return err == nil && rel != ".." && !strings.HasPrefix(rel, ".."+string(filepath.Separator))
}
