package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/comfyctl/comfyctl/pkg/runner/engine"
)

// script is an engine whose runs end as they are told.
type script struct {
	mu    sync.Mutex
	ends  []string
	runs  int
	freed int
}

func (s *script) next() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.runs++
	if len(s.ends) == 0 {
		return "ok"
	}
	end := s.ends[0]
	s.ends = s.ends[1:]
	return end
}

func (s *script) Run(ctx context.Context, p engine.Prompt, on func(engine.Event)) (*engine.Result, error) {
	if p.Sent {
		return nil, engine.ErrLost
	}
	on(engine.Event{Kind: engine.EventNode, Node: "1"})
	switch end := s.next(); end {
	case "lost":
		return nil, engine.ErrLost
	case "away":
		return nil, engine.ErrNotReady
	case "stalled":
		return nil, engine.ErrStalled
	case "memory":
		return nil, &engine.RunError{OutOfMemory: true, ExceptionType: "torch.OutOfMemoryError"}
	case "raise":
		return nil, &engine.RunError{NodeID: "1", ExceptionType: "ValueError"}
	case "panic":
		panic("a mistake of the executor")
	case "hold":
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return &engine.Result{Outputs: []engine.Output{{Node: "1", Text: p.ID}}}, nil
}

func (s *script) Put(context.Context, string, string, io.Reader) (string, error) { return "", nil }
func (s *script) Open(context.Context, engine.File) (io.ReadCloser, error) {
	return nil, os.ErrNotExist
}
func (s *script) Forget(context.Context, string) error { return nil }
func (s *script) Free(context.Context) error           { s.mu.Lock(); defer s.mu.Unlock(); s.freed++; return nil }
func (s *script) Status() engine.Status                { return engine.Status{Stage: engine.StageReady} }

// shelf keeps outputs in memory; it may fail as it is told.
type shelf struct {
	mu   sync.Mutex
	fail []error
}

func (s *shelf) Collect(_ context.Context, _ engine.Executor, r *Record, res *engine.Result) ([]Output, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.fail) > 0 {
		err := s.fail[0]
		s.fail = s.fail[1:]
		return nil, err
	}
	return []Output{{Name: "text", Text: r.Job.ID + " " + res.Outputs[0].Text}}, nil
}
func (s *shelf) Remove(string) error { return nil }

type noFiles struct{}

func (noFiles) Put(context.Context, engine.Executor, FileInput) (string, error) { return "", nil }
func (noFiles) Have(string) bool                                                { return true }
func (noFiles) Release(string) error                                            { return nil }
func (noFiles) Sweep(time.Time, func(string) bool) error                        { return nil }

// driven is a queue that runs.
type driven struct {
	*Queue
	stop func()
}

func drive(t interface{ Fatal(...any) }, dir string, ex engine.Executor, outputs Outputs) *driven {
	s, _, err := OpenSQLite(context.Background(), filepath.Join(dir, "jobs.db"), Process)
	if err != nil {
		t.Fatal(err)
	}
	q, err := NewQueue(context.Background(), Config{Store: s, Executor: ex, Inputs: noFiles{}, Outputs: outputs, Retries: 2, Pause: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); q.Run(ctx, 0) }()
	return &driven{q, sync.OnceFunc(func() { cancel(); <-done; _ = s.Close() })}
}

// next are the states that may follow a state.
var next = map[Status][]Status{
	"":        {Queued},
	Queued:    {Running, Canceled, Canceling, Expired},
	Running:   {Queued, Running, Canceling, Succeeded, Failed, Canceled},
	Canceling: {Canceling, Canceled, Succeeded, Failed},
}

// Whatever the engine, the callers and restarts do, a job goes from state to
// state as it may, comes to one end, and its attempts are counted.
func TestJobsAgainstAModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		dir, err := os.MkdirTemp("", "jobs")
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(dir)
		ex := &script{ends: rapid.SliceOfN(rapid.SampledFrom([]string{"ok", "ok", "lost", "away", "stalled", "memory", "raise", "panic", "hold"}), 0, 25).Draw(t, "ends")}
		q := drive(t, dir, ex, &shelf{})
		defer func() { q.stop() }()
		ctx := context.Background()
		var ids []string
		// Two retries, one with memory freed, and those that a restart broke off.
		most := 4
		for i, op := range rapid.SliceOfN(rapid.SampledFrom([]string{"submit", "submit", "submit", "cancel", "restart", "look"}), 1, 12).Draw(t, "ops") {
			switch op {
			case "submit":
				r := record(fmt.Sprintf("job_%02d", i))
				ids = append(ids, r.Job.ID) // from here on it is the queue's
				if _, _, err := q.Submit(ctx, r, "", ""); err != nil {
					t.Fatal(err)
				}
			case "cancel":
				if len(ids) > 0 {
					if _, err := q.Cancel(ctx, rapid.SampledFrom(ids).Draw(t, "id")); err != nil && !errors.Is(err, ErrFinal) {
						t.Fatal(err)
					}
				}
			case "restart":
				most++
				q.stop()
				q = drive(t, dir, ex, &shelf{})
			case "look":
				if len(ids) > 0 {
					if _, err := q.Get(ctx, rapid.SampledFrom(ids).Draw(t, "id")); err != nil {
						t.Fatal(err)
					}
				}
			}
		}
		for _, id := range ids {
			end, cancel := context.WithTimeout(ctx, 200*time.Millisecond)
			j, err := q.Wait(end, id)
			cancel()
			if err == nil && !j.Status.Final() {
				// One that the engine holds for ever.
				_, err = q.Cancel(ctx, id)
				if err != nil && !errors.Is(err, ErrFinal) {
					t.Fatal(err)
				}
				if _, err := q.Wait(ctx, id); err != nil {
					t.Fatal(err)
				}
			}
			checkJob(t, q.Queue, id, most)
		}
	})
}

