package jobs

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"time"
)

// Events sends a job's events past an id to fn until the job has ended, fn
// fails or ctx is over. beat is called when nothing happened for a while.
func (q *Queue) Events(ctx context.Context, id string, after int64, every time.Duration, fn func(Event) error, beat func() error) error {
	q.mu.Lock()
	a := q.live[id]
	q.mu.Unlock()
	if a == nil {
		return q.replay(ctx, id, after, fn)
	}
	// A job taken up after a restart has told things before it.
	if first := a.stream.first(); first > after+1 {
		var err error
		if after, err = q.kept(ctx, id, after, first, fn); err != nil {
			return err
		}
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

// kept sends the stored events past an id and before another. It returns the
// last id that was sent.
func (q *Queue) kept(ctx context.Context, id string, after, before int64, fn func(Event) error) (int64, error) {
	events, err := q.c.Store.Events(ctx, id, after)
	if err != nil {
		return after, err
	}
	for _, e := range events {
		if e.ID >= before {
			break
		}
		if err := fn(e); err != nil {
			return after, err
		}
		after = e.ID
	}
	return after, nil
}

// replay tells the stored events of a job that is no longer in memory.
func (q *Queue) replay(ctx context.Context, id string, after int64, fn func(Event) error) error {
	r, err := q.c.Store.Get(ctx, id)
	if err != nil {
		return err
	}
	_, err = q.kept(ctx, id, after, math.MaxInt64, func(e Event) error {
		if e.Type == "done" {
			if e.Data, err = json.Marshal(&r.Job); err != nil {
				return fmt.Errorf("encoding job: %w", err)
			}
		}
		return fn(e)
	})
	return err
}
