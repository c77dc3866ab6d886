package api

import (
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/comfyctl/comfyctl/pkg/runner/jobs"
	"github.com/comfyctl/comfyctl/pkg/runner/problem"
)

// listDeliveries lists what webhooks were sent or are owed.
func (a *API) listDeliveries(w http.ResponseWriter, r *http.Request) {
	limit := 50
	q := r.URL.Query()
	if s := q.Get("limit"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 || n > 200 {
			a.fail(w, r, problem.New("bad_request", "`limit` goes from 1 to 200"))
			return
		}
		limit = n
	}
	id := q.Get("job")
	if id != "" {
		if _, p := a.job(r.Context(), id); p != nil {
			a.fail(w, r, p)
			return
		}
	}
	var only *string
	if k := caller(r.Context()); !k.admin() {
		only = &k.name
	}
	list, err := a.c.Outbox.Deliveries(r.Context(), id, only, limit)
	if err != nil {
		a.fail(w, r, problem.New("internal", err.Error()))
		return
	}
	writeJSON(w, http.StatusOK, map[string]any{"object": "list", "data": list})
}

// redeliver sends a delivery again, whatever became of it. Its id stays, so
// that the receiver knows it.
func (a *API) redeliver(w http.ResponseWriter, r *http.Request) {
	none := problem.New("not_found", "there is no delivery `"+r.PathValue("id")+"`")
	d, err := a.c.Outbox.Delivery(r.Context(), r.PathValue("id"))
	if errors.Is(err, jobs.ErrNotFound) {
		a.fail(w, r, none)
		return
	}
	if err != nil {
		a.fail(w, r, problem.New("internal", err.Error()))
		return
	}
	if k := caller(r.Context()); !k.admin() {
		if _, p := a.job(r.Context(), d.Job); p != nil {
			a.fail(w, r, none)
			return
		}
	}
	now := time.Now().UTC()
	// Its time begins anew, for it may be older than deliveries are tried.
	d.Status, d.NextAt, d.CreatedAt, d.Attempts = jobs.DeliveryPending, &now, now, 0
	if err := a.c.Outbox.SaveDelivery(r.Context(), d); err != nil {
		a.fail(w, r, problem.New("internal", err.Error()))
		return
	}
	a.c.Owe()
	writeJSON(w, http.StatusAccepted, d)
}
