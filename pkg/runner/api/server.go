// Package api is the HTTP API of the runner: routes, requests, replies, the
// event stream, health, metrics and the OpenAPI document.
package api

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"path"
	"strings"
	"sync/atomic"
	"time"

	"github.com/comfyctl/comfyctl/pkg/contract"
	"github.com/comfyctl/comfyctl/pkg/runner/engine"
	"github.com/comfyctl/comfyctl/pkg/runner/files"
	"github.com/comfyctl/comfyctl/pkg/runner/jobs"
	"github.com/comfyctl/comfyctl/pkg/runner/outputs"
	"github.com/comfyctl/comfyctl/pkg/runner/problem"
)

// Config is what the API serves.
type Config struct {
	Contract *contract.Contract
	Executor engine.Executor
	Queue    *jobs.Queue
	Files    *files.Store
	Fetcher  *files.Fetcher
	Outputs  *outputs.Store
	// Outbox has what webhooks are owed; Owe wakes who sends it.
	Outbox jobs.Outbox
	Owe    func()
	// ImageDigest is the image's, as sha256:HEX; empty means the contract's.
	ImageDigest string
	// Version is this program's own.
	Version string
	// Open is true once jobs are run; nil means from the start.
	Open func() bool
	// Page serves the page at /; nil means that there is none.
	Page http.Handler
	// Keys are the API keys that are let in; nil turns auth off.
	Keys *Keys
	Log  *slog.Logger
}

// API serves one contract; it can be given another while it runs.
type API struct {
	c       Config
	state   atomic.Pointer[state]
	started time.Time
	metrics *metrics
	mux     *http.ServeMux
	// measured is how long the workflows take.
	measured measured
	handler  http.Handler
}

// state is what follows from the contract.
type state struct {
	contract  *contract.Contract
	digest    string
	release   string
	workflows map[string]*contract.Workflow // by name, name@version and alias
	outputs   map[*contract.Workflow]outputNodes
	policies  map[*contract.Workflow]jobs.Policy
	openapi   []byte
}

// New makes the API.
func New(c Config) (*API, error) {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	a := &API{c: c, started: time.Now()}
	if err := a.Reload(c.Contract); err != nil {
		return nil, err
	}
	a.metrics = newMetrics(a)
	a.mux = a.routes()
	a.handler = a.guard(a.mux)
	return a, nil
}

// Reload serves another contract from the next request on.
func (a *API) Reload(c *contract.Contract) error {
	digest, err := c.Digest()
	if err != nil {
		return err
	}
	s := &state{contract: c, digest: digest, release: a.c.ImageDigest, workflows: map[string]*contract.Workflow{}}
	if s.release == "" {
		s.release = digest
	}
	for i := range c.Workflows {
		w := &c.Workflows[i]
		s.workflows[w.Name] = w
		s.workflows[w.Name+"@"+w.Version] = w
		for _, alias := range w.Aliases {
			s.workflows[alias] = w
		}
	}
	if s.outputs, err = checkGraphs(c); err != nil {
		return err
	}
	if s.policies, err = policies(c); err != nil {
		return err
	}
	doc, err := openAPI(c)
	if err != nil {
		return err
	}
	s.openapi = doc
	a.state.Store(s)
	return nil
}

// ServeHTTP serves the public listener.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) { a.handler.ServeHTTP(w, r) }

// Observe counts a finished job.
func (a *API) Observe(j *jobs.Job) {
	if a.metrics != nil {
		a.metrics.observe(j)
		a.measured.add(j)
	}
}

