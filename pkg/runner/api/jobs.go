package api

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/comfyctl/comfyctl/pkg/contract"
	"github.com/comfyctl/comfyctl/pkg/runner/engine"
	"github.com/comfyctl/comfyctl/pkg/runner/files"
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
	bound, fields, err := inputs.Bind(r.Context(), wf, req.Input, "/input", s.files)
	if err != nil {
		return nil, nil, nil, problem.New("internal", err.Error())
	}
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
	writeJSON(w, http.StatusOK, map[string]any{"valid": true, "workflow": wf.Name, "version": wf.Version, "input": bound.Input,
		"queue": map[string]int{"waiting": waiting, "running": running}})
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
		key = caller(r.Context()) + "\x00" + wf.Name + "\x00" + key
	}
	a.submit(w, r, a.record(req, wf, bound), key, req.hash)
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
	names := map[string]string{}
	for _, o := range wf.Outputs {
		names[o.Node] = o.Name
	}
	rec.Work = jobs.Work{Graph: bound.Graph, Files: bound.Files, Names: names, Mode: req.Outputs.Mode, Priority: req.Queue.Priority,
		MaxWaitMS: int64(req.Queue.MaxWaitS * 1000), TimeoutMS: int64(req.Queue.TimeoutS * 1000)}
	return rec
}

func links(id string) map[string]any {
	self := "/v1/jobs/" + id
	return map[string]any{"self": self, "events": self + "/events", "cancel": self + "/cancel"}
}

// submit queues a record and answers as the caller prefers.
func (a *API) submit(w http.ResponseWriter, r *http.Request, rec *jobs.Record, key, hash string) {
	if st := a.c.Executor.Status(); st.Stage == engine.StageFailed {
		a.fail(w, r, problem.New("not_ready", "the engine failed: "+st.Reason).After(30*time.Second))
		return
	}
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
	a.answer(w, r, status, job)
}

func (a *API) refusal(err error) *problem.Problem {
	switch {
	case errors.Is(err, jobs.ErrFull):
		return problem.New("queue_full", "the queue is full").After(10 * time.Second)
	case errors.Is(err, jobs.ErrDraining):
		return problem.New("draining", "the runner is shutting down").After(30 * time.Second)
	case errors.Is(err, jobs.ErrIdempotency):
		return problem.New("idempotency_conflict", err.Error())
	}
	return problem.New("internal", err.Error())
}

// answer writes a job, with the outputs' bytes in it where that was asked for.
func (a *API) answer(w http.ResponseWriter, r *http.Request, status int, job *jobs.Job) {
	if job.Status == jobs.Succeeded {
		if rec, err := a.c.Queue.Record(r.Context(), job.ID); err == nil && rec.Work.Mode == "data" {
			if p := a.inline(job); p != nil {
				a.fail(w, r, p)
				return
			}
		}
	}
	job.Progress.QueuePosition = max(job.Progress.QueuePosition, 0)
	writeJSON(w, status, job)
}

// maxInline bounds the bytes that come base64 inside a reply.
const maxInline = 4 << 20

func (a *API) inline(job *jobs.Job) *problem.Problem {
	var total int64
	for _, o := range job.Outputs {
		total += o.SizeBytes
	}
	if total > maxInline {
		return problem.New("validation_failed", fmt.Sprintf("the outputs have %d bytes; `outputs.mode: data` takes at most %d", total, maxInline)).
			WithHint("leave outputs.mode out and follow each output's url; the job is at " + fmt.Sprint(job.Links["self"]))
	}
	for i, o := range job.Outputs {
		path, err := a.c.Outputs.Path(job.ID, o.Name)
		if err == nil {
			var b []byte
			if b, err = os.ReadFile(path); err == nil {
				job.Outputs[i].Data = base64.StdEncoding.EncodeToString(b)
			}
		}
		if err != nil {
			return problem.New("gone", "output "+o.Name+" is no longer kept")
		}
	}
	return nil
}

func (a *API) getJob(w http.ResponseWriter, r *http.Request) {
	ctx := r.Context()
	if s := r.URL.Query().Get("wait"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil || n < 0 {
			a.fail(w, r, problem.New("bad_request", "`wait` is a number of seconds"))
			return
		}
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Duration(min(n, 600))*time.Second)
		defer cancel()
		job, err := a.c.Queue.Wait(ctx, r.PathValue("id"))
		a.answerOr(w, r, job, err)
		return
	}
	job, err := a.c.Queue.Get(ctx, r.PathValue("id"))
	a.answerOr(w, r, job, err)
}

func (a *API) answerOr(w http.ResponseWriter, r *http.Request, job *jobs.Job, err error) {
	switch {
	case errors.Is(err, jobs.ErrNotFound):
		a.fail(w, r, noJob(r.PathValue("id")))
	case errors.Is(err, jobs.ErrFinal), errors.Is(err, jobs.ErrNotFinal):
		a.fail(w, r, problem.New("conflict", "the job is "+string(job.Status)))
	case err != nil:
		a.fail(w, r, problem.New("internal", err.Error()))
	default:
		a.answer(w, r, http.StatusOK, job)
	}
}

func noJob(id string) *problem.Problem { return problem.New("not_found", "there is no job `"+id+"`") }

