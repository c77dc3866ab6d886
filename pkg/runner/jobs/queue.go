package jobs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sort"
	"sync"
	"time"

	"github.com/comfyctl/comfyctl/pkg/runner/engine"
	"github.com/comfyctl/comfyctl/pkg/runner/problem"
)

// Outputs takes what a run gave out of the engine and keeps it.
type Outputs interface {
	// Collect stores the outputs of a job and describes them.
	Collect(ctx context.Context, ex engine.Executor, r *Record, res *engine.Result) ([]Output, error)
	// Remove erases a job's outputs.
	Remove(jobID string) error
}

// Inputs opens the stored input files of a job.
type Inputs interface {
	// Put hands a stored file to the engine and returns the value that a
	// loader node takes.
	Put(ctx context.Context, ex engine.Executor, f FileInput) (string, error)
	// Have reports whether the file is stored.
	Have(sha256 string) bool
	// Release is told of a file that no job uses any more: what was stored for
	// jobs alone is erased, here and at the engine.
	Release(sha256 string) error
	// Sweep removes the files that are older than before and not used.
	Sweep(before time.Time, used func(sha256 string) bool) error
}

// Config makes a Queue.
type Config struct {
	Store    Store
	Executor engine.Executor
	// Changed tells when the executor's status may have changed; it is called
	// again after each wake. Nil means polling.
	Changed func() <-chan struct{}
	Inputs  Inputs
	Outputs Outputs
	Log     *slog.Logger
	// Max bounds the waiting jobs.
	Max int
	// QueueTimeout, JobTimeout and Stall bound one job; 0 means no bound.
	QueueTimeout, JobTimeout, Stall time.Duration
	// Retries is how often a job that the engine lost is run again.
	Retries int
	// Retention is how long finished jobs are kept; 0 means for ever.
	Retention time.Duration
	// Hold is true while no job is taken though the engine is ready; nil never
	// holds.
	Hold func() bool
	// Observe is told of every finished job; nil drops it.
	Observe func(j *Job)
}

// Queue runs stored jobs, one at a time for its executor.
type Queue struct {
	c  Config
	mu sync.Mutex
	// waiting is sorted by priority, then by age.
	waiting  []*active
	live     map[string]*active
	recent   []string // finished ids whose events are still in live
	draining bool
	wake     chan struct{}
}

// active is a job in memory.
type active struct {
	rec    *Record
	stream *stream
	cancel context.CancelCauseFunc // of the run; nil while it waits
	done   chan struct{}           // closed when final
}

// keepFinished is how many finished jobs keep their events for replay.
const keepFinished = 64

// maxAttempts is how often a job may be running when the runner dies before it
// counts as the cause.
const maxAttempts = 3

// Reasons a queue takes no job.
var (
	ErrFull     = errors.New("the queue is full")
	ErrDraining = errors.New("the runner is shutting down")
	ErrFinal    = errors.New("the job has ended")
	ErrNoFile   = errors.New("an input file was erased meanwhile")
)

var errCanceled = errors.New("canceled by the caller")
var errTimeout = errors.New("the job ran longer than allowed")

// NewQueue makes a queue and takes up the unfinished jobs of its store: queued
// ones are queued, running ones are run again.
func NewQueue(ctx context.Context, c Config) (*Queue, error) {
	q := &Queue{c: c, live: map[string]*active{}, wake: make(chan struct{}, 1)}
	if q.c.Log == nil {
		q.c.Log = slog.New(slog.DiscardHandler)
	}
	list, err := c.Store.Unfinished(ctx)
	if err != nil {
		return nil, err
	}
	for _, r := range list {
		if r.Job.Status == Canceling {
			q.end(r, Canceled, nil)
			if err := c.Store.Save(ctx, r); err != nil {
				return nil, err
			}
			continue
		}
		if r.Job.Status == Running && r.Job.Attempts >= maxAttempts {
			q.end(r, Failed, problem.New("engine_lost", fmt.Sprintf("the runner died at each of %d attempts to run this job", r.Job.Attempts)))
			if err := c.Store.Save(ctx, r); err != nil {
				return nil, err
			}
			continue
		}
		r.Job.Status, r.Job.StartedAt, r.Job.Progress = Queued, nil, Progress{NodesTotal: r.Job.Progress.NodesTotal}
		a := &active{rec: r, stream: newStream(r.Work.LastEvent), done: make(chan struct{})}
		q.live[r.Job.ID] = a
		q.insert(a)
		q.c.Log.Info("job taken up again after a restart", "job", r.Job.ID, "attempts", r.Job.Attempts)
	}
	return q, nil
}

