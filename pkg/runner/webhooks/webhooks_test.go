package webhooks

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	standard "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"go.uber.org/goleak"

	"github.com/comfyctl/comfyctl/pkg/runner/jobs"
)

func TestMain(m *testing.M) {
	schedule = []time.Duration{time.Millisecond}
	goleak.VerifyTestMain(m)
}

// receiver answers as it is told and remembers what came.
type receiver struct {
	*httptest.Server
	mu      sync.Mutex
	answers []func(w http.ResponseWriter)
	headers []http.Header
	bodies  []string
}

func receive(t *testing.T, answers ...func(w http.ResponseWriter)) *receiver {
	r := &receiver{answers: answers}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		b, _ := io.ReadAll(req.Body)
		r.mu.Lock()
		r.headers, r.bodies = append(r.headers, req.Header.Clone()), append(r.bodies, string(b))
		var answer func(w http.ResponseWriter)
		if len(r.answers) > 0 {
			answer, r.answers = r.answers[0], r.answers[1:]
		}
		r.mu.Unlock()
		if answer != nil {
			answer(w)
		}
	}))
	t.Cleanup(r.Close)
	return r
}

func status(code int) func(w http.ResponseWriter) {
	return func(w http.ResponseWriter) { w.WriteHeader(code) }
}

func store(t *testing.T) jobs.Store {
	t.Helper()
	s, _, err := jobs.OpenSQLite(t.Context(), filepath.Join(t.TempDir(), "jobs.db"), jobs.Process)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// owe puts a delivery into the outbox, as a job's change does.
func owe(t *testing.T, s jobs.Store, url string, created time.Time) string {
	t.Helper()
	id := jobs.NewID("msg_")
	r := &jobs.Record{Job: jobs.Job{ID: jobs.NewID("job_"), Status: jobs.Queued, CreatedAt: created}, Work: jobs.Work{Graph: json.RawMessage(`{}`)}}
	now := time.Now().UTC()
	d := jobs.Delivery{ID: id, Job: r.Job.ID, Event: "job.succeeded", URL: url, Body: json.RawMessage(`{"type":"job.succeeded","data":{"id":"ü"}}`),
		Status: jobs.DeliveryPending, CreatedAt: created, NextAt: &now}
	if _, _, err := s.Create(t.Context(), r, "", "", jobs.Effects{Deliveries: []jobs.Delivery{d}}, func() error { return nil }); err != nil {
		t.Fatal(err)
	}
	return id
}

func anywhere(string, string, syscall.RawConn) error { return nil }

// run delivers until the delivery is no longer pending.
func run(t *testing.T, s jobs.Store, sender *Sender, id string) *jobs.Delivery {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	done := make(chan error, 1)
	go func() { done <- sender.Run(ctx, make(chan struct{})) }()
	defer func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}()
	for {
		d, err := s.Delivery(ctx, id)
		if err != nil {
			t.Fatal(err)
		}
		if d.Status != jobs.DeliveryPending {
			return d
		}
		time.Sleep(time.Millisecond)
	}
}