func (a *API) listJobs(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	limit := 20
	if s := q.Get("limit"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 || n > 200 {
			a.fail(w, r, problem.New("bad_request", "`limit` goes from 1 to 200"))
			return
		}
		limit = n
	}
	list, err := a.c.Queue.List(r.Context(), jobs.Query{Status: q.Get("status"), Workflow: q.Get("workflow"), Before: q.Get("cursor"), Limit: limit + 1})
	if err != nil {
		a.fail(w, r, problem.New("internal", err.Error()))
		return
	}
	next := any(nil)
	if len(list) > limit {
		list = list[:limit]
		next = list[limit-1].ID
	}
	writeJSON(w, http.StatusOK, map[string]any{"object": "list", "data": list, "next_cursor": next})
}

func (a *API) cancelJob(w http.ResponseWriter, r *http.Request) {
	job, err := a.c.Queue.Cancel(r.Context(), r.PathValue("id"))
	a.answerOr(w, r, job, err)
}

func (a *API) retryJob(w http.ResponseWriter, r *http.Request) {
	old, err := a.c.Queue.Record(r.Context(), r.PathValue("id"))
	if errors.Is(err, jobs.ErrNotFound) {
		a.fail(w, r, noJob(r.PathValue("id")))
		return
	} else if err != nil {
		a.fail(w, r, problem.New("internal", err.Error()))
		return
	}
	if !old.Job.Status.Final() {
		a.fail(w, r, problem.New("conflict", "the job has not ended"))
		return
	}
	rec := &jobs.Record{Work: old.Work, Job: jobs.Job{ID: jobs.NewID("job_"), Object: "job", Workflow: old.Job.Workflow, Version: old.Job.Version,
		Release: a.state.Load().release, Engine: old.Job.Engine, Input: old.Job.Input, Outputs: []jobs.Output{}, Metadata: old.Job.Metadata,
		Progress: jobs.Progress{NodesTotal: old.Job.Progress.NodesTotal}}}
	rec.Work.PromptID, rec.Work.LastEvent = "", 0
	rec.Job.Links = links(rec.Job.ID)
	a.submit(w, r, rec, "", "")
}

func (a *API) deleteJob(w http.ResponseWriter, r *http.Request) {
	id := r.PathValue("id")
	err := a.c.Queue.Delete(r.Context(), id)
	switch {
	case err == nil:
		w.WriteHeader(http.StatusNoContent)
	case errors.Is(err, jobs.ErrNotFound):
		a.fail(w, r, noJob(id))
	case errors.Is(err, jobs.ErrNotFinal):
		a.fail(w, r, problem.New("conflict", "the job has not ended").WithHint("cancel it first"))
	default:
		a.fail(w, r, problem.New("internal", err.Error()))
	}
}

func (a *API) output(ctx context.Context, id, name string) (*jobs.Output, string, *problem.Problem) {
	job, err := a.c.Queue.Get(ctx, id)
	if errors.Is(err, jobs.ErrNotFound) {
		return nil, "", noJob(id)
	} else if err != nil {
		return nil, "", problem.New("internal", err.Error())
	}
	for i := range job.Outputs {
		if o := &job.Outputs[i]; o.Name == name {
			path, err := a.c.Outputs.Path(id, name)
			if err != nil {
				break
			}
			return o, path, nil
		}
	}
	return nil, "", problem.New("not_found", "job `"+id+"` has no output `"+name+"`")
}

// inlineTypes are served as they are; anything else is a download, because a
// page in it could act in the service's name.
func inlineType(ct string) bool {
	for _, p := range []string{"image/png", "image/jpeg", "image/gif", "image/webp", "image/avif", "video/", "audio/", "text/plain"} {
		if strings.HasPrefix(ct, p) {
			return true
		}
	}
	return false
}

func (a *API) getOutput(w http.ResponseWriter, r *http.Request) {
	o, path, p := a.output(r.Context(), r.PathValue("id"), r.PathValue("name"))
	if p != nil {
		a.fail(w, r, p)
		return
	}
	f, err := os.Open(path)
	if err != nil {
		a.fail(w, r, problem.New("gone", "output `"+o.Name+"` is no longer kept"))
		return
	}
	defer f.Close()
	h := w.Header()
	h.Set("Content-Type", o.ContentType)
	h.Set("ETag", `"`+o.Hash+`"`)
	h.Set("Cache-Control", "private, max-age=31536000, immutable")
	disposition := "inline"
	if !inlineType(o.ContentType) {
		disposition = "attachment"
	}
	name := o.Filename
	if name == "" {
		name = o.Name + ".txt"
	}
	h.Set("Content-Disposition", fmt.Sprintf(`%s; filename=%q`, disposition, strings.Map(plainASCII, filepath.Base(name))))
	http.ServeContent(w, r, "", time.Time{}, f)
}

func plainASCII(r rune) rune {
	if r < 0x20 || r > 0x7e || r == '"' || r == '\\' {
		return '_'
	}
	return r
}

// outputFile lets an output of one job be the input of another.
func (a *API) outputFile(ctx context.Context, path string) (*files.Info, error) {
	parts := strings.Split(path, "/") // "", v1, jobs, ID, outputs, NAME
	if len(parts) != 6 || parts[4] != "outputs" {
		return nil, errors.New("is not the path of an output")
	}
	_, file, p := a.output(ctx, parts[3], parts[5])
	if p != nil {
		return nil, errors.New(p.Message)
	}
	f, err := os.Open(file)
	if err != nil {
		return nil, errors.New("names an output that is no longer kept")
	}
	defer f.Close()
	return a.c.Files.Add(f, parts[5], 0)
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
	bound, fields, err := inputs.Bind(ctx, wf, in, "/input", s.files)
	if err != nil {
		return nil, err
	}
	if len(fields) > 0 {
		return nil, fmt.Errorf("%s has no default: %s", wf.Name, fields[0].Message)
	}
	return a.record(&request{}, wf, bound), nil
}
