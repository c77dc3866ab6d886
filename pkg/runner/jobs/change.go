package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"github.com/comfyctl/comfyctl/pkg/runner/problem"
)

// change stores a job's new state, with the events, deliveries and accounts
// that follow from it, and tells the listeners afterwards. Where it fails, the
// job is as before. The caller holds mu.
func (q *Queue) change(ctx context.Context, a *active, set func(r *Record), tell ...message) error {
	next := *a.rec
	set(&next)
	j := &next.Job
	if j.Status == Succeeded {
		for _, o := range j.Outputs {
			tell = append(tell, message{"output", o})
		}
	}
	status := map[string]any{"status": j.Status}
	if j.Status == Running {
		status["attempt"] = j.Attempts
	}
	tell = append(tell, message{"status", status})
	if j.Status.Final() {
		tell = append(tell, message{"done", j})
	}
	events := a.stream.prepare(tell...)
	next.Run.LastEvent = a.stream.lastID()
	if err := q.c.Store.Apply(context.WithoutCancel(ctx), &next, effectsOf(&next, events)); err != nil {
		return err
	}
	*a.rec = next
	a.stream.publish(events)
	q.tell(&next)
	return nil
}

// effectsOf is what follows from a record's new state.
func effectsOf(r *Record, events []Event) Effects {
	var e Effects
	for _, ev := range events {
		if ev.Type == "done" {
			// The job itself, as it stands beside it.
			ev.Data = nil
		}
		e.Events = append(e.Events, ev)
	}
	if r.Job.Status.Final() {
		e.Usage = &UsageEntry{Caller: r.Work.Caller, Workflow: r.Job.Workflow, Status: r.Job.Status, FinishedAt: *r.Job.FinishedAt}
		if r.Job.Usage != nil {
			e.Usage.GPUMS = int64(r.Job.Usage.GPUSeconds * 1000)
		}
	}
	e.Deliveries = deliveriesOf(r)
	return e
}

// Webhook event types, by the state that they tell of.
var hookEvents = map[Status]string{
	Queued: "job.queued", Running: "job.started", Succeeded: "job.succeeded", Failed: "job.failed", Canceled: "job.canceled", Expired: "job.expired",
}

// HookEvents are the types of events that a webhook can be told of.
var HookEvents = []string{"job.queued", "job.started", "job.succeeded", "job.failed", "job.canceled", "job.expired"}

func deliveriesOf(r *Record) []Delivery {
	hook, event := r.Work.Webhook, hookEvents[r.Job.Status]
	if hook == nil || event == "" {
		return nil
	}
	if len(hook.Events) == 0 && !r.Job.Status.Final() || len(hook.Events) > 0 && !slices.Contains(hook.Events, event) {
		return nil
	}
	now := time.Now().UTC()
	body, err := json.Marshal(map[string]any{"type": event, "timestamp": now.Format(time.RFC3339Nano), "data": &r.Job})
	if err != nil {
		return nil
	}
	return []Delivery{{ID: NewID("msg_"), Job: r.Job.ID, Event: event, URL: hook.URL, Body: body, Status: DeliveryPending, CreatedAt: now, NextAt: &now}}
}

// tell wakes who sends webhooks.
func (q *Queue) tell(r *Record) {
	if r.Work.Webhook != nil {
		poke(q.owed)
	}
}

// Owe says that the outbox has something new that the queue did not put there.
func (q *Queue) Owe() { poke(q.owed) }

// Owed is sent to when the outbox may have something new.
func (q *Queue) Owed() <-chan struct{} { return q.owed }

// conclusion is how a job ends.
type conclusion struct {
	status  Status
	problem *problem.Problem
	// also changes what else belongs to it; nil for nothing.
	also func(r *Record)
}

// finish ends a job, stores that and tells everybody. Nobody is told before it
// is stored; while the disk takes nothing it is tried again, until ctx is over:
// then the job is left as it was, for the next start.
func (q *Queue) finish(ctx context.Context, a *active, c conclusion) {
	for pause := 50 * time.Millisecond; ; pause = min(2*pause, 5*time.Second) {
		q.mu.Lock()
		err := q.end(ctx, a, c)
		q.mu.Unlock()
		if err == nil {
			return
		}
		if errors.Is(err, ErrFenced) {
			q.c.Log.Warn("the job was ended by another runner", "job", a.id)
			q.abandon(a)
			return
		}
		q.c.Log.Error("storing the end of a job; it is tried again", "job", a.id, "error", err)
		select {
		case <-ctx.Done():
			q.abandon(a)
			return
		case <-time.After(pause):
		}
	}
}

// end stores a job's final state and tells. The caller holds mu.
func (q *Queue) end(ctx context.Context, a *active, c conclusion) error {
	err := q.change(ctx, a, func(r *Record) {
		now := time.Now().UTC()
		r.Job.Status, r.Job.FinishedAt, r.Job.Error = c.status, &now, c.problem
		r.Job.Progress.CurrentNode = nil
		if c.status == Succeeded {
			r.Job.Progress.Value = 1
		}
		r.Run.Result, r.Run.PromptID, r.Run.NotBefore = nil, "", time.Time{}
		if c.also != nil {
			c.also(r)
		}
	})
	if err != nil {
		return err
	}
	q.release(a)
	a.stream.shrink()
	a.stream.close()
	close(a.done)
	q.recent = append(q.recent, a.id)
	for len(q.recent) > keepFinished {
		delete(q.live, q.recent[0])
		q.recent = q.recent[1:]
	}
	j := a.rec.Job
	q.untidy = q.untidy || j.Attempts > 1 || j.Status != Succeeded
	attrs := []any{"job", j.ID, "status", string(j.Status), "attempts", j.Attempts, "run_ms", j.Timings.RunMS, "outputs", len(j.Outputs)}
	if c.problem != nil {
		attrs = append(attrs, "code", c.problem.Code, "error", c.problem.Message)
	}
	q.c.Log.Info("job ended", attrs...)
	if q.c.Observe != nil {
		q.c.Observe(&j)
	}
	return nil
}

// release gives up the lease of a job that is over. The caller holds mu.
func (q *Queue) release(a *active) {
	if lease := q.unhold(a); lease != nil {
		if err := q.line.Done(context.Background(), lease); err != nil {
			q.c.Log.Warn("giving up a lease", "job", lease.Job, "error", err)
		}
	}
}

// unhold ends the care for a lease and returns it.
func (q *Queue) unhold(a *active) *Lease {
	lease := a.lease
	if a.freed != nil {
		close(a.freed)
	}
	a.cancel, a.lease, a.freed = nil, nil, nil
	return lease
}

// abandon drops a job from memory: the store, or another runner, has the truth.
func (q *Queue) abandon(a *active) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.unhold(a)
	delete(q.live, a.id)
	a.stream.close()
	close(a.done)
}
