package api

import (
	"encoding/json"
	"fmt"
	"html/template"
	"net/http"
	"sort"

	"github.com/comfyctl/comfyctl/pkg/contract"
	"github.com/comfyctl/comfyctl/pkg/runner/inputs"
	"github.com/comfyctl/comfyctl/pkg/runner/jobs"
	"github.com/comfyctl/comfyctl/pkg/runner/problem"
)

type object = map[string]any

// openAPI writes the OpenAPI 3.1 document of a contract: one typed path for
// each workflow, and what they share.
func openAPI(c *contract.Contract) ([]byte, error) {
	paths := object{}
	schemas := object{"Job": jobSchema(), "Output": outputSchema(), "Problem": problemSchema(), "File": fileSchema()}
	for i := range c.Workflows {
		typed(&c.Workflows[i], paths, schemas)
	}
	shared(paths)
	doc := object{
		"openapi": "3.1.0", "info": object{"title": c.Name, "description": c.Description, "version": version(c)}, "paths": paths,
		"servers": []any{object{"url": "."}},
		"components": object{"schemas": schemas, "securitySchemes": object{
			"bearer": object{"type": "http", "scheme": "bearer"}, "header": object{"type": "apiKey", "in": "header", "name": "X-API-Key"},
		}},
		"security": []any{object{"bearer": []any{}}, object{"header": []any{}}, object{}},
	}
	b, err := json.MarshalIndent(doc, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("writing the OpenAPI document: %w", err)
	}
	return b, nil
}

// typed adds the paths of one workflow.
func typed(w *contract.Workflow, paths, schemas object) {
	name := "Input_" + w.Name
	schemas[name] = inputs.Schema(w)
	schemas["Request_"+w.Name] = object{"type": "object", "additionalProperties": false, "properties": object{
		"input":    ref(name),
		"outputs":  object{"type": "object", "properties": object{"mode": object{"enum": []string{"url", "data"}, "default": "url", "description": "data puts base64 into the reply, up to 4 MiB"}}},
		"queue":    object{"type": "object", "properties": object{"priority": object{"type": "integer", "minimum": -100, "maximum": 100}, "max_wait_s": object{"type": "number"}, "timeout_s": object{"type": "number"}}},
		"metadata": object{"type": "object", "additionalProperties": object{"type": "string"}},
		"webhook": object{"type": "object", "required": []string{"url"}, "additionalProperties": false, "description": "told of the job's events, signed by Standard Webhooks",
			"properties": object{"url": object{"type": "string", "format": "uri"}, "events": object{"type": "array", "items": object{"enum": jobs.HookEvents}}}},
	}}
	form := object{"request": ref("Request_" + w.Name)}
	for _, in := range w.Inputs {
		if inputs.IsFile(in.Type) {
			form[in.Name] = object{"type": "string", "format": "binary"}
		}
	}
	body := object{"requestBody": object{"required": true, "content": object{
		"application/json":    object{"schema": ref("Request_" + w.Name), "example": example(w)},
		"multipart/form-data": object{"schema": object{"type": "object", "properties": form}},
	}}}
	base := "/v1/workflows/" + w.Name
	post := operation("create_"+w.Name, "Run "+w.Name, w.Description, body,
		object{"201": reply("the job has ended", "Job"), "202": reply("the job goes on", "Job")}, "400", "401", "404", "409", "413", "415", "422", "503")
	post["parameters"] = []any{header("Prefer", "wait=SECONDS (60 unless said) or respond-async"), header("Idempotency-Key", "the same key and body give the same job for 24 hours")}
	paths[base+"/jobs"] = object{"post": post}
	paths[base+"/validate"] = object{"post": operation("validate_"+w.Name, "Check a request for "+w.Name+" without running it", "", body,
		object{"200": object{"description": "it fits"}}, "400", "401", "404", "413", "415", "422")}
	paths[base] = object{"get": operation("get_"+w.Name, "Inputs and outputs of "+w.Name, "", nil, object{"200": object{"description": "the workflow"}}, "404")}
}

