package comfy

import (
	"context"
	"image"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/comfyctl/comfyctl/pkg/runner/engine"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// supervise keeps s alive for the test and waits until it is ready.
func supervise(t *testing.T, s *Supervisor) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Supervise(ctx) }()
	t.Cleanup(func() {
		cancel()
		<-done
	})
	await(t, s, engine.StageReady)
}

// await waits until s has come to a stage.
func await(t *testing.T, s *Supervisor, want engine.Stage) engine.Status {
	t.Helper()
	limit := time.After(time.Minute)
	for {
		changed := s.Changed()
		st := s.Status()
		if st.Stage == want {
			return st
		}
		select {
		case <-changed:
		case <-limit:
			t.Fatalf("stage is %s (%s), want %s", st.Stage, st.Reason, want)
		}
	}
}

func testImage(w, h int) image.Image { return image.NewRGBA(image.Rect(0, 0, w, h)) }
