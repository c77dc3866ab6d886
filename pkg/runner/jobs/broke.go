package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/comfyctl/comfyctl/pkg/runner/engine"
	"github.com/comfyctl/comfyctl/pkg/runner/problem"
	"github.com/comfyctl/comfyctl/pkg/runner/prompt"
)

// broke decides what becomes of a job whose attempt gave nothing.
func (q *Queue) broke(ctx context.Context, a *active, err error) {
	q.forget(ctx, a)
	r := q.snap(a)
	cause := context.Cause(ctx)
	switch {
	case errors.Is(cause, ErrLeaseLost):
		q.c.Log.Warn("the job was given to another runner", "job", a.id)
		q.abandon(a)
	case errors.Is(cause, errCanceled):
		q.finish(ctx, a, conclusion{status: Canceled, also: q.spent(a)})
	case errors.Is(cause, ErrDraining):
		q.putBack(ctx, a)
	case errors.Is(err, engine.ErrNotReady):
		// Nothing was sent, so this was no attempt.
		a.away++
		at := time.Now().Add(q.pause(a.away))
		q.retry(ctx, a, at, warning{"waiting", "the engine cannot take the job: " + err.Error()}, func(r *Record) {
			if !a.resume {
				r.Job.Attempts--
			}
		})
	case q.transient(r, err) && r.Job.Attempts <= q.retries(r):
		at := time.Now().Add(q.pause(r.Job.Attempts))
		q.retry(ctx, a, at, warning{"retrying", "the attempt broke off; the job is run again: " + err.Error()}, nil)
	case q.lighter(ctx, a, err):
	default:
		p, trace := q.explain(r, err)
		q.finish(ctx, a, conclusion{status: Failed, problem: p, also: func(r *Record) {
			q.spent(a)(r)
			r.Run.Trace = trace
		}})
	}
}

// spent notes what the attempt took.
func (q *Queue) spent(a *active) func(r *Record) {
	ran := time.Since(a.began)
	return func(r *Record) {
		r.Job.Timings.RunMS = ran.Milliseconds()
		r.Job.Usage = &Usage{GPUSeconds: float64(ran.Milliseconds()) / 1000}
	}
}

// forget has the engine drop what it knows of an attempt.
func (q *Queue) forget(ctx context.Context, a *active) {
	id := q.snap(a).Run.PromptID
	if id == "" {
		return
	}
	clean, stop := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer stop()
	if err := q.c.Executor.Forget(clean, id); err != nil {
		q.c.Log.Debug("tidying up after a job", "job", a.id, "error", err)
	}
}

// transient is true for an end that another attempt may not meet: the engine
// died, wedged or forgot the prompt, or we failed. What a node or a check says
// stays so.
func (q *Queue) transient(r *Record, err error) bool {
	crash := errors.Is(err, engine.ErrLost) || errors.Is(err, engine.ErrStalled) || errors.Is(err, errPanicked)
	away := errors.Is(err, engine.ErrUnreachable)
	if p := &r.Work.Policy; p.OnCrash != p.OnDisconnect {
		return crash && p.OnCrash || away && p.OnDisconnect
	}
	return crash || away
}

func (q *Queue) retries(r *Record) int {
	if n := r.Work.Policy.Retries; n != nil {
		return *n
	}
	return q.c.Retries
}

// pause before the attempt after the nth: doubling, up to a bound, and
// anything between half and all of it, so that jobs do not come back in step.
func (q *Queue) pause(n int) time.Duration {
	d := longestPause
	if n < 16 {
		d = min(q.c.Pause<<(n-1), longestPause)
	}
	return d/2 + time.Duration(rand.Int64N(int64(d/2)+1)) //nolint:gosec // no secret
}

// warning is what a job's listeners are told of an attempt that broke off.
type warning struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

// retry lets a job wait for another attempt; set changes what else it needs.
func (q *Queue) retry(ctx context.Context, a *active, at time.Time, w warning, set func(r *Record)) {
	q.c.Log.Warn("the job is run again", "job", a.id, "attempt", q.snap(a).Job.Attempts, "in", time.Until(at).Round(time.Millisecond), "reason", w.Message)
	q.mu.Lock()
	err := q.change(ctx, a, func(r *Record) {
		requeue(r)
		r.Run.NotBefore = at
		if set != nil {
			set(r)
		}
	}, message{"warning", w})
	if err != nil && !errors.Is(err, ErrFenced) {
		// In the store it is running, which a restart takes for the same.
		requeue(a.rec)
	}
	q.mu.Unlock()
	if errors.Is(err, ErrFenced) {
		q.abandon(a)
		return
	}
	if err != nil {
		q.c.Log.Error("storing a job for another attempt", "job", a.id, "error", err)
	}
	q.waitAgain(ctx, a, at)
}

func requeue(r *Record) {
	r.Job.Status = Queued
	r.Job.Progress.CurrentNode = nil
	r.Run.PromptID, r.Run.Result = "", nil
}

