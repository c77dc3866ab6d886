//go:build linux

package comfy

import (
	"encoding/json"
	"errors"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/comfyctl/comfyctl/pkg/runner/engine"
)

// TestLiveChild starts the ComfyUI at COMFYUI_SOURCE with python3 as a child,
// kills its worker and then the whole process, and sees it return each time.
func TestLiveChild(t *testing.T) {
	source := os.Getenv("COMFYUI_SOURCE")
	if source == "" {
		t.Skip("COMFYUI_SOURCE is not set: it names the source tree of a real ComfyUI")
	}
	dirs := folders(t)
	p := Command(CommandConfig{Dir: source, CPU: true, Folders: *dirs, DisableMetadata: true}).(*command)
	s := NewSupervisor(p, Options{Folders: dirs, StartTimeout: 5 * time.Minute, Wedge: 5 * time.Second})
	background(t, s)
	ready := func(restarts int) {
		t.Helper()
		from := time.Now()
		for s.Status().Stage != engine.StageReady || s.Status().Restarts != restarts {
			if st := s.Status(); st.Stage == engine.StageFailed || time.Since(from) > 5*time.Minute {
				t.Fatalf("%+v", st)
			}
			time.Sleep(50 * time.Millisecond)
		}
		t.Logf("ready after %s: %s %v", time.Since(from).Round(time.Millisecond), s.Status().Version, s.Status().Devices)
	}
	draw := func() {
		t.Helper()
		id := uuid.NewString()
		res, err := s.Run(t.Context(), engine.Prompt{ID: id, Graph: picture(1, "live/"+id)}, nil)
		if err != nil {
			t.Fatal(err)
		}
		r, err := s.Open(t.Context(), *res.Outputs[0].File)
		if err != nil {
			t.Fatal(err)
		}
		r.Close()
		if err := s.Forget(t.Context(), id); err != nil {
			t.Error(err)
		}
	}
	ready(0)
	draw()

	// A node without inputs that no output needs kills the worker for good.
	dead := json.RawMessage(`{"1":{"class_type":"EmptyImage","inputs":{"width":8,"height":8,"batch_size":1,"color":0},"_meta":{"title":"a"}},
 "2":{"class_type":"SaveImage","inputs":{"images":["1",0],"filename_prefix":"x"},"_meta":{"title":"b"}},
 "3":{"class_type":"EmptyImage","_meta":{"title":"c"}}}`)
	if _, err := s.Run(t.Context(), engine.Prompt{ID: uuid.NewString(), Graph: dead}, nil); !errors.Is(err, engine.ErrLost) {
		t.Fatalf("got %v, want %v", err, engine.ErrLost)
	}
	ready(1)
	draw()

	if err := syscall.Kill(p.cmd.Process.Pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	ready(2)
	draw()
}
