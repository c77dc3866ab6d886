package api

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/comfyctl/comfyctl/pkg/runner/jobs"
	"github.com/comfyctl/comfyctl/pkg/runner/problem"
)

// heartbeat keeps proxies from closing a silent stream.
const heartbeat = 15 * time.Second

func (a *API) jobEvents(w http.ResponseWriter, r *http.Request, j *jobs.Job) *problem.Problem {
	var after int64
	last := r.Header.Get("Last-Event-ID")
	if last == "" {
		last = r.URL.Query().Get("last_event_id")
	}
	if last != "" {
		n, err := strconv.ParseInt(last, 10, 64)
		if err != nil || n < 0 {
			return problem.New("bad_request", "Last-Event-ID is the id of an event")
		}
		after = n
	}
	types := r.URL.Query().Get("types")
	for t := range strings.SplitSeq(types, ",") {
		if types != "" && !slices.Contains(jobs.EventTypes, t) {
			return problem.New("bad_request", "there is no event type `"+t+"`").WithHint("one of " + strings.Join(jobs.EventTypes, ", "))
		}
	}
	a.stream(w, r, j.ID, after)
	return nil
}

// stream sends a job's events as Server-Sent Events until the job has ended.
func (a *API) stream(w http.ResponseWriter, r *http.Request, id string, after int64) {
	var types []string
	if t := r.URL.Query().Get("types"); t != "" {
		types = append(strings.Split(t, ","), "done")
	}
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no")
	h.Set("Location", "/v1/jobs/"+id)
	w.WriteHeader(http.StatusOK)
	rc := http.NewResponseController(w)
	_ = rc.Flush()
	write := func(format string, args ...any) error {
		_ = rc.SetWriteDeadline(time.Now().Add(30 * time.Second))
		if _, err := fmt.Fprintf(w, format, args...); err != nil {
			return err
		}
		return rc.Flush()
	}
	err := a.c.Queue.Events(r.Context(), id, after, heartbeat, func(e jobs.Event) error {
		if len(types) > 0 && !slices.Contains(types, e.Type) {
			return nil
		}
		return write("id: %d\nevent: %s\ndata: %s\n\n", e.ID, e.Type, e.Data)
	}, func() error { return write(": still here\n\n") })
	if err != nil && r.Context().Err() == nil {
		a.c.Log.Debug("event stream ended", "job", id, "error", err)
	}
}
