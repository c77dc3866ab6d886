package pack

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"text/template"
	"time"

	"github.com/comfyctl/comfyctl/internal/diag"
	"github.com/comfyctl/comfyctl/internal/diskspace"
	"github.com/comfyctl/comfyctl/internal/dockerengine"
	"github.com/comfyctl/comfyctl/internal/progress"
	"github.com/comfyctl/comfyctl/pkg/lock"
	"github.com/comfyctl/comfyctl/templates"
)

// environmentRepo names the images that environments are kept as in Docker;
// the label says so without the name.
const (
	environmentRepo  = "comfyctl-env"
	environmentLabel = "dev.comfyctl.environment"
)

// pythonPath is the interpreter of every environment that Docker builds.
const pythonPath = "/opt/python/bin/python3"

// environmentPlan is an environment before it is built: the whole build
// context and the key that its content has.
type environmentPlan struct {
	base   string // as asked for
	baseID string
	from   string // a name of our own for baseID
	key    string // 12 hex digits
	tag    string
	// files are the small files of the build context; wheels go in besides.
	files  map[string]string
	wheels []lock.Wheel
}

// checkEnvironment refuses what this version cannot build.
func checkEnvironment(e *Environment) error {
	if e.Base == "" || e.Base == "rootfs" {
		return &diag.Error{Code: "base_missing", Class: diag.ClassCheck,
			Message: "build.base is not set, and this version cannot make the default base yet",
			Help:    "name an image that has Python, of a registry or in your Docker, in the service file:\nbuild: { base: \"python:3.12-slim\" }"}
	}
	if strings.ContainsAny(e.Base, " \t\n\"'$\\") || strings.HasPrefix(e.Base, "-") {
		return &diag.Error{Code: "base_name", Class: diag.ClassCheck, Message: fmt.Sprintf("build.base: %q is no image reference", e.Base), Help: "write it like python:3.12-slim"}
	}
	if !torchChoice.MatchString(e.Torch) {
		return &diag.Error{Code: "torch_choice", Class: diag.ClassCheck, Message: fmt.Sprintf("build.torch: %q is no build of torch", e.Torch), Help: "write cpu, cu126, cu128, rocm6.4 … or system"}
	}
	if e.Python != "" && !pythonVersion.MatchString(e.Python) {
		return &diag.Error{Code: "python_version", Class: diag.ClassCheck, Message: fmt.Sprintf("build.python: %q is no version", e.Python), Help: `write it like "3.12"`}
	}
	for _, n := range e.Nodes {
		if n.Install == "run" {
			return &diag.Error{Code: "install_unsupported", Class: diag.ClassCheck, Message: "this version cannot run install scripts of node packs yet (" + n.Name + ")",
				Help: "leave `install:` out and add what the script installs to python_packages or system_packages"}
		}
	}
	return checkPackages(e)
}

var (
	torchChoice   = regexp.MustCompile(`^(system|cpu|xpu|cu[0-9]{2,4}|rocm[0-9.]+)$`)
	pythonVersion = regexp.MustCompile(`^[0-9]+\.[0-9]+$`)
)

// planEnvironment lays out the build. Requirements come from the source trees.
func planEnvironment(e *Environment, baseID, platform string, comfyui tree, nodes []nodeSource) (environmentPlan, error) {
	files, err := requirementFiles(e, comfyui, nodes)
	if err != nil {
		return environmentPlan{}, err
	}
	files["system.txt"] = lines(e.SystemPackages)
	files["settings/env"] = settings(e)
	files["settings/ca.pem"] = ""
	if e.CA != "" {
		b, err := os.ReadFile(e.CA)
		if err != nil {
			return environmentPlan{}, fmt.Errorf("reading build.ca: %w", err)
		}
		files["settings/ca.pem"] = string(b)
	}
	// BuildKit takes a base by name only, and a name can move meanwhile.
	from := environmentRepo + "-base:" + strings.TrimPrefix(baseID, "sha256:")[:12]
	if files["Dockerfile"], files["install.sh"], err = buildFiles(e, from); err != nil {
		return environmentPlan{}, err
	}
	key, err := environmentKey(files, e, baseID, platform)
	if err != nil {
		return environmentPlan{}, err
	}
	p := environmentPlan{base: e.Base, baseID: baseID, from: from, key: key, tag: environmentRepo + ":" + key, files: files}
	if e.Lock != nil {
		p.wheels = e.Lock.Wheels
	}
	return p, nil
}