func version(c *contract.Contract) string {
	if len(c.Workflows) == 1 {
		return c.Workflows[0].Version
	}
	return "1"
}

func shared(paths object) {
	id := object{"parameters": []any{object{"name": "id", "in": "path", "required": true, "schema": object{"type": "string"}}}}
	with := func(more ...any) object {
		return object{"parameters": append(append([]any{}, id["parameters"].([]any)...), more...)}
	}
	query := func(name, typ, about string) object {
		return object{"name": name, "in": "query", "schema": object{"type": typ}, "description": about}
	}
	ok := func(s string) object { return object{"200": reply("ok", s)} }
	paths["/v1/workflows"] = object{"get": operation("list_workflows", "Workflows", "", nil, object{"200": object{"description": "the workflows"}})}
	paths["/v1/jobs"] = object{"get": operation("list_jobs", "Jobs, newest first", "", object{"parameters": []any{
		query("status", "string", ""), query("workflow", "string", ""), query("since", "string", "a time"), query("cursor", "string", "next_cursor of the page before"), query("limit", "integer", "1 to 200")}},
		object{"200": object{"description": "a page of jobs"}}, "400")}
	paths["/v1/jobs/{id}"] = object{"get": operation("get_job", "A job", "", with(query("wait", "integer", "seconds to wait for its end")), ok("Job"), "404"),
		"delete": operation("delete_job", "Erase a job and its outputs", "", id, object{"204": object{"description": "erased"}}, "404", "409")}
	paths["/v1/jobs/{id}/events"] = object{"get": operation("job_events", "Follow a job", "Server-Sent Events: status, progress, preview, output, log, warning, done", with(
		header("Last-Event-ID", "go on after this event"), query("types", "string", "comma list of events")),
		object{"200": object{"description": "the stream", "content": object{"text/event-stream": object{"schema": object{"type": "string"}}}}}, "404")}
	paths["/v1/jobs/{id}/logs"] = object{"get": operation("get_log", "What the engine wrote while the job ran", "", id,
		object{"200": object{"description": "lines of text", "content": object{"text/plain": object{"schema": object{"type": "string"}}}}}, "404")}
	paths["/v1/files/by-hash/{sha256}"] = object{"head": operation("has_file", "Whether a file is here", "", object{"parameters": []any{
		object{"name": "sha256", "in": "path", "required": true, "schema": object{"type": "string"}}}},
		object{"200": object{"description": "it is"}, "404": object{"description": "it is not"}})}
	paths["/v1/webhook-deliveries"] = object{"get": operation("list_deliveries", "What webhooks were sent or are owed, newest first", "", object{"parameters": []any{
		query("job", "string", "of this job"), query("limit", "integer", "1 to 200")}}, object{"200": object{"description": "the deliveries"}}, "400", "401", "404")}
	paths["/v1/webhook-deliveries/{id}/redeliver"] = object{"post": operation("redeliver", "Send a delivery again", "", id, object{"202": object{"description": "it is sent again"}}, "401", "404")}
	paths["/metrics"] = object{"get": operation("metrics", "Prometheus metrics", "", nil, object{"200": object{"description": "the metrics"}}, "401", "403")}
	paths["/v1/jobs/{id}/outputs/{name}"] = object{"get": operation("get_output", "The bytes of an output", "", with(
		object{"name": "name", "in": "path", "required": true, "schema": object{"type": "string"}}),
		object{"200": object{"description": "the bytes"}, "206": object{"description": "a range of them"}, "304": object{"description": "unchanged"}}, "404", "410")}
	paths["/v1/jobs/{id}/cancel"] = object{"post": operation("cancel_job", "Stop a job", "", id, ok("Job"), "404", "409")}
	paths["/v1/jobs/{id}/retry"] = object{"post": operation("retry_job", "Run a finished job again", "", id, object{"201": reply("the new job has ended", "Job"), "202": reply("the new job goes on", "Job")}, "404", "409")}
	paths["/v1/files"] = object{"post": operation("upload_file", "Send a file", "", object{"requestBody": object{"content": object{"multipart/form-data": object{
		"schema": object{"type": "object", "properties": object{"file": object{"type": "string", "format": "binary"}}}}}}}, object{"201": reply("stored", "File")}, "400", "413", "415")}
	paths["/v1/files/from-url"] = object{"post": operation("file_from_url", "Fetch a file from a public URL", "", object{"requestBody": object{"content": object{"application/json": object{
		"schema": object{"type": "object", "required": []string{"url"}, "properties": object{"url": object{"type": "string"}}}}}}}, object{"201": reply("stored", "File")}, "400", "422")}
	paths["/v1/files/{id}"] = object{"get": operation("get_file", "Describe a file", "", id, ok("File"), "404"),
		"delete": operation("delete_file", "Remove a file", "", id, object{"204": object{"description": "removed"}}, "404")}
	paths["/healthz"] = object{"get": operation("healthz", "The process answers", "", nil, object{"200": object{"description": "ok"}})}
	paths["/readyz"] = object{"get": operation("readyz", "Jobs would run now", "", nil, object{"200": object{"description": "ready"}, "503": object{"description": "not ready, with reasons"}})}
}

