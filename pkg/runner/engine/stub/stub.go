package stub

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/comfyctl/comfyctl/pkg/catalog"
	"github.com/comfyctl/comfyctl/pkg/runner/engine"
)

// Options make a Stub.
type Options struct {
	// Version is the ComfyUI release that it stands in for; empty means the
	// newest one that is built in.
	Version string
	// Dir holds input, output, temp and models; it is made if absent.
	Dir string
	// Pace 1 is believable timing (50 ms a sampling step), 0 as fast as possible.
	Pace float64
	// Previews sends pictures while sampling.
	Previews bool
	// Listen is the address; empty means a free port of 127.0.0.1.
	Listen string
	// ModelFiles are model names by folder that count as present, besides the
	// files in Dir/models.
	ModelFiles map[string][]string
	// Classes are node classes besides those of the release.
	Classes *catalog.Catalog
	// Wrap stands around the HTTP handler, and Before is called before a node
	// runs; faults are put there. Nil does nothing.
	Wrap   func(http.Handler) http.Handler
	Before func(Visit) *Fault
}

// Visit is a node that is about to run.
type Visit struct {
	Prompt, Node, Class string
	// Text is the value of an input as text.
	Text func(input string) string
	// Interrupted reports whether the prompt is to stop.
	Interrupted func() bool
}

// Fault is what a node raises instead of running.
type Fault struct {
	Type    string // of the exception, such as torch.OutOfMemoryError
	Message string
}

// Stub is an engine.Process that runs inside this one.
type Stub struct {
	o   Options
	cat *catalog.Catalog

	mu   sync.Mutex
	err  error
	done chan struct{}
	url  string
	srv  *http.Server
	core *core
}

var _ engine.Process = (*Stub)(nil)

// New makes a stub; Start starts it.
func New(o Options) (*Stub, error) {
	cat, err := catalog.For(o.Version)
	if err != nil {
		return nil, fmt.Errorf("making the stub engine: %w", err)
	}
	if o.Classes != nil {
		cat = cat.With(o.Classes)
	}
	if o.Listen == "" {
		o.Listen = "127.0.0.1:0"
	}
	if o.Dir == "" {
		return nil, errors.New("making the stub engine: no folder")
	}
	dir, err := filepath.Abs(o.Dir)
	if err != nil {
		return nil, fmt.Errorf("making the stub engine: %w", err)
	}
	o.Dir = dir
	if err := makeFolders(dir); err != nil {
		return nil, err
	}
	done := make(chan struct{})
	close(done)
	return &Stub{o: o, cat: cat, done: done}, nil
}

// makeFolders makes what is missing and empties temp, as ComfyUI does at its
// start.
func makeFolders(dir string) error {
	if err := os.RemoveAll(filepath.Join(dir, "temp")); err != nil {
		return fmt.Errorf("emptying the stub engine's temp: %w", err)
	}
	for _, d := range []string{"input", "output", "temp", "models"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			return fmt.Errorf("making the stub engine's folders: %w", err)
		}
	}
	return nil
}

// Start implements engine.Process: a new server with an empty memory, as
// after a restart of ComfyUI.
func (s *Stub) Start(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-s.done:
	default:
		return errors.New("starting the stub engine: it runs already")
	}
	if err := makeFolders(s.o.Dir); err != nil {
		return fmt.Errorf("starting the stub engine: %w", err)
	}
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", s.o.Listen)
	if err != nil {
		return fmt.Errorf("starting the stub engine: %w", err)
	}
	c := newCore(s.o, s.cat)
	h := c.handler()
	if s.o.Wrap != nil {
		h = s.o.Wrap(h)
	}
	srv := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second}
	s.url, s.srv, s.core, s.err = "http://"+l.Addr().String(), srv, c, nil
	done := make(chan struct{})
	s.done = done
	worker := make(chan struct{})
	go func() { defer close(worker); c.work() }()
	go func() {
		err := srv.Serve(l)
		c.stop()
		<-worker
		s.mu.Lock()
		if !errors.Is(err, http.ErrServerClosed) {
			s.err = err
		}
		s.mu.Unlock()
		close(done)
	}()
	return nil
}

// URL implements engine.Process.
func (s *Stub) URL() string { s.mu.Lock(); defer s.mu.Unlock(); return s.url }

// Done implements engine.Process.
func (s *Stub) Done() <-chan struct{} { s.mu.Lock(); defer s.mu.Unlock(); return s.done }

// Err implements engine.Process.
func (s *Stub) Err() error { s.mu.Lock(); defer s.mu.Unlock(); return s.err }

// Stop implements engine.Process.
func (s *Stub) Stop(ctx context.Context) error {
	s.mu.Lock()
	srv, c, done := s.srv, s.core, s.done
	s.mu.Unlock()
	if srv == nil {
		return nil
	}
	c.stop()
	_ = srv.Close()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("stopping the stub engine: %w", ctx.Err())
	}
}
