package cli

import (
	"bytes"
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// within runs comfyctl in-process in a folder with some files.
func within(t *testing.T, files map[string]string, env []string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var out, errOut bytes.Buffer
	code = Main(context.Background(), append([]string{"-C", dir}, args...), strings.NewReader(""), &out, &errOut, append([]string{"LANG=C.UTF-8"}, env...))
	return code, out.String(), errOut.String()
}

// TestValidateOnline asks servers on this machine: the hub, and a ComfyUI.
func TestValidateOnline(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/o/r/resolve/main/x.safetensors":
			if r.Header.Get("Authorization") != "Bearer geheim" {
				w.WriteHeader(http.StatusUnauthorized)
			}
		case "/object_info":
			_, _ = w.Write([]byte(`{"OnlyHere":{"input":{"required":{"text":["STRING",{}]}},"output":[],"name":"OnlyHere","output_node":true,"python_module":"custom_nodes.here"}}`))
		default:
			http.NotFound(w, r)
		}
	}))
	defer s.Close()
	files := map[string]string{
		"w.json": `{"1":{"class_type":"OnlyHere","inputs":{"text":"x"}}}`,
		"comfyctl.yaml": "name: a\nworkflow: w.json\ncomfyui: v0.3.64\nsecrets: [HF_TOKEN]\nchecks: { CM002: off, CM003: off, CY110: off, CL001: off, CN004: off }\n" +
			"models:\n  - { path: checkpoints/x.safetensors, auth: HF_TOKEN, source: hf://o/r/x.safetensors }\n  - { path: loras/y.safetensors, source: hf://o/r/y.safetensors } # comfyctl: ignore CO001 - to come\n",
	}
	args := []string{"validate", "--object-info", s.URL, "--online"}
	env := []string{"HF_ENDPOINT=" + s.URL}
	code, stdout, stderr := within(t, files, append(env, "HF_TOKEN=geheim"), args...)
	if code != codeOK || !strings.Contains(stdout, "no problems") || !strings.Contains(stderr, "online: checkpoints/x.safetensors done") {
		t.Errorf("exit %d\n%s%s", code, stdout, stderr)
	}
	if strings.Contains(stdout+stderr, "geheim") {
		t.Errorf("a token is shown:\n%s%s", stdout, stderr)
	}
	code, stdout, _ = within(t, files, env, args...)
	if code != codeCheck || !strings.Contains(stdout, "error[CO005]: the secret `HF_TOKEN` is not set") || strings.Count(stdout, "error[") != 1 {
		t.Errorf("exit %d\n%s", code, stdout)
	}
	code, stdout, _ = within(t, files, append(env, "HF_TOKEN=falsch"), append(args, "--rule", "CO*", "-o", "json")...)
	if e := envelopeOf(t, []byte(stdout)); code != codeCheck || len(e.Diagnostics) != 1 || e.Diagnostics[0].Code != "CO004" || e.Diagnostics[0].Start.Line != 7 {
		t.Errorf("exit %d\n%s", code, stdout)
	}
	code, _, stderr = within(t, files, nil, "validate", "--object-info", s.URL+"/nothing")
	if code != codeFailed || !strings.Contains(stderr, "error[object_info_unreachable]") {
		t.Errorf("exit %d\n%s", code, stderr)
	}
}
