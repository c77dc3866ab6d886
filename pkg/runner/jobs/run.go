package jobs

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/comfyctl/comfyctl/pkg/runner/engine"
)

// Run drives the queue until ctx is over. Then it takes no more jobs, lets
// those that are under way go on for at most drain, and leaves the others
// queued in the store.
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
			q.watchDrain(ctx, drain, a)
			q.drive(run, a)
			continue
		}
		q.rest(ctx, changed, look.C)
	}
	q.Drain()
	q.collecting.Wait()
}

// rest waits until there may be a job to run.
func (q *Queue) rest(ctx context.Context, changed <-chan struct{}, look <-chan time.Time) {
	var due <-chan time.Time
	if at := q.line.Next(); !at.IsZero() {
		t := time.NewTimer(time.Until(at))
		defer t.Stop()
		due = t.C
	}
	select {
	case <-ctx.Done():
	case <-q.wake:
	case <-changed:
	case <-due:
	case <-look:
	}
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
	lease, err := q.line.Take(ctx)
	if err != nil {
		q.c.Log.Error("taking a job", "error", err)
	}
	if err != nil || lease == nil {
		return nil, nil
	}
	a := q.live[lease.Job]
	if a == nil {
		// Another runner put it into the line.
		r, err := q.c.Store.Get(ctx, lease.Job)
		if err != nil || r.Job.Status.Final() {
			q.c.Log.Warn("the line gave a job that is over", "job", lease.Job, "error", err)
			_ = q.line.Done(ctx, lease)
			return nil, nil
		}
		a = newActive(r)
		q.live[lease.Job] = a
	}
	run, stop := context.WithCancelCause(context.WithoutCancel(ctx))
	a.cancel, a.lease, a.freed = stop, lease, make(chan struct{})
	if a.rec.Job.Status == Canceling {
		stop(errCanceled)
	}
	go q.keep(lease, a.freed, stop) //nolint:gosec // it goes on while the job drains
	return a, run
}

// keep renews a lease until it is given up; where it is lost, the run ends.
func (q *Queue) keep(lease *Lease, freed <-chan struct{}, stop context.CancelCauseFunc) {
	own := *lease
	tick := time.NewTicker(leaseFor / 3)
	defer tick.Stop()
	for {
		select {
		case <-freed:
			return
		case <-tick.C:
		}
		if err := q.line.Renew(context.Background(), &own); errors.Is(err, ErrLeaseLost) {
			stop(ErrLeaseLost)
			return
		} else if err != nil {
			q.c.Log.Warn("renewing the lease of a job", "job", own.Job, "error", err)
		}
	}
}

// watchDrain lets a job go on for drain once ctx is over, and breaks it off
// then.
func (q *Queue) watchDrain(ctx context.Context, drain time.Duration, a *active) {
	q.mu.Lock()
	stop, freed := a.cancel, a.freed
	q.mu.Unlock()
	if stop == nil {
		return
	}
	go func() {
		// Frees what the context holds.
		defer stop(nil)
		select {
		case <-freed:
			return
		case <-ctx.Done():
		}
		q.Drain()
		t := time.NewTimer(drain)
		defer t.Stop()
		select {
		case <-freed:
		case <-t.C:
			stop(ErrDraining)
		}
	}()
}

// drive makes one attempt and has its outputs taken out.
func (q *Queue) drive(ctx context.Context, a *active) {
	defer q.recovered(ctx, a)
	if errors.Is(context.Cause(ctx), errCanceled) && !a.resume {
		q.finish(ctx, a, conclusion{status: Canceled})
		return
	}
	for {
		if !q.begin(ctx, a) {
			return
		}
		if q.snap(a).Run.Result != nil {
			break
		}
		res, err := q.bounded(ctx, a)
		if !errors.Is(err, engine.ErrNotReady) {
			a.away = 0
		}
		if err == nil {
			q.keepResult(ctx, a, res)
			break
		}
		if r := q.snap(a); a.resume && errors.Is(err, engine.ErrLost) && ctx.Err() == nil && r.Job.Attempts <= q.retries(r) {
			// The engine that had it is gone too.
			a.resume = false
			continue
		}
		q.broke(ctx, a, err)
		return
	}
	// The engine is free for the next job; where too many are past it, that
	// one waits.
	q.slots <- struct{}{}
	q.collecting.Go(func() {
		defer func() { <-q.slots }()
		defer q.recovered(ctx, a)
		q.collect(ctx, a)
	})
}

