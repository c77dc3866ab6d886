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
	"runtime"
	"strconv"
	"strings"

	"github.com/comfyctl/comfyctl/internal/diag"
)

// toolVersion is the release of uv that is installed where none is found, and
// toolHashes the SHA-256 of its wheels. minMinor is the oldest 0.x that knows
// every option used here.
const (
	toolVersion = "0.13.9"
	minMinor    = 11
)

var toolHashes = []string{
	"d7f459fe4fd247d830351c75686d3996ace3c6f3f728eb0e85a30b7ada0cef19", // manylinux x86_64
	"ecb6028d79dc96fbeafffe5c8af62a7099487ebc05a701e76714eebcffd06375", // manylinux aarch64
	"5435c5ce14a56431208ca0996416d310f1598e8c2c8ba707688985a16bb82dbe", // musllinux aarch64
	"2c45530751517d6c3bbc69a19473f6effe47cce047bede01ffd8af7ea7b36b25", // musllinux x86_64
	"c16ed11e013557536b3e60065f1b912f6407bd6518e041b961e23ef9e6b4fbf5", // macOS x86_64
	"66c512266d633bef48384a1f53003f41f2a8e7b36fe6e7fbfd3e0fd52d96fa63", // macOS arm64
	"6a44b2ed8111d2f60d2b92627c5dccda3f7ed7570b18ce115e569cd68c28246b", // Windows x86_64
	"eeb92051c2123b9730c46b04cc843cfa4bc7d7b0aec56df431a2215ef4cb0273", // Windows arm64
}

// Tool is uv on this machine.
type Tool struct {
	Path, Version string
}

var toolSaid = regexp.MustCompile(`^uv (([0-9]+)\.([0-9]+)\.[0-9]+\S*)`)

// FindTool looks for uv on PATH, then in the cache, and installs it there with
// pip when it is not found and install is allowed.
func FindTool(ctx context.Context, cache string, install bool) (Tool, error) {
	if p, err := exec.LookPath("uv"); err == nil {
		if t, ok := toolAt(ctx, p); ok {
			return t, nil
		}
	}
	dir := filepath.Join(cache, "tools", "uv-"+toolVersion)
	name := filepath.Join(dir, "bin", "uv")
	if runtime.GOOS == "windows" {
		name += ".exe"
	}
	if t, ok := toolAt(ctx, name); ok {
		return t, nil
	}
	if !install {
		return Tool{}, &diag.Error{Code: "offline", Class: diag.ClassFailed, Message: "--offline: uv, which resolves Python packages, is not on this machine", Help: "run without --offline once, or `pip install uv`"}
	}
	if err := installTool(ctx, dir); err != nil {
		return Tool{}, err
	}
	t, ok := toolAt(ctx, name)
	if !ok {
		return t, missingTool(errors.New("what pip installed does not start"))
	}
	return t, nil
}

func toolAt(ctx context.Context, path string) (Tool, bool) {
	out, err := exec.CommandContext(ctx, path, "--version").Output()
	m := toolSaid.FindSubmatch(out)
	if err != nil || m == nil {
		return Tool{}, false
	}
	major, _ := strconv.Atoi(string(m[2]))
	minor, _ := strconv.Atoi(string(m[3]))
	return Tool{Path: path, Version: string(m[1])}, major > 0 || minor >= minMinor
}

func missingTool(err error) error {
	return &diag.Error{Code: "uv_missing", Class: diag.ClassFailed, Err: err, Message: "uv, which resolves Python packages, is not here and cannot be installed",
		Help: fmt.Sprintf("install it: `pip install uv==%s`, or put 0.%d or newer on PATH", toolVersion, minMinor)}
}

func installTool(ctx context.Context, dir string) error {
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return fmt.Errorf("making the cache of tools: %w", err)
	}
	tmp, err := os.MkdirTemp(filepath.Dir(dir), "new-")
	if err != nil {
		return fmt.Errorf("making the cache of tools: %w", err)
	}
	defer os.RemoveAll(tmp)
	want := "uv==" + toolVersion
	for _, h := range toolHashes {
		want += " --hash=sha256:" + h
	}
	file := filepath.Join(tmp, "uv.txt")
	if err := os.WriteFile(file, []byte(want+"\n"), 0o644); err != nil {
		return fmt.Errorf("making the cache of tools: %w", err)
	}
	python := "python3"
	if runtime.GOOS == "windows" {
		python = "python"
	}
	cmd := exec.CommandContext(ctx, python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input", "--no-deps", "--only-binary=:all:", "--require-hashes", "--target", filepath.Join(tmp, "uv"), "-r", file)
	var said bytes.Buffer
	cmd.Stderr, cmd.Stdout = &said, &said
	if err := cmd.Run(); err != nil {
		return missingTool(fmt.Errorf("%w: %s", err, strings.TrimSpace(lastLines(said.String(), 3))))
	}
	if err := os.Rename(filepath.Join(tmp, "uv"), dir); err != nil {
		if _, serr := os.Stat(dir); serr != nil {
			return fmt.Errorf("keeping uv: %w", err)
		} // another process was faster
	}
	return nil
}

func lastLines(text string, n int) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
