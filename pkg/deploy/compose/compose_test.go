package compose

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"

	"github.com/comfyctl/comfyctl/pkg/contract"
	"github.com/comfyctl/comfyctl/pkg/deploy"
)

// spec has what is hard to write: a name that YAML 1.1 takes for a boolean,
// blanks, quotes and dollars.
func spec() *deploy.Spec {
	return &deploy.Spec{Service: "on", Image: "registry.example.com/portrait@sha256:" + strings.Repeat("a", 64), ImageDigest: "sha256:1", Port: 8081,
		Mounts:    []deploy.Mount{{Source: "/srv/models/a b.safetensors", Target: "/opt/comfy/models/checkpoints/a b.safetensors"}},
		RunnerEnv: map[string]string{"NOTE": `a "quoted" $value: #1`}, Secrets: map[string]string{"API_KEYS": "never written"},
		Contract: &contract.Contract{Secrets: []string{"HF_TOKEN", "API_KEYS"}, GPU: contract.GPU{Count: 2}}}
}

func TestRender(t *testing.T) {
	b, err := Render(spec())
	if err != nil {
		t.Fatal(err)
	}
	var v map[string]any
	if err := yaml.Unmarshal(b, &v); err != nil {
		t.Fatalf("%v\n%s", err, b)
	}
	text := string(b)
	for _, want := range []string{`"127.0.0.1:8081:8080"`, "count: 2", `"API_KEYS": ${API_KEYS:?set API_KEYS in the environment}`, `a b.safetensors:ro"`, "read_only: true"} {
		if !strings.Contains(text, want) {
			t.Errorf("lacks %s:\n%s", want, text)
		}
	}
	if strings.Contains(text, "never written") {
		t.Error("a secret's value is in the file")
	}
	s := spec()
	s.GPUs = []string{"0", "GPU-1f"}
	if b, _ = Render(s); !strings.Contains(string(b), `device_ids: ["0","GPU-1f"]`) || strings.Contains(string(b), "count:") {
		t.Errorf("%s", b)
	}
	s.NoGPU, s.Host = true, "0.0.0.0"
	if b, _ = Render(s); strings.Contains(string(b), "nvidia") || strings.Contains(string(b), "COMFYCTL_AUTH") {
		t.Errorf("%s", b)
	}
}

// TestComposeTakesIt asks Compose itself.
func TestComposeTakesIt(t *testing.T) {
	tool := []string{"docker-compose"}
	if _, err := exec.LookPath("docker-compose"); err != nil {
		tool = []string{"docker", "compose"}
		if exec.Command("docker", "compose", "version").Run() != nil {
			if os.Getenv("CI") == "true" {
				t.Fatal("docker-compose is missing")
			}
			t.Skip("docker-compose is missing")
		}
	}
	b, err := Render(spec())
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "compose.yaml")
	if err := os.WriteFile(file, b, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(tool[0], append(tool[1:], "-f", file, "config")...)
	cmd.Env = append(os.Environ(), "API_KEYS=k", "HF_TOKEN=h")
	out, err := cmd.CombinedOutput()
	for _, want := range []string{"a b.safetensors", "read_only: true", "API_KEYS: k", "shm_size"} {
		if err != nil || !strings.Contains(string(out), want) {
			t.Errorf("%v, want %s\n%s", err, want, out)
		}
	}
}