func checkJob(t *rapid.T, q *Queue, id string, most int) {
	r, err := q.c.Store.Get(context.Background(), id)
	if err != nil {
		t.Fatal(err)
	}
	j := &r.Job
	if !j.Status.Final() || j.FinishedAt == nil || j.Attempts > most || r.Run.Result != nil {
		t.Fatalf("%s is %s after %d attempts", id, j.Status, j.Attempts)
	}
	if (j.Status == Failed) != (j.Error != nil) || (j.Status == Succeeded) != (len(j.Outputs) == 1) {
		t.Fatalf("%s is %s with the error %v and %d outputs", id, j.Status, j.Error, len(j.Outputs))
	}
	if j.Status == Succeeded && !strings.HasPrefix(j.Outputs[0].Text, id+" ") {
		t.Fatalf("%s has the output %q", id, j.Outputs[0].Text)
	}
	events, err := q.c.Store.Events(context.Background(), id, 0)
	if err != nil {
		t.Fatal(err)
	}
	var was Status
	var last int64
	done := 0
	for _, e := range events {
		if e.ID <= last {
			t.Fatalf("event %d of %s comes after %d", e.ID, id, last)
		}
		last = e.ID
		if e.Type == "done" {
			done++
		}
		if e.Type != "status" {
			continue
		}
		var s struct{ Status Status }
		_ = json.Unmarshal(e.Data, &s)
		if !slices.Contains(next[was], s.Status) {
			t.Fatalf("%s went from %q to %q", id, was, s.Status)
		}
		was = s.Status
	}
	if was != j.Status || done != 1 {
		t.Fatalf("the events of %s end in %q, the job in %q; done comes %d times", id, was, j.Status, done)
	}
}

// A job that the engine was done with when the runner died is not run again.
func TestRow12FinishedInTheEngineIsNotRunAgain(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	r := record("job_1")
	create(t, s, r)
	now := time.Now()
	r.Job.Status, r.Job.StartedAt, r.Job.Attempts = Running, &now, 1
	r.Run = Run{PromptID: "p", Takes: 1, Result: &engine.Result{Outputs: []engine.Output{{Node: "1", Text: "drawn before"}}}}
	if err := s.Apply(t.Context(), r, Effects{}); err != nil {
		t.Fatal(err)
	}
	_ = s.Close()
	ex := &script{}
	q := drive(t, dir, ex, &shelf{})
	defer q.stop()
	j, err := q.Wait(t.Context(), "job_1")
	if err != nil || j.Status != Succeeded || j.Attempts != 1 || j.Outputs[0].Text != "job_1 drawn before" || ex.runs != 0 {
		t.Errorf("%+v %v, %d runs", j, err, ex.runs)
	}
}

func TestRow42PanicWhileAJobRuns(t *testing.T) {
	ex := &script{ends: []string{"panic"}}
	q := drive(t, t.TempDir(), ex, &shelf{})
	defer q.stop()
	if _, _, err := q.Submit(t.Context(), record("job_1"), "", ""); err != nil {
		t.Fatal(err)
	}
	if j, err := q.Wait(t.Context(), "job_1"); err != nil || j.Status != Succeeded || j.Attempts != 2 {
		t.Errorf("%+v %v", j, err)
	}
}