// errPanicked is a mistake of ours that a job met.
var errPanicked = errors.New("the runner failed")

// recovered turns a panic into a broken attempt, so that neither the runner nor
// the job is lost.
func (q *Queue) recovered(ctx context.Context, a *active) {
	if v := recover(); v != nil {
		q.c.Log.Error("panic while a job ran", "job", a.id, "panic", fmt.Sprint(v), "stack", string(debug.Stack()))
		q.broke(ctx, a, errPanicked)
	}
}

// bounded makes an attempt within the time that one may take.
func (q *Queue) bounded(ctx context.Context, a *active) (*engine.Result, error) {
	limit := q.limit(q.snap(a))
	if limit <= 0 {
		return q.attempt(ctx, a)
	}
	timed, stop := context.WithTimeoutCause(ctx, limit, errTimeout)
	defer stop()
	res, err := q.attempt(timed, a)
	if err != nil && ctx.Err() == nil && errors.Is(context.Cause(timed), errTimeout) {
		err = errTimeout
	}
	return res, err
}

// limit is how long an attempt may run; 0 means for ever.
func (q *Queue) limit(r *Record) time.Duration {
	if r.Work.TimeoutMS > 0 {
		return time.Duration(r.Work.TimeoutMS) * time.Millisecond
	}
	return q.c.JobTimeout
}

// begin marks an attempt; it is stored before the engine sees the prompt, with
// the id under which the engine knows it. False means that the job waits again
// or is somebody else's.
func (q *Queue) begin(ctx context.Context, a *active) bool {
	q.mu.Lock()
	now := time.Now().UTC()
	a.began = now
	if a.resume && a.rec.Job.StartedAt != nil {
		a.began = *a.rec.Job.StartedAt
	}
	err := q.change(ctx, a, func(r *Record) {
		if r.Job.StartedAt == nil {
			r.Job.StartedAt = &now
			r.Job.Timings.QueueMS = now.Sub(r.Job.CreatedAt).Milliseconds()
		}
		if r.Job.Status != Canceling {
			r.Job.Status = Running
		}
		r.Run.Takes++
		a.stream.skipTo(int64(r.Run.Takes) * eventsPerTake)
		if r.Run.Result == nil && !a.resume {
			r.Job.Attempts++
			r.Job.Progress = Progress{NodesTotal: r.Job.Progress.NodesTotal}
			r.Run.PromptID = uuid.NewString()
		}
	})
	q.mu.Unlock()
	switch {
	case err == nil:
		r := q.snap(a)
		q.c.Log.Info("job started", "job", a.id, "workflow", r.Job.Workflow, "attempt", r.Job.Attempts)
		return true
	case errors.Is(err, ErrFenced):
		q.c.Log.Warn("the job is another runner's", "job", a.id)
		q.abandon(a)
	default:
		// Nothing may run that is not stored.
		q.c.Log.Error("storing the start of a job; it waits", "job", a.id, "error", err)
		q.waitAgain(ctx, a, time.Now().Add(time.Second))
	}
	return false
}

// keepResult stores what the engine gave, so that a restart need not run the
// job again.
func (q *Queue) keepResult(ctx context.Context, a *active, res *engine.Result) {
	q.mu.Lock()
	defer q.mu.Unlock()
	a.life = q.c.Executor.Status().Restarts
	next := *a.rec
	next.Run.Result = res
	next.Job.Timings.RunMS = time.Since(a.began).Milliseconds()
	if err := q.c.Store.Apply(context.WithoutCancel(ctx), &next, Effects{}); err != nil {
		// It is only worth less to a restart.
		q.c.Log.Warn("storing what the engine gave", "job", next.Job.ID, "error", err)
	}
	*a.rec = next
}