// requirementFiles are what Python packages are installed from: the lock, else
// what ComfyUI, node packs and the service file ask for.
func requirementFiles(e *Environment, comfyui tree, nodes []nodeSource) (map[string]string, error) {
	if e.Lock != nil {
		wheels, sources := lockedLines(e.Lock.Wheels)
		return map[string]string{"requirements/wheels.txt": wheels, "requirements/sources.txt": sources, "wheels/README": "The files that requirements name.\n"}, nil
	}
	files := map[string]string{"requirements/packages.txt": lines(e.PythonPackages)}
	text, err := readRequirements(comfyui.dir, torchPackages, editorPackages)
	if err != nil {
		return nil, err
	}
	files["requirements/0-comfyui.txt"] = text
	for i, n := range nodes {
		if text, err = readRequirements(n.tree.dir, torchPackages); err != nil {
			return nil, err
		}
		files[fmt.Sprintf("requirements/%d-%s.txt", i+1, n.name)] = text
	}
	return files, nil
}

// environmentKey hashes all that decides what is installed. How the bytes come
// here (authorities, proxies, timeouts) is left out, so that another network
// finds the same environment.
func environmentKey(files map[string]string, e *Environment, baseID, platform string) (string, error) {
	part := maps.Clone(files)
	part["settings/ca.pem"] = ""
	part["settings/env"] = settings(&Environment{Pip: pipKeys(e.Pip)})
	b, err := contextTar(part)
	if err != nil {
		return "", err
	}
	h := sha256.New()
	fmt.Fprintf(h, "%s\n%s\n", baseID, platform)
	h.Write(b)
	return hex.EncodeToString(h.Sum(nil))[:12], nil
}

func lines(list []string) string {
	if len(list) == 0 {
		return ""
	}
	return strings.Join(list, "\n") + "\n"
}

// settings are variables for pip and for whatever it starts, as shell.
func settings(e *Environment) string {
	vars := maps.Clone(e.Pip)
	if vars == nil {
		vars = map[string]string{}
	}
	if e.Proxy != "" {
		for _, name := range []string{"http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"} {
			vars[name] = e.Proxy
		}
	}
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(vars)) {
		fmt.Fprintf(&b, "%s='%s'\n", name, strings.ReplaceAll(vars[name], "'", `'\''`))
	}
	return b.String()
}

func buildFiles(e *Environment, from string) (dockerfile, script string, err error) {
	raw, err := fs.ReadFile(templates.FS, "environment/Dockerfile")
	if err != nil {
		return "", "", fmt.Errorf("reading the environment build file: %w", err)
	}
	t, err := template.New("Dockerfile").Option("missingkey=error").Parse(string(raw))
	if err != nil {
		return "", "", fmt.Errorf("reading the environment build file: %w", err)
	}
	var b bytes.Buffer
	data := struct {
		Base, Torch, Python string
		SystemPackages      []string
		Locked              bool
	}{from, e.Torch, e.Python, e.SystemPackages, e.Lock != nil}
	if err := t.Execute(&b, data); err != nil {
		return "", "", fmt.Errorf("writing the environment build file: %w", err)
	}
	sh, err := fs.ReadFile(templates.FS, "environment/install.sh")
	if err != nil {
		return "", "", fmt.Errorf("reading the environment build file: %w", err)
	}
	return b.String(), string(sh), nil
}

func contextTar(files map[string]string) ([]byte, error) {
	var b bytes.Buffer
	tw := tar.NewWriter(&b)
	if err := errors.Join(writeFiles(tw, files), tw.Close()); err != nil {
		return nil, fmt.Errorf("writing the build context: %w", err)
	}
	return b.Bytes(), nil
}

func writeFiles(tw *tar.Writer, files map[string]string) error {
	for _, name := range slices.Sorted(maps.Keys(files)) {
		h := &tar.Header{Name: name, Mode: 0o644, Size: int64(len(files[name])), ModTime: time.Unix(0, 0), Typeflag: tar.TypeReg}
		if err := tw.WriteHeader(h); err != nil {
			return err
		}
		if _, err := tw.Write([]byte(files[name])); err != nil {
			return err
		}
	}
	return nil
}

// findBase is the id of the base image in Docker; a base that is not there is
// pulled, which Docker does with the credentials that it is given.
// A digest that is not empty must be the image's; the name is then only a hint.
func findBase(ctx context.Context, e *dockerengine.Engine, base, digest, platform string, o BuildOptions) (string, error) {
	img, err := e.Image(ctx, base)
	if err == nil && digest != "" && !hasDigest(img, digest) {
		base = registryName(base) + "@" + digest
		img, err = e.Image(ctx, base)
	}
	if dockerengine.IsNotFound(err) {
		if digest != "" && !strings.Contains(base, "@") {
			base = registryName(base) + "@" + digest
		}
		var cred *dockerengine.Credentials
		if o.Credentials != nil {
			if cred, err = o.Credentials(base); err != nil {
				return "", err
			}
		}
		ev := progress.Event{Step: "base", State: progress.Running, Item: base}
		err = e.PullImage(ctx, base, platform, cred, func(_, status string, done, total int64) {
			ev.Text, ev.Done, ev.Total = strings.ToLower(status), done, total
			o.Progress(ev)
		})
		if err != nil {
			return "", &diag.Error{Code: "base_missing", Class: diag.ClassFailed, Err: err, Retryable: true,
				Message: "the base image " + base + " is neither in Docker nor can it be pulled",
				Help:    "check build.base, or `docker pull " + base + "` by hand to see why"}
		}
		img, err = e.Image(ctx, base)
	}
	if err != nil {
		return "", err
	}
	if want := strings.TrimPrefix(platform, "linux/"); img.Arch != want || img.OS != "linux" {
		return "", &diag.Error{Code: "base_platform", Class: diag.ClassCheck,
			Message: fmt.Sprintf("the base image %s is for %s/%s, the image is to be for %s", base, img.OS, img.Arch, platform),
			Help:    "take another base, or pack with --platform " + img.OS + "/" + img.Arch}
	}
	return img.ID, nil
}

