package dockerengine

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/comfyctl/comfyctl/internal/diag"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// scripted is an Engine that answers as told.
func scripted(t *testing.T, routes map[string]http.HandlerFunc) *Engine {
	t.Helper()
	mux := http.NewServeMux()
	mux.HandleFunc("/_ping", func(w http.ResponseWriter, r *http.Request) { w.Header().Set("Api-Version", "1.41") })
	mux.HandleFunc("/v1.41/info", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, `{"ServerVersion":"20.10.24","OSType":"linux","Architecture":"x86_64","DockerRootDir":"/nowhere","NCPU":2,"MemTotal":1024,
			"Runtimes":{"runc":{},"nvidia":{}},"DriverStatus":[["driver-type","io.containerd.snapshotter.v1"]]}`)
	})
	for path, h := range routes {
		mux.HandleFunc("/v1.41"+path, h)
	}
	srv := httptest.NewServer(mux)
	t.Cleanup(srv.Close)
	e, err := New(t.Context(), WithEnv(func(name string) (string, bool) {
		return "tcp://" + strings.TrimPrefix(srv.URL, "http://"), name == "DOCKER_HOST"
	}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.Close() })
	return e
}

func TestInfo(t *testing.T) {
	got := scripted(t, nil).Info()
	want := Info{Version: "20.10.24", API: "1.41", OS: "linux", Arch: "amd64", Root: "/nowhere", Runtimes: []string{"nvidia", "runc"}, CPUs: 2, Memory: 1024, ContainerdStore: true}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestNoEngine(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "docker.sock")
	_, err := New(t.Context(), WithEnv(func(name string) (string, bool) { return "unix://" + socket, name == "DOCKER_HOST" }))
	var e *diag.Error
	if !errors.As(err, &e) || e.Code != "docker_unavailable" || e.Class != diag.ClassFailed {
		t.Fatalf("got %v", err)
	}
	if !strings.Contains(e.Message, socket) || !strings.Contains(e.Help, "--engine stub") {
		t.Errorf("message %q, help %q", e.Message, e.Help)
	}
}

func TestLoadReportsWhatTheStreamSays(t *testing.T) {
	for _, tc := range []struct{ name, body, want string }{
		{"fine", `{"stream":"Loaded image: x"}`, ""},
		{"refused", `{"stream":"a"}{"errorDetail":{"message":"archive/tar: invalid tar header"},"error":"archive/tar: invalid tar header"}`, "invalid tar header"},
		{"cut short", `{"stream":"a"}{"err`, "cut short"},
		{"not JSON", `<html>`, "reading the answer"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			e := scripted(t, map[string]http.HandlerFunc{"/images/load": func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", "application/json")
				fmt.Fprint(w, tc.body)
			}})
			err := e.LoadImage(t.Context(), strings.NewReader("tar"))
			if tc.want == "" && err != nil || tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
}

// status makes a message of BuildKit's trace.
func status(vertex, log []byte) string {
	var b []byte
	if vertex != nil {
		b = protowire.AppendTag(b, fieldVertexes, protowire.BytesType)
		b = protowire.AppendBytes(b, vertex)
	}
	if log != nil {
		b = protowire.AppendTag(b, fieldLogs, protowire.BytesType)
		b = protowire.AppendBytes(b, log)
	}
	return fmt.Sprintf(`{"id":"moby.buildkit.trace","aux":%q}`, base64.StdEncoding.EncodeToString(b))
}

func field(b []byte, num protowire.Number, s string) []byte {
	return protowire.AppendString(protowire.AppendTag(b, num, protowire.BytesType), s)
}

func TestBuildFailureNamesTheStep(t *testing.T) {
	started := field(field(field(nil, vertexDigest, "sha256:1"), vertexName, "[2/2] RUN pip install x"), vertexStarted, "")
	line := field(field(nil, logVertex, "sha256:1"), logMsg, "Collecting x\r\x00\nERROR: no such ")
	rest := field(field(nil, logVertex, "sha256:1"), logMsg, "thing\n")
	failed := field(field(field(nil, vertexDigest, "sha256:1"), vertexCompleted, ""), vertexError, "exit code: 1")
	e := scripted(t, map[string]http.HandlerFunc{"/build": func(w http.ResponseWriter, r *http.Request) {
		if got := r.URL.Query().Get("version"); got != "2" {
			t.Errorf("version=%q: not BuildKit", got)
		}
		fmt.Fprint(w, status(started, nil), status(nil, line), status(nil, rest), status(failed, nil), `{"errorDetail":{"message":"exit code: 1"},"error":"exit code: 1"}`)
	}})
	steps := []string{}
	_, err := e.Build(t.Context(), BuildOptions{Context: strings.NewReader(""), OnStep: func(n string, cached, done bool) {
		steps = append(steps, fmt.Sprint(n, cached, done))
	}})
	var be *BuildError
	if !errors.As(err, &be) {
		t.Fatalf("got %v", err)
	}
	if be.Step != "[2/2] RUN pip install x" || len(be.Log) != 2 || be.Log[1] != "ERROR: no such thing" {
		t.Errorf("step %q, log %q", be.Step, be.Log)
	}
	if d := cmp.Diff([]string{"[2/2] RUN pip install xfalse false", "[2/2] RUN pip install xfalse true"}, steps); d != "" {
		t.Error(d)
	}
}

func TestBuildGivesTheID(t *testing.T) {
	e := scripted(t, map[string]http.HandlerFunc{"/build": func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, `{"id":"moby.image.id","aux":{"ID":"sha256:abc"}}`)
	}})
	id, err := e.Build(t.Context(), BuildOptions{Context: strings.NewReader("")})
	if id != "sha256:abc" || err != nil {
		t.Errorf("got %q, %v", id, err)
	}
}

func TestBuildWithoutAnImageIsAnError(t *testing.T) {
	e := scripted(t, map[string]http.HandlerFunc{"/build": func(w http.ResponseWriter, r *http.Request) {}})
	if _, err := e.Build(t.Context(), BuildOptions{Context: strings.NewReader("")}); err == nil {
		t.Error("no error")
	}
}

func TestBuildCanceled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	e := scripted(t, map[string]http.HandlerFunc{"/build": func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(200)
		w.(http.Flusher).Flush()
		cancel()
		<-r.Context().Done()
	}})
	if _, err := e.Build(ctx, BuildOptions{Context: strings.NewReader("")}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func FuzzTrace(f *testing.F) {
	f.Add(field(nil, fieldVertexes, "\x0a\x01a"))
	f.Add([]byte{0x0a, 0xff})
	f.Fuzz(func(t *testing.T, b []byte) {
		tr := newTrace(func(string, bool, bool) {}, func(string) {})
		tr.feed(b)
		tr.failed()
	})
}
