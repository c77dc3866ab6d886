package python

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/comfyctl/comfyctl/internal/diag"
)

// Options of a resolution.
type Options struct {
	Tool Tool
	// Python is the target's version, such as 3.12; Platform its os/arch.
	Python, Platform string
	// Torch is cpu, cu128 …, or system where the base image brings it; then
	// nothing is resolved for torch and its companions.
	Torch string
	// TorchIndex is the address below which each build of torch has its index.
	TorchIndex string
	// Index replaces the default index; Extra are asked besides it.
	Index string
	Extra []string
	// Offline takes what uv has in its cache.
	Offline bool
	// CA is a file with certificate authorities.
	CA string
	// Build names packages that may be built from source: those that the service
	// file lists itself.
	Build    []string
	building []string
	// Prefer are packages of an earlier resolution, whose versions stay where
	// nothing speaks against them.
	Prefer []Package
	// Overrides are requirement lines that count for everybody.
	Overrides []Requirement
}

// Resolution is the set of packages and how it came about.
type Resolution struct {
	Packages []Package
	Notes    []Note
}

// platforms are the names that uv has for target platforms.
var platforms = map[string]string{"linux/amd64": "x86_64-manylinux_2_28", "linux/arm64": "aarch64-manylinux_2_28"}

// torchFamily is what an index of torch builds is asked for.
var torchFamily = []string{"torch", "torchvision", "torchaudio"}

// Compile resolves requirements for the target, once for all.
func Compile(ctx context.Context, list []Requirement, o Options) (Resolution, error) {
	if platforms[o.Platform] == "" {
		return Resolution{}, &diag.Error{Code: "platform_unknown", Class: diag.ClassCheck, Message: "Python packages cannot be resolved for " + o.Platform, Help: "take linux/amd64 or linux/arm64"}
	}
	cuda := strings.HasPrefix(o.Torch, "cu")
	settled, choices, notes := settle(list, nil, cuda)
	pkgs, err := allowing(ctx, settled, choices, &o)
	if err != nil {
		return Resolution{}, err
	}
	// A dependency may have brought another member of a family in.
	var names []string
	for _, p := range pkgs {
		names = append(names, p.Name)
	}
	again, more, moreNotes := settle(list, names, cuda)
	for _, c := range more {
		if slices.ContainsFunc(c.drop, func(n string) bool { return slices.Contains(names, n) }) {
			for _, c := range more {
				again = append(again, Requirement{Name: c.keep, Line: c.keep, From: "comfyctl", File: "instead of " + strings.Join(c.drop, ", ")})
			}
			pkgs, err = allowing(ctx, again, more, &o)
			notes = moreNotes
			break
		}
	}
	return Resolution{Packages: pkgs, Notes: notes}, err
}

// allowing resolves from wheels alone, and lets packages be built from source
// one by one as they turn out to have none, where the service file lists them.
func allowing(ctx context.Context, list []Requirement, choices []choice, o *Options) ([]Package, error) {
	for {
		pkgs, err := run(ctx, list, choices, *o)
		var b *buildError
		if !errors.As(err, &b) {
			return pkgs, err
		}
		if !slices.Contains(o.Build, b.name) || slices.Contains(o.building, b.name) {
			return nil, b.err
		}
		o.building = append(o.building, b.name)
	}
}

// buildError says that a package has no wheel.
type buildError struct {
	name string
	err  *diag.Error
}

func (e *buildError) Error() string { return e.err.Error() }
func (e *buildError) Unwrap() error { return e.err }

