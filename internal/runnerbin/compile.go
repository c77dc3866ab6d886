package runnerbin

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/comfyctl/comfyctl/internal/diag"
)

const module = "github.com/comfyctl/comfyctl"

// compile builds the runner, or takes it from the cache when neither source
// nor toolchain has changed.
func compile(ctx context.Context, arch, cache string) ([]byte, error) {
	goTool, err := exec.LookPath("go")
	if err != nil {
		return nil, missing("there is no Go toolchain to compile it with", err)
	}
	src, err := source(ctx, goTool)
	if err != nil {
		return nil, missing("its source was not found", err)
	}
	key, err := sourceKey(ctx, goTool, src, arch)
	if err != nil {
		return nil, fmt.Errorf("reading the runner's source: %w", err)
	}
	if cache == "" {
		cache = os.TempDir()
	}
	file := filepath.Join(cache, "runner", key[:16]+"-linux-"+arch)
	if b, err := os.ReadFile(file); err == nil {
		return b, nil
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return nil, fmt.Errorf("making the cache of compiled runners: %w", err)
	}
	tmp, err := os.MkdirTemp(filepath.Dir(file), "build-")
	if err != nil {
		return nil, fmt.Errorf("making the cache of compiled runners: %w", err)
	}
	defer os.RemoveAll(tmp)
	out := filepath.Join(tmp, "comfy-runner")
	cmd := exec.CommandContext(ctx, goTool, "build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w -buildid=", "-o", out, "./cmd/comfy-runner")
	cmd.Dir = src
	// The answer must not depend on how this process was built or started.
	cmd.Env = append(cmd.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+arch, "GOFLAGS=-mod=readonly", "GOAMD64=v1", "GOARM64=v8.0", "GOWORK=off")
	if msg, err := cmd.CombinedOutput(); err != nil {
		return nil, missing("compiling it failed: "+firstLines(msg), err)
	}
	b, err := os.ReadFile(out)
	if err != nil {
		return nil, fmt.Errorf("reading the compiled runner: %w", err)
	}
	if err := os.Rename(out, file); err != nil {
		return nil, fmt.Errorf("keeping the compiled runner: %w", err)
	}
	return b, nil
}

func missing(why string, err error) error {
	return &diag.Error{Code: "runner_missing", Class: diag.ClassFailed, Err: err,
		Message: "this build of comfyctl has no runner inside, and " + why,
		Help:    "use a released comfyctl, or `make build`, or pass one with --runner FILE"}
}

func firstLines(b []byte) string {
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	return strings.Join(lines[:min(3, len(lines))], "; ")
}

// source is the folder of this module's source: where this program was
// compiled, around the working directory, or in the module cache.
func source(ctx context.Context, goTool string) (string, error) {
	if _, file, _, ok := runtime.Caller(0); ok && filepath.IsAbs(file) {
		if dir := filepath.Dir(filepath.Dir(filepath.Dir(file))); isModule(dir) {
			return dir, nil
		}
	}
	if wd, err := os.Getwd(); err == nil {
		for dir := wd; ; dir = filepath.Dir(dir) {
			if isModule(dir) {
				return dir, nil
			}
			if dir == filepath.Dir(dir) {
				break
			}
		}
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "", errors.New("this program does not know its own version")
	}
	version := info.Main.Version
	if info.Main.Path != module {
		for _, d := range info.Deps {
			if d.Path == module {
				version = d.Version
			}
		}
	}
	if version == "" || version == "(devel)" {
		return "", errors.New("this program was built from a source tree that is not here")
	}
	cmd := exec.CommandContext(ctx, goTool, "mod", "download", "-json", module+"@"+version)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	b, err := cmd.Output()
	var m struct{ Dir, Error string }
	if jerr := json.Unmarshal(b, &m); jerr != nil || m.Dir == "" {
		return "", fmt.Errorf("asking Go for %s@%s: %s %s: %w", module, version, m.Error, firstLines(stderr.Bytes()), errors.Join(err, jerr))
	}
	return m.Dir, nil
}

func isModule(dir string) bool {
	b, err := os.ReadFile(filepath.Join(dir, "go.mod"))
	if err != nil {
		return false
	}
	line, _, _ := strings.Cut(string(b), "\n")
	if strings.TrimSpace(line) != "module "+module {
		return false
	}
	_, err = os.Stat(filepath.Join(dir, "cmd", "comfy-runner"))
	return err == nil
}

// sourceKey hashes all that can end up in the runner, and the toolchain.
func sourceKey(ctx context.Context, goTool, dir, arch string) (string, error) {
	version := exec.CommandContext(ctx, goTool, "env", "GOVERSION")
	version.Dir = dir
	v, err := version.Output()
	if err != nil {
		return "", fmt.Errorf("asking for Go's version: %w", err)
	}
	h := sha256.New()
	fmt.Fprintf(h, "%s %s\n", strings.TrimSpace(string(v)), arch)
	for _, top := range []string{"go.mod", "go.sum", "cmd/comfy-runner", "internal", "pkg", "templates"} {
		err := filepath.WalkDir(filepath.Join(dir, top), func(p string, d fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			if err != nil {
				return err
			}
			if d.IsDir() {
				if d.Name() == "testdata" || d.Name() == "bin" && filepath.Base(filepath.Dir(p)) == "runnerbin" {
					return fs.SkipDir
				}
				return nil
			}
			if strings.HasSuffix(p, "_test.go") || !d.Type().IsRegular() {
				return nil
			}
			rel, err := filepath.Rel(dir, p)
			if err != nil {
				return err
			}
			fmt.Fprintf(h, "%s\x00", filepath.ToSlash(rel))
			return hashInto(h, p)
		})
		if err != nil {
			return "", err
		}
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

func hashInto(h io.Writer, p string) error {
	f, err := os.Open(p)
	if err != nil {
		return err
	}
	defer f.Close()
	one := sha256.New()
	if _, err := io.Copy(one, f); err != nil {
		return err
	}
	_, err = h.Write(one.Sum(nil))
	return err
}
