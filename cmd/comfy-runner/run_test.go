package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/comfyctl/comfyctl/pkg/contract"
)

// The runner is in every image, so it links nothing that talks to Docker, a
// registry, a cloud or Kubernetes.
func TestLinksNoDeployer(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, dep := range strings.Fields(string(out)) {
		for _, bad := range []string{"github.com/docker/", "github.com/google/go-containerregistry", "github.com/aws/", "k8s.io/", "github.com/spf13/cobra", "gopkg.in/yaml"} {
			if strings.HasPrefix(dep, bad) {
				t.Errorf("comfy-runner links %s", dep)
			}
		}
	}
	if !strings.Contains(string(out), "modernc.org/sqlite") {
		t.Error("the list of packages is not the runner's")
	}
}

func TestVerbs(t *testing.T) {
	for _, tt := range []struct {
		args   []string
		code   int
		stdout string
		stderr string
	}{
		{[]string{"version"}, 0, "dev\n", ""},
		{[]string{"help"}, 0, "usage:", ""},
		{[]string{"sevre"}, 2, "", "there is no verb `sevre`"},
		{[]string{"serve", "--no-such-flag"}, 2, "", "no-such-flag"},
		{[]string{"serve", "surplus"}, 2, "", "usage:"},
		{[]string{"--log", "xml"}, 2, "", "usage:"},
		{[]string{"--contract", "/no/such/contract.json"}, 1, "", "reading the contract"},
		{[]string{"healthcheck", "http://127.0.0.1:1"}, 1, "", "asking the runner"},
	} {
		t.Run(strings.Join(tt.args, " "), func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			code := run(t.Context(), tt.args, &stdout, &stderr, nil)
			if code != tt.code || !strings.HasPrefix(stdout.String(), tt.stdout) || !strings.Contains(stderr.String(), tt.stderr) {
				t.Errorf("%d\n%s\n%s", code, stdout.String(), stderr.String())
			}
		})
	}
}

func TestHealthcheck(t *testing.T) {
	status := http.StatusServiceUnavailable
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/readyz" {
			t.Errorf("it asked for %s", r.URL.Path)
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, `{"ready":false}`)
	}))
	defer srv.Close()
	_, port, _ := net.SplitHostPort(srv.Listener.Addr().String())
	for _, want := range []int{1, 0} {
		var out bytes.Buffer
		if code := run(t.Context(), []string{"healthcheck"}, &out, io.Discard, []string{"PORT=" + port}); code != want || out.String() != "{\"ready\":false}\n" {
			t.Errorf("%d %s", code, out.String())
		}
		status = http.StatusOK
	}
}

func TestGPUCheck(t *testing.T) {
	var out bytes.Buffer
	if err := gpucheck(&out, fstest.MapFS{"dev/null": {}}); err == nil {
		t.Error("no device is an error")
	}
	root := fstest.MapFS{"dev/nvidia0": {}, "dev/nvidia1": {}, "dev/nvidiactl": {}, "proc/driver/nvidia/version": {Data: []byte("NVRM version: 550\nGCC\n")}}
	if err := gpucheck(&out, root); err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff("/dev/nvidia0\n/dev/nvidia1\n/dev/nvidiactl\nNVRM version: 550\n2 GPU device(s)\n", out.String()); diff != "" {
		t.Error(diff)
	}
}

func TestSecrets(t *testing.T) {
	file := filepath.Join(t.TempDir(), "keys")
	if err := os.WriteFile(file, []byte("me ck_1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	env := environment([]string{"A=1", "EMPTY=", "B_FILE=" + file, "C_FILE=/no/such/file"})
	for name, want := range map[string]string{"A": "1 true", "EMPTY": " true", "B": "me ck_1\n true", "C": " false", "D": " false"} {
		v, ok := env.secret(name)
		if got := fmt.Sprint(v, " ", ok); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
}

// The process serves a contract whose engine never gets ready, says so, and
// leaves when it is told to.
func TestServeWithoutEngine(t *testing.T) {
	dir := t.TempDir()
	c := &contract.Contract{Schema: contract.Schema, Name: "s", Engine: contract.Engine{Kind: contract.EngineComfyUI, Version: "v0.3.64", Dir: dir}, Models: []contract.Model{}}
	b, err := c.Encode()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "contract.json")
	if err := os.WriteFile(file, b, 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	_ = l.Close()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan int, 1)
	go func() {
		ended <- run(ctx, []string{"--contract", file, "--state", filepath.Join(dir, "state"), "--listen", addr, "--admin", "127.0.0.1:0"}, io.Discard, io.Discard, nil)
	}()
	var got struct {
		Ready  bool
		Engine struct{ Stage, Reason string }
	}
	for got.Engine.Stage != "failed" {
		time.Sleep(5 * time.Millisecond)
		resp, err := http.Get("http://" + addr + "/readyz")
		if err != nil {
			continue
		}
		err = json.NewDecoder(resp.Body).Decode(&got)
		_ = resp.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
	}
	if got.Ready || !strings.Contains(got.Engine.Reason, "main.py") {
		t.Errorf("%+v", got)
	}
	cancel()
	if code := <-ended; code != 0 {
		t.Errorf("it ended with %d", code)
	}
}