// run calls uv twice: for the files, then for who asked. The second call finds
// everything in uv's cache.
func run(ctx context.Context, list []Requirement, choices []choice, o Options) ([]Package, error) {
	dir, err := os.MkdirTemp("", "comfyctl-python-")
	if err != nil {
		return nil, fmt.Errorf("resolving Python packages: %w", err)
	}
	defer os.RemoveAll(dir)
	args, err := prepare(dir, list, choices, o)
	if err != nil {
		return nil, fmt.Errorf("resolving Python packages: %w", err)
	}
	if len(o.Prefer) > 0 {
		if err := os.WriteFile(filepath.Join(dir, "pylock.toml"), []byte(preferences(o.Prefer)), 0o644); err != nil {
			return nil, fmt.Errorf("resolving Python packages: %w", err)
		}
	}
	if _, err := uv(ctx, dir, list, o, append(args[:len(args):len(args)], "--output-file", "pylock.toml")); err != nil {
		return nil, err
	}
	b, err := os.ReadFile(filepath.Join(dir, "pylock.toml"))
	if err != nil {
		return nil, fmt.Errorf("resolving Python packages: %w", err)
	}
	pkgs, err := ParsePylock(b)
	if err != nil {
		return nil, err
	}
	who, err := requestedBy(ctx, dir, list, pkgs, args, o)
	if err != nil {
		return nil, err
	}
	for i := range pkgs {
		p := &pkgs[i]
		p.RequestedBy = who[p.Name]
		if slices.Contains(torchFamily, p.Name) && o.Torch != "system" {
			p.Index = torchIndex(o)
		}
	}
	return pkgs, nil
}

// requestedBy asks uv for the same packages again, from its cache and in the
// format that says who wanted them. Where it cannot, those who asked directly
// are known all the same.
func requestedBy(ctx context.Context, dir string, list []Requirement, pkgs []Package, args []string, o Options) (map[string][]string, error) {
	pinned := []string{}
	for _, p := range pkgs {
		if !p.Direct {
			pinned = append(pinned, p.Name+"=="+p.Version)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "pinned.txt"), []byte(strings.Join(pinned, "\n")+"\n"), 0o644); err != nil {
		return nil, fmt.Errorf("resolving Python packages: %w", err)
	}
	if !slices.Contains(args, "--offline") {
		args = append(args[:len(args):len(args)], "--offline")
	}
	text, err := uv(ctx, dir, list, o, append(args[:len(args):len(args)], "--annotation-style", "line", "--no-header", "--constraints", "pinned.txt"))
	if ctx.Err() != nil {
		return nil, err
	}
	if err == nil {
		return requesters(text), nil
	}
	who := map[string][]string{}
	for _, r := range list {
		if !slices.Contains(who[r.Name], r.From) {
			who[r.Name] = append(who[r.Name], r.From)
		}
	}
	return who, nil
}

// preferences is a pylock.toml that says no more than names and versions.
func preferences(list []Package) string {
	var b strings.Builder
	b.WriteString("lock-version = \"1.0\"\ncreated-by = \"comfyctl\"\n")
	for _, p := range list {
		if !p.Direct {
			fmt.Fprintf(&b, "\n[[packages]]\nname = %q\nversion = %q\n", p.Name, p.Version)
		}
	}
	return b.String()
}

func torchIndex(o Options) string { return strings.TrimSuffix(o.TorchIndex, "/") + "/" + o.Torch }

