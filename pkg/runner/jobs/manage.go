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
		removed, err := q.line.Remove(ctx, id)
		if err != nil {
			return nil, err
		}
		if removed {
			if err := q.end(ctx, a, conclusion{status: Canceled}); err != nil {
				return nil, errors.Join(err, q.line.Put(ctx, a.ticket()))
			}
			return q.view(a.rec), nil
		}
	}
	if a.rec.Job.Status != Canceling {
		if err := q.change(ctx, a, func(r *Record) { r.Job.Status = Canceling }); err != nil {
			return nil, err
		}
		q.c.Log.Info("job canceling", "job", id)
		if a.cancel != nil {
			a.cancel(errCanceled)
		}
	}
	return q.view(a.rec), nil
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
		return slices.Clone(a.rec.Run.Log), nil
	}
	q.mu.Unlock()
	r, err := q.c.Store.Get(ctx, id)
	if err != nil {
		return nil, err
	}
	return r.Run.Log, nil
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
	q.mu.Lock()
	defer q.mu.Unlock()
	delete(q.live, id)
	// The row goes first: a kill in between leaves files that nobody names, and
	// not a job whose files are gone.
	if err := q.c.Store.Delete(ctx, id); err != nil {
		return err
	}
	if err := q.c.Outputs.Remove(id); err != nil {
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
