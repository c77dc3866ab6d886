//go:build e2e

package e2e

import (
	"fmt"
	"io"
	"log"
	"net"
	"net/http/httptest"
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/registry"
)

// TestShipped runs the image as it would be shipped: models in it, pushed to a
// registry and pulled from there, on a network without a way out.
func TestShipped(t *testing.T) {
	list := releases(t)
	r := list[len(list)-1]
	dir := textToImage(t, r)

	srv := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0)), registry.WithBlobHandler(registry.NewDiskBlobHandler(t.TempDir()))))
	t.Cleanup(srv.Close)
	_, port, err := net.SplitHostPort(strings.TrimPrefix(srv.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	repo := fmt.Sprintf("127.0.0.1:%s/e2e/text-to-image", port)
	ref := comfyctl(t, r, dir, "pack", "-e", "e2e", "-t", repo+":shipped")
	if !strings.HasPrefix(ref, repo+"@sha256:") {
		t.Fatalf("pack says %q, want the pushed reference by digest", ref)
	}

	docker(t, "pull", ref)
	t.Cleanup(func() { dockerQuietly("image", "rm", ref) })
	const network, name = "comfyctl-e2e-closed", "comfyctl-e2e-shipped"
	dockerQuietly("rm", "-f", "-v", name)
	dockerQuietly("network", "rm", network)
	docker(t, "network", "create", "--internal", network)
	t.Cleanup(func() { dockerQuietly("network", "rm", network) })
	docker(t, "run", "-d", "--name", name, "--network", network, "--read-only", "--tmpfs", "/tmp",
		"-v", "/var/lib/comfyctl", ref)
	t.Cleanup(func() {
		if t.Failed() {
			b, _ := exec.Command("docker", "logs", "--tail", "50", name).CombinedOutput()
			t.Logf("%s", b)
		}
		dockerQuietly("rm", "-f", "-v", name)
	})
	if mounts := docker(t, "inspect", "-f", "{{range .Mounts}}{{.Type}} {{.Destination}};{{end}}", name); mounts != "volume /var/lib/comfyctl;" {
		t.Errorf("mounts are %q, want the state alone", mounts)
	}
	if internal := docker(t, "network", "inspect", "-f", "{{.Internal}}", network); internal != "true" {
		t.Fatalf("the network's internal is %s", internal)
	}
	noWayOut(t, name)
	ip := docker(t, "inspect", "-f", "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}", name)
	s := &service{url: "http://" + net.JoinHostPort(ip, "8080"), out: pictures(t, r)}
	s.ready(t)
	checkPictures(t, s, "text-to-image")
}

// noWayOut wants a connection from the container to the world to fail, and logs
// whether one from an open network succeeds on this machine.
func noWayOut(t *testing.T, container string) {
	t.Helper()
	const probe = "import socket; socket.create_connection(('1.1.1.1', 443), 3); print('connected')"
	open, _ := exec.CommandContext(t.Context(), "docker", "run", "--rm", need(t, "E2E_BASE"), "python3", "-c", probe).CombinedOutput()
	t.Logf("from an open network: %s", lastLine(open))
	closed, err := exec.CommandContext(t.Context(), "docker", "exec", container, "/usr/bin/python3", "-c", probe).CombinedOutput()
	t.Logf("from the closed network: %s", lastLine(closed))
	// The refusal must be the network's, not a probe that cannot run.
	why := lastLine(closed)
	if err == nil || !strings.Contains(why, "unreachable") && !strings.Contains(why, "timed out") {
		t.Errorf("the container's way out: %v %s", err, closed)
	}
}

func lastLine(b []byte) string {
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	return lines[len(lines)-1]
}

func docker(t *testing.T, args ...string) string {
	t.Helper()
	t.Logf("$ docker %s", strings.Join(args, " "))
	b, err := exec.CommandContext(t.Context(), "docker", args...).CombinedOutput()
	if err != nil {
		t.Fatalf("docker %s: %v\n%s", args[0], err, b)
	}
	return strings.TrimSpace(string(b))
}

// dockerQuietly cleans up, where nothing may be there.
func dockerQuietly(args ...string) { _ = exec.Command("docker", args...).Run() }

// dockerTry is for what may fail.
func dockerTry(t *testing.T, args ...string) (string, error) {
	t.Helper()
	b, err := exec.CommandContext(t.Context(), "docker", args...).Output()
	return "\n" + strings.TrimSpace(string(b)), err
}
