package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"time"

	"github.com/comfyctl/comfyctl/pkg/contract"
	"github.com/comfyctl/comfyctl/pkg/runner/engine"
	"github.com/comfyctl/comfyctl/pkg/runner/inputs"
	"github.com/comfyctl/comfyctl/pkg/runner/jobs"
	"github.com/comfyctl/comfyctl/pkg/runner/problem"
)

// prepare checks a request and binds it to its workflow.
func (a *API) prepare(w http.ResponseWriter, r *http.Request) (*request, *contract.Workflow, *inputs.Bound, *problem.Problem) {
	s := a.state.Load()
	wf, p := s.workflow(r.PathValue("name"))
	if p != nil {
		return nil, nil, nil, p
	}
	req, p := a.read(w, r)
	if p != nil {
		return nil, nil, nil, p
	}
	resolver := a.resolver(r.Context())
	if len(req.faults) > 0 {
		resolver.Fetcher = nil // nothing is fetched for a request that is refused
	}
	bound, fields, err := inputs.Bind(r.Context(), wf, req.Input, "/input", resolver)
	if err != nil {
		return nil, nil, nil, problem.New("internal", err.Error())
	}
	fields = append(req.faults, fields...)
	if len(fields) > 0 {
		p := problem.New("validation_failed", fields[0].Message)
		if n := len(fields); n > 1 {
			p.Message = fmt.Sprintf("%s, and %d more", fields[0].Message, n-1)
		}
		p.Errors = fields
		return nil, nil, nil, p
	}
	return req, wf, bound, nil
}

func (a *API) validateJob(w http.ResponseWriter, r *http.Request) {
	_, wf, bound, p := a.prepare(w, r)
	if p != nil {
		a.fail(w, r, p)
		return
	}
	waiting, running := a.c.Queue.Depth()
	reply := map[string]any{"valid": true, "workflow": wf.Name, "version": wf.Version, "input": bound.Input,
		"queue": map[string]int{"waiting": waiting, "running": running}, "estimate": nil}
	if d := a.measured.of(wf.Name); d != nil {
		// As if those before it were of this workflow.
		reply["estimate"] = map[string]int64{"run_ms": d.P50MS, "wait_ms": int64(waiting+running) * d.P50MS}
	}
	writeJSON(w, http.StatusOK, reply)
}

func (a *API) createJob(w http.ResponseWriter, r *http.Request) {
	req, wf, bound, p := a.prepare(w, r)
	if p != nil {
		a.fail(w, r, p)
		return
	}
	key := r.Header.Get("Idempotency-Key")
	if len(key) > 255 {
		a.fail(w, r, problem.New("bad_request", "the Idempotency-Key is longer than 255 characters"))
		return
	}
	if key != "" {
		key = caller(r.Context()).name + "\x00" + wf.Name + "\x00" + key
	}
	rec := a.record(req, wf, bound)
	rec.Work.Caller = caller(r.Context()).name
	a.submit(w, r, rec, key, req.hash)
}

func (a *API) record(req *request, wf *contract.Workflow, bound *inputs.Bound) *jobs.Record {
	s := a.state.Load()
	rec := &jobs.Record{Job: jobs.Job{ID: jobs.NewID("job_"), Object: "job", Workflow: wf.Name, Version: wf.Version,
		Release: s.release, Engine: s.contract.Engine.Kind, Input: bound.Input, Outputs: []jobs.Output{}, Metadata: req.Metadata}}
	rec.Job.Links = links(rec.Job.ID)
	var graph map[string]json.RawMessage
	if json.Unmarshal(bound.Graph, &graph) == nil {
		rec.Job.Progress.NodesTotal = len(graph)
	}
	names, conversions := map[string]string{}, map[string]jobs.Conversion{}
	for _, o := range wf.Outputs {
		names[o.Node] = o.Name
		if c := (jobs.Conversion{Format: o.Format, Quality: o.Quality, Strip: o.Metadata == "strip"}); c != (jobs.Conversion{}) {
			conversions[o.Node] = c
		}
	}
	rec.Work = jobs.Work{Graph: bound.Graph, Files: bound.Files, Names: names, Conversions: conversions, Mode: req.Mode, Priority: req.Priority, MaxWaitMS: req.MaxWait, TimeoutMS: req.Timeout, Webhook: req.Webhook}
	s.bind(&rec.Work, wf)
	outs := s.outputs[wf]
	rec.Work.OutputNodes, rec.Work.Foreign = outs.nodes, outs.foreign
	return rec
}

