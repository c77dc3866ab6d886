package jobs

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/comfyctl/comfyctl/pkg/runner/engine"
)

// Outputs takes what a run gave out of the engine and keeps it.
type Outputs interface {
	// Collect stores the outputs of a job and describes them. What an earlier
	// call left half done is replaced.
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
	// Line is where jobs wait; nil means in memory.
	Line Line
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
	// Retries is how often a job whose attempt broke off is run again, Pause
	// what it waits before the first time; 0 means half a second.
	Retries int
	Pause   time.Duration
	// Retention is how long finished jobs are kept; 0 means for ever.
	Retention time.Duration
	// Hold is true while no job is taken though the engine is ready; nil never
	// holds.
	Hold func() bool
	// Room refuses new jobs, with a reason, where the disk has none for them;
	// nil means that there is.
	Room func() error
	// Leftovers removes what jobs that are over left with the engine; nil
	// means that nothing can be left.
	Leftovers func(live func(job string) bool) error
	// Observe is told of every finished job; nil drops it.
	Observe func(j *Job)
}

// Queue runs stored jobs, one at a time for its executor. Taking outputs out
// of the engine goes on beside the next job.
type Queue struct {
	c    Config
	line Line
	wake chan struct{}
	// collecting are the jobs that the engine has done with; slots bounds them.
	collecting sync.WaitGroup
	slots      chan struct{}
	// owed wakes who sends what the outbox holds.
	owed chan struct{}

	mu       sync.Mutex
	live     map[string]*active
	recent   []string // finished ids whose events are still in live
	draining bool
	untidy   bool // a job may have left something with the engine
}

// active is a job in memory.
type active struct {
	id     string
	rec    *Record // guarded by the queue's mu; see snap
	stream *stream
	cancel context.CancelCauseFunc // of the run; nil while it waits
	lease  *Lease
	freed  chan struct{} // closed when the lease is given up; nil while it waits
	done   chan struct{} // closed when final
	// resume is true where the engine may know the attempt from an earlier life
	// of the runner.
	resume bool
	// since is when it began to wait, began its attempt, stored when its
	// progress was last stored.
	since, began, stored time.Time
	// away counts how often in a row the engine could not take it.
	away int
	// life is the engine's count of restarts when it gave the result; -1 for
	// one of an earlier life of the runner.
	life int
}

const (
	// keepFinished is how many finished jobs keep their events for replay.
	keepFinished = 64
	// maxCollecting is how many jobs may be past the engine and not at their
	// end; more of them hold the next job up.
	maxCollecting = 4
	// leaseFor is how long a job is ours without a sign of life.
	leaseFor = 30 * time.Second
	// firstPause and longestPause are between attempts.
	firstPause   = 500 * time.Millisecond
	longestPause = 30 * time.Second
)

// Reasons a queue takes no job.
var (
	ErrFull     = errors.New("the queue is full")
	ErrDraining = errors.New("the runner is shutting down")
	ErrFinal    = errors.New("the job has ended")
	ErrNoFile   = errors.New("an input file was erased meanwhile")
	ErrNoRoom   = errors.New("the disk is nearly full")
)

// Why a run is broken off.
var (
	errCanceled = errors.New("canceled by the caller")
	errTimeout  = errors.New("the job ran longer than allowed")
)

// NewQueue makes a queue and takes up the unfinished jobs of its store: queued
// ones are queued, running ones are looked for in the engine or run again.
func NewQueue(ctx context.Context, c Config) (*Queue, error) {
	q := &Queue{c: c, line: c.Line, live: map[string]*active{}, wake: make(chan struct{}, 1), slots: make(chan struct{}, maxCollecting), owed: make(chan struct{}, 1)}
	if q.c.Log == nil {
		q.c.Log = slog.New(slog.DiscardHandler)
	}
	if q.line == nil {
		q.line = NewLine(leaseFor)
	}
	if q.c.Pause == 0 {
		q.c.Pause = firstPause
	}
	list, err := c.Store.Unfinished(ctx)
	if err != nil {
		return nil, err
	}
	for _, r := range list {
		a := newActive(r)
		if a.life = -1; r.Job.Attempts > 0 {
			a.since = time.Now()
		}
		a.resume = r.Job.Status != Queued && r.Run.PromptID != ""
		q.live[r.Job.ID] = a
		// A job that had begun goes first: it is older than all that wait, or
		// more urgent.
		if err := q.line.Put(ctx, a.ticket()); err != nil {
			return nil, err
		}
	}
	if len(list) > 0 {
		q.c.Log.Info("jobs taken up again after a restart", "jobs", len(list))
	}
	q.tidy()
	return q, nil
}

func newActive(r *Record) *active {
	return &active{id: r.Job.ID, rec: r, stream: newStream(r.Run.LastEvent), done: make(chan struct{}), since: r.Job.CreatedAt}
}

// snap is a job as it is now, for who drives it without holding mu: a caller
// may cancel it meanwhile.
func (q *Queue) snap(a *active) *Record {
	q.mu.Lock()
	defer q.mu.Unlock()
	r := *a.rec
	return &r
}

func (a *active) ticket() Ticket {
	return Ticket{Job: a.id, Priority: a.rec.Work.Priority, NotBefore: a.rec.Run.NotBefore}
}

// Submit stores a job and queues it. It is durable when Submit returns. With
// an idempotency key, an earlier job of the same body comes back instead.
func (q *Queue) Submit(ctx context.Context, r *Record, key, bodyHash string) (*Job, bool, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	r.Job.Status, r.Job.CreatedAt = Queued, time.Now().UTC()
	a := newActive(r)
	events := a.stream.prepare(message{"status", map[string]any{"status": Queued, "queue_position": q.line.Len() + 1}})
	r.Run.LastEvent = a.stream.lastID()
	// A repeated request gets its job even where a new one would be refused.
	got, fresh, err := q.c.Store.Create(ctx, r, key, bodyHash, effectsOf(r, events), func() error { return q.admit(r) })
	if err != nil {
		return nil, false, err
	}
	if !fresh {
		if a, ok := q.live[got.Job.ID]; ok {
			got = a.rec
		}
		return q.view(got), false, nil
	}
	if err := q.line.Put(ctx, a.ticket()); err != nil {
		return nil, false, err
	}
	q.live[r.Job.ID] = a
	a.stream.publish(events)
	q.tell(r)
	q.c.Log.Info("job queued", "job", r.Job.ID, "workflow", r.Job.Workflow, "position", q.line.Position(r.Job.ID))
	q.Wake()
	return q.view(r), true, nil
}

// admit refuses a new job. The caller holds mu.
func (q *Queue) admit(r *Record) error {
	switch {
	case q.draining:
		return ErrDraining
	case q.c.Max > 0 && q.line.Len() >= q.c.Max:
		return ErrFull
	}
	for _, f := range r.Work.Files {
		if !q.c.Inputs.Have(f.SHA256) {
			return ErrNoFile
		}
	}
	if q.c.Room != nil {
		return q.c.Room()
	}
	return nil
}

// Wake makes the queue look again at what keeps it from running a job.
func (q *Queue) Wake() { poke(q.wake) }

func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// view copies a job for a reader. The caller holds mu.
func (q *Queue) view(r *Record) *Job {
	j := r.Job
	j.Outputs = append([]Output{}, j.Outputs...)
	if !j.Status.Final() {
		j.Progress.QueuePosition = q.line.Position(j.ID)
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
	return q.line.Len(), running
}