func secret(t *testing.T) string {
	t.Helper()
	s, err := NewSecret()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// The official library takes every delivery, with the old secret and with the
// new one; the id stays over the attempts.
func TestSignedForOldAndNewSecret(t *testing.T) {
	s, r := store(t), receive(t, status(500), status(429))
	before, after := secret(t), secret(t)
	id := owe(t, s, r.URL, time.Now().UTC())
	d := run(t, s, &Sender{Outbox: s, Secrets: []string{after, before}, Safe: anywhere}, id)
	if d.Status != jobs.DeliveryDelivered || d.Attempts != 3 || d.Code != 200 || d.Error != "" || d.NextAt != nil {
		t.Fatalf("%+v", d)
	}
	for i, h := range r.headers {
		for name, key := range map[string]string{"old": before, "new": after} {
			w, err := standard.NewWebhook(key)
			if err != nil {
				t.Fatal(err)
			}
			if err := w.Verify([]byte(r.bodies[i]), h); err != nil {
				t.Errorf("attempt %d with the %s secret: %v", i+1, name, err)
			}
		}
		if w, _ := standard.NewWebhook(secret(t)); w.Verify([]byte(r.bodies[i]), h) == nil {
			t.Error("a secret that nobody has verifies it")
		}
		if h.Get("Webhook-Id") != id || h.Get("Content-Type") != "application/json" {
			t.Errorf("%v", h)
		}
	}
}

func TestRow17ReceiverSaysNo(t *testing.T) {
	elsewhere := receive(t)
	for _, tt := range []struct {
		name     string
		answer   func(w http.ResponseWriter)
		status   string
		attempts int
	}{
		{"bad request", status(400), jobs.DeliveryFailed, 1},
		{"gone", status(410), jobs.DeliveryFailed, 1},
		{"redirect", func(w http.ResponseWriter) {
			w.Header().Set("Location", elsewhere.URL)
			w.WriteHeader(http.StatusTemporaryRedirect)
		}, jobs.DeliveryFailed, 1},
		{"conflict", status(409), jobs.DeliveryDelivered, 2},
		{"too early", status(425), jobs.DeliveryDelivered, 2},
		{"unavailable", status(503), jobs.DeliveryDelivered, 2},
		{"cut off", func(http.ResponseWriter) { panic(http.ErrAbortHandler) }, jobs.DeliveryDelivered, 2},
		{"large answer", func(w http.ResponseWriter) {
			for range 100 {
				if _, err := w.Write(make([]byte, 64<<10)); err != nil {
					return
				}
			}
		}, jobs.DeliveryDelivered, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, r := store(t), receive(t, tt.answer)
			d := run(t, s, &Sender{Outbox: s, Secrets: []string{secret(t)}, Safe: anywhere}, owe(t, s, r.URL, time.Now().UTC()))
			if d.Status != tt.status || d.Attempts != tt.attempts || (d.Status == jobs.DeliveryFailed) != (d.Error != "") {
				t.Errorf("%+v", d)
			}
		})
	}
	if len(elsewhere.bodies) > 0 {
		t.Error("a redirect was followed")
	}
}

func TestRow17GivesUpInTheEnd(t *testing.T) {
	s, r := store(t), receive(t, status(500), status(500))
	d := run(t, s, &Sender{Outbox: s, Secrets: []string{secret(t)}, Safe: anywhere}, owe(t, s, r.URL, time.Now().Add(-25*time.Hour).UTC()))
	if d.Status != jobs.DeliveryFailed || !strings.Contains(d.Error, "24h") {
		t.Errorf("%+v", d)
	}
}

func TestRow17RetryAfterIsObeyed(t *testing.T) {
	if d := wait(1, time.Hour); d != time.Hour {
		t.Errorf("%s", d)
	}
	if d := wait(1, 1000*time.Hour); d != maxRetryAfter {
		t.Errorf("%s", d)
	}
}

// Nothing is sent to an address that is not public, whatever its name.
func TestRow28PrivateAddresses(t *testing.T) {
	s, r := store(t), receive(t)
	sender := &Sender{Outbox: s, Secrets: []string{secret(t)}}
	if err := sender.Check(); err != nil {
		t.Fatal(err)
	}
	for _, url := range []string{r.URL, strings.Replace(r.URL, "127.0.0.1", "localhost", 1), "https://169.254.169.254/latest", "https://[::ffff:10.0.0.1]/"} {
		_, _, err := sender.post(t.Context(), &jobs.Delivery{ID: "msg_1", URL: url, Body: json.RawMessage(`{}`)})
		if err == nil || reason(0, err) != "the address is not a public one" {
			t.Errorf("%s: %v", url, err)
		}
	}
	if len(r.bodies) > 0 {
		t.Error("a private address was reached")
	}
}

func TestCheckURL(t *testing.T) {
	for url, good := range map[string]bool{
		"https://example.com/hook?x=1": true, "http://example.com": false, "https://": false, "https://u:p@example.com": false,
		"file:///etc/passwd": false, "https://example.com/#x": false, "://": false,
	} {
		if err := CheckURL(url); (err == nil) != good {
			t.Errorf("%s: %v", url, err)
		}
	}
}

func TestSecretsAreChecked(t *testing.T) {
	for _, list := range [][]string{nil, {"plain"}, {"whsec_???"}} {
		if err := (&Sender{Secrets: list}).Check(); err == nil {
			t.Errorf("%v can sign", list)
		}
	}
	if err := (&Sender{Secrets: []string{secret(t)}}).Run(canceled(), nil); err != nil && !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func canceled() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}