// hasDigest reports whether an image of Docker is the locked one: by the digest
// of a registry, or by its id where it never was in one.
func hasDigest(img dockerengine.Image, digest string) bool {
	return img.ID == digest || slices.ContainsFunc(img.Digests, func(d string) bool { return strings.HasSuffix(d, "@"+digest) })
}

// registryName is an image's name without tag and digest.
func registryName(ref string) string {
	ref, _, _ = strings.Cut(ref, "@")
	if i := strings.LastIndexByte(ref, ':'); i > strings.LastIndexByte(ref, '/') {
		return ref[:i]
	}
	return ref
}

// environmentNeed is what a build of an environment must find free: two times
// what torch and its friends unpack to is rarely passed.
const environmentNeed = 2 << 30

// buildEnvironment returns the environment as Docker has it, building it when
// it does not.
func buildEnvironment(ctx context.Context, e *dockerengine.Engine, p environmentPlan, platform string, o BuildOptions) (dockerengine.Image, bool, error) {
	if !o.NoCache {
		img, err := e.Image(ctx, p.tag)
		if err == nil {
			return img, true, nil
		}
		if !dockerengine.IsNotFound(err) {
			return img, false, err
		}
	}
	if free, ok := e.FreeDisk(); ok && free < environmentNeed {
		return dockerengine.Image{}, false, diskspace.Full(e.Info().Root, environmentNeed, free, "environment "+p.key, "`docker system df` shows what fills it")
	}
	if err := e.Tag(ctx, p.baseID, p.from); err != nil {
		return dockerengine.Image{}, false, err
	}
	defer func() { _ = e.RemoveImage(context.WithoutCancel(ctx), p.from, false) }()
	wheels, err := fetchWheels(ctx, p.wheels, o)
	if err != nil {
		return dockerengine.Image{}, false, err
	}
	buildContext := p.context(wheels)
	defer buildContext.Close()
	ev := progress.Event{Step: "environment", State: progress.Running, Item: p.key}
	_, err = e.Build(ctx, dockerengine.BuildOptions{
		Context: buildContext, Dockerfile: "Dockerfile", Tags: []string{p.tag}, Platform: platform,
		Labels: map[string]string{environmentLabel: p.key}, NoCache: o.NoCache, Network: o.BuildNetwork,
		OnStep: func(name string, cached, done bool) {
			ev.Text = name
			o.Progress(ev)
		},
		OnLog: func(line string) {
			if line = strings.TrimSpace(line); line != "" {
				ev.Text = line
				o.Progress(ev)
			}
		},
	})
	if err != nil {
		return dockerengine.Image{}, false, environmentError(err)
	}
	img, err := e.Image(ctx, p.tag)
	return img, false, err
}

// shownLines is how much of a failing step's output an error quotes.
const shownLines = 10

// environmentError shows the end of what the failing step said.
func environmentError(err error) error {
	var be *dockerengine.BuildError
	if !errors.As(err, &be) {
		return err
	}
	d := &diag.Error{Code: "environment_failed", Class: diag.ClassFailed, Err: be.Err, Message: "building the environment failed",
		Help: "requirements come from ComfyUI, python_packages and node packs; behind a proxy with its own authority, set build.ca"}
	told := []string{}
	for _, l := range be.Log {
		if own, ok := strings.CutPrefix(l, "comfyctl: "); ok {
			d.Message, d.Help = "building the environment failed: "+own, ""
		}
		if l = strings.TrimSpace(l); l != "" && !strings.HasPrefix(l, "WARNING: Retrying") && !strings.HasPrefix(l, "Requirement already satisfied") {
			told = append(told, l)
		}
	}
	told = told[max(0, len(told)-shownLines):]
	if len(told) > 0 {
		d.Facts = [][2]string{{"log", strings.Join(told, "\n")}}
		d.Details = map[string]any{"step": be.Step, "log": told}
	}
	return d
}
