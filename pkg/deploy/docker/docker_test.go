package docker

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/docker/docker/api/types/image"
	"github.com/docker/docker/client"

	"github.com/comfyctl/comfyctl/internal/diag"
	"github.com/comfyctl/comfyctl/internal/progress"
	"github.com/comfyctl/comfyctl/pkg/contract"
	"github.com/comfyctl/comfyctl/pkg/deploy"
)

// engineOrSkip gives Docker's client where the tests that need an engine are
// asked for; in CI it must be there.
func engineOrSkip(t *testing.T) *client.Client {
	t.Helper()
	if os.Getenv("COMFYCTL_TEST_DOCKER") == "" {
		if os.Getenv("CI") == "true" {
			t.Fatal("COMFYCTL_TEST_DOCKER is not set: the Docker tests must run in CI")
		}
		t.Skip("COMFYCTL_TEST_DOCKER is not set")
	}
	c, err := client.NewClientWithOpts(client.FromEnv, client.WithAPIVersionNegotiation())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// serverImage builds the little server and imports it, with its command.
func serverImage(t *testing.T, c *client.Client, tag string, args ...string) string {
	t.Helper()
	bin := filepath.Join(t.TempDir(), "server")
	cmd := exec.Command("go", "build", "-o", bin, "./testdata/server")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	b, err := os.ReadFile(bin)
	if err != nil {
		t.Fatal(err)
	}
	var buf bytes.Buffer
	tw := tar.NewWriter(&buf)
	_ = tw.WriteHeader(&tar.Header{Name: "server", Mode: 0o755, Size: int64(len(b))})
	_, _ = tw.Write(b)
	_ = tw.WriteHeader(&tar.Header{Name: "tmp/", Mode: 0o777, Typeflag: tar.TypeDir})
	_ = tw.Close()
	ref := "comfyctl-deploy-test:" + tag
	r, err := c.ImageImport(context.Background(), image.ImportSource{Source: &buf, SourceName: "-"}, ref,
		image.ImportOptions{Changes: []string{`ENTRYPOINT ["/server","` + strings.Join(args, `","`) + `"]`}})
	if err != nil {
		t.Fatal(err)
	}
	_, _ = new(bytes.Buffer).ReadFrom(r)
	_ = r.Close()
	t.Cleanup(func() {
		_, _ = c.ImageRemove(context.Background(), ref, image.RemoveOptions{Force: true})
	})
	return ref
}

func TestDeployReplaceAndPutBack(t *testing.T) {
	c := engineOrSkip(t)
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	con := &contract.Contract{Schema: contract.Schema, Name: "deploy-test", Engine: contract.Engine{Kind: contract.EngineStub}}
	digest, _ := con.Digest()
	good := serverImage(t, c, "good", digest)
	bad := serverImage(t, c, "bad", digest, "die")
	other := serverImage(t, c, "other", "sha256:another")
	target := &Target{Engine: c, Service: "deploy-test", Name: "local"}
	t.Cleanup(func() { _, _ = target.Destroy(context.Background(), false) })
	if _, err := target.Destroy(ctx, false); err != nil {
		t.Fatal(err)
	}
	spec := &deploy.Spec{Service: "deploy-test", Target: "local", Image: good, ImageDigest: "sha256:1", Contract: con, Wait: true}
	apply := func() (*deploy.Plan, *deploy.Release, error) {
		p, err := target.Plan(ctx, spec)
		if err != nil {
			t.Fatal(err)
		}
		r, err := target.Apply(ctx, p, progress.Discard)
		return p, r, err
	}
	p, first, err := apply()
	if err != nil || first.State != "ready" || first.Release != "v1" || !strings.HasPrefix(first.URL, "http://127.0.0.1:") || !p.Changes() {
		t.Fatalf("%+v %v", first, err)
	}
	if p, again, err := apply(); err != nil || p.Changes() || again.ID != first.ID {
		t.Errorf("applying twice touched it: %+v %v", p, err)
	}
	spec.RunnerEnv = map[string]string{"COMFYCTL_LOG": "text"}
	_, second, err := apply()
	if err != nil || second.Release != "v2" || second.ID == first.ID {
		t.Fatalf("%+v %v", second, err)
	}

	spec.Image, spec.ImageDigest = bad, "sha256:2"
	_, _, err = apply()
	var e *diag.Error
	if !errors.As(err, &e) || e.Code != "engine_died" || !strings.Contains(e.Message, "exit 3") || !strings.Contains(facts(e), "cannot load the model") || !strings.Contains(facts(e), "v2 was started again") {
		t.Errorf("%+v", err)
	}
	spec.Image, spec.ImageDigest = other, "sha256:3"
	if _, _, err = apply(); !errors.As(err, &e) || e.Code != "wrong_release" {
		t.Errorf("%+v", err)
	}
	list, err := target.Observe(ctx)
	if err != nil || len(list) != 1 || list[0].Release != "v2" || list[0].State == "stopped" {
		t.Errorf("%+v %v", list, err)
	}

	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	spec.Image, spec.ImageDigest, spec.Port = good, "sha256:1", l.Addr().(*net.TCPAddr).Port
	if _, _, err = apply(); !errors.As(err, &e) || e.Code != "port_taken" || e.Help == "" {
		t.Errorf("%+v", err)
	}
	var logs bytes.Buffer
	if err := target.Logs(ctx, deploy.LogOptions{Tail: 10}, &logs); err != nil || !strings.Contains(logs.String(), "hello from the engine") {
		t.Errorf("%q %v", logs.String(), err)
	}
	gone, err := target.Destroy(ctx, true)
	if err != nil || len(gone) != 1 {
		t.Errorf("%v %v", gone, err)
	}
	if gone, err = target.Destroy(ctx, false); err != nil || len(gone) != 1 || !strings.HasPrefix(gone[0], "volume ") {
		t.Errorf("%v %v", gone, err)
	}
	if gone, err = target.Destroy(ctx, false); err != nil || len(gone) != 0 {
		t.Errorf("destroying nothing: %v %v", gone, err)
	}
	if err := target.Logs(ctx, deploy.LogOptions{}, &logs); !errors.As(err, &e) || e.Code != "not_deployed" {
		t.Errorf("%v", err)
	}
}
