package dockerengine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"time"
)

// live is a real Engine. The tests that need one run where
// COMFYCTL_TEST_DOCKER is set, as `make test` does; with CI=true a missing one
// fails.
func live(t *testing.T) *Engine {
	t.Helper()
	if os.Getenv("COMFYCTL_TEST_DOCKER") == "" {
		if os.Getenv("CI") == "true" {
			t.Fatal("CI=true, and COMFYCTL_TEST_DOCKER is not set")
		}
		t.Skip("set COMFYCTL_TEST_DOCKER=1 to run the tests that use Docker")
	}
	e, err := New(t.Context(), WithEnv(os.LookupEnv))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.Close() })
	return e
}

// base is made by hack/test-setup.sh.
const base = "comfyctl-test/base:bookworm"

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestLiveContainer(t *testing.T) {
	e := live(t)
	name := fmt.Sprintf("comfyctl-test-engine-%d", time.Now().UnixNano())
	labels := map[string]string{"dev.comfyctl.test": name}
	bg := context.Background()

	must(t, e.EnsureNetwork(t.Context(), name, true, labels))
	t.Cleanup(func() { must(t, e.RemoveNetwork(bg, name)) })
	must(t, e.EnsureNetwork(t.Context(), name, true, labels)) // a second time is no error
	nets, err := e.Networks(t.Context(), labels)
	if err != nil || len(nets) != 1 || !nets[0].Internal {
		t.Fatalf("networks %+v, %v", nets, err)
	}
	must(t, e.EnsureVolume(t.Context(), name, labels))
	t.Cleanup(func() { must(t, e.RemoveVolume(bg, name)) })

	ctx, stop := context.WithCancel(t.Context())
	events, failed := e.Events(ctx, labels)
	id, err := e.CreateContainer(t.Context(), ContainerSpec{
		Name: name, Image: base, Labels: labels, Network: name, Aliases: []string{"me"},
		Entrypoint: []string{"sh", "-c", `echo out; echo err >&2; trap 'exit 7' TERM; while :; do sleep 0.1; done`},
		Env:        []string{"A=b"}, Mounts: []Mount{{Volume: true, Source: name, Target: "/data"}, {Source: t.TempDir(), Target: "/host", ReadOnly: true}},
		Restart: "no", StopTimeout: 20 * time.Second, LogSize: "1m", LogFiles: 2, Memory: 64 << 20,
		Health: &Health{Test: []string{"true"}, Interval: time.Second},
	})
	must(t, err)
	t.Cleanup(func() { must(t, e.RemoveContainer(bg, id, true)) })
	must(t, e.StartContainer(t.Context(), id))
	if ev := <-events; ev.Action != "create" && ev.Action != "start" || ev.ID != id {
		t.Errorf("first event %+v", ev)
	}
	go func() { // the rest is not looked at, but must not block
		for range events {
		}
	}()

	c, err := e.Container(t.Context(), name)
	must(t, err)
	if !c.Running() || c.ID != id || c.Image != base || c.Networks[name] == "" || len(c.Mounts) != 2 || c.GPU {
		t.Errorf("%+v", c)
	}
	list, err := e.Containers(t.Context(), labels, false)
	if err != nil || len(list) != 1 {
		t.Errorf("listed %d, %v", len(list), err)
	}
	code, stdout, stderr, err := e.Exec(t.Context(), id, []string{"sh", "-c", "echo $A; echo no >&2; touch /host/x; exit 3"})
	if err != nil || code != 3 || string(stdout) != "b\n" || !strings.HasPrefix(string(stderr), "no\n") || !strings.Contains(string(stderr), "Read-only") {
		t.Errorf("exec: %d %q %q %v", code, stdout, stderr, err)
	}
	must(t, e.StopContainer(t.Context(), id, 0))
	if code, err := e.WaitContainer(t.Context(), id); code != 7 || err != nil {
		t.Errorf("exit code %d, %v: SIGTERM did not reach it", code, err)
	}
	r, err := e.Logs(t.Context(), id, LogOptions{})
	must(t, err)
	b, err := io.ReadAll(r)
	if err != nil || len(b) != 8 || !strings.Contains(string(b), "out\n") || !strings.Contains(string(b), "err\n") {
		t.Errorf("log %q, %v", b, err)
	}
	must(t, r.Close())
	must(t, e.RenameContainer(t.Context(), id, name+"-old"))
	must(t, e.RemoveContainer(t.Context(), id, true))
	must(t, e.RemoveContainer(t.Context(), id, true)) // gone already
	if _, err := e.Container(t.Context(), id); !IsNotFound(err) {
		t.Errorf("after removal: %v", err)
	}
	stop()
	if err := <-failed; !errors.Is(err, context.Canceled) {
		t.Errorf("events ended with %v", err)
	}
}

func TestLiveFollowedLogEnds(t *testing.T) {
	e := live(t)
	id, err := e.CreateContainer(t.Context(), ContainerSpec{Name: fmt.Sprintf("comfyctl-test-engine-%d", time.Now().UnixNano()), Image: base, Entrypoint: []string{"sleep", "60"}})
	must(t, err)
	t.Cleanup(func() { must(t, e.RemoveContainer(context.Background(), id, true)) })
	must(t, e.StartContainer(t.Context(), id))
	r, err := e.Logs(t.Context(), id, LogOptions{Follow: true, Tail: 5})
	must(t, err)
	must(t, r.Close())
	if _, err := r.Read(make([]byte, 1)); err == nil {
		t.Error("a closed log still reads")
	}
	_, err = e.CreateContainer(t.Context(), ContainerSpec{Name: "comfyctl-test-engine-none", Image: "comfyctl-test/none:none"})
	if !IsNotFound(err) {
		t.Errorf("an image that is not there: %v", err)
	}
}
