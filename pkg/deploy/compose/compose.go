// Package compose writes a deployment as a Compose file, for people who run
// their machines with `docker compose`.
package compose

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"
	"text/template"

	"github.com/comfyctl/comfyctl/pkg/contract"
	"github.com/comfyctl/comfyctl/pkg/deploy"
	"github.com/comfyctl/comfyctl/templates"
)

type pair struct{ Name, Value string }

// Render writes the file. Values of secrets are never in it: Compose takes
// them from its environment.
func Render(s *deploy.Spec) ([]byte, error) {
	text, err := templates.FS.ReadFile("compose.yaml.tmpl")
	if err != nil {
		return nil, fmt.Errorf("reading the template: %w", err)
	}
	t, err := template.New("compose").Funcs(template.FuncMap{"json": quote}).Parse(string(text))
	if err != nil {
		return nil, fmt.Errorf("reading the template: %w", err)
	}
	host, port := s.Host, s.Port
	if host == "" {
		host = "127.0.0.1"
	}
	if port == 0 {
		port = 8080
	}
	env := map[string]string{"PORT": "8080"}
	if s.ImageDigest != "" {
		env["COMFYCTL_IMAGE_DIGEST"] = s.ImageDigest
	}
	if ip := net.ParseIP(host); ip != nil && ip.IsLoopback() && s.Contract.Auth == nil {
		env["COMFYCTL_AUTH"] = "off"
	}
	maps.Copy(env, s.RunnerEnv)
	list := []pair{}
	for _, k := range slices.Sorted(maps.Keys(env)) {
		list = append(list, pair{k, env[k]})
	}
	var mounts []string
	for _, m := range s.Mounts {
		mounts = append(mounts, m.Source+":"+m.Target+":ro")
	}
	gpus := s.Contract.GPU.Count
	if s.NoGPU {
		gpus = 0
	}
	drain, start := s.Contract.Runner.Timeouts.DrainMS/1000, s.Contract.Runner.Timeouts.StartMS/1000
	if drain == 0 {
		drain = 120
	}
	if start == 0 {
		start = 600
	}
	devices := ""
	if len(s.GPUs) > 0 {
		list, err := json.Marshal(s.GPUs)
		if err != nil {
			return nil, fmt.Errorf("writing the devices: %w", err)
		}
		devices = string(list)
	}
	var b bytes.Buffer
	err = t.Execute(&b, map[string]any{"Service": s.Service, "Digest": s.ImageDigest, "Devices": devices, "Image": s.Image, "Ports": host + ":" + strconv.Itoa(port) + ":8080", "Env": list,
		"Secrets": slices.Sorted(slices.Values(s.Contract.Secrets)), "State": contract.StatePath, "Mounts": mounts, "Grace": drain + 30, "Start": start,
		"Runner": contract.RunnerPath, "GPUs": gpus})
	if err != nil {
		return nil, fmt.Errorf("writing the Compose file: %w", err)
	}
	return b.Bytes(), nil
}

// quote writes a text as JSON, which is YAML, with Compose's own $ escaped.
func quote(s string) (string, error) {
	b, err := json.Marshal(strings.ReplaceAll(s, "$", "$$"))
	return string(b), err
}