func ref(name string) object { return object{"$ref": "#/components/schemas/" + name} }

func reply(about, schema string) object {
	return object{"description": about, "content": object{"application/json": object{"schema": ref(schema)}}}
}

func header(name, about string) object {
	return object{"name": name, "in": "header", "description": about, "schema": object{"type": "string"}}
}

func operation(id, summary, about string, more, replies object, problems ...string) object {
	op := object{"operationId": id, "summary": summary, "responses": replies}
	if about != "" {
		op["description"] = about
	}
	for _, p := range problems {
		replies[p] = object{"description": "a problem", "content": object{"application/problem+json": object{"schema": ref("Problem")}}}
	}
	for k, v := range more {
		op[k] = v
	}
	return op
}

func jobSchema() object {
	str, num, integer := object{"type": "string"}, object{"type": "number"}, object{"type": "integer"}
	null := func(t string) object { return object{"type": []string{t, "null"}} }
	return object{"type": "object", "required": []string{"id", "status", "workflow", "outputs"}, "properties": object{
		"id": str, "object": object{"const": "job"}, "workflow": str, "version": str, "release": str, "engine": object{"enum": []string{"comfyui", "stub"}},
		"status":     object{"enum": []string{"queued", "running", "canceling", "succeeded", "failed", "canceled", "expired"}},
		"created_at": str, "started_at": null("string"), "finished_at": null("string"),
		"progress": object{"type": "object", "properties": object{"value": num, "nodes_done": integer, "nodes_total": integer, "current_node": null("object"), "step": integer, "steps": integer, "queue_position": integer}},
		"input":    object{"type": "object"}, "outputs": object{"type": "array", "items": ref("Output")},
		"reused": object{"type": "boolean"}, "degraded": null("object"), "error": object{"oneOf": []any{ref("Problem"), object{"type": "null"}}}, "attempts": integer,
		"timings": object{"type": "object"}, "usage": null("object"), "metadata": object{"type": "object"}, "links": object{"type": "object"}}}
}

func outputSchema() object {
	str, integer := object{"type": "string"}, object{"type": "integer"}
	return object{"type": "object", "required": []string{"name", "type", "content_type", "size_bytes", "hash"}, "properties": object{
		"name": str, "node_id": str, "type": object{"enum": []string{"image", "video", "audio", "text", "3d", "latent", "file"}}, "content_type": str, "size_bytes": integer,
		"width": integer, "height": integer, "hash": str, "url": str, "data": str, "text": str, "filename": str, "temporary": object{"type": "boolean"}}}
}