// waitAgain puts a job back into the line.
func (q *Queue) waitAgain(ctx context.Context, a *active, at time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	canceled := errors.Is(context.Cause(ctx), errCanceled)
	lease := q.unhold(a)
	if a.resume = false; a.away == 0 {
		a.since = time.Now()
	}
	t := a.ticket()
	if t.NotBefore = at; canceled {
		t.NotBefore = time.Time{}
		a.rec.Job.Status = Canceling
	}
	if err := q.line.Back(context.WithoutCancel(ctx), lease, t); err != nil {
		q.c.Log.Error("putting a job back into the line", "job", a.id, "error", err)
	}
	q.Wake()
}

// putBack leaves a job for the next start of the runner.
func (q *Queue) putBack(ctx context.Context, a *active) {
	q.mu.Lock()
	err := q.change(ctx, a, func(r *Record) {
		if r.Job.Status == Running {
			requeue(r)
		}
	})
	q.mu.Unlock()
	if err != nil {
		q.c.Log.Error("storing a job for the next start", "job", a.id, "error", err)
	}
	q.c.Log.Warn("the job did not end in time; it is run again at the next start", "job", a.id)
	q.abandon(a)
}

// lighter lets a job that ran out of memory try again: once after the engine
// has freed what it can, then with each fallback of the service in turn. False
// means that nothing is left to try.
func (q *Queue) lighter(ctx context.Context, a *active, err error) bool {
	var run *engine.RunError
	if !errors.As(err, &run) || !run.OutOfMemory {
		return false
	}
	r := q.snap(a)
	p := &r.Work.Policy
	freed, used := r.Run.Freed || p.KeepMemory, r.Run.Fallback
	if freed && used >= len(p.Fallbacks) {
		return false
	}
	clean, stop := context.WithTimeout(ctx, 30*time.Second)
	defer stop()
	if err := q.c.Executor.Free(clean); err != nil {
		q.c.Log.Warn("freeing the engine's memory", "job", a.id, "error", err)
	}
	if !freed {
		q.retry(ctx, a, time.Now(), warning{"out_of_memory", "the engine ran out of memory; it freed what it could and the job is run again"}, func(r *Record) { r.Run.Freed = true })
		return true
	}
	f := p.Fallbacks[used]
	q.retry(ctx, a, time.Now(), warning{"degraded", "the engine ran out of memory; the job is run again with " + string(f.Input)}, func(r *Record) {
		r.Run.Fallback++
		r.Job.Degraded = degraded(p.Fallbacks[:r.Run.Fallback])
	})
	return true
}

// degraded says what differs from what was asked for.
func degraded(used []Fallback) json.RawMessage {
	input := map[string]json.RawMessage{}
	for _, f := range used {
		// What the contract holds is an object.
		_ = json.Unmarshal(f.Input, &input)
	}
	b, err := json.Marshal(map[string]any{"reason": "out_of_memory", "input": input})
	if err != nil {
		return nil
	}
	return b
}

// explain turns the end of a run into a problem, and the failed node's
// traceback.
func (q *Queue) explain(r *Record, err error) (*problem.Problem, []string) {
	var run *engine.RunError
	var refused *engine.RefusedError
	var own *problem.Problem
	switch {
	case errors.Is(err, errTimeout):
		return problem.New("timeout", fmt.Sprintf("the job ran for %s, which is all it may", q.limit(r))), nil
	case errors.As(err, &run):
		code := "node_failed"
		if run.OutOfMemory {
			code = "out_of_memory"
		}
		p := problem.New(code, strings.TrimSpace(run.Message))
		p.Exception = run.ExceptionType
		p.Node = r.Work.node(run.NodeID, run.NodeType)
		return p, run.Traceback
	case errors.As(err, &refused):
		return refusedProblem(r, refused), nil
	case errors.As(err, &own):
		return own, nil
	case errors.Is(err, engine.ErrLost), errors.Is(err, engine.ErrUnreachable):
		return problem.New("engine_lost", "the engine or the runner stopped while the job ran, "+attempts(r.Job.Attempts)), nil
	case errors.Is(err, engine.ErrStalled):
		return problem.New("engine_stalled", fmt.Sprintf("the engine made no progress for %s, %s", q.stall(&r.Work), attempts(r.Job.Attempts))), nil
	case errors.Is(err, engine.ErrInterrupted):
		return problem.New("interrupted", "somebody interrupted the prompt at the engine"), nil
	}
	return problem.New("internal", err.Error()), nil
}

func attempts(n int) string {
	if n == 1 {
		return "at its first attempt"
	}
	return fmt.Sprintf("at each of %d attempts", n)
}

func (w *Work) node(id, class string) *problem.Node {
	n := &problem.Node{ID: id, ClassType: class}
	if g, err := prompt.Decode(w.Graph); err == nil && g[id] != nil {
		n.Title = g[id].Meta.Title
		if n.ClassType == "" {
			n.ClassType = g[id].ClassType
		}
	}
	return n
}

func refusedProblem(r *Record, e *engine.RefusedError) *problem.Problem {
	p := problem.New("engine_refused", e.Message)
	p.Hint = "the workflow or the model files differ from what the image was checked with"
	for id, n := range e.Nodes {
		if p.Node == nil {
			p.Node = r.Work.node(id, n.ClassType)
		}
		for _, x := range n.Errors {
			p.Errors = append(p.Errors, problem.Field{Pointer: "/" + id + "/inputs/" + x.Input, Code: x.Type, Message: strings.TrimSpace(x.Message + " " + x.Details)})
		}
	}
	return p
}
