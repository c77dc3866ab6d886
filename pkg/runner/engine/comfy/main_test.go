package comfy

import (
	"context"
	"fmt"
	"image"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/comfyctl/comfyctl/pkg/runner/engine"
)

// childRole makes the test binary play the engine's process.
const childRole = "COMFY_TEST_CHILD"

func TestMain(m *testing.M) {
	if role := os.Getenv(childRole); role != "" {
		os.Exit(child(role, os.Args[1:]))
	}
	goleak.VerifyTestMain(m)
}

// child plays a ComfyUI process of a kind.
func child(role string, args []string) int {
	port := ""
	for i, a := range args {
		if a == "--port" {
			port = args[i+1]
		}
	}
	serve := func() int {
		mux := http.NewServeMux()
		mux.HandleFunc("GET /system_stats", func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprint(w, `{"system":{"comfyui_version":"0.30.2"},"devices":[{"name":"cpu"}]}`)
		})
		fmt.Println("\x1b[32m[INFO]\x1b[0m To see the GUI go to: port", port)
		fmt.Fprintln(os.Stderr, http.ListenAndServe("127.0.0.1:"+port, mux))
		return 1
	}
	switch role {
	case "serve":
		return serve()
	case "stubborn":
		signal.Ignore(syscall.SIGINT, syscall.SIGTERM)
		return serve()
	case "crash":
		fmt.Println("ImportError: no module named torch")
		return 1
	case "usage":
		fmt.Println("main.py: error: unrecognized arguments: --nonsense")
		return 2
	case "silent":
		fmt.Print("still importing torch")
		time.Sleep(time.Hour)
	case "wedge":
		go func() {
			time.Sleep(50 * time.Millisecond)
			fmt.Println("Exception in thread Thread-2 (prompt_worker):")
		}()
		return serve()
	case "parent":
		c := exec.Command("sleep", "3600")
		c.Stdout = os.Stdout
		if err := c.Start(); err != nil {
			return 1
		}
		fmt.Println("grandchild", c.Process.Pid)
		return serve()
	}
	return 0
}

// process is a child that plays role, in folders of its own.
func process(t *testing.T, role string, args ...string) CommandConfig {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(dir+"/main.py", nil, 0o644); err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return CommandConfig{
		Python: self, Dir: dir, Args: args, Folders: *folders(t),
		Env: append(os.Environ(), childRole+"="+role),
	}
}

// supervise keeps s alive for the test and waits until it is ready.
func supervise(t *testing.T, s *Supervisor) {
	t.Helper()
	background(t, s)
	await(t, s, engine.StageReady)
}

// background keeps s alive for the test.
func background(t *testing.T, s *Supervisor) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Supervise(ctx) }()
	t.Cleanup(func() {
		cancel()
		<-done
	})
}

// await waits until s has come to a stage.
func await(t *testing.T, s *Supervisor, want engine.Stage) engine.Status {
	t.Helper()
	return awaitStatus(t, s, func(st engine.Status) bool { return st.Stage == want })
}

func awaitStatus(t *testing.T, s *Supervisor, good func(engine.Status) bool) engine.Status {
	t.Helper()
	limit := time.After(time.Minute)
	for {
		changed := s.Changed()
		st := s.Status()
		if good(st) {
			return st
		}
		select {
		case <-changed:
		case <-limit:
			t.Fatalf("the status stays %+v", st)
		}
	}
}

func testImage(w, h int) image.Image { return image.NewRGBA(image.Rect(0, 0, w, h)) }
