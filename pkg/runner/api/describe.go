package api

import (
	"encoding/json"
	"net/http"

	"github.com/comfyctl/comfyctl/internal/diag"
	"github.com/comfyctl/comfyctl/pkg/contract"
	"github.com/comfyctl/comfyctl/pkg/runner/inputs"
	"github.com/comfyctl/comfyctl/pkg/runner/problem"
)

// workflow finds the workflow of a path.
func (s *state) workflow(name string) (*contract.Workflow, *problem.Problem) {
	if w, ok := s.workflows[name]; ok {
		return w, nil
	}
	p := problem.New("not_found", "there is no workflow `"+name+"`")
	var names []string
	for _, w := range s.contract.Workflows {
		names = append(names, w.Name)
	}
	p.Errors = []problem.Field{{Pointer: "", Code: "unknown_workflow", Message: p.Message, Allowed: names, Suggestion: diag.Suggest(name, names)}}
	return nil, p
}

// limits are what bounds a request and a job, in bytes, pixels and seconds.
func (a *API) limits() map[string]any {
	q := a.c.Queue.Limits()
	return map[string]any{
		"body_bytes": a.bodyLimit(), "file_bytes": a.c.Files.Limits.Size, "pixels": a.c.Files.Limits.Pixels, "json_depth": a.depthLimit(),
		"queue": q.Max, "queue_s": q.QueueTimeout.Seconds(), "job_s": q.JobTimeout.Seconds(),
	}
}

func (a *API) describe(w *contract.Workflow) map[string]any {
	outs := []map[string]any{}
	for _, o := range w.Outputs {
		m := map[string]any{"name": o.Name, "node_id": o.Node}
		if o.Type != "" {
			m["type"] = o.Type
		}
		if o.Description != "" {
			m["description"] = o.Description
		}
		outs = append(outs, m)
	}
	return map[string]any{"object": "workflow", "name": w.Name, "version": w.Version, "aliases": append([]string{}, w.Aliases...),
		"description": w.Description, "inputs": inputs.Schema(w), "outputs": outs, "example": example(w),
		"measured": a.measured.of(w.Name), "limits": a.limits()}
}

// example is a request body that fits.
func example(w *contract.Workflow) map[string]any {
	in := map[string]json.RawMessage{}
	for _, i := range w.Inputs {
		switch {
		case i.Example != nil:
			in[i.Name] = i.Example
		case i.Default != nil && i.Type != contract.TypeSeed && i.Required:
			in[i.Name] = i.Default
		}
	}
	return map[string]any{"input": in}
}

func (a *API) listWorkflows(w http.ResponseWriter, _ *http.Request) {
	s := a.state.Load()
	list := []map[string]any{}
	for i := range s.contract.Workflows {
		wf := &s.contract.Workflows[i]
		list = append(list, map[string]any{"name": wf.Name, "version": wf.Version, "aliases": append([]string{}, wf.Aliases...), "description": wf.Description})
	}
	writeJSON(w, http.StatusOK, map[string]any{"object": "list", "data": list, "service": s.contract.Name, "engine": s.contract.Engine.Kind})
}

func (a *API) getWorkflow(w http.ResponseWriter, r *http.Request) {
	wf, p := a.state.Load().workflow(r.PathValue("name"))
	if p != nil {
		a.fail(w, r, p)
		return
	}
	writeJSON(w, http.StatusOK, a.describe(wf))
}
