package archtest

import (
	"errors"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/comfyctl/comfyctl"

// list runs `go list` at the root of the repository.
func list(t *testing.T, args ...string) []string {
	t.Helper()
	cmd := exec.Command("go", append([]string{"list"}, args...)...)
	cmd.Dir = "../.."
	out, err := cmd.Output()
	if err != nil {
		text := ""
		var e *exec.ExitError
		if errors.As(err, &e) {
			text = string(e.Stderr)
		}
		t.Fatalf("go list %v: %v\n%s", args, err, text)
	}
	return strings.Split(strings.TrimSpace(string(out)), "\n")
}

// below says which rooms of pkg a room may import, besides its own. Every room
// may import contract. A new room needs a line here.
var below = map[string][]string{
	"contract":  {},
	"workflow":  {"catalog"},
	"catalog":   {},
	"service":   {},
	"hardware":  {"workflow", "catalog"},
	"infer":     {"workflow", "catalog"},
	"scaffold":  {"infer", "hardware", "workflow", "catalog", "service"},
	"validate":  {"infer", "hardware", "workflow", "catalog", "service"},
	"lock":      {"validate", "infer", "hardware", "workflow", "catalog", "service"},
	"pack":      {"lock", "validate", "infer", "hardware", "workflow", "catalog", "service"},
	"deploy":    {"pack", "lock", "validate", "infer", "hardware", "workflow", "catalog", "service"},
	"runner":    {"workflow", "catalog"},
	"online":    {"validate", "infer", "hardware", "workflow", "catalog", "service"},
	"graphview": {"workflow", "catalog"},
}

// room is the first folder of an own package under prefix, or "".
func room(pkg, prefix string) string {
	rest, ok := strings.CutPrefix(pkg, module+prefix)
	if !ok {
		return ""
	}
	name, _, _ := strings.Cut(rest, "/")
	return name
}

func TestImportsGoDown(t *testing.T) {
	lines := list(t, "-f", `{{.ImportPath}} {{join .Imports " "}}`, "./...")
	if len(lines) < 20 {
		t.Fatalf("only %d packages", len(lines))
	}
	for _, line := range lines {
		fields := strings.Fields(line)
		pkg := fields[0]
		from := room(pkg, "/pkg/")
		may, known := below[from]
		if from != "" && !known {
			t.Errorf("%s: room %q has no line in the table of this test", pkg, from)
			continue
		}
		inside := room(pkg, "/internal/")
		for _, imported := range fields[1:] {
			to := room(imported, "/pkg/")
			switch {
			case room(imported, "/internal/") == "cli" && !strings.HasPrefix(pkg, module+"/cmd/") && inside != "cli":
				t.Errorf("%s imports %s: only a main may", pkg, imported)
			case room(imported, "/cmd/") != "":
				t.Errorf("%s imports the command %s", pkg, imported)
			case to == "" || to == "contract":
			case from != "" && to != from && !slices.Contains(may, to):
				t.Errorf("%s imports %s: imports only go down", pkg, imported)
			case inside != "" && inside != "cli":
				t.Errorf("%s imports %s: internal packages know only pkg/contract", pkg, imported)
			}
		}
	}
}

// TestLinks says what some packages and binaries must not link, with all that
// they import.
func TestLinks(t *testing.T) {
	network := []string{"net/http"}
	clients := []string{"github.com/docker/", "github.com/aws/", "k8s.io/", "github.com/google/go-containerregistry", "cloud.google.com/", "github.com/Azure/azure-sdk"}
	for _, tc := range []struct {
		pkg string
		ban []string
	}{
		{"./pkg/validate", network}, {"./pkg/service", network}, {"./pkg/workflow", network}, {"./pkg/catalog", network}, {"./pkg/contract", network},
		{"./internal/diag", network}, {"./pkg/runner/...", clients}, {"./cmd/comfy-runner", clients},
	} {
		for _, dep := range list(t, "-deps", tc.pkg) {
			for _, ban := range tc.ban {
				if dep == ban || strings.HasSuffix(ban, "/") && strings.HasPrefix(dep, ban) || strings.HasPrefix(dep, ban+"/") {
					t.Errorf("%s links %s", tc.pkg, dep)
				}
			}
		}
	}
}

// TestLibrariesAreQuiet finds packages of pkg that ask os for
// variables or write to the terminal.
func TestLibrariesAreQuiet(t *testing.T) {
	for _, line := range list(t, "-f", `{{.Dir}}|{{join .GoFiles " "}}|{{.Name}}`, "./pkg/...") {
		parts := strings.Split(line, "|")
		if parts[2] == "main" {
			continue
		}
		for _, name := range strings.Fields(parts[1]) {
			for _, found := range forbidden(t, parts[0]+"/"+name) {
				t.Errorf("%s/%s: %s", strings.TrimPrefix(parts[0], "/"), name, found)
			}
		}
	}
}
