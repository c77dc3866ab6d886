//go:build linux

package comfy

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/comfyctl/comfyctl/pkg/runner/engine"
)

func quick(p engine.Process, o Options) *Supervisor {
	s := NewSupervisor(p, o)
	s.backoff = time.Millisecond
	return s
}

func TestArguments(t *testing.T) {
	c := CommandConfig{
		Host: "127.0.0.1", Folders: Folders{Input: "/s/in", Output: "/s/out", Temp: "/s/temp", User: "/s/user"},
		CPU: true, DisableMetadata: true, Preview: "none", MaxUpload: 512, ModelPaths: []string{"/m.yaml"}, Args: []string{"--fast"},
	}
	want := strings.Fields("main.py --listen 127.0.0.1 --port 8188 --disable-auto-launch --log-stdout " +
		"--input-directory /s/in --output-directory /s/out --temp-directory /s --user-directory /s/user " +
		"--database-url sqlite:///:memory: --front-end-root /s/user/frontend --max-upload-size 512 --preview-method none " +
		"--extra-model-paths-config /m.yaml --cpu --disable-metadata --fast")
	if d := cmp.Diff(want, c.arguments(8188)); d != "" {
		t.Errorf("arguments (-want +got):\n%s", d)
	}
}

func TestChildIsReadyAndStops(t *testing.T) {
	p := Command(process(t, "serve"))
	s := quick(p, Options{})
	supervise(t, s)
	st := s.Status()
	if st.Version != "0.30.2" || len(st.Devices) != 1 || len(st.LogTail) == 0 || st.LogTail[0][:6] != "[INFO]" {
		t.Errorf("status is %+v", st)
	}
}

// Every child gets an end, also one that listens to nobody.
func TestStubbornChild(t *testing.T) {
	p := Command(process(t, "stubborn"))
	s := quick(p, Options{})
	supervise(t, s)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := p.Stop(ctx); err != nil {
		t.Error(err)
	}
	select {
	case <-p.Done():
	default:
		t.Error("it still runs")
	}
}

func TestNoOrphans(t *testing.T) {
	p := Command(process(t, "parent")).(*command)
	s := quick(p, Options{})
	supervise(t, s)
	pid := 0
	for _, l := range s.Status().LogTail {
		if rest, ok := strings.CutPrefix(l, "grandchild "); ok {
			pid, _ = strconv.Atoi(rest)
		}
	}
	if pid == 0 {
		t.Fatal("no grandchild")
	}
	if err := syscall.Kill(p.cmd.Process.Pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	awaitStatus(t, s, func(st engine.Status) bool { return st.Restarts > 0 })
	// Dead, or a corpse that its new parent has yet to collect.
	for range 100 {
		b, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
		if err != nil || strings.Contains(string(b), ") Z ") {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("process %d outlived its parent", pid)
}

func TestCrashIsMended(t *testing.T) {
	p := Command(process(t, "serve")).(*command)
	s := quick(p, Options{})
	supervise(t, s)
	if err := syscall.Kill(p.cmd.Process.Pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	awaitStatus(t, s, func(st engine.Status) bool { return st.Stage == engine.StageReady && st.Restarts == 1 })
}

func TestCrashLoopIsShown(t *testing.T) {
	s := quick(Command(process(t, "crash")), Options{})
	background(t, s)
	st := awaitStatus(t, s, func(st engine.Status) bool { return st.Stage == engine.StageBackoff && st.Restarts >= 2 })
	for _, want := range []string{"failures in a row", "exit status 1", "ImportError: no module named torch"} {
		if !strings.Contains(st.Reason, want) {
			t.Errorf("reason is %q, want %q in it", st.Reason, want)
		}
	}
}

func TestStartTimeout(t *testing.T) {
	s := quick(Command(process(t, "silent")), Options{StartTimeout: 500 * time.Millisecond})
	background(t, s)
	st := await(t, s, engine.StageBackoff)
	for _, want := range []string{"no answer within 500ms", "still importing torch"} {
		if !strings.Contains(st.Reason, want) {
			t.Errorf("reason is %q, want %q in it", st.Reason, want)
		}
	}
}

func TestDeadWorkerIsRestarted(t *testing.T) {
	s := quick(Command(process(t, "wedge")), Options{})
	background(t, s)
	st := awaitStatus(t, s, func(st engine.Status) bool { return st.Stage == engine.StageBackoff })
	if !strings.Contains(st.Reason, "worker has died") {
		t.Errorf("reason is %q", st.Reason)
	}
}

func TestStartThatCannotWork(t *testing.T) {
	noMain := process(t, "serve")
	noMain.Dir = t.TempDir()
	noPython := process(t, "serve")
	noPython.Python = filepath.Join(t.TempDir(), "python3")
	temp := process(t, "serve")
	temp.Folders.Temp = filepath.Join(t.TempDir(), "scratch")
	for name, c := range map[string]struct {
		config CommandConfig
		want   string
	}{
		"flag":      {process(t, "usage"), "unrecognized arguments: --nonsense"},
		"no main":   {noMain, "main.py"},
		"no python": {noPython, "python3"},
		"temp":      {temp, "must be named temp"},
	} {
		t.Run(name, func(t *testing.T) {
			s := quick(Command(c.config), Options{})
			if err := s.Supervise(t.Context()); err == nil {
				t.Fatal("no error")
			}
			st := s.Status()
			if st.Stage != engine.StageFailed || !strings.Contains(st.Reason, c.want) {
				t.Errorf("stage is %s: %q, want %q in it", st.Stage, st.Reason, c.want)
			}
		})
	}
}

func TestStopBeforeReady(t *testing.T) {
	s := quick(Command(process(t, "silent")), Options{})
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		awaitStatus(t, s, func(st engine.Status) bool { return len(st.LogTail) > 0 || st.Stage == engine.StageStarting })
		cancel()
	}()
	if err := s.Supervise(ctx); err != nil {
		t.Fatal(err)
	}
	if st := s.Status(); st.Stage != engine.StageStopped {
		t.Errorf("stage is %s", st.Stage)
	}
	if _, err := s.Run(t.Context(), onePrompt, nil); !errors.Is(err, engine.ErrNotReady) {
		t.Errorf("got %v", err)
	}
}
