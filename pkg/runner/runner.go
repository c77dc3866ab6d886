// Package runner is the service inside an image: it keeps jobs, runs them on
// an engine and serves the API. Its parts are in the packages under it; boot
// puts an engine beside it.
package runner

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/comfyctl/comfyctl/pkg/contract"
	"github.com/comfyctl/comfyctl/pkg/runner/api"
	"github.com/comfyctl/comfyctl/pkg/runner/engine"
	"github.com/comfyctl/comfyctl/pkg/runner/files"
	"github.com/comfyctl/comfyctl/pkg/runner/jobs"
	"github.com/comfyctl/comfyctl/pkg/runner/outputs"
)

// Config makes a Server.
type Config struct {
	Contract *contract.Contract
	Executor engine.Executor
	// Changed wakes the queue when the executor's status may have changed.
	Changed func() <-chan struct{}
	// StateDir holds jobs, files and outputs; it is made if absent.
	StateDir    string
	ImageDigest string
	// Keys are the API keys; nil turns auth off.
	Keys *api.Keys
	// Page serves the page at /; nil means that there is none.
	Page http.Handler
	Log  *slog.Logger
}

// Server keeps and runs jobs, and serves the API.
type Server struct {
	c     Config
	store jobs.Store
	queue *jobs.Queue
	api   *api.API
}

// Defaults of what the contract leaves at zero.
const (
	defaultQueue  = 100
	defaultDrain  = 2 * time.Minute
	defaultFile   = 100 << 20
	defaultPixels = 100_000_000
)

// New opens the state and takes up unfinished jobs. Close releases it.
func New(ctx context.Context, c Config) (*Server, error) {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if err := os.MkdirAll(c.StateDir, 0o755); err != nil {
		return nil, fmt.Errorf("making the state folder: %w", err)
	}
	r := c.Contract.Runner
	fs, err := files.Open(filepath.Join(c.StateDir, "files"), files.Limits{Size: or(r.Limits.File, defaultFile), Pixels: or(r.Limits.Pixels, defaultPixels)})
	if err != nil {
		return nil, err
	}
	store, err := jobs.OpenSQLite(filepath.Join(c.StateDir, "jobs.db"))
	if err != nil {
		return nil, err
	}
	out := &outputs.Store{Dir: filepath.Join(c.StateDir, "outputs")}
	s := &Server{c: c, store: store}
	s.queue, err = jobs.NewQueue(ctx, jobs.Config{Store: store, Executor: c.Executor, Changed: c.Changed, Inputs: fs, Outputs: out, Log: c.Log,
		Max: int(or(int64(r.Queue.Max), defaultQueue)), QueueTimeout: ms(r.Timeouts.QueueMS), JobTimeout: ms(r.Timeouts.JobMS), Stall: ms(r.Timeouts.StallMS),
		Retries: 1, Retention: ms(r.RetentionMS), Observe: func(j *jobs.Job) { s.api.Observe(j) }})
	if err == nil {
		s.api, err = api.New(api.Config{Contract: c.Contract, Executor: c.Executor, Queue: s.queue, Files: fs, Outputs: out, ImageDigest: c.ImageDigest,
			Fetcher: &files.Fetcher{Hosts: r.URLs.Hosts, MaxSize: or(r.URLs.MaxSize, 50<<20), Timeout: ms(r.URLs.TimeoutMS)}, Page: c.Page, Keys: c.Keys, Log: c.Log})
	}
	if err != nil {
		_ = store.Close()
		return nil, err
	}
	return s, nil
}

func or(v, fallback int64) int64 {
	if v > 0 {
		return v
	}
	return fallback
}

func ms(v int64) time.Duration { return time.Duration(v) * time.Millisecond }

// Reload serves another contract from the next request on; jobs that are
// queued keep the graph that they came with.
func (s *Server) Reload(c *contract.Contract) error { return s.api.Reload(c) }

// Handler is the public API.
func (s *Server) Handler() http.Handler { return s.api }

// Serve answers on l until ctx is over. Then new jobs are refused, the running
// one may end, and everything else stays in the store for the next start.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	drain := ms(s.c.Contract.Runner.Timeouts.DrainMS)
	if drain <= 0 {
		drain = defaultDrain
	}
	srv := &http.Server{Handler: s.api, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 64 << 10,
		ErrorLog: slog.NewLogLogger(s.c.Log.Handler(), slog.LevelDebug)}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var wg sync.WaitGroup
	wg.Add(1)
	go func() { defer wg.Done(); s.queue.Run(ctx, drain) }()
	failed := make(chan error, 1)
	go func() { failed <- srv.Serve(l) }()
	var err error
	select {
	case err = <-failed:
		err = fmt.Errorf("serving the API: %w", err)
		cancel()
		wg.Wait()
	case <-ctx.Done():
		s.queue.Drain()
		wg.Wait() // status and events go on being served while the last job ends
		stop, done := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer done()
		if e := srv.Shutdown(stop); e != nil {
			_ = srv.Close()
		}
		if e := <-failed; !errors.Is(e, http.ErrServerClosed) {
			err = fmt.Errorf("serving the API: %w", e)
		}
	}
	return err
}

// Close releases the store.
func (s *Server) Close() error { return s.store.Close() }