// Submit stores a job and queues it. It is durable when Submit returns. With
// an idempotency key, an earlier job of the same body comes back instead.
func (q *Queue) Submit(ctx context.Context, r *Record, key, bodyHash string) (*Job, bool, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	// A repeated request gets its job even where a new one would be refused.
	full := func() error {
		switch {
		case q.draining:
			return ErrDraining
		case q.c.Max > 0 && len(q.waiting) >= q.c.Max:
			return ErrFull
		}
		for _, f := range r.Work.Files {
			if !q.c.Inputs.Have(f.SHA256) {
				return ErrNoFile
			}
		}
		return nil
	}
	r.Job.Status, r.Job.CreatedAt = Queued, time.Now().UTC()
	got, fresh, err := q.c.Store.Create(ctx, r, key, bodyHash, full)
	if err != nil {
		return nil, false, err
	}
	if !fresh {
		if a, ok := q.live[got.Job.ID]; ok {
			got = a.rec
		}
		return q.view(got), false, nil
	}
	a := &active{rec: r, stream: newStream(0), done: make(chan struct{})}
	q.live[r.Job.ID] = a
	q.insert(a)
	a.stream.add("status", map[string]any{"status": Queued, "queue_position": q.position(a)})
	q.c.Log.Info("job queued", "job", r.Job.ID, "workflow", r.Job.Workflow, "position", q.position(a))
	q.poke()
	return q.view(r), true, nil
}

func (q *Queue) insert(a *active) {
	q.waiting = append(q.waiting, a)
	sort.SliceStable(q.waiting, func(i, j int) bool {
		return q.waiting[i].rec.Work.Priority > q.waiting[j].rec.Work.Priority
	})
}

// Wake makes the queue look again at what keeps it from running a job.
func (q *Queue) Wake() { q.poke() }

func (q *Queue) poke() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// position is 1 for the next job to run, 0 for one that does not wait.
func (q *Queue) position(a *active) int {
	for i, w := range q.waiting {
		if w == a {
			return i + 1
		}
	}
	return 0
}

// view copies a job for a reader. The caller holds mu.
func (q *Queue) view(r *Record) *Job {
	j := r.Job
	j.Outputs = append([]Output{}, j.Outputs...)
	if a, ok := q.live[j.ID]; ok {
		j.Progress.QueuePosition = q.position(a)
	}
	return &j
}

// Get returns a job as it is now.
func (q *Queue) Get(ctx context.Context, id string) (*Job, error) {
	q.mu.Lock()
	if a, ok := q.live[id]; ok {
		defer q.mu.Unlock()
		return q.view(a.rec), nil
	}
	q.mu.Unlock()
	r, err := q.c.Store.Get(ctx, id)
	if err != nil {
		return nil, err
	}
	return &r.Job, nil
}

// Wait returns the job when it has ended or ctx is over, whichever is first.
func (q *Queue) Wait(ctx context.Context, id string) (*Job, error) {
	q.mu.Lock()
	a := q.live[id]
	q.mu.Unlock()
	if a != nil {
		select {
		case <-a.done:
		case <-ctx.Done():
		}
	}
	return q.Get(context.WithoutCancel(ctx), id)
}

// Limits are the bounds that the queue keeps.
func (q *Queue) Limits() Config {
	return Config{Max: q.c.Max, QueueTimeout: q.c.QueueTimeout, JobTimeout: q.c.JobTimeout, Stall: q.c.Stall}
}

// Depth says how many jobs wait and how many run.
func (q *Queue) Depth() (waiting, running int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, a := range q.live {
		if a.cancel != nil {
			running++
		}
	}
	return len(q.waiting), running
}

// end sets a job's final state.
func (q *Queue) end(r *Record, s Status, p *problem.Problem) {
	now := time.Now().UTC()
	r.Job.Status, r.Job.FinishedAt, r.Job.Error = s, &now, p
	r.Job.Progress.CurrentNode = nil
	if s == Succeeded {
		r.Job.Progress.Value = 1
	}
}

// finish ends a job, stores it and tells everybody. The caller holds mu.
func (q *Queue) finish(ctx context.Context, a *active, s Status, p *problem.Problem) {
	q.end(a.rec, s, p)
	a.cancel = nil
	a.stream.add("status", map[string]any{"status": s})
	a.rec.Work.LastEvent = a.stream.lastID() + 1
	if err := q.c.Store.Save(context.WithoutCancel(ctx), a.rec); err != nil {
		q.c.Log.Error("storing the end of a job", "job", a.rec.Job.ID, "error", err)
	}
	a.stream.add("done", &a.rec.Job)
	a.stream.shrink()
	a.stream.close()
	close(a.done)
	q.recent = append(q.recent, a.rec.Job.ID)
	for len(q.recent) > keepFinished {
		delete(q.live, q.recent[0])
		q.recent = q.recent[1:]
	}
	attrs := []any{"job", a.rec.Job.ID, "status", string(s), "run_ms", a.rec.Job.Timings.RunMS, "outputs", len(a.rec.Job.Outputs)}
	if p != nil {
		attrs = append(attrs, "code", p.Code, "error", p.Message)
	}
	q.c.Log.Info("job ended", attrs...)
	if q.c.Observe != nil {
		j := a.rec.Job
		q.c.Observe(&j)
	}
}