// What is not transient is not tried again, whatever may be.
func TestRetryOnlyWhatIsTransient(t *testing.T) {
	two, none := 2, 0
	for _, tt := range []struct {
		name     string
		ends     []string
		policy   Policy
		status   Status
		attempts int
		code     string
	}{
		{"a node raises", []string{"raise"}, Policy{}, Failed, 1, "node_failed"},
		{"lost once", []string{"lost"}, Policy{}, Succeeded, 2, ""},
		{"lost too often", []string{"lost", "lost", "lost"}, Policy{}, Failed, 3, "engine_lost"},
		{"no retries", []string{"lost"}, Policy{Retries: &none}, Failed, 1, "engine_lost"},
		{"crashes only", []string{"lost"}, Policy{Retries: &two, OnDisconnect: true}, Failed, 1, "engine_lost"},
		{"stalled", []string{"stalled"}, Policy{OnCrash: true}, Succeeded, 2, ""},
		{"away is no attempt", []string{"away", "away", "away", "away"}, Policy{}, Succeeded, 1, ""},
		{"memory", []string{"memory"}, Policy{}, Succeeded, 2, ""},
		{"memory twice", []string{"memory", "memory"}, Policy{}, Failed, 2, "out_of_memory"},
		{"memory, kept", []string{"memory"}, Policy{KeepMemory: true}, Failed, 1, "out_of_memory"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			q := drive(t, t.TempDir(), &script{ends: tt.ends}, &shelf{})
			defer q.stop()
			r := record("job_1")
			r.Work.Policy = tt.policy
			if _, _, err := q.Submit(t.Context(), r, "", ""); err != nil {
				t.Fatal(err)
			}
			j, err := q.Wait(t.Context(), "job_1")
			code := ""
			if j.Error != nil {
				code = j.Error.Code
			}
			if err != nil || j.Status != tt.status || j.Attempts != tt.attempts || code != tt.code {
				t.Errorf("%s after %d attempts, %q %v", j.Status, j.Attempts, code, err)
			}
		})
	}
}

func TestRow25PausesGrowAndDiffer(t *testing.T) {
	q := &Queue{c: Config{Pause: firstPause}}
	seen := map[time.Duration]bool{}
	for n := 1; n < 40; n++ {
		full := longestPause
		if n < 8 {
			full = min(firstPause<<(n-1), longestPause)
		}
		d := q.pause(n)
		if d < full/2 || d > full {
			t.Errorf("pause %d is %s of %s", n, d, full)
		}
		seen[d] = true
	}
	if len(slices.Collect(maps.Keys(seen))) < 10 {
		t.Errorf("the pauses are alike: %v", seen)
	}
}

// A full disk costs no job: outputs are taken once there is room, and nobody is
// told of an end that is not stored.
func TestRow11DiskFull(t *testing.T) {
	full := fmt.Errorf("keeping output: %w", syscall.ENOSPC)
	q := drive(t, t.TempDir(), &script{}, &shelf{fail: []error{full, full}})
	defer q.stop()
	s := &failing{Store: q.c.Store}
	q.mu.Lock()
	q.c.Store = s
	q.mu.Unlock()
	if _, _, err := q.Submit(t.Context(), record("job_1"), "", ""); err != nil {
		t.Fatal(err)
	}
	j, err := q.Wait(t.Context(), "job_1")
	if err != nil || j.Status != Succeeded || j.Attempts != 1 {
		t.Errorf("%+v %v", j, err)
	}
	if n := s.refused.Load(); n != 3 {
		t.Errorf("the end was stored after %d refusals", n)
	}
	q.c.Room = func() error { return ErrNoRoom }
	if _, _, err := q.Submit(t.Context(), record("job_2"), "", ""); !errors.Is(err, ErrNoRoom) {
		t.Errorf("%v", err)
	}
}

// failing refuses to store the ends of jobs, three times.
type failing struct {
	Store
	refused atomic.Int32
}

func (f *failing) Apply(ctx context.Context, r *Record, e Effects) error {
	if r.Job.Status.Final() && f.refused.Load() < 3 {
		f.refused.Add(1)
		return errors.New("database or disk is full")
	}
	return f.Store.Apply(ctx, r, e)
}

// Ten thousand jobs wait: what one more costs, what taking one costs, and what
// a restart costs.
func BenchmarkTenThousandQueued(b *testing.B) {
	dir := b.TempDir()
	s, _, err := OpenSQLite(b.Context(), filepath.Join(dir, "jobs.db"), Process)
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	hold := Config{Store: s, Executor: &script{}, Inputs: noFiles{}, Outputs: &shelf{}, Hold: func() bool { return true }}
	q, err := NewQueue(b.Context(), hold)
	if err != nil {
		b.Fatal(err)
	}
	n := 0
	submit := func(b *testing.B) {
		r := record(NewID("job_"))
		if _, _, err := q.Submit(b.Context(), r, r.Job.ID, "x"); err != nil {
			b.Fatal(err)
		}
		n++
	}
	for n < 10_000 {
		submit(b)
	}
	b.Run("submit", func(b *testing.B) {
		for b.Loop() {
			submit(b)
		}
	})
	b.Run("take and give back", func(b *testing.B) {
		for b.Loop() {
			l, err := q.line.Take(b.Context())
			if err == nil {
				err = q.line.Back(b.Context(), l, l.Ticket)
			}
			if err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("restart", func(b *testing.B) {
		for b.Loop() {
			if _, err := NewQueue(b.Context(), hold); err != nil {
				b.Fatal(err)
			}
		}
	})
}
