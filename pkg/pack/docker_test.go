package pack

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/comfyctl/comfyctl/internal/dockerengine"
	"github.com/comfyctl/comfyctl/pkg/contract"
)

// engine is Docker for the tests that need it. They run where
// COMFYCTL_TEST_DOCKER is set, as `make test` does; with CI=true a missing
// Docker fails.
func engine(t *testing.T) *dockerengine.Engine {
	t.Helper()
	if os.Getenv("COMFYCTL_TEST_DOCKER") == "" {
		if os.Getenv("CI") == "true" {
			t.Fatal("CI=true, and COMFYCTL_TEST_DOCKER is not set")
		}
		t.Skip("set COMFYCTL_TEST_DOCKER=1 to run the tests that use Docker")
	}
	e, err := dockerengine.New(t.Context(), dockerengine.WithEnv(os.LookupEnv))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.Close() })
	return e
}

func remove(t *testing.T, e *dockerengine.Engine, images ...string) {
	t.Cleanup(func() {
		for _, i := range images {
			if err := e.RemoveImage(context.Background(), i, true); err != nil {
				t.Error(err)
			}
		}
	})
}

// serve runs an image and waits until path answers 200.
func serve(t *testing.T, e *dockerengine.Engine, image, path string, patience time.Duration) string {
	t.Helper()
	id, err := e.CreateContainer(t.Context(), dockerengine.ContainerSpec{
		Name: fmt.Sprintf("comfyctl-test-pack-%d", time.Now().UnixNano()), Image: image,
		Env: []string{"COMFYCTL_AUTH=off"}, Ports: []dockerengine.Port{{HostIP: "127.0.0.1", Container: 8080}},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			if r, err := e.Logs(context.Background(), id, dockerengine.LogOptions{Tail: 60}); err == nil {
				b, _ := io.ReadAll(r)
				_ = r.Close()
				t.Logf("the container's log:\n%s", b)
			}
		}
		if err := e.RemoveContainer(context.Background(), id, true); err != nil {
			t.Error(err)
		}
	})
	if err := e.StartContainer(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	c, err := e.Container(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Ports) == 0 {
		t.Fatalf("no port is published; the container is %s", c.State)
	}
	url := fmt.Sprintf("http://127.0.0.1:%d", c.Ports[0].HostPort)
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for end := time.Now().Add(patience); ; {
		resp, err := client.Get(url + path)
		if err == nil {
			_ = resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return url
			}
		}
		if time.Now().After(end) {
			t.Fatalf("%s does not answer: %v", path, err)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

func TestDockerRunsTheStubImage(t *testing.T) {
	e := engine(t)
	r := stub(t, t.TempDir())
	b := build(t, r, t.TempDir())
	const tag = "comfyctl-test/pack-stub:latest"
	var sent int64
	load := Docker{Engine: e, Tags: []string{tag}, Progress: watch("load", &sent)}
	id, err := load.Publish(t.Context(), b.Image)
	if err != nil {
		t.Fatal(err)
	}
	remove(t, e, tag)
	if want, _ := b.Image.ConfigName(); id != want.String() {
		t.Errorf("id %s, want %s", id, want)
	}
	if sent < bigModel {
		t.Errorf("only %d bytes went to Docker the first time", sent)
	}
	url := serve(t, e, id, "/readyz", time.Minute)
	out := job(t, url)
	if out != "succeeded" {
		t.Errorf("the job is %s", out)
	}

	// The same models under another workflow: Docker has the layers.
	r2 := stub(t, r.Dir)
	r2.Contract.Description = "another"
	next := build(t, r2, t.TempDir())
	const tag2 = "comfyctl-test/pack-stub:next"
	sent = 0
	load = Docker{Engine: e, Tags: []string{tag2}, Progress: watch("load", &sent)}
	if _, err = load.Publish(t.Context(), next.Image); err != nil {
		t.Fatal(err)
	}
	remove(t, e, tag2)
	if sent > 1<<20 {
		t.Errorf("%d bytes went to Docker for another workflow", sent)
	}
	serve(t, e, tag2, "/readyz", time.Minute)
}

// job posts one job and waits for it.
func job(t *testing.T, url string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url+"/v1/workflows/portrait/jobs", strings.NewReader(`{"input":{}}`))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Prefer", "wait=60")
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	var j struct{ Status string }
	if err := json.Unmarshal(b, &j); err != nil {
		t.Fatalf("%s: %s", resp.Status, b)
	}
	if j.Status != "succeeded" {
		t.Logf("%s: %s", resp.Status, b)
	}
	return j.Status
}

func TestDockerLoadsTheArchive(t *testing.T) {
	e := engine(t)
	b := build(t, stub(t, t.TempDir()), t.TempDir())
	file := filepath.Join(t.TempDir(), "image.tar")
	if _, err := (Archive{File: file, Name: "comfyctl-test/pack-archive", Tag: "latest"}).Publish(t.Context(), b.Image); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := e.LoadImage(t.Context(), f); err != nil {
		t.Fatal(err)
	}
	remove(t, e, "comfyctl-test/pack-archive:latest")
	img, err := e.Image(t.Context(), "comfyctl-test/pack-archive:latest")
	if err != nil {
		t.Fatal(err)
	}
	if want, _ := b.Image.ConfigName(); img.ID != want.String() {
		t.Errorf("loaded %s, want %s", img.ID, want)
	}
	// Docker's answer under status 200 may be an error: a truncated archive.
	whole, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := e.LoadImage(t.Context(), bytes.NewReader(whole[:len(whole)/2])); err == nil {
		t.Error("half an archive was loaded without an error")
	}
}

// tinyBase imports a root file system with the Python of this machine's base
// image, made by hack/test-setup.sh.
const tinyBase = "comfyctl-test/base:bookworm"

// fakeComfyUI is a folder that looks like ComfyUI to the packer and needs a
// package that is a file beside it, so that no package index is asked.
func fakeComfyUI(t *testing.T, dir string) {
	t.Helper()
	write(t, filepath.Join(dir, "main.py"), []byte("print('not ComfyUI')\n"))
	write(t, filepath.Join(dir, "requirements.txt"), []byte("torch\ncomfyui-embedded-docs==0.1\n"))
	write(t, filepath.Join(dir, "models/checkpoints/put_checkpoints_here"), nil)
	write(t, filepath.Join(dir, "models/checkpoints/private.safetensors"), safetensors(10))
	write(t, filepath.Join(dir, "models/configs/v1.yaml"), []byte("a: 1\n"))
	write(t, filepath.Join(dir, "output/secret.png"), []byte("x"))
	write(t, filepath.Join(dir, "custom_nodes/websocket_image_save.py"), []byte("x = 1\n"))
	write(t, filepath.Join(dir, "custom_nodes/mine/__init__.py"), []byte("x = 1\n"))
	write(t, filepath.Join(dir, ".git/config"), []byte("secret"))
	write(t, filepath.Join(dir, "comfy/__pycache__/a.pyc"), []byte("x"))
	write(t, filepath.Join(dir, "comfy/__init__.py"), nil)
}

func TestDockerBuildsTheEnvironment(t *testing.T) {
	e := engine(t)
	if _, err := e.Image(t.Context(), tinyBase); err != nil {
		t.Fatalf("%v; hack/test-setup.sh makes it", err)
	}
	base := torchBase(t, e)
	dir, cache := t.TempDir(), t.TempDir()
	fakeComfyUI(t, filepath.Join(dir, "ComfyUI"))
	write(t, filepath.Join(dir, "nodes/pack-a/__init__.py"), []byte("NODE_CLASS_MAPPINGS = {}\n"))
	write(t, filepath.Join(dir, "nodes/pack-a/requirements.txt"), []byte("# nothing\ntorchvision>=0.1\n"))
	recipe := func() *Recipe {
		r := stub(t, dir)
		r.Contract.Engine = contract.Engine{Kind: contract.EngineComfyUI, Version: "v0.3.64"}
		r.Contract.GPU.Count = 1
		r.Runner = testRunner(t)
		r.Environment = &Environment{Base: base, ComfyUI: ComfyUI{Source: "ComfyUI"}, Torch: "system", Nodes: []NodePack{{Path: "nodes/pack-a"}}}
		return r
	}
	o := BuildOptions{CacheDir: cache, Docker: func(context.Context) (*dockerengine.Engine, error) { return e, nil }}
	b, err := Build(t.Context(), recipe(), o)
	if err != nil {
		t.Fatal(err)
	}
	remove(t, e, environmentRepo+":"+b.Environment)
	const tag = "comfyctl-test/pack-comfyui:latest"
	var sent int64
	id, err := Docker{Engine: e, Tags: []string{tag}, Progress: watch("load", &sent)}.Publish(t.Context(), b.Image)
	if err != nil {
		t.Fatal(err)
	}
	remove(t, e, tag)
	img, err := e.Image(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(img.Config.Env, "NVIDIA_VISIBLE_DEVICES=all") {
		t.Errorf("environment %v", img.Config.Env)
	}
	code, text := inside(t, e, tag, "cd /opt/comfy && find . -type f | sort && test -d models/checkpoints && test -d models/vae && /opt/python/bin/python3 -c 'import torch; print(torch.where)'")
	want := []string{
		"./comfy/__init__.py", "./custom_nodes/pack-a/__init__.py", "./custom_nodes/pack-a/requirements.txt", "./custom_nodes/websocket_image_save.py",
		"./main.py", "./models/checkpoints/big.safetensors", "./models/configs/v1.yaml", "./models/loras/small.safetensors", "./requirements.txt", "base",
	}
	if got := strings.Fields(text); code != 0 || !slices.Equal(got, want) {
		t.Errorf("exit %d, in the image: %q", code, text)
	}

	// A second time nothing is built, and the exported image is the loaded one.
	again, err := Build(t.Context(), recipe(), o)
	if err != nil {
		t.Fatal(err)
	}
	if digest(t, again.Image) != digest(t, b.Image) {
		t.Error("the same recipe over the same environment gives another digest")
	}
	checkImage(t, again.Image)
	out := filepath.Join(t.TempDir(), "oci")
	if _, err := (OCILayout{Dir: out, Name: "x", Tag: "latest"}).Publish(t.Context(), again.Image); err != nil {
		t.Fatal(err)
	}
	checkLayoutBlobs(t, out)
}

// torchBase is a base with a module named torch, which is all that
// torch: system looks for.
func torchBase(t *testing.T, e *dockerengine.Engine) string {
	t.Helper()
	// Unlike any other run's, so that two at a time do not remove each other's.
	stamp := fmt.Sprint(time.Now().UnixNano())
	tag := "comfyctl-test/pack-base:" + stamp
	context, err := contextTar(map[string]string{
		"Dockerfile": "FROM " + tinyBase + "\nCOPY torch.py /usr/lib/python3/dist-packages/torch.py\n",
		"torch.py":   "where = 'base'  # " + stamp + "\n",
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := e.Build(t.Context(), dockerengine.BuildOptions{Context: bytes.NewReader(context), Dockerfile: "Dockerfile", Tags: []string{tag}}); err != nil {
		t.Fatal(err)
	}
	remove(t, e, tag)
	return tag
}

// inside runs a shell in an image and returns what it printed.
func inside(t *testing.T, e *dockerengine.Engine, image, script string) (int, string) {
	t.Helper()
	id, err := e.CreateContainer(t.Context(), dockerengine.ContainerSpec{Name: fmt.Sprintf("comfyctl-test-pack-%d", time.Now().UnixNano()), Image: image, Entrypoint: []string{"sh", "-c", script}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := e.RemoveContainer(context.Background(), id, true); err != nil {
			t.Error(err)
		}
	}()
	if err := e.StartContainer(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	code, err := e.WaitContainer(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	r, err := e.Logs(t.Context(), id, dockerengine.LogOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return code, string(b)
}

func TestDockerSaysWhatFailedInTheEnvironment(t *testing.T) {
	e := engine(t)
	dir := t.TempDir()
	fakeComfyUI(t, filepath.Join(dir, "ComfyUI"))
	r := stub(t, dir)
	r.Contract.Engine.Kind = contract.EngineComfyUI
	r.Environment = &Environment{Base: tinyBase, ComfyUI: ComfyUI{Source: "ComfyUI"}, Torch: "system"}
	_, err := Build(t.Context(), r, BuildOptions{CacheDir: t.TempDir(), Docker: func(context.Context) (*dockerengine.Engine, error) { return e, nil }})
	if err == nil || !strings.Contains(err.Error(), "torch: system takes the base image's own torch") {
		t.Errorf("got %v", err)
	}
}

// TestSkopeoReads holds layout and archive against another implementation.
func TestSkopeoReads(t *testing.T) {
	if _, err := exec.LookPath("skopeo"); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("CI=true, and skopeo is not installed")
		}
		t.Skip("skopeo is not installed")
	}
	b := build(t, stub(t, t.TempDir()), t.TempDir())
	dir := t.TempDir()
	if _, err := (OCILayout{Dir: filepath.Join(dir, "oci"), Name: "portrait", Tag: "latest"}).Publish(t.Context(), b.Image); err != nil {
		t.Fatal(err)
	}
	if _, err := (Archive{File: filepath.Join(dir, "image.tar"), Name: "portrait", Tag: "latest"}).Publish(t.Context(), b.Image); err != nil {
		t.Fatal(err)
	}
	for _, from := range []string{"oci:" + dir + "/oci:latest", "oci-archive:" + dir + "/image.tar:latest", "docker-archive:" + dir + "/image.tar"} {
		to := filepath.Join(t.TempDir(), "copy")
		// Copying reads and checks every blob.
		out, err := exec.Command("skopeo", "--insecure-policy", "--tmpdir", t.TempDir(), "copy", from, "oci:"+to+":x").CombinedOutput()
		if err != nil {
			t.Errorf("%s: %v\n%s", from, err, out)
		}
		if strings.HasPrefix(from, "oci") {
			out, err := exec.Command("skopeo", "--tmpdir", t.TempDir(), "inspect", "--format", "{{.Digest}}", from).CombinedOutput()
			if got := strings.TrimSpace(string(out)); err != nil || got != digest(t, b.Image) {
				t.Errorf("%s: skopeo says %s, %v", from, got, err)
			}
		}
	}
}
