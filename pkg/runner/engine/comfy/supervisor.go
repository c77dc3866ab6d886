package comfy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/comfyctl/comfyctl/pkg/runner/engine"
)

// Options tune a Supervisor; the zero value is good.
type Options struct {
	// Log gets what the supervisor does; nil drops it.
	Log *slog.Logger
	// StartTimeout is from launch to the first answer; 0 means 10 minutes.
	StartTimeout time.Duration
	// Folders are the engine's folders where they are reachable; nil means
	// that files go over HTTP.
	Folders *Folders
	// CancelTimeout is how long an interrupted prompt may go on before the
	// engine itself is restarted; 0 means 30 seconds.
	CancelTimeout time.Duration
	// Wedge is how long a prompt may stay between its start and the engine's
	// look at its cache, before the engine's worker counts as dead; 0 means
	// one minute.
	Wedge time.Duration
	// Classes are the node classes that the workflows need: an engine without
	// one of them is not ready.
	Classes []string
	// Backoff is the pause before the first restart; each failure in a row
	// doubles it, up to half a minute. 0 means half a second.
	Backoff time.Duration
}

// Pauses of the supervisor.
const (
	backoffFirst   = 500 * time.Millisecond
	backoffLongest = 30 * time.Second
	// steady is how long a life must last for earlier crashes to be forgiven.
	steady       = time.Minute
	stopTimeout  = 15 * time.Second
	readyEvery   = 50 * time.Millisecond
	readyRemote  = 500 * time.Millisecond
	readyTimeout = 10 * time.Second
	healthEvery  = 10 * time.Second
	// healthMisses is how many looks in a row may fail. The engine's event loop
	// shares the interpreter lock with its nodes, so patience is needed.
	healthMisses = 6
)

// Supervisor keeps an engine alive and runs prompts on it.
type Supervisor struct {
	p engine.Process
	o Options
	// Pauses, which tests shorten.
	backoff, health time.Duration

	mu      sync.Mutex
	status  engine.Status
	changed chan struct{}
	session *session
	worked  bool   // the engine's present life has ended a prompt
	wedged  string // the prompt that the worker of a remote engine died of

	files ledger
}

var _ engine.Executor = (*Supervisor)(nil)

// NewSupervisor returns a supervisor of p. Nothing is started until Supervise.
func NewSupervisor(p engine.Process, o Options) *Supervisor {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.StartTimeout == 0 {
		o.StartTimeout = 10 * time.Minute
	}
	if o.CancelTimeout == 0 {
		o.CancelTimeout = 30 * time.Second
	}
	if o.Wedge == 0 {
		o.Wedge = time.Minute
	}
	if o.Backoff == 0 {
		o.Backoff = backoffFirst
	}
	return &Supervisor{
		p: p, o: o,
		backoff: o.Backoff, health: healthEvery,
		status:  engine.Status{Stage: engine.StageStopped, Since: time.Now()},
		changed: make(chan struct{}),
	}
}

// Changed returns a channel that is closed at the next change of Status. Take
// it before reading Status, so that no change falls between.
func (s *Supervisor) Changed() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.changed
}

// Status says what the engine is doing; it never blocks.
func (s *Supervisor) Status() engine.Status {
	s.mu.Lock()
	st := s.status
	s.mu.Unlock()
	if l, ok := s.p.(logged); ok {
		st.LogTail = l.LogTail()
	}
	return st
}

// logged is a process whose log can be read.
type logged interface {
	LogTail() []string
	OnLog(f func(line string)) (stop func())
}

// update changes the status and tells those who wait.
func (s *Supervisor) update(change func(*engine.Status)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	before := s.status.Stage
	change(&s.status)
	if s.status.Stage != before {
		s.status.Since = time.Now()
	}
	close(s.changed)
	s.changed = make(chan struct{})
}

// current returns the session, or an error that says why there is none.
func (s *Supervisor) current() (*session, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.session != nil {
		return s.session, nil
	}
	if s.status.Reason == "" {
		return nil, fmt.Errorf("%w: it is %s", engine.ErrNotReady, s.status.Stage)
	}
	return nil, fmt.Errorf("%w: it is %s: %s", engine.ErrNotReady, s.status.Stage, s.status.Reason)
}

// Run is described at engine.Executor. A prompt that fell to an interrupt meant
// for another one is run again, so EventStarted may come twice.
func (s *Supervisor) Run(ctx context.Context, p engine.Prompt, on func(engine.Event)) (*engine.Result, error) {
	sess, err := s.current()
	if err != nil {
		return nil, err
	}
	if s.o.Folders != nil {
		// Somebody may have removed them under the engine.
		if err := s.o.Folders.make(); err != nil {
			return nil, fmt.Errorf("%w: %w", engine.ErrNotReady, err)
		}
	}
	res, err := sess.run(ctx, p, on)
	if err != nil {
		return nil, err
	}
	s.files.note(p.ID, res.Outputs)
	s.mu.Lock()
	s.worked = true
	s.mu.Unlock()
	return res, nil
}

// Put is described at engine.Executor.
func (s *Supervisor) Put(ctx context.Context, subfolder, name string, r io.Reader) (string, error) {
	subfolder, name, err := inputName(subfolder, name)
	if err != nil {
		return "", err
	}
	if s.o.Folders != nil {
		return s.o.Folders.put(ctx, subfolder, name, r)
	}
	sess, err := s.current()
	if err != nil {
		return "", err
	}
	return sess.client.upload(ctx, subfolder, name, r)
}

// Open is described at engine.Executor.
func (s *Supervisor) Open(ctx context.Context, f engine.File) (io.ReadCloser, error) {
	if s.o.Folders != nil {
		return s.o.Folders.open(f)
	}
	sess, err := s.current()
	if err != nil {
		return nil, err
	}
	return sess.client.view(ctx, f)
}

// Free is described at engine.Executor.
func (s *Supervisor) Free(ctx context.Context) error {
	sess, err := s.current()
	if err != nil {
		return err
	}
	if err := sess.client.post(ctx, "/free", map[string]bool{"unload_models": true, "free_memory": true}); err != nil {
		return fmt.Errorf("freeing the engine's memory: %w", err)
	}
	return nil
}

// Forget is described at engine.Executor. Files that another prompt which is
// not forgotten yet names too are kept.
func (s *Supervisor) Forget(ctx context.Context, promptID string) error {
	files := s.files.drop(promptID)
	sess, err := s.current()
	if err == nil {
		err = sess.client.post(ctx, "/history", map[string][]string{"delete": {promptID}})
	} else if s.o.Folders != nil {
		// An engine of ours that is down has forgotten everything already.
		err = nil
	}
	if s.o.Folders != nil {
		err = errors.Join(err, s.o.Folders.remove(files))
	}
	if err != nil {
		return fmt.Errorf("forgetting a prompt: %w", err)
	}
	return nil
}
