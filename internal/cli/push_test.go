package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/registry"
)

// TestPush sends an image to a registry, reads it back by its digest, and is
// refused by a registry that wants a sign-in.
func TestPush(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "hello")
	if err := os.CopyFS(dir, os.DirFS("../../examples/hello")); err != nil {
		t.Fatal(err)
	}
	env := []string{"LANG=C.UTF-8", "DOCKER_HOST=unix:///nonexistent.sock", "HOME=" + t.TempDir(), "COMFYCTL_CACHE_DIR=" + t.TempDir(), "PATH=" + os.Getenv("PATH")}
	for k, v := range goEnv() {
		if strings.HasPrefix(k, "GO") {
			env = append(env, k+"="+v)
		}
	}
	comfyctl := func(args ...string) (int, string, string) {
		var out, errOut bytes.Buffer
		code := Main(context.Background(), append([]string{"-C", dir}, args...), strings.NewReader(""), &out, &errOut, env)
		return code, out.String(), errOut.String()
	}
	open := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	defer open.Close()
	host := strings.TrimPrefix(open.URL, "http://")
	code, out, story := comfyctl("push", host+"/acme/hello:1.0", "--tag", "latest", "--engine", "stub")
	if code != 0 || !regexp.MustCompile(`^`+regexp.QuoteMeta(host)+`/acme/hello@sha256:[0-9a-f]{64}\n$`).MatchString(out) {
		t.Fatalf("push: exit %d, %q\n%s", code, out, story)
	}
	for _, ref := range []string{strings.TrimSpace(out), host + "/acme/hello:1.0", host + "/acme/hello:latest"} {
		code, text, story := comfyctl("inspect", ref, "-o", "json")
		e := envelopeOf(t, []byte(text))
		b, err := json.Marshal(e.Data)
		if code != 0 || err != nil || !strings.Contains(string(b), `"where":"registry"`) || !strings.Contains(string(b), strings.TrimSpace(out[strings.Index(out, "sha256"):])) {
			t.Errorf("inspect %s: exit %d, %s\n%s", ref, code, text, story)
		}
	}
	if code, _, story := comfyctl("inspect", host+"/acme/other"); code != codeFailed || !strings.Contains(story, "is not there") {
		t.Errorf("inspect of nothing: exit %d, %s", code, story)
	}
	shut := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("WWW-Authenticate", `Basic realm="x"`)
		w.WriteHeader(http.StatusUnauthorized)
	}))
	defer shut.Close()
	code, out, story = comfyctl("push", strings.TrimPrefix(shut.URL, "http://")+"/acme/hello", "--engine", "stub")
	if code != codeAuth || out != "" || !strings.Contains(story, "docker login") {
		t.Errorf("push without sign-in: exit %d, %q\n%s", code, out, story)
	}
}
