package jobs

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/comfyctl/comfyctl/pkg/runner/engine"
)

// Run drives the queue until ctx is over. Then it takes no more jobs, lets the
// running one go on for at most drain, and leaves the others queued in the
// store.
func (q *Queue) Run(ctx context.Context, drain time.Duration) {
	var sweeping sync.WaitGroup
	sweeping.Go(func() { q.sweep(ctx) })
	defer sweeping.Wait()
	look := time.NewTicker(time.Second)
	defer look.Stop()
	for ctx.Err() == nil {
		// Taken before the status is read, so that no change falls between.
		var changed <-chan struct{}
		if q.c.Changed != nil {
			changed = q.c.Changed()
		}
		if a, run := q.next(ctx); a != nil {
			q.runUntil(ctx, run, drain, a)
			continue
		}
		select {
		case <-ctx.Done():
		case <-q.wake:
		case <-changed:
		case <-look.C:
		}
	}
	q.mu.Lock()
	q.draining = true
	q.mu.Unlock()
}

// Drain makes the queue refuse new jobs.
func (q *Queue) Drain() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.draining = true
}

// Draining reports whether new jobs are refused.
func (q *Queue) Draining() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.draining
}

// next takes the first waiting job, once the engine is ready, and gives the
// context of its run. From here on a cancel goes to that context.
func (q *Queue) next(ctx context.Context) (*active, context.Context) {
	if q.c.Executor.Status().Stage != engine.StageReady || q.c.Hold != nil && q.c.Hold() {
		return nil, nil
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.waiting) == 0 {
		return nil, nil
	}
	run, stop := context.WithCancelCause(context.WithoutCancel(ctx))
	a := q.waiting[0]
	q.waiting = q.waiting[1:]
	now := time.Now().UTC()
	j := &a.rec.Job
	j.Status, j.StartedAt = Running, &now
	j.Timings.QueueMS = now.Sub(j.CreatedAt).Milliseconds()
	a.cancel = stop
	return a, run
}

// runUntil runs one job. When ctx ends it may go on for drain, and is then put
// back: the store keeps it queued for the next start.
func (q *Queue) runUntil(ctx, run context.Context, drain time.Duration, a *active) {
	q.mu.Lock()
	stop := a.cancel
	q.mu.Unlock()
	defer stop(nil)
	finished := make(chan struct{})
	go func() {
		select {
		case <-finished:
			return
		case <-ctx.Done():
		}
		q.Drain()
		t := time.NewTimer(drain)
		defer t.Stop()
		select {
		case <-finished:
		case <-t.C:
			stop(ErrDraining)
		}
	}()
	q.run(run, a)
	close(finished)
}

func (q *Queue) run(ctx context.Context, a *active) {
	j := &a.rec.Job
	q.c.Log.Info("job started", "job", j.ID, "workflow", j.Workflow)
	if limit := q.limit(a.rec); limit > 0 {
		var stop context.CancelFunc
		ctx, stop = context.WithTimeoutCause(ctx, limit, errTimeout)
		defer stop()
	}
	var res *engine.Result
	var err error
	for {
		q.begin(ctx, a)
		res, err = q.attempt(ctx, a)
		if err == nil || ctx.Err() != nil || !errors.Is(err, engine.ErrLost) || j.Attempts > q.c.Retries {
			break
		}
		q.c.Log.Warn("the engine lost the job; running it again", "job", j.ID, "attempt", j.Attempts)
		a.stream.add("warning", map[string]any{"code": "engine_lost", "message": "the engine stopped; the job is run again"})
		if err2 := q.awaitReady(ctx); err2 != nil {
			err = err2
			break
		}
	}
	q.conclude(ctx, a, res, err)
}

func (q *Queue) limit(r *Record) time.Duration {
	limit := q.c.JobTimeout
	if own := time.Duration(r.Work.TimeoutMS) * time.Millisecond; own > 0 && (limit == 0 || own < limit) {
		limit = own
	}
	return limit
}

// begin marks an attempt; it is stored before the engine sees the prompt, with
// the id under which the engine knows it.
func (q *Queue) begin(ctx context.Context, a *active) {
	q.mu.Lock()
	defer q.mu.Unlock()
	a.rec.Job.Attempts++
	a.rec.Work.PromptID = uuid.NewString()
	a.stream.add("status", map[string]any{"status": Running, "attempt": a.rec.Job.Attempts})
	if err := q.c.Store.Save(context.WithoutCancel(ctx), a.rec); err != nil {
		q.c.Log.Error("storing the start of a job", "job", a.rec.Job.ID, "error", err)
	}
}

func (q *Queue) awaitReady(ctx context.Context) error {
	for {
		var changed <-chan struct{}
		if q.c.Changed != nil {
			changed = q.c.Changed()
		}
		switch q.c.Executor.Status().Stage {
		case engine.StageReady:
			return nil
		case engine.StageFailed:
			return engine.ErrNotReady
		}
		t := time.NewTimer(500 * time.Millisecond)
		select {
		case <-changed:
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return ctx.Err()
		}
		t.Stop()
	}
}
