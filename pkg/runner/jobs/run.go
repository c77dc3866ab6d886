package jobs

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/comfyctl/comfyctl/pkg/runner/engine"
	"github.com/comfyctl/comfyctl/pkg/runner/problem"
)

// Run drives the queue until ctx is over. Then it takes no more jobs, lets the
// running one go on for at most drain, and leaves the others queued in the
// store.
func (q *Queue) Run(ctx context.Context, drain time.Duration) {
	sweep := time.NewTicker(time.Second)
	defer sweep.Stop()
	retain := time.Now()
	for {
		if ctx.Err() != nil {
			break
		}
		q.expire(ctx)
		if q.c.Retention > 0 && time.Since(retain) > time.Minute {
			retain = time.Now()
			q.retire(ctx)
		}
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
		case <-sweep.C:
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

// Rehearse runs a job that nobody asked for and nothing keeps.
func (q *Queue) Rehearse(ctx context.Context, r *Record) error {
	a := &active{rec: r, stream: newStream(0)}
	r.Work.PromptID = uuid.NewString()
	_, err := q.attempt(ctx, a)
	clean, stop := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer stop()
	return errors.Join(err, q.c.Executor.Forget(clean, r.Work.PromptID))
}

// attempt hands the files and the prompt to the engine once.
func (q *Queue) attempt(ctx context.Context, a *active) (*engine.Result, error) {
	graph, err := decodeGraph(a.rec.Work.Graph)
	if err != nil {
		return nil, err
	}
	for _, f := range a.rec.Work.Files {
		name, err := q.c.Inputs.Put(ctx, q.c.Executor, f)
		if err != nil {
			return nil, err
		}
		value, _ := json.Marshal(name)
		for _, to := range f.To {
			if n := graph[to[0]]; n != nil {
				n.Inputs[to[1]] = value
			}
		}
	}
	// A prefix of its own keeps a run from naming files of another: the engine
	// answers an unchanged save from its cache with the old file's name.
	for _, n := range graph {
		var prefix string
		if raw, ok := n.Inputs["filename_prefix"]; ok && json.Unmarshal(raw, &prefix) == nil {
			base := prefix[strings.LastIndexAny(prefix, `/\`)+1:]
			n.Inputs["filename_prefix"], _ = json.Marshal("jobs/" + a.rec.Job.ID + "/" + base)
		}
	}
	body, err := json.Marshal(graph)
	if err != nil {
		return nil, fmt.Errorf("encoding the prompt: %w", err)
	}
	p := engine.Prompt{ID: a.rec.Work.PromptID, Graph: body, Preview: true, Stall: q.c.Stall}
	return q.c.Executor.Run(ctx, p, func(e engine.Event) { q.event(a, graph, e) })
}

type node struct {
	ClassType string                     `json:"class_type"`
	Inputs    map[string]json.RawMessage `json:"inputs"`
	Meta      struct {
		Title string `json:"title"`
	} `json:"_meta"`
}

func decodeGraph(raw json.RawMessage) (map[string]*node, error) {
	var g map[string]*node
	if err := json.Unmarshal(raw, &g); err != nil {
		return nil, fmt.Errorf("decoding the graph: %w", err)
	}
	return g, nil
}

// event turns what the engine says into progress and messages.
func (q *Queue) event(a *active, graph map[string]*node, e engine.Event) {
	q.mu.Lock()
	defer q.mu.Unlock()
	p := &a.rec.Job.Progress
	p.NodesTotal = max(p.NodesTotal, len(graph))
	switch e.Kind {
	case engine.EventCached:
		p.NodesDone = len(e.Nodes)
	case engine.EventNode:
		if p.CurrentNode != nil {
			p.NodesDone = min(p.NodesDone+1, p.NodesTotal)
		}
		p.CurrentNode, p.Step, p.Steps = &Node{ID: e.Node}, 0, 0
		if n := graph[e.Node]; n != nil {
			p.CurrentNode.ClassType, p.CurrentNode.Title = n.ClassType, n.Meta.Title
		}
	case engine.EventProgress:
		p.Step, p.Steps = int(e.Value), int(e.Max)
	case engine.EventPreview:
		a.stream.add("preview", map[string]any{"node_id": e.Node, "content_type": e.ContentType, "data": base64.StdEncoding.EncodeToString(e.Data)})
		return
	case engine.EventLog:
		a.stream.add("log", map[string]any{"text": e.Text})
		return
	default:
		return
	}
	part := 0.0
	if p.Steps > 0 {
		part = float64(p.Step) / float64(p.Steps)
	}
	if p.NodesTotal > 0 {
		p.Value = min(0.99, max(p.Value, (float64(p.NodesDone)+part)/float64(p.NodesTotal)))
	}
	a.stream.add("progress", p)
}

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
		p.Exception, p.Debug = run.ExceptionType, run.Traceback
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
	if g, err := decodeGraph(w.Graph); err == nil && g[id] != nil {
		n.Title = g[id].Meta.Title
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

// expire ends the jobs that waited too long.
func (q *Queue) expire(ctx context.Context) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, a := range append([]*active{}, q.waiting...) {
		limit := q.c.QueueTimeout
		if own := time.Duration(a.rec.Work.MaxWaitMS) * time.Millisecond; own > 0 && (limit == 0 || own < limit) {
			limit = own
		}
		if limit > 0 && time.Since(a.rec.Job.CreatedAt) > limit {
			q.remove(a)
			q.finish(ctx, a, Expired, problem.New("expired", fmt.Sprintf("the job waited longer than %s", limit)))
		}
	}
}

// retire removes finished jobs past their retention.
func (q *Queue) retire(ctx context.Context) {
	list, err := q.c.Store.List(ctx, Query{FinishedBefore: time.Now().Add(-q.c.Retention), Limit: 500})
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
