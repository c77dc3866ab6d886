package pack

import (
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/comfyctl/comfyctl/internal/diag"
)

// torchPackages come with the choice of torch, not with a requirements file:
// the default build on PyPI is for another GPU than the one asked for.
var torchPackages = map[string]bool{"torch": true, "torchvision": true, "torchaudio": true}

// editorPackages hold the editor and its help, which the runner never serves.
var editorPackages = map[string]bool{"comfyui-frontend-package": true, "comfyui-workflow-templates": true, "comfyui-embedded-docs": true}

var (
	requirementName = regexp.MustCompile(`^[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?`)
	dashes          = regexp.MustCompile(`[-_.]+`)
)

// packageName is the normalised name of a requirement line, or empty for an
// option, a comment or an address.
func packageName(line string) string {
	line = strings.TrimSpace(line)
	name := requirementName.FindString(line)
	if rest := strings.TrimSpace(line[len(name):]); strings.HasPrefix(rest, "://") || strings.HasPrefix(rest, "+") {
		return ""
	}
	return strings.ToLower(dashes.ReplaceAllString(name, "-"))
}

// maxIncludes bounds how deep requirements files include one another.
const maxIncludes = 8

// readRequirements is the requirements.txt of a source tree with its includes
// put in place and without the packages that drop names. A tree without the
// file needs nothing.
func readRequirements(root string, drop ...map[string]bool) (string, error) {
	var out strings.Builder
	if err := include(&out, root, "requirements.txt", drop, 0); err != nil {
		return "", err
	}
	return out.String(), nil
}

func include(out *strings.Builder, root, file string, drop []map[string]bool, depth int) error {
	if depth > maxIncludes {
		return fmt.Errorf("reading %s: requirements include one another too deeply", file)
	}
	// OpenInRoot refuses a path, or a link, that leads out of the tree.
	f, err := os.OpenInRoot(root, filepath.FromSlash(file))
	if depth == 0 && os.IsNotExist(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading requirements: %w", err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, 1<<20))
	if err != nil {
		return fmt.Errorf("reading requirements: %w", err)
	}
	text := strings.ReplaceAll(strings.TrimPrefix(string(b), "\ufeff"), "\r\n", "\n")
	for line := range strings.SplitSeq(strings.ReplaceAll(text, "\\\n", " "), "\n") {
		line = strings.TrimSpace(line)
		if other, ok := includes(line); ok {
			if err := include(out, root, path.Join(path.Dir(file), other), drop, depth+1); err != nil {
				return err
			}
			continue
		}
		if line == "" || strings.HasPrefix(line, "#") || dropped(packageName(line), drop) {
			continue
		}
		out.WriteString(line + "\n")
	}
	return nil
}

func includes(line string) (string, bool) {
	for _, opt := range []string{"-r", "--requirement"} {
		if rest, ok := strings.CutPrefix(line, opt); ok {
			rest = strings.TrimLeft(rest, " \t=")
			return strings.TrimSpace(rest), rest != "" && rest != line
		}
	}
	return "", false
}

func dropped(name string, drop []map[string]bool) bool {
	for _, d := range drop {
		if d[name] {
			return true
		}
	}
	return false
}

var systemPackage = regexp.MustCompile(`^[a-z0-9][a-z0-9.+-]*(:[a-z0-9]+)?(=[A-Za-z0-9.+:~-]+)?$`)

// checkPackages refuses what would be read as an option or as shell.
func checkPackages(e *Environment) error {
	for _, p := range e.SystemPackages {
		if !systemPackage.MatchString(p) {
			return &diag.Error{Code: "package_name", Class: diag.ClassCheck, Message: fmt.Sprintf("%q is no name of a Debian package", p), Help: "write it like ffmpeg, or libgl1=1.7.0-1"}
		}
	}
	for _, p := range e.PythonPackages {
		if strings.ContainsAny(p, "\n\r") || packageName(p) == "" && !strings.Contains(p, "://") {
			return &diag.Error{Code: "package_name", Class: diag.ClassCheck, Message: fmt.Sprintf("%q is no Python requirement", p), Help: "write it like opencv-python-headless==4.11.0.86"}
		}
	}
	return nil
}
