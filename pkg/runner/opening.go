package runner

import (
	"context"
	"time"

	"github.com/comfyctl/comfyctl/pkg/runner/engine"
)

// opening waits for the engine to be ready for the first time, warms it up
// where the contract says so, and lets the queue run.
func (s *Server) opening(ctx context.Context) {
	for s.c.Executor.Status().Stage != engine.StageReady {
		var changed <-chan struct{}
		if s.c.Changed != nil {
			changed = s.c.Changed()
			if s.c.Executor.Status().Stage == engine.StageReady {
				break
			}
		}
		t := time.NewTimer(100 * time.Millisecond)
		select {
		case <-ctx.Done():
			t.Stop()
			return
		case <-changed:
		case <-t.C:
		}
		t.Stop()
	}
	if s.c.Contract.Runner.Warmup {
		s.warmUp(ctx)
	}
	if ctx.Err() != nil {
		return
	}
	s.open.Store(true)
	s.queue.Wake()
	s.c.Log.Info("ready", "workflows", len(s.c.Contract.Workflows))
	close(s.ready)
}

// warmUp runs the first workflow once with its defaults, so that the models
// are loaded before the first caller comes. A failure is no reason to stay
// closed: the job that meets it says more.
func (s *Server) warmUp(ctx context.Context) {
	began := time.Now()
	rec, err := s.api.Sample(ctx)
	if err != nil {
		s.c.Log.Warn("no warm-up", "reason", err)
		return
	}
	if err := s.queue.Rehearse(ctx, rec); err != nil {
		s.c.Log.Warn("the warm-up failed", "error", err)
		return
	}
	s.c.Log.Info("warmed up", "workflow", rec.Job.Workflow, "took", time.Since(began).Round(time.Millisecond))
}
