package jobs

import (
	"context"
	"fmt"
	"time"

	"github.com/comfyctl/comfyctl/pkg/runner/problem"
)

// Pauses of the sweep.
const (
	expireEvery = 250 * time.Millisecond
	retireEvery = time.Minute
)

// sweep ends jobs that wait too long, also while another runs, and removes
// what is past its retention.
func (q *Queue) sweep(ctx context.Context) {
	expire, retire := time.NewTicker(expireEvery), time.NewTicker(retireEvery)
	defer expire.Stop()
	defer retire.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-expire.C:
			q.expire(ctx)
			q.mu.Lock()
			untidy := q.untidy
			q.untidy = false
			q.mu.Unlock()
			if untidy {
				q.tidy()
			}
		case <-retire.C:
			if q.c.Retention > 0 {
				q.retire(ctx)
			}
		}
	}
}

// expire ends the jobs that waited too long.
func (q *Queue) expire(ctx context.Context) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for id, a := range q.live {
		if a.rec.Job.Status != Queued || a.cancel != nil {
			continue
		}
		limit := q.c.QueueTimeout
		if own := time.Duration(a.rec.Work.MaxWaitMS) * time.Millisecond; own > 0 {
			limit = own
		}
		if limit <= 0 || time.Since(a.since) <= limit {
			continue
		}
		if removed, err := q.line.Remove(ctx, id); err != nil || !removed {
			continue
		}
		c := conclusion{status: Expired, problem: problem.New("expired", fmt.Sprintf("the job waited longer than %s", limit))}
		if err := q.end(ctx, a, c); err != nil {
			q.c.Log.Error("storing the end of a job that waited too long", "job", id, "error", err)
			_ = q.line.Put(ctx, a.ticket())
		}
	}
}

// tidy removes what jobs that are over left with the engine.
func (q *Queue) tidy() {
	if q.c.Leftovers == nil {
		return
	}
	err := q.c.Leftovers(func(job string) bool {
		q.mu.Lock()
		defer q.mu.Unlock()
		a := q.live[job]
		return a != nil && !a.rec.Job.Status.Final()
	})
	if err != nil {
		q.c.Log.Warn("removing what jobs left with the engine", "error", err)
	}
}

// retire removes finished jobs past their retention, files that no job uses
// any more, and idempotency keys that have run out.
func (q *Queue) retire(ctx context.Context) {
	past := time.Now().Add(-q.c.Retention)
	defer func() {
		q.mu.Lock()
		defer q.mu.Unlock()
		if err := q.c.Inputs.Sweep(past, func(sha256 string) bool { return q.used(ctx, sha256) }); err != nil {
			q.c.Log.Error("removing files past their retention", "error", err)
		}
	}()
	if err := q.c.Store.Trim(ctx); err != nil {
		q.c.Log.Error("removing old idempotency keys", "error", err)
	}
	list, err := q.c.Store.List(ctx, Query{FinishedBefore: past, Limit: 500})
	if err != nil {
		q.c.Log.Error("listing jobs past their retention", "error", err)
		return
	}
	for _, r := range list {
		if err := q.Delete(ctx, r.Job.ID); err != nil {
			q.c.Log.Error("removing a job past its retention", "job", r.Job.ID, "error", err)
		}
	}
}

// used reports whether a job has the file as its input. In doubt it has.
func (q *Queue) used(ctx context.Context, sha256 string) bool {
	n, err := q.c.Store.Uses(ctx, sha256)
	return err != nil || n > 0
}
