package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func serve(t *testing.T, h http.Handler) *Client {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	c, err := New(s.URL+"/", Options{Key: "ck_secret", UserAgent: "test"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func TestNewRefusesWhatIsNoAddress(t *testing.T) {
	for _, bad := range []string{"", "localhost:8080", "ftp://x", "http://"} {
		if _, err := New(bad, Options{}); err == nil {
			t.Errorf("New(%q) gave no error", bad)
		}
	}
}

func TestFollowResumesWhereItBroke(t *testing.T) {
	var calls atomic.Int32
	var resumed []string
	c := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer ck_secret" {
			t.Error("no key was sent")
		}
		resumed = append(resumed, r.Header.Get("Last-Event-ID"))
		switch calls.Add(1) {
		case 1:
			fmt.Fprint(w, "id: 1\nevent: status\ndata: {\"status\":\"queued\"}\n\n: beat\n\nid: 2\nevent: progress\ndata: {\ndata: \"value\":0.5}\n\nid: 3\nevent: prog")
		case 2:
			w.WriteHeader(http.StatusBadGateway)
		default:
			fmt.Fprint(w, "id: 2\nevent: progress\ndata: {}\n\nid: 3\nevent: done\ndata: {\"id\":\"job_1\",\"status\":\"succeeded\",\"future\":1}\n\n")
		}
	}))
	var got []string
	job, err := c.Follow(context.Background(), "job_1", func(e Event) error {
		got = append(got, fmt.Sprint(e.ID, e.Type))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"1status", "2progress", "3done"}, got); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"", "2", "2"}, resumed); diff != "" {
		t.Error(diff)
	}
	if !job.Final() || !strings.Contains(string(job.Raw), "future") {
		t.Errorf("job: %+v", job)
	}
}

func TestFollowGivesUpOnMissingJob(t *testing.T) {
	var calls atomic.Int32
	c := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		calls.Add(1)
		w.WriteHeader(http.StatusNotFound)
		fmt.Fprint(w, `{"code":"not_found","message":"there is no job"}`)
	}))
	_, err := c.Follow(context.Background(), "job_1", func(Event) error { return nil })
	var p *Problem
	if !errors.As(err, &p) || p.Code != "not_found" || calls.Load() != 1 {
		t.Errorf("error %v after %d calls", err, calls.Load())
	}
}

func TestSubmitRetriesWithOneKey(t *testing.T) {
	var keys []string
	c := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		keys = append(keys, r.Header.Get("Idempotency-Key"))
		if len(keys) == 1 {
			w.WriteHeader(http.StatusServiceUnavailable)
			fmt.Fprint(w, `{"code":"queue_full","message":"the queue is full"}`)
			return
		}
		w.WriteHeader(http.StatusAccepted)
		fmt.Fprint(w, `{"id":"job_2","status":"queued"}`)
	}))
	job, err := c.Submit(context.Background(), "portrait", Request{Input: map[string]json.RawMessage{"steps": json.RawMessage("4")}})
	if err != nil || job.ID != "job_2" {
		t.Fatal(job, err)
	}
	if len(keys) != 2 || keys[0] == "" || keys[0] != keys[1] {
		t.Errorf("keys: %q", keys)
	}
}

func TestSubmitDoesNotRetryRefusal(t *testing.T) {
	var calls int
	c := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		calls++
		w.WriteHeader(http.StatusUnprocessableEntity)
		fmt.Fprint(w, `{"code":"validation_failed","message":"no","errors":[{"pointer":"/input/steps","code":"out_of_range","message":"no"}]}`)
	}))
	_, err := c.Submit(context.Background(), "portrait", Request{})
	var p *Problem
	if !errors.As(err, &p) || p.Errors[0].Pointer != "/input/steps" || calls != 1 {
		t.Errorf("error %v after %d calls", err, calls)
	}
}

func TestKeyStaysHome(t *testing.T) {
	foreign := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "" {
			t.Error("the key went to another host")
		}
		fmt.Fprint(w, "bytes")
	}))
	defer foreign.Close()
	c := serve(t, http.NotFoundHandler())
	r, err := c.Open(context.Background(), &Job{ID: "job_1"}, Output{Name: "image", URL: foreign.URL + "/x"})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if b, _ := io.ReadAll(r); string(b) != "bytes" {
		t.Errorf("got %q", b)
	}
}

func TestProblemWithoutJSON(t *testing.T) {
	c := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "<html>gateway</html>", http.StatusBadGateway)
	}))
	_, err := c.Workflows(context.Background())
	if err == nil || err.Error() != "the service answered 502 Bad Gateway" {
		t.Errorf("error %v", err)
	}
}

func FuzzReadEvents(f *testing.F) {
	f.Add("id: 1\nevent: status\ndata: {}\n\n")
	f.Add("data\n\n:x\r\n\r\nid: x\ndata: a\ndata: b\n\n")
	f.Fuzz(func(t *testing.T, s string) {
		_ = readEvents(strings.NewReader(s), func(Event) error { return nil })
	})
}
