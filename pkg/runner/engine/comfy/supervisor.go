package comfy

import (
	"context"
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
}

// Supervisor keeps an engine alive and runs prompts on it.
type Supervisor struct {
	p engine.Process
	o Options

	mu      sync.Mutex
	status  engine.Status
	changed chan struct{}
}

var _ engine.Executor = (*Supervisor)(nil)

// NewSupervisor returns a supervisor of p. Nothing is started until Supervise.
func NewSupervisor(p engine.Process, o Options) *Supervisor {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Supervisor{
		p: p, o: o,
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
	defer s.mu.Unlock()
	return s.status
}

// Supervise starts the engine and keeps it alive until ctx is over, then stops
// it and returns nil. It returns an error, with the stage failed, only when
// starting again cannot help, such as an interpreter that does not exist.
func (s *Supervisor) Supervise(ctx context.Context) error {
	return engine.ErrNotReady
}

// Run is described at engine.Executor.
func (s *Supervisor) Run(ctx context.Context, p engine.Prompt, on func(engine.Event)) (*engine.Result, error) {
	return nil, engine.ErrNotReady
}

// Put is described at engine.Executor.
func (s *Supervisor) Put(ctx context.Context, subfolder, name string, r io.Reader) (string, error) {
	return "", engine.ErrNotReady
}

// Open is described at engine.Executor.
func (s *Supervisor) Open(ctx context.Context, f engine.File) (io.ReadCloser, error) {
	return nil, engine.ErrNotReady
}

// Forget is described at engine.Executor.
func (s *Supervisor) Forget(ctx context.Context, promptID string) error {
	return engine.ErrNotReady
}
