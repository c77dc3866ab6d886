//go:build e2e

package e2e

import (
	"bytes"
	"cmp"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// release is a ComfyUI source tree to pack.
type release struct{ dir, version string }

// releases are the source trees that run.sh hands over.
func releases(t *testing.T) []release {
	t.Helper()
	var out []release
	for _, dir := range strings.Split(need(t, "COMFYUI_SOURCES"), ",") {
		dir, err := filepath.Abs(fromRoot(dir))
		if err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(filepath.Join(dir, "comfyui_version.py"))
		if err != nil {
			t.Fatalf("%s is no ComfyUI source tree: %v", dir, err)
		}
		m := regexp.MustCompile(`__version__ = "([^"]+)"`).FindSubmatch(b)
		if m == nil {
			t.Fatalf("%s does not say its version", dir)
		}
		out = append(out, release{dir: dir, version: "v" + string(m[1])})
	}
	return out
}

// fromRoot resolves a path as run.sh does, from the repository's root.
func fromRoot(p string) string {
	if filepath.IsAbs(p) {
		return p
	}
	return filepath.Join("..", p)
}

func need(t *testing.T, name string) string {
	t.Helper()
	v := os.Getenv(name)
	if v == "" {
		t.Fatalf("%s is not set; start this test with e2e/run.sh", name)
	}
	return v
}

// environment is what the service files of this test refer to.
func environment(t *testing.T, r release) []string {
	return append(os.Environ(), "E2E_VERSION="+r.version, "E2E_SOURCE="+r.dir, "E2E_BASE="+need(t, "E2E_BASE"))
}

// comfyctl runs the built binary in dir and returns its stdout.
func comfyctl(t *testing.T, r release, dir string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), need(t, "E2E_COMFYCTL"), args...)
	cmd.Dir, cmd.Env = dir, environment(t, r)
	var out, log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &log
	t.Logf("$ comfyctl %s", strings.Join(args, " "))
	err := cmd.Run()
	t.Logf("%s%s", log.String(), out.String())
	if err != nil {
		t.Fatalf("comfyctl %s: %v", args[0], err)
	}
	return strings.TrimSpace(out.String())
}

// deployed deploys the service in dir to the local Docker for this test.
func deployed(t *testing.T, r release, dir, name string, flags ...string) *service {
	t.Helper()
	t.Cleanup(func() {
		cmd := exec.Command(need(t, "E2E_COMFYCTL"), append([]string{"destroy", "local", "--confirm", name}, envFlag(flags)...)...)
		cmd.Dir, cmd.Env = dir, environment(t, r)
		if b, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("destroying %s: %v\n%s", name, err, b)
		}
	})
	url := comfyctl(t, r, dir, append([]string{"deploy", "local", "--yes", "--gpus", cmp.Or(os.Getenv("E2E_GPUS"), "none"), "-p", "0"}, flags...)...)
	s := &service{url: strings.TrimRight(url, "/"), out: pictures(t, r)}
	if r := s.ready(t); os.Getenv("E2E_GPUS") != "" && !strings.Contains(r, "cuda:") {
		t.Fatalf("no GPU is in use: %s", r)
	}
	return s
}

// envFlag keeps what selects the environment.
func envFlag(flags []string) []string {
	for i, f := range flags {
		if f == "-e" {
			return flags[i : i+2]
		}
	}
	return nil
}

// pictures is where outputs are kept.
func pictures(t *testing.T, r release) string {
	t.Helper()
	dir, err := filepath.Abs(filepath.Join("..", "bin", "e2e", "pictures", r.version))
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// textToImage is a copy of the example that draws with the test's checkpoint.
func textToImage(t *testing.T, r release) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(filepath.Join("..", "examples", "text-to-image"))); err != nil {
		t.Fatal(err)
	}
	overlay := strings.Join([]string{
		"comfyui: { version: \"" + r.version + "\", source: \"" + r.dir + "\" }",
		"build: { base: \"" + need(t, "E2E_BASE") + "\", torch: system, ca: \"${E2E_CA:-}\" }",
		"models:",
		"  - path: checkpoints/sd15-random.safetensors",
		"    source: " + need(t, "E2E_CHECKPOINT"),
		"gpu: \"${E2E_GPU:-none}\"",
		"auth: none",
		"",
	}, "\n")
	if err := os.WriteFile(filepath.Join(dir, "comfyctl.e2e.yaml"), []byte(overlay), 0o644); err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestTextToImage packs and deploys the example, models bind-mounted.
func TestTextToImage(t *testing.T) {
	for _, r := range releases(t) {
		t.Run(r.version, func(t *testing.T) {
			dir := textToImage(t, r)
			s := deployed(t, r, dir, "text-to-image", "-e", "e2e")
			checkPictures(t, s, "text-to-image")
			comfyctl(t, r, dir, "call", "-e", "e2e", "--url", s.url, "prompt=a red fox", "steps=2", "width=64", "height=64", "-O", filepath.Join(dir, "fox.png"))
			if b, err := os.ReadFile(filepath.Join(dir, "fox.png")); err != nil || !bytes.HasPrefix(b, []byte("\x89PNG")) {
				t.Errorf("call saved no picture: %v", err)
			}
		})
	}
}

// TestNodes packs and deploys graphs of core nodes, which need no weights.
func TestNodes(t *testing.T) {
	for _, r := range releases(t) {
		t.Run(r.version, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.CopyFS(dir, os.DirFS("nodes")); err != nil {
				t.Fatal(err)
			}
			s := deployed(t, r, dir, "e2e-nodes")
			t.Run("outputs", func(t *testing.T) { checkNodes(t, s) })
			t.Run("error", func(t *testing.T) { checkNodeError(t, s) })
			t.Run("cancel", func(t *testing.T) { checkCancel(t, s) })
		})
	}
}
