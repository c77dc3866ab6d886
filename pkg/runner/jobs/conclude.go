package jobs

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/comfyctl/comfyctl/pkg/runner/engine"
	"github.com/comfyctl/comfyctl/pkg/runner/problem"
	"github.com/comfyctl/comfyctl/pkg/runner/prompt"
)

// conclude collects the outputs and ends the job.
func (q *Queue) conclude(ctx context.Context, a *active, res *engine.Result, err error) {
	j := &a.rec.Job
	ran := time.Since(*j.StartedAt)
	var outputs []Output
	var took time.Duration
	if err == nil {
		start := time.Now()
		outputs, err = q.c.Outputs.Collect(ctx, q.c.Executor, a.rec, res)
		took = time.Since(start)
	}
	clean, stop := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	if e := q.c.Executor.Forget(clean, a.rec.Work.PromptID); e != nil && err == nil {
		q.c.Log.Debug("tidying up after a job", "job", j.ID, "error", e)
	}
	stop()
	q.mu.Lock()
	defer q.mu.Unlock()
	j.Timings.RunMS, j.Timings.UploadMS = ran.Milliseconds(), took.Milliseconds()
	j.Usage = &Usage{GPUSeconds: float64(ran.Milliseconds()) / 1000}
	if err == nil {
		j.Outputs, j.Reused = outputs, res.Reused
		j.Timings.Nodes = map[string]int64{}
		for id, d := range res.NodeTime {
			j.Timings.Nodes[id] = d.Milliseconds()
		}
		j.Progress.NodesDone = max(j.Progress.NodesTotal, j.Progress.NodesDone)
		for _, o := range outputs {
			a.stream.add("output", o)
		}
		q.finish(ctx, a, Succeeded, nil)
		return
	}
	if cause := context.Cause(ctx); errors.Is(cause, ErrDraining) {
		q.putBack(ctx, a)
		return
	}
	status, p := q.explain(ctx, a, err)
	q.finish(ctx, a, status, p)
}

// putBack leaves a job for the next start of the runner.
func (q *Queue) putBack(ctx context.Context, a *active) {
	a.rec.Job.Status, a.cancel = Queued, nil
	a.rec.Work.LastEvent = a.stream.lastID()
	if err := q.c.Store.Save(context.WithoutCancel(ctx), a.rec); err != nil {
		q.c.Log.Error("storing a job for the next start", "job", a.rec.Job.ID, "error", err)
	}
	q.c.Log.Warn("the job did not end in time; it is run again at the next start", "job", a.rec.Job.ID)
	a.stream.close()
	close(a.done)
}

// explain turns the end of a run into a state and a problem.
func (q *Queue) explain(ctx context.Context, a *active, err error) (Status, *problem.Problem) {
	cause := context.Cause(ctx)
	var run *engine.RunError
	var refused *engine.RefusedError
	var own *problem.Problem
	switch {
	case errors.Is(cause, errCanceled):
		return Canceled, nil
	case errors.Is(cause, errTimeout):
		return Failed, problem.New("timeout", fmt.Sprintf("the job ran for %s, which is all it may", q.limit(a.rec)))
	case errors.As(err, &run):
		code := "node_failed"
		if run.OutOfMemory {
			code = "out_of_memory"
		}
		p := problem.New(code, strings.TrimSpace(run.Message))
		p.Exception, a.rec.Work.Trace = run.ExceptionType, run.Traceback
		p.Node = a.rec.Work.node(run.NodeID, run.NodeType)
		return Failed, p
	case errors.As(err, &refused):
		return Failed, refusedProblem(a.rec, refused)
	case errors.As(err, &own):
		return Failed, own
	case errors.Is(err, engine.ErrLost), errors.Is(err, engine.ErrNotReady):
		return Failed, problem.New("engine_lost", "the engine stopped while the job ran, "+attempts(a.rec.Job.Attempts))
	case errors.Is(err, engine.ErrStalled):
		return Failed, problem.New("engine_stalled", fmt.Sprintf("the engine made no progress for %s", q.c.Stall))
	case errors.Is(err, engine.ErrInterrupted):
		return Failed, problem.New("interrupted", "somebody interrupted the prompt at the engine")
	}
	return Failed, problem.New("internal", err.Error())
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
