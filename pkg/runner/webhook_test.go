package runner

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	standard "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/comfyctl/comfyctl/pkg/contract"
	"github.com/comfyctl/comfyctl/pkg/runner/jobs"
)

// What a webhook is owed is stored with the job's end, is sent after a restart,
// is listed and can be sent again.
func TestWebhooksOfAJob(t *testing.T) {
	var mu sync.Mutex
	var got []string
	down := true
	var headers []http.Header
	hook := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		mu.Lock()
		defer mu.Unlock()
		if down {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		got, headers = append(got, string(b)), append(headers, r.Header.Clone())
	}))
	defer hook.Close()
	dir := t.TempDir()
	c := Config{Contract: theContract(), hookSafe: func(string, string, syscall.RawConn) error { return nil }}
	c.Contract.Runner.Webhooks = &contract.Hooks{Events: []string{"job.queued", "job.succeeded"}}
	s := startWith(t, dir, &fake{run: draws}, c)
	a := s.do("POST", create, `{"input":{"prompt":"x"},"webhook":{"url":"`+hook.URL+`/in"}}`)
	if a.status != 201 {
		t.Fatalf("%d %s", a.status, a.body)
	}
	list := func() answer { return s.do("GET", "/v1/webhook-deliveries?job="+a.at("id"), "") }
	if l := list(); l.at("data.0.event") != "job.succeeded" || l.at("data.1.event") != "job.queued" || l.at("data.0.status") != "pending" {
		t.Errorf("%s", l.body)
	}
	s.stop()
	mu.Lock()
	down = false
	mu.Unlock()
	due(t, dir)
	s = startTrusting(t, dir, c, hook)
	until(t, func() bool { mu.Lock(); defer mu.Unlock(); return len(got) == 2 })
	key, err := os.ReadFile(filepath.Join(dir, "webhook-secret"))
	if err != nil {
		t.Fatal(err)
	}
	w, err := standard.NewWebhook(strings.TrimSpace(string(key)))
	if err != nil {
		t.Fatal(err)
	}
	for i, body := range got {
		if err := w.Verify([]byte(body), headers[i]); err != nil || !strings.Contains(body, a.at("id")) || strings.Contains(body, hook.URL) {
			t.Errorf("%v %s", err, body)
		}
	}
	until(t, func() bool { return list().at("data.0.status") == "delivered" })
	if r := s.do("POST", "/v1/webhook-deliveries/"+list().at("data.0.id")+"/redeliver", ""); r.status != 202 {
		t.Errorf("%d %s", r.status, r.body)
	}
	until(t, func() bool { mu.Lock(); defer mu.Unlock(); return len(got) == 3 })
	if r := s.do("POST", "/v1/webhook-deliveries/msg_none/redeliver", ""); r.status != 404 {
		t.Errorf("%d", r.status)
	}
}

func until(t *testing.T, is func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !is(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it never came")
		}
	}
}

// due lets all deliveries be tried at once.
func due(t *testing.T, dir string) {
	t.Helper()
	s, _, err := jobs.OpenSQLite(t.Context(), filepath.Join(dir, "jobs.db"), jobs.Process)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	list, err := s.Deliveries(t.Context(), "", nil, 10)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	for i := range list {
		list[i].NextAt = &now
		if err := s.SaveDelivery(t.Context(), &list[i]); err != nil {
			t.Fatal(err)
		}
	}
}

// startTrusting starts a service whose webhooks trust a test's certificate.
func startTrusting(t *testing.T, dir string, c Config, hook *httptest.Server) *service {
	t.Helper()
	c.hookTransport = hook.Client().Transport
	return startWith(t, dir, &fake{run: draws}, c)
}