// prepare writes the files of a resolution and gives uv's arguments.
func prepare(dir string, list []Requirement, choices []choice, o Options) ([]string, error) {
	args := []string{"pip", "compile", "--quiet", "--python-version", o.Python, "--python-platform", platforms[o.Platform], "--only-binary", ":all:", "--no-config", "--no-progress",
		"--color", "never", "--no-python-downloads"}
	for _, name := range o.building {
		args = append(args, "--no-binary", name)
	}
	if o.Offline {
		args = append(args, "--offline")
	}
	if o.Index != "" {
		args = append(args, "--default-index", o.Index)
	}
	for _, x := range o.Extra {
		args = append(args, "--index", x)
	}
	var drop []string
	for _, c := range choices {
		drop = append(drop, c.drop...)
	}
	if o.Torch == "system" {
		drop = append(drop, torchFamily...)
		drop = append(drop, "triton")
	} else {
		if err := os.WriteFile(filepath.Join(dir, "pyproject.toml"), []byte(torchProject(o)), 0o644); err != nil {
			return nil, err
		}
		args = append(args, "pyproject.toml")
	}
	files := map[string][]string{}
	for _, r := range list {
		name := "from-" + r.From + ".txt"
		files[name] = append(files[name], r.Line)
	}
	if len(files) == 0 {
		files["from-nobody.txt"] = nil
	}
	var overrides []string
	for _, r := range o.Overrides {
		overrides = append(overrides, r.Line)
	}
	for name, lines := range map[string][]string{"excludes.txt": drop, "overrides.txt": overrides} {
		if len(lines) > 0 {
			files[name] = lines
			args = append(args, "--"+strings.TrimSuffix(name, ".txt"), name)
		}
	}
	for name, lines := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(strings.Join(lines, "\n")+"\n"), 0o644); err != nil {
			return nil, err
		}
		if strings.HasPrefix(name, "from-") {
			args = append(args, name)
		}
	}
	slices.Sort(args[len(args)-countFrom(args):])
	return args, nil
}

func countFrom(args []string) int {
	n := 0
	for i := len(args) - 1; i >= 0 && strings.HasPrefix(args[i], "from-"); i-- {
		n++
	}
	return n
}

// torchProject makes torch and its companions come from their own index, and
// nothing else from it.
func torchProject(o Options) string {
	var b strings.Builder
	fmt.Fprintf(&b, "[project]\nname = \"build-torch\"\nversion = \"0\"\nrequires-python = \">=%s\"\ndependencies = [", o.Python)
	for _, n := range torchFamily {
		fmt.Fprintf(&b, "%q, ", n)
	}
	b.WriteString("]\n\n[tool.uv.sources]\n")
	for _, n := range torchFamily {
		fmt.Fprintf(&b, "%s = { index = \"torch\" }\n", n)
	}
	fmt.Fprintf(&b, "\n[[tool.uv.index]]\nname = \"torch\"\nurl = %q\nexplicit = true\n", torchIndex(o))
	return b.String()
}

// uv runs in dir and returns its output.
func uv(ctx context.Context, dir string, list []Requirement, o Options, args []string) (string, error) {
	cmd := exec.CommandContext(ctx, o.Tool.Path, args...)
	cmd.Dir = dir
	for _, kv := range cmd.Environ() {
		// Settings of somebody's own projects would change the result.
		if !strings.HasPrefix(kv, "UV_") || strings.HasPrefix(kv, "UV_CACHE_DIR=") || strings.HasPrefix(kv, "UV_HTTP_TIMEOUT=") {
			cmd.Env = append(cmd.Env, kv)
		}
	}
	if o.CA != "" {
		cmd.Env = append(cmd.Env, "SSL_CERT_FILE="+o.CA)
	}
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			return "", context.Cause(ctx)
		}
		return "", explain(err, stderr.String(), list, o)
	}
	return stdout.String(), nil
}

var via = regexp.MustCompile(`^([A-Za-z0-9._-]+)(?:\[[^\]]*\])?(?:==| @ )\S.*?# via (.+)$`)

// requesters reads who asked for a package out of a resolution's comments.
func requesters(text string) map[string][]string {
	out := map[string][]string{}
	for line := range strings.Lines(text) {
		m := via.FindStringSubmatch(strings.TrimSpace(line))
		if m == nil {
			continue
		}
		var list []string
		for who := range strings.SplitSeq(m[2], ",") {
			who = strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(who), "-r "))
			who = strings.TrimSuffix(strings.TrimPrefix(who, "from-"), ".txt")
			if strings.HasPrefix(who, "build-torch") {
				who = "build.torch"
			}
			if who != "" && !strings.HasPrefix(who, "-") {
				list = append(list, who)
			}
		}
		slices.Sort(list)
		out[Normal(m[1])] = slices.Compact(list)
	}
	return out
}

