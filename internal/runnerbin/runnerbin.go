// Package runnerbin finds the comfy-runner that goes into an image: a file
// that the user names, else the one embedded in this build, else one compiled
// from this module's source with the Go toolchain of this machine.
package runnerbin

import (
	"bytes"
	"compress/gzip"
	"context"
	"debug/elf"
	"embed"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/comfyctl/comfyctl/internal/diag"
)

// embedded is filled by hack/runner-bins.sh in release builds.
//
//go:embed all:bin
var embedded embed.FS

// Options say which runner is wanted.
type Options struct {
	Platform string // linux/amd64 or linux/arm64
	// Override is a file to use as it is.
	Override string
	// CacheDir keeps what was compiled.
	CacheDir string
	// NoEmbedded passes over the built-in runner.
	NoEmbedded bool
}

// Origins of a runner.
const (
	OriginFile     = "file"
	OriginEmbedded = "embedded"
	OriginCompiled = "compiled"
)

// Runner is a static Linux executable.
type Runner struct {
	Origin string
	// Bytes are all of it: about 15 MB.
	Bytes []byte
}

// Open finds a runner. That there is none is an error of code runner_missing.
func Open(ctx context.Context, o Options) (Runner, error) {
	arch, ok := strings.CutPrefix(o.Platform, "linux/")
	if !ok || arch != "amd64" && arch != "arm64" {
		return Runner{}, &diag.Error{Code: "platform_unsupported", Class: diag.ClassUsage,
			Message: fmt.Sprintf("there is no runner for the platform %q", o.Platform), Help: "use linux/amd64 or linux/arm64"}
	}
	if o.Override != "" {
		b, err := os.ReadFile(o.Override)
		if err != nil {
			return Runner{}, fmt.Errorf("reading the runner: %w", err)
		}
		return Runner{Origin: OriginFile, Bytes: b}, check(b, arch, o.Override)
	}
	if !o.NoEmbedded {
		b, err := unzip(arch)
		if err == nil {
			return Runner{Origin: OriginEmbedded, Bytes: b}, check(b, arch, "the built-in runner")
		}
		if !errors.Is(err, os.ErrNotExist) {
			return Runner{}, err
		}
	}
	b, err := compile(ctx, arch, o.CacheDir)
	if err != nil {
		return Runner{}, err
	}
	return Runner{Origin: OriginCompiled, Bytes: b}, check(b, arch, "the compiled runner")
}

func unzip(arch string) ([]byte, error) {
	f, err := embedded.Open("bin/comfy-runner-linux-" + arch + ".gz")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	gz, err := gzip.NewReader(f)
	if err != nil {
		return nil, fmt.Errorf("unpacking the built-in runner: %w", err)
	}
	b, err := io.ReadAll(gz)
	if err != nil {
		return nil, fmt.Errorf("unpacking the built-in runner: %w", err)
	}
	return b, nil
}

// check refuses what could not start in an image that starts from nothing.
func check(b []byte, arch, name string) error {
	wrong := func(why string) error {
		return &diag.Error{Code: "runner_unusable", Class: diag.ClassUsage,
			Message: fmt.Sprintf("%s is no runner for linux/%s: %s", name, arch, why),
			Help:    "build one with `CGO_ENABLED=0 GOOS=linux GOARCH=" + arch + " go build ./cmd/comfy-runner`"}
	}
	f, err := elf.NewFile(bytes.NewReader(b))
	if err != nil {
		return wrong("it is not a Linux executable")
	}
	defer f.Close()
	want := map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64}[arch]
	if f.Machine != want {
		return wrong("it is built for " + f.Machine.String())
	}
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			return wrong("it is linked dynamically")
		}
	}
	return nil
}

// Embedded reports whether this build holds the runner of a platform.
func Embedded(platform string) bool {
	_, err := embedded.Open("bin/comfy-runner-" + strings.ReplaceAll(platform, "/", "-") + ".gz")
	return err == nil
}