func problemSchema() object {
	codes := []string{}
	for c := range problem.Kinds {
		codes = append(codes, c)
	}
	sort.Strings(codes)
	str := object{"type": "string"}
	return object{"type": "object", "required": []string{"type", "title", "code", "message"}, "properties": object{"type": str, "title": str, "status": object{"type": "integer"},
		"code": object{"enum": codes}, "message": str, "traceback": object{"type": "array", "items": str}, "hint": str, "retryable": object{"type": "boolean"}, "request_id": str, "exception": str, "node": object{"type": "object"},
		"errors": object{"type": "array", "items": object{"type": "object", "properties": object{"pointer": str, "code": str, "message": str, "allowed": object{}, "suggestion": str}}}}}
}

func fileSchema() object {
	str, integer := object{"type": "string"}, object{"type": "integer"}
	return object{"type": "object", "properties": object{"id": str, "object": object{"const": "file"}, "name": str, "content_type": str, "type": str, "size_bytes": integer, "width": integer, "height": integer, "hash": str, "created_at": str}}
}

func (a *API) serveOpenAPI(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-cache")
	_, _ = w.Write(a.state.Load().openapi)
}

var docsPage = template.Must(template.New("docs").Parse(`<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{{.Title}} API</title><style>body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color-scheme:light dark}
code{font-family:ui-monospace,monospace}table{border-collapse:collapse}td{padding:.25rem 1rem .25rem 0;vertical-align:top}</style>
<h1>{{.Title}}</h1><p>{{.About}}</p><p>The whole description: <a href="openapi.json"><code>openapi.json</code></a>. Errors are RFC 9457 problems; their codes: {{range .Codes}}<a href="docs/errors/{{.}}"><code>{{.}}</code></a> {{end}}</p>
<table>{{range .Rows}}<tr><td><code>{{.Method}}</code></td><td><code>{{.Path}}</code></td><td>{{.Summary}}</td></tr>{{end}}</table></html>`))

type docsRow struct{ Method, Path, Summary string }

// docs is a small reference page made from the OpenAPI document.
func (a *API) docs(w http.ResponseWriter, _ *http.Request) {
	s := a.state.Load()
	var doc struct {
		Paths map[string]map[string]struct {
			Summary string `json:"summary"`
		} `json:"paths"`
	}
	_ = json.Unmarshal(s.openapi, &doc)
	var rows []docsRow
	for path, methods := range doc.Paths {
		for method, op := range methods {
			rows = append(rows, docsRow{upper(method), path, op.Summary})
		}
	}
	sort.Slice(rows, func(i, j int) bool {
		return rows[i].Path+rows[i].Method < rows[j].Path+rows[j].Method
	})
	var codes []string
	for c := range problem.Kinds {
		codes = append(codes, c)
	}
	sort.Strings(codes)
	htmlHeaders(w)
	_ = docsPage.Execute(w, map[string]any{"Title": s.contract.Name, "About": s.contract.Description, "Rows": rows, "Codes": codes})
}

func upper(s string) string {
	b := []byte(s)
	for i, c := range b {
		if c >= 'a' && c <= 'z' {
			b[i] = c - 'a' + 'A'
		}
	}
	return string(b)
}

func htmlHeaders(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'")
}

var errorPage = template.Must(template.New("error").Parse(`<!doctype html><html lang="en"><meta charset="utf-8"><title>{{.Code}}</title>
<style>body{font:16px/1.5 system-ui,sans-serif;max-width:40rem;margin:2rem auto;padding:0 1rem;color-scheme:light dark}</style>
<h1><code>{{.Code}}</code></h1><p>{{.Kind.Title}}. HTTP status {{.Kind.Status}}. {{if .Kind.Retryable}}The same request may succeed later.{{else}}The same request will fail again.{{end}}</p></html>`))

func (a *API) docsError(w http.ResponseWriter, r *http.Request) {
	k, ok := problem.Kinds[r.PathValue("code")]
	if !ok {
		a.fail(w, r, problem.New("not_found", "there is no error code `"+r.PathValue("code")+"`"))
		return
	}
	htmlHeaders(w)
	_ = errorPage.Execute(w, map[string]any{"Code": r.PathValue("code"), "Kind": k})
}