func (a *API) routes() *http.ServeMux {
	m := http.NewServeMux()
	m.HandleFunc("GET /healthz", a.healthz)
	m.HandleFunc("GET /readyz", a.readyz)
	m.HandleFunc("GET /metrics", a.serveMetrics)
	m.HandleFunc("GET /openapi.json", a.serveOpenAPI)
	m.HandleFunc("GET /docs", a.docs)
	m.HandleFunc("GET /docs/errors/{code}", a.docsError)
	m.HandleFunc("GET /v1/workflows", a.listWorkflows)
	m.HandleFunc("GET /v1/workflows/{name}", a.getWorkflow)
	m.HandleFunc("POST /v1/workflows/{name}/jobs", a.createJob)
	m.HandleFunc("POST /v1/workflows/{name}/validate", a.validateJob)
	m.HandleFunc("GET /v1/jobs", a.listJobs)
	m.HandleFunc("GET /v1/jobs/{id}", a.withJob(a.getJob))
	m.HandleFunc("DELETE /v1/jobs/{id}", a.withJob(a.deleteJob))
	m.HandleFunc("GET /v1/jobs/{id}/events", a.withJob(a.jobEvents))
	m.HandleFunc("GET /v1/jobs/{id}/logs", a.withJob(a.jobLog))
	m.HandleFunc("GET /v1/jobs/{id}/outputs/{name}", a.withJob(a.getOutput))
	m.HandleFunc("POST /v1/jobs/{id}/cancel", a.withJob(a.cancelJob))
	m.HandleFunc("POST /v1/jobs/{id}/retry", a.withJob(a.retryJob))
	m.HandleFunc("GET /v1/webhook-deliveries", a.listDeliveries)
	m.HandleFunc("POST /v1/webhook-deliveries/{id}/redeliver", a.redeliver)
	m.HandleFunc("POST /v1/files", a.uploadFile)
	m.HandleFunc("POST /v1/files/from-url", a.fileFromURL)
	m.HandleFunc("HEAD /v1/files/by-hash/{hash}", a.fileByHash)
	m.HandleFunc("GET /v1/files/{id}", a.getFile)
	m.HandleFunc("DELETE /v1/files/{id}", a.deleteFile)
	m.HandleFunc("/", a.rest)
	return m
}

// Admin is the API of the admin listener, which needs no key.
func (a *API) Admin() http.Handler {
	m := http.NewServeMux()
	m.HandleFunc("GET /healthz", a.healthz)
	m.HandleFunc("GET /readyz", a.readyz)
	m.HandleFunc("GET /metrics", a.serveMetrics)
	m.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		a.fail(w, r, problem.New("not_found", "there is nothing at "+r.URL.Path).WithHint("this listener serves /healthz, /readyz and /metrics"))
	})
	return m
}

// open reports whether jobs are run.
func (a *API) open() bool { return a.c.Open == nil || a.c.Open() }

// rest serves the page, and says no to everything else.
func (a *API) rest(w http.ResponseWriter, r *http.Request) {
	s := a.state.Load()
	if a.c.Page != nil && s.contract.Runner.Playground && safeMethod(r.Method) && pageFile(r.URL.Path) {
		a.c.Page.ServeHTTP(w, r)
		return
	}
	if allow := a.methods(r); len(allow) > 0 {
		w.Header().Set("Allow", strings.Join(allow, ", "))
		a.fail(w, r, problem.New("method_not_allowed", r.URL.Path+" takes "+strings.Join(allow, " and ")+", not "+r.Method))
		return
	}
	p := problem.New("not_found", "there is nothing at "+r.URL.Path).WithHint("GET /docs lists what there is")
	for prefix, what := range unserved {
		if r.URL.Path == prefix || strings.HasPrefix(r.URL.Path, prefix+"/") {
			p.Message = what + " are not served by this release"
		}
	}
	a.fail(w, r, p)
}

// unserved are paths of the design that a later release serves.
var unserved = map[string]string{
	"/v1/batches": "batches", "/v1/chains": "chains", "/v1/usage": "usage figures", "/v1/me": "key details",
	"/v1/client.ts": "generated clients",
}

// methods lists the methods that a path takes.
func (a *API) methods(r *http.Request) []string {
	var list []string
	for _, m := range []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodDelete} {
		probe := &http.Request{Method: m, URL: r.URL, Host: r.Host}
		if _, pattern := a.mux.Handler(probe); pattern != "/" {
			list = append(list, m)
		}
	}
	return list
}

// pageFile reports whether a path may be one of the page's files: those lie
// beside each other at the root.
func pageFile(p string) bool {
	return p == "/" || strings.Count(p, "/") == 1 && path.Ext(p) != ""
}

func isAPI(path string) bool { return len(path) >= 4 && path[:4] == "/v1/" }

func (a *API) fail(w http.ResponseWriter, r *http.Request, p *problem.Problem) {
	q := *p
	q.RequestID = requestID(r.Context())
	if q.Status >= 500 && q.Code == "internal" {
		a.c.Log.Error("request failed", "path", r.URL.Path, "error", p.Message, "request", q.RequestID)
	}
	q.Write(w)
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(v)
}

type contextKey int

const requestIDKey contextKey = 0

func requestID(ctx context.Context) string {
	id, _ := ctx.Value(requestIDKey).(string)
	return id
}
