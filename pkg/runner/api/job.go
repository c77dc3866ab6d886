package api

import (
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/comfyctl/comfyctl/pkg/runner/jobs"
	"github.com/comfyctl/comfyctl/pkg/runner/problem"
)

// job finds the job that a path names, among those that the caller may see.
func (a *API) job(ctx context.Context, id string) (*jobs.Job, *problem.Problem) {
	job, err := a.c.Queue.Get(ctx, id)
	switch {
	case errors.Is(err, jobs.ErrNotFound), err == nil && !mine(ctx, job):
		return nil, problem.New("not_found", "there is no job `"+id+"`")
	case err != nil:
		return nil, problem.New("internal", err.Error())
	}
	return job, nil
}

// withJob serves a path that names a job.
func (a *API) withJob(serve func(w http.ResponseWriter, r *http.Request, j *jobs.Job) *problem.Problem) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		j, p := a.job(r.Context(), r.PathValue("id"))
		if p == nil {
			p = serve(w, r, j)
		}
		if p != nil {
			a.fail(w, r, p)
		}
	}
}

// maxWait is the longest that a request may wait for a job.
const maxWait = 600 * time.Second

func (a *API) getJob(w http.ResponseWriter, r *http.Request, j *jobs.Job) *problem.Problem {
	if s := r.URL.Query().Get("wait"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil || n < 0 {
			return problem.New("bad_request", "`wait` is a number of seconds")
		}
		ctx, cancel := context.WithTimeout(r.Context(), min(time.Duration(min(n, 3600))*time.Second, maxWait))
		defer cancel()
		if j, err = a.c.Queue.Wait(ctx, j.ID); err != nil {
			return problem.New("internal", err.Error())
		}
	}
	if r.URL.Query().Get("debug") == "true" {
		if !caller(r.Context()).admin() {
			return problem.New("forbidden", "`debug` takes a key of the tier admin")
		}
		a.addTrace(r.Context(), j)
	}
	return a.answer(w, http.StatusOK, j)
}

// addTrace puts the failed node's traceback into the reply.
func (a *API) addTrace(ctx context.Context, j *jobs.Job) {
	rec, err := a.c.Queue.Record(ctx, j.ID)
	if err != nil || j.Error == nil {
		return
	}
	p := *j.Error
	p.Traceback = rec.Run.Trace
	j.Error = &p
}

func (a *API) listJobs(w http.ResponseWriter, r *http.Request) {
	query, limit, p := jobsQuery(r)
	if p != nil {
		a.fail(w, r, p)
		return
	}
	query.Limit = limit + 1
	list, err := a.c.Queue.List(r.Context(), query)
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

// jobsQuery reads ?status=&workflow=&metadata.K=&since=&cursor=&limit=.
func jobsQuery(r *http.Request) (q jobs.Query, limit int, p *problem.Problem) {
	limit = 20
	if k := caller(r.Context()); !k.admin() {
		q.Caller = &k.name
	}
	for name, values := range r.URL.Query() {
		v := values[len(values)-1]
		var err error
		switch {
		case name == "status":
			q.Status = v
			if !slices.Contains(jobs.Statuses, jobs.Status(v)) {
				return q, 0, problem.New("bad_request", "there is no status `"+v+"`").WithHint("one of queued, running, canceling, succeeded, failed, canceled, expired")
			}
		case name == "workflow":
			q.Workflow = v
		case name == "cursor":
			q.Before = v
		case name == "since":
			if q.Since, err = time.Parse(time.RFC3339, v); err != nil {
				return q, 0, problem.New("bad_request", "`since` is a time such as 2026-01-31T12:00:00Z")
			}
		case name == "limit":
			if limit, err = strconv.Atoi(v); err != nil || limit < 1 || limit > 200 {
				return q, 0, problem.New("bad_request", "`limit` goes from 1 to 200")
			}
		case strings.HasPrefix(name, "metadata."):
			if q.Metadata == nil {
				q.Metadata = map[string]string{}
			}
			q.Metadata[strings.TrimPrefix(name, "metadata.")] = v
		default:
			return q, 0, problem.New("bad_request", "there is no parameter `"+name+"`").WithHint("status, workflow, metadata.KEY, since, cursor and limit")
		}
	}
	return q, limit, nil
}

func (a *API) cancelJob(w http.ResponseWriter, r *http.Request, j *jobs.Job) *problem.Problem {
	now, err := a.c.Queue.Cancel(r.Context(), j.ID)
	switch {
	case errors.Is(err, jobs.ErrFinal):
		return problem.New("conflict", "the job has ended: it is "+string(now.Status))
	case err != nil:
		return problem.New("internal", err.Error())
	}
	return a.answer(w, http.StatusOK, now)
}

// retryJob runs an ended job again as a new one. Asked twice it gives the same
// new job.
func (a *API) retryJob(w http.ResponseWriter, r *http.Request, j *jobs.Job) *problem.Problem {
	if !j.Status.Final() {
		return problem.New("conflict", "the job has not ended")
	}
	old, err := a.c.Queue.Record(r.Context(), j.ID)
	if err != nil {
		return problem.New("internal", err.Error())
	}
	rec := &jobs.Record{Work: old.Work, Job: jobs.Job{
		ID: jobs.NewID("job_"), Object: "job", Workflow: old.Job.Workflow, Version: old.Job.Version,
		Release: a.state.Load().release, Engine: old.Job.Engine, Input: old.Job.Input, Outputs: []jobs.Output{}, Metadata: old.Job.Metadata,
		Progress: jobs.Progress{NodesTotal: old.Job.Progress.NodesTotal},
	}}
	rec.Job.Links = links(rec.Job.ID)
	a.submit(w, r, rec, "retry\x00"+j.ID, "")
	return nil
}

func (a *API) deleteJob(w http.ResponseWriter, r *http.Request, j *jobs.Job) *problem.Problem {
	err := a.c.Queue.Delete(r.Context(), j.ID)
	switch {
	case errors.Is(err, jobs.ErrNotFinal):
		return problem.New("conflict", "the job has not ended").WithHint("cancel it first")
	case err != nil && !errors.Is(err, jobs.ErrNotFound):
		return problem.New("internal", err.Error())
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// jobLog serves what the engine wrote while the job ran, as plain text.
func (a *API) jobLog(w http.ResponseWriter, r *http.Request, j *jobs.Job) *problem.Problem {
	lines, err := a.c.Queue.Log(r.Context(), j.ID)
	if err != nil {
		return problem.New("internal", err.Error())
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	for _, l := range lines {
		// A caller that has gone is nobody's trouble.
		_, _ = io.WriteString(w, l+"\n") //nolint:gosec // plain text by its type, and nosniff
	}
	return nil
}
