package jobs

import (
	"context"
	"time"
)

// Events sends a job's events past an id to fn until the job has ended, fn
// fails or ctx is over. beat is called when nothing happened for a while.
func (q *Queue) Events(ctx context.Context, id string, after int64, every time.Duration, fn func(Event) error, beat func() error) error {
	q.mu.Lock()
	a := q.live[id]
	q.mu.Unlock()
	if a == nil {
		r, err := q.c.Store.Get(ctx, id)
		if err != nil {
			return err
		}
		return replay(r, after, fn)
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		events, more, wake := a.stream.after(after)
		for _, e := range events {
			if err := fn(e); err != nil {
				return err
			}
			after = e.ID
		}
		if !more {
			return nil
		}
		select {
		case <-wake:
		case <-tick.C:
			if err := beat(); err != nil {
				return err
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// replay tells the end of a job whose events are no longer in memory.
func replay(r *Record, after int64, fn func(Event) error) error {
	s := newStream(max(r.Work.LastEvent-int64(len(r.Job.Outputs))-1, 0))
	for _, o := range r.Job.Outputs {
		s.add("output", o)
	}
	if r.Job.Status.Final() {
		s.add("done", &r.Job)
	}
	events, _, _ := s.after(after)
	for _, e := range events {
		if err := fn(e); err != nil {
			return err
		}
	}
	return nil
}
