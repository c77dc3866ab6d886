package jobs

import (
	"context"
	"errors"
	"syscall"
	"time"

	"github.com/comfyctl/comfyctl/pkg/runner/engine"
)

// collect takes a job's outputs out of the engine and ends it. While the disk
// is full it waits: what was rendered is not thrown away.
func (q *Queue) collect(ctx context.Context, a *active) {
	r := q.snap(a)
	res := r.Run.Result
	start := time.Now()
	var outputs []Output
	var err error
	for pause := 100 * time.Millisecond; ; pause = min(2*pause, 5*time.Second) {
		outputs, err = q.c.Outputs.Collect(ctx, q.c.Executor, r, res)
		if !errors.Is(err, syscall.ENOSPC) && !errors.Is(err, engine.ErrNotReady) && !errors.Is(err, engine.ErrUnreachable) {
			break
		}
		q.c.Log.Warn("keeping the outputs of a job; it is tried again", "job", a.id, "error", err)
		select {
		case <-ctx.Done():
			err = ctx.Err()
		case <-time.After(pause):
			continue
		}
		break
	}
	cause := context.Cause(ctx)
	switch {
	case errors.Is(cause, errCanceled):
		_ = q.c.Outputs.Remove(a.id)
		q.broke(ctx, a, cause)
		return
	case err != nil && errors.Is(cause, ErrDraining):
		// The result is stored: the next start goes on from it.
		q.abandon(a)
		return
	case err != nil && q.restarted(a):
		// Files of an engine that has started anew since may be gone.
		err = errors.Join(engine.ErrLost, err)
		fallthrough
	case err != nil:
		_ = q.c.Outputs.Remove(a.id)
		q.broke(ctx, a, err)
		return
	}
	took := time.Since(start)
	q.forget(ctx, a)
	q.finish(ctx, a, conclusion{status: Succeeded, also: func(r *Record) {
		j := &r.Job
		j.Outputs, j.Reused = outputs, res.Reused
		j.Timings.UploadMS, j.Timings.Nodes = took.Milliseconds(), map[string]int64{}
		for id, d := range res.NodeTime {
			j.Timings.Nodes[id] = d.Milliseconds()
		}
		j.Usage = &Usage{GPUSeconds: float64(j.Timings.RunMS) / 1000}
		j.Progress.NodesDone = max(j.Progress.NodesTotal, j.Progress.NodesDone)
	}})
}

// restarted reports whether the engine was started again since it gave the
// job's result.
func (q *Queue) restarted(a *active) bool {
	return a.life < 0 || q.c.Executor.Status().Restarts != a.life
}
