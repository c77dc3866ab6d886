package api

import (
	"net/http"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/comfyctl/comfyctl/pkg/runner/engine"
	"github.com/comfyctl/comfyctl/pkg/runner/jobs"
)

// healthz says that the process answers, nothing else.
func (a *API) healthz(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, map[string]any{"status": "ok"})
}

// readyz says whether jobs would run now, and why not. Reasons need a key
// where auth is on.
func (a *API) readyz(w http.ResponseWriter, r *http.Request) {
	s := a.state.Load()
	st := a.c.Executor.Status()
	waiting, running := a.c.Queue.Depth()
	ready := st.Stage == engine.StageReady && a.open() && !a.c.Queue.Draining()
	eng := map[string]any{"kind": s.contract.Engine.Kind, "stage": st.Stage, "stage_ms": time.Since(st.Since).Milliseconds(), "version": st.Version, "devices": st.Devices, "restarts": st.Restarts}
	if s.contract.Engine.Kind == "stub" {
		eng["note"] = "STUB: pictures are made up; no model runs"
	}
	body := map[string]any{"ready": ready, "service": s.contract.Name, "release": s.release, "contract": s.digest, "engine": eng,
		"queue": map[string]int{"waiting": waiting, "running": running}, "draining": a.c.Queue.Draining(), "uptime_ms": time.Since(a.started).Milliseconds(),
		"auth": a.c.Keys != nil}
	if !ready && a.mayReason(r) {
		eng["reason"] = st.Reason
		if st.Stage != engine.StageReady {
			eng["log"] = st.LogTail
		}
	}
	status := http.StatusOK
	if !ready {
		status = http.StatusServiceUnavailable
		w.Header().Set("Retry-After", "2")
	}
	writeJSON(w, status, body)
}

// mayReason reports whether a caller of a free path may see reasons.
func (a *API) mayReason(r *http.Request) bool {
	if a.c.Keys == nil {
		return true
	}
	_, ok := a.c.Keys.find(credential(r))
	return ok
}

type metrics struct {
	handler http.Handler
	jobs    *prometheus.CounterVec
	run     *prometheus.HistogramVec
	wait    *prometheus.HistogramVec
}

func newMetrics(a *API) *metrics {
	reg := prometheus.NewRegistry()
	gauge := func(name, help string, f func() float64) {
		reg.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: "comfyctl", Name: name, Help: help}, f))
	}
	m := &metrics{
		jobs: prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "comfyctl", Name: "jobs_total", Help: "Finished jobs."}, []string{"workflow", "status"}),
		run: prometheus.NewHistogramVec(prometheus.HistogramOpts{Namespace: "comfyctl", Name: "job_run_seconds", Help: "Time in the engine.",
			Buckets: prometheus.ExponentialBuckets(0.05, 2, 15)}, []string{"workflow"}),
		wait: prometheus.NewHistogramVec(prometheus.HistogramOpts{Namespace: "comfyctl", Name: "job_queue_seconds", Help: "Time in the queue.",
			Buckets: prometheus.ExponentialBuckets(0.01, 2, 16)}, []string{"workflow"}),
	}
	gauge("jobs_waiting", "Jobs in the queue.", func() float64 { w, _ := a.c.Queue.Depth(); return float64(w) })
	gauge("jobs_running", "Jobs in the engine.", func() float64 { _, r := a.c.Queue.Depth(); return float64(r) })
	gauge("engine_ready", "1 when the engine is ready.", func() float64 {
		if a.c.Executor.Status().Stage == engine.StageReady {
			return 1
		}
		return 0
	})
	gauge("engine_restarts", "How often the engine was started again.", func() float64 { return float64(a.c.Executor.Status().Restarts) })
	reg.MustRegister(m.jobs, m.run, m.wait, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	m.handler = promhttp.HandlerFor(reg, promhttp.HandlerOpts{})
	return m
}

func (m *metrics) observe(j *jobs.Job) {
	m.jobs.WithLabelValues(j.Workflow, string(j.Status)).Inc()
	if j.StartedAt != nil {
		m.run.WithLabelValues(j.Workflow).Observe(float64(j.Timings.RunMS) / 1000)
		m.wait.WithLabelValues(j.Workflow).Observe(float64(j.Timings.QueueMS) / 1000)
	}
}

func (a *API) serveMetrics(w http.ResponseWriter, r *http.Request) {
	if strings.Contains(r.Header.Get("Accept"), "openmetrics") {
		r.Header.Set("Accept", "text/plain")
	}
	a.metrics.handler.ServeHTTP(w, r)
}