var (
	noWheel   = regexp.MustCompile(`([A-Za-z0-9][A-Za-z0-9._-]*)(?:[=<>!~][^ ]*)? has no (?:usable )?wheels`)
	markers   = regexp.MustCompile(`\{[^{}]*\}`)
	notFound  = regexp.MustCompile(`Because ([A-Za-z0-9._-]+) was not found`)
	wordForms = regexp.MustCompile(`[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?`)
)

// explain turns uv's words into who asked for what, where, and what to do.
func explain(err error, said string, list []Requirement, o Options) error {
	said, _, _ = strings.Cut(said, "hint:")
	said = strings.Join(strings.Fields(markers.ReplaceAllString(said, "")), " ")
	said = strings.TrimSpace(strings.TrimPrefix(strings.TrimPrefix(said, "error: "), "No solution found when resolving dependencies cause: "))
	if said == "" {
		said = err.Error()
	}
	if !unsatisfiable(said) {
		return &diag.Error{Code: "python_failed", Class: diag.ClassFailed, Retryable: true, Err: errors.New(clip(said)), Message: "resolving Python packages failed",
			Help: "behind a proxy with its own authority set build.ca; another index is set as for pip"}
	}
	e := &diag.Error{Code: "python_conflict", Class: diag.ClassCheck, Message: "the Python requirements of ComfyUI and the node packs do not go together",
		Help: "take another `ref:` of one of them, leave one out of `nodes:`, or decide for all under `python_packages:`"}
	named := names(said)
	asked := func(name string) bool {
		return slices.ContainsFunc(list, func(r Requirement) bool { return r.Name == name })
	}
	e.Facts = askers(list, func(name string) bool { return named[name] })
	switch m := notFound.FindStringSubmatch(said); {
	case m != nil && asked(Normal(m[1])):
		e.Code, e.Message = "python_unknown", "no index has the package "+m[1]
		e.Help = "correct the name where it is asked for, set another index as for pip, or leave the pack out"
		e.Facts = askers(list, func(name string) bool { return name == Normal(m[1]) })
	default:
		if name := unbuilt(said, asked); name != "" {
			e.Code, e.Message = "python_needs_build", fmt.Sprintf("%s has no wheel for Python %s on %s and would have to be compiled", name, o.Python, o.Platform)
			e.Help = "allow it in comfyctl.yaml, with the compiler that it needs:\n  python_packages: [" + name + "]\n  system_packages: [build-essential]\nor give the address of a wheel: `- " + name + " @ https://…`"
			e.Facts = append(e.Facts, [2]string{"uv", clip(said)})
			return &buildError{name, e}
		}
	}
	e.Facts = append(e.Facts, [2]string{"uv", clip(said)})
	return e
}

// unsatisfiable tells a contradiction from a failure.
func unsatisfiable(said string) bool { return strings.Contains(said, "unsatisfiable") }

// names are the words of a text that could be packages.
func names(said string) map[string]bool {
	found := map[string]bool{}
	for _, w := range wordForms.FindAllString(said, -1) {
		found[Normal(w)] = true
	}
	return found
}

// askers are the lines that ask for certain packages.
func askers(list []Requirement, which func(name string) bool) [][2]string {
	var facts [][2]string
	for _, r := range list {
		if which(r.Name) {
			facts = append(facts, [2]string{r.From, r.Raw + "   (" + r.Place() + ")"})
		}
	}
	return facts
}

// unbuilt is the package without a wheel that it is about: rather one that
// somebody asks for than one that came along.
func unbuilt(said string, asked func(string) bool) string {
	first := ""
	for _, m := range noWheel.FindAllStringSubmatch(said, -1) {
		name := Normal(m[1])
		if asked(name) {
			return name
		}
		if first == "" {
			first = name
		}
	}
	return first
}

// maxSaid bounds what is quoted of uv, in bytes.
const maxSaid = 1500

func clip(s string) string {
	if len(s) > maxSaid {
		return s[:maxSaid] + "…"
	}
	return s
}
