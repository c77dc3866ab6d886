//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/comfyctl/comfyctl/pkg/lock"
	"github.com/comfyctl/comfyctl/pkg/lock/resolve"
)

// packClasses are classes of popular node packs, one a pack; their packs are
// found by `lock`, not named.
var packClasses = []string{
	"UnetLoaderGGUF", "INTConstant", "IPAdapterModelLoader", "VHS_VideoCombine", "MathExpression|pysssss", "Seed (rgthree)", "CR Aspect Ratio", "ADE_LoadAnimateDiffModel",
}

// needsGPU are classes whose imports fail without Triton, which is not for CPUs.
var needsGPU = map[string]bool{"PatchTritonVAE": true}

// TestPacks locks real node packs, builds their environment without a network,
// and asks the ComfyUI in the image, without a network too, for its classes.
func TestPacks(t *testing.T) {
	list := releases(t)
	r := list[len(list)-1] // the newest: packs follow it
	dir := t.TempDir()
	packsService(t, r, dir)
	mirrors(t)
	comfyctl(t, r, dir, "lock", "--accept-suggested")
	comfyctl(t, r, dir, "lock", "--check")
	l, err := lock.Read(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(l.Nodes) < 6 {
		t.Fatalf("%d packs, want at least 6", len(l.Nodes))
	}
	image := comfyctl(t, r, dir, "pack", "--build-network", "none", "--models", "mount")
	modules := objectInfo(t, image)
	missing := 0
	promises := promised(t)
	for _, n := range l.Nodes {
		for _, c := range n.Classes {
			if modules[c] != "custom_nodes."+n.Dir {
				t.Errorf("%s: %q is from %q", n.Dir, c, modules[c])
			}
		}
		if n.Dir == "rgthree-comfy" {
			continue // the map lists the names of its Python classes, none of which is a node
		}
		names, _ := promises.Classes(n.URL)
		dead := 0
		for _, c := range names {
			switch {
			case modules[c] == "custom_nodes."+n.Dir || needsGPU[c]:
			case !slices.Contains(n.Defines, c):
				dead++ // the map took it from a comment, or from an older commit
			default:
				t.Errorf("%s: the map promises %q, which is from %q", n.Dir, c, modules[c])
				missing++
			}
		}
		t.Logf("%s: %d classes promised by the map, %d read from its source, %d of the map's are in no mapping of the source", n.Dir, len(names), len(n.Defines), dead)
	}
	t.Logf("%d packs, %d Python packages, %d promises broken", len(l.Nodes), len(l.Wheels), missing)
}

// packsService writes a service that uses the packs.
func packsService(t *testing.T, r release, dir string) {
	t.Helper()
	nodes := map[string]any{"1": map[string]any{"class_type": "EmptyImage", "inputs": map[string]any{"width": 64, "height": 64, "batch_size": 1, "color": 0}},
		"2": map[string]any{"class_type": "SaveImage", "inputs": map[string]any{"images": []any{"1", 0}, "filename_prefix": "x"}}}
	for i, c := range packClasses {
		nodes[fmt.Sprint(10+i)] = map[string]any{"class_type": c, "inputs": map[string]any{}}
	}
	graph, err := json.Marshal(nodes)
	if err != nil {
		t.Fatal(err)
	}
	service := fmt.Sprintf("name: packs\nworkflow: workflow_api.json\ncomfyui: { version: %s, source: %q }\nbuild: { base: %q, torch: system, python: %q }\ngpu: none\n",
		r.version, r.dir, need(t, "E2E_BASE"), pythonOf(t))
	for name, text := range map[string]string{"workflow_api.json": string(graph), "comfyctl.yaml": service} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// pythonOf is the version of the base image's Python.
func pythonOf(t *testing.T) string {
	return docker(t, "run", "--rm", need(t, "E2E_BASE"), "python3", "-c", `import sys; print("%d.%d" % sys.version_info[:2])`)
}

// mirrors makes git look for repositories in E2E_MIRRORS, a folder with
// OWNER+NAME/repo for each, where it is set.
func mirrors(t *testing.T) {
	t.Helper()
	dir := os.Getenv("E2E_MIRRORS")
	if dir == "" {
		return
	}
	found, err := filepath.Glob(filepath.Join(dir, "*+*", "repo"))
	if err != nil || len(found) == 0 {
		t.Fatalf("no OWNER+NAME/repo in %s: %v", dir, err)
	}
	config := "[safe]\n\tdirectory = *\n"
	for _, repo := range found {
		config += fmt.Sprintf("[url \"file://%s\"]\n\tinsteadOf = https://github.com/%s\n", repo, strings.Replace(filepath.Base(filepath.Dir(repo)), "+", "/", 1))
	}
	file := filepath.Join(t.TempDir(), "gitconfig")
	if err := os.WriteFile(file, []byte(config), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Setenv("GIT_CONFIG_GLOBAL", file)
}

// promised is the map that the lock was made with, from COMFYCTL_NODE_MAP.
func promised(t *testing.T) *resolve.Map {
	t.Helper()
	b, err := os.ReadFile(need(t, "COMFYCTL_NODE_MAP"))
	if err != nil {
		t.Fatal(err)
	}
	m, err := resolve.ParseMap(b)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// objectInfo starts the image's ComfyUI on the CPU without a network and says
// which module each class is from.
func objectInfo(t *testing.T, image string) map[string]string {
	t.Helper()
	const name = "comfyctl-e2e-packs"
	dockerQuietly("rm", "-f", "-v", name)
	docker(t, "run", "-d", "--name", name, "--network", "none", "--entrypoint", "sh", image, "-c",
		// Some classes list the output folder, which the runner makes in a service.
		"mkdir -p /opt/comfy/output /opt/comfy/input && exec /opt/python/bin/python3 -B /opt/comfy/main.py --cpu --listen 127.0.0.1 --port 8188 --database-url sqlite:///:memory:")
	t.Cleanup(func() {
		if t.Failed() {
			b, _ := exec.Command("docker", "logs", "--tail", "80", name).CombinedOutput()
			t.Logf("%s", b)
		}
		dockerQuietly("rm", "-f", "-v", name)
	})
	const ask = `import json, urllib.request
info = json.load(urllib.request.urlopen("http://127.0.0.1:8188/object_info"))
print("\n" + json.dumps({name: schema["python_module"] for name, schema in info.items()}))`
	for range 60 {
		time.Sleep(5 * time.Second)
		if !slices.Contains(strings.Fields(docker(t, "ps", "--format", "{{.Names}}")), name) {
			t.Fatal("ComfyUI ended by itself")
		}
		out, err := dockerTry(t, "exec", name, "/opt/python/bin/python3", "-c", ask)
		if err != nil {
			continue
		}
		modules := map[string]string{}
		if err := json.Unmarshal([]byte(out[strings.LastIndex(out, "\n{")+1:]), &modules); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		return modules
	}
	t.Fatal("ComfyUI did not answer")
	return nil
}
