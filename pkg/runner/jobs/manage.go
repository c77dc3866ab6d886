package jobs

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

// Cancel asks a job to stop: a waiting one at once, a running one as soon as
// the engine has stopped. A job that has ended is ErrFinal.
func (q *Queue) Cancel(ctx context.Context, id string) (*Job, error) {
	q.mu.Lock()
	a, ok := q.live[id]
	if !ok || a.rec.Job.Status.Final() {
		q.mu.Unlock()
		j, err := q.Get(ctx, id)
		if err != nil {
			return nil, err
		}
		if j.Status == Canceled {
			return j, nil
		}
		return j, ErrFinal
	}
	defer q.mu.Unlock()
	if a.cancel == nil {
		q.remove(a)
		q.finish(ctx, a, Canceled, nil)
		return q.view(a.rec), nil
	}
	if a.rec.Job.Status != Canceling {
		a.rec.Job.Status = Canceling
		a.stream.add("status", map[string]any{"status": Canceling})
		q.c.Log.Info("job canceling", "job", id)
		if err := q.c.Store.Save(ctx, a.rec); err != nil {
			q.c.Log.Error("storing a cancel", "job", id, "error", err)
		}
		a.cancel(errCanceled)
	}
	return q.view(a.rec), nil
}

func (q *Queue) remove(a *active) {
	for i, w := range q.waiting {
		if w == a {
			q.waiting = append(q.waiting[:i], q.waiting[i+1:]...)
			return
		}
	}
}

// List selects jobs, newest first.
func (q *Queue) List(ctx context.Context, query Query) ([]*Job, error) {
	list, err := q.c.Store.List(ctx, query)
	if err != nil {
		return nil, err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	out := make([]*Job, 0, len(list))
	for _, r := range list {
		if a, ok := q.live[r.Job.ID]; ok {
			r = a.rec
		}
		out = append(out, q.view(r))
	}
	return out, nil
}

// Record returns a job with its work, for a retry.
func (q *Queue) Record(ctx context.Context, id string) (*Record, error) {
	return q.c.Store.Get(ctx, id)
}

// Log is what the engine wrote while the job ran, the last of it.
func (q *Queue) Log(ctx context.Context, id string) ([]string, error) {
	q.mu.Lock()
	if a, ok := q.live[id]; ok {
		defer q.mu.Unlock()
		return slices.Clone(a.rec.Work.Log), nil
	}
	q.mu.Unlock()
	r, err := q.c.Store.Get(ctx, id)
	if err != nil {
		return nil, err
	}
	return r.Work.Log, nil
}

// Delete erases a finished job and its outputs.
func (q *Queue) Delete(ctx context.Context, id string) error {
	j, err := q.Get(ctx, id)
	if err != nil {
		return err
	}
	if !j.Status.Final() {
		return fmt.Errorf("job %s is %s: %w", id, j.Status, ErrNotFinal)
	}
	r, err := q.c.Store.Get(ctx, id)
	if err != nil {
		return err
	}
	if err := q.c.Outputs.Remove(id); err != nil {
		return err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	delete(q.live, id)
	if err := q.c.Store.Delete(ctx, id); err != nil {
		return err
	}
	for _, f := range r.Work.Files {
		if !q.used(ctx, f.SHA256) {
			if err := q.c.Inputs.Release(f.SHA256); err != nil {
				return err
			}
		}
	}
	return nil
}

// ErrNotFinal means that the job is still going on.
var ErrNotFinal = errors.New("the job has not ended")