func links(id string) map[string]any {
	self := "/v1/jobs/" + id
	return map[string]any{"self": self, "events": self + "/events", "cancel": self + "/cancel"}
}

// submit queues a record and answers as the caller prefers.
func (a *API) submit(w http.ResponseWriter, r *http.Request, rec *jobs.Record, key, hash string) {
	if p := a.notReady(); p != nil {
		a.fail(w, r, p)
		return
	}
	rec.Job.Caller, rec.Job.Inline = rec.Work.Caller, rec.Work.Mode == "data"
	job, fresh, err := a.c.Queue.Submit(r.Context(), rec, key, hash)
	if err != nil {
		a.fail(w, r, a.refusal(err))
		return
	}
	if !fresh {
		w.Header().Set("Idempotent-Replayed", "true")
	}
	if strings.Contains(r.Header.Get("Accept"), "text/event-stream") {
		a.stream(w, r, job.ID, 0)
		return
	}
	wait := prefer(r)
	if wait > 0 {
		ctx, cancel := context.WithTimeout(r.Context(), wait)
		job2, err := a.c.Queue.Wait(ctx, job.ID)
		cancel()
		if err == nil {
			job = job2
		}
	}
	status := http.StatusAccepted
	if job.Status.Final() {
		status = http.StatusCreated
	} else {
		w.Header().Set("Preference-Applied", "respond-async")
	}
	w.Header().Set("Location", "/v1/jobs/"+job.ID)
	if p := a.answer(w, status, job); p != nil {
		a.fail(w, r, p)
	}
}

// notReady refuses jobs until the engine was ready once, and where it will not
// be again. Between a crash and the restart jobs are queued.
func (a *API) notReady() *problem.Problem {
	st := a.c.Executor.Status()
	switch {
	case st.Stage == engine.StageUnfit:
		return problem.New("not_ready", "the engine lacks what the workflows need").After(30 * time.Second).WithHint("the operator finds what at /readyz")
	case st.Stage == engine.StageFailed:
		return problem.New("not_ready", "the engine cannot be started").After(30 * time.Second).WithHint("the operator finds the reason at /readyz")
	case !a.open():
		return problem.New("not_ready", "the engine is starting").After(5 * time.Second).WithHint("GET /readyz says how far it is")
	}
	return nil
}

func (a *API) refusal(err error) *problem.Problem {
	switch {
	case errors.Is(err, jobs.ErrFull):
		return problem.New("queue_full", "the queue is full").After(a.later())
	case errors.Is(err, jobs.ErrDraining):
		return problem.New("draining", "the runner is shutting down").After(30 * time.Second)
	case errors.Is(err, jobs.ErrNoRoom):
		return problem.New("insufficient_storage", "the disk is nearly full").After(time.Minute).WithHint("the operator finds how full in the log; retention and keep_free say what is kept")
	case errors.Is(err, jobs.ErrNoFile):
		return problem.New("input_missing", err.Error())
	case errors.Is(err, jobs.ErrIdempotency):
		return problem.New("idempotency_conflict", err.Error())
	}
	return problem.New("internal", err.Error())
}

// later is when the queue may have room again: when half of what waits has run,
// by what jobs took so far, with a fifth of chance in it so that callers do not
// come back in step.
func (a *API) later() time.Duration {
	waiting, _ := a.c.Queue.Depth()
	each := 2 * time.Second
	if d := a.measured.mean(); d > 0 {
		each = d
	}
	wait := time.Duration(float64(each) * float64(max(waiting/2, 1)) * (0.8 + 0.4*rand.Float64())) //nolint:gosec // no secret
	return min(max(wait, time.Second), 5*time.Minute)
}

// Sample is a job of the first workflow with its defaults and examples.
func (a *API) Sample(ctx context.Context) (*jobs.Record, error) {
	s := a.state.Load()
	if len(s.contract.Workflows) == 0 {
		return nil, errors.New("there is no workflow")
	}
	wf := &s.contract.Workflows[0]
	in := map[string]json.RawMessage{}
	for _, i := range wf.Inputs {
		if i.Example != nil && i.Default == nil {
			in[i.Name] = i.Example
		}
	}
	bound, fields, err := inputs.Bind(ctx, wf, in, "/input", a.resolver(ctx))
	if err != nil {
		return nil, err
	}
	if len(fields) > 0 {
		return nil, fmt.Errorf("%s has no default: %s", wf.Name, fields[0].Message)
	}
	return a.record(&request{}, wf, bound), nil
}
