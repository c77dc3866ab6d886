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
	"sync/atomic"
	"time"

	"github.com/comfyctl/comfyctl/pkg/contract"
	"github.com/comfyctl/comfyctl/pkg/runner/api"
	"github.com/comfyctl/comfyctl/pkg/runner/files"
	"github.com/comfyctl/comfyctl/pkg/runner/jobs"
	"github.com/comfyctl/comfyctl/pkg/runner/outputs"
	"github.com/comfyctl/comfyctl/pkg/runner/webhooks"
)

// Server keeps and runs jobs, and serves the API.
type Server struct {
	c     Config
	lock  *stateLock
	store jobs.Store
	queue *jobs.Queue
	files *files.Store
	api   *api.API
	// ready is closed and open is true once jobs are run.
	ready chan struct{}
	open  atomic.Bool
	disk  disk
	hooks *webhooks.Sender
}

// New opens the state and takes up unfinished jobs; nothing runs until Serve.
// Close releases the state.
func New(ctx context.Context, c Config) (*Server, error) {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if err := os.MkdirAll(c.StateDir, 0o755); err != nil {
		return nil, fmt.Errorf("making the state folder: %w", err)
	}
	s := &Server{c: c, ready: make(chan struct{})}
	err := s.openState(ctx)
	if err == nil {
		err = s.openAPI()
	}
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// openState opens what is on disk.
func (s *Server) openState(ctx context.Context) (err error) {
	c, r := s.c, s.c.Contract.Runner
	if s.lock, err = lockState(c.StateDir); err != nil {
		return err
	}
	s.files, err = files.Open(filepath.Join(c.StateDir, "files"), files.Limits{Size: or(r.Limits.File, defaultFile), Pixels: or(r.Limits.Pixels, defaultPixels)})
	if err != nil {
		return err
	}
	s.files.Engine, s.files.Sync = c.EngineInput, r.Durability == contract.DurabilityPower
	var aside string
	if s.store, aside, err = jobs.OpenSQLite(ctx, filepath.Join(c.StateDir, "jobs.db"), jobs.Durability(r.Durability)); err != nil {
		return err
	}
	if aside != "" {
		c.Log.Error("the job store was damaged; it was put aside and a new one begun", "aside", aside)
	}
	s.queue, err = jobs.NewQueue(ctx, jobs.Config{
		Store: s.store, Executor: c.Executor, Changed: c.Changed, Inputs: s.files, Outputs: s.outputs(), Log: c.Log,
		Max:          int(or(int64(r.Queue.Max), defaultQueue)),
		QueueTimeout: ms(r.Timeouts.QueueMS, defaultWait), JobTimeout: ms(r.Timeouts.JobMS, defaultJob), Stall: ms(r.Timeouts.StallMS, defaultStall),
		Retries: retries(r.Retries), Pause: c.Backoff, Retention: ms(r.RetentionMS, defaultRetention),
		Hold: func() bool { return !s.open.Load() }, Room: s.room, Leftovers: c.Leftovers,
		Observe: func(j *jobs.Job) { s.api.Observe(j) },
	})
	if err != nil {
		return err
	}
	return s.openHooks()
}

func (s *Server) openHooks() error {
	secrets, err := hookSecrets(s.c)
	if err != nil {
		return err
	}
	s.hooks = &webhooks.Sender{Outbox: s.store, Secrets: secrets, Log: s.c.Log, Safe: s.c.hookSafe, Transport: s.c.hookTransport}
	if h := s.c.Contract.Runner.Webhooks; h != nil {
		s.hooks.GiveUp = ms(h.GiveUpMS, 0)
	}
	return s.hooks.Check()
}

func (s *Server) outputs() *outputs.Store {
	return &outputs.Store{Dir: filepath.Join(s.c.StateDir, "outputs"), Sync: s.c.Contract.Runner.Durability == contract.DurabilityPower}
}

func (s *Server) openAPI() error {
	c, r := s.c, s.c.Contract.Runner
	keys, err := loadKeys(c)
	if err != nil {
		return err
	}
	s.api, err = api.New(api.Config{
		Contract: c.Contract, Executor: c.Executor, Queue: s.queue, Files: s.files, Outputs: s.outputs(), ImageDigest: c.ImageDigest, Version: c.Version,
		Fetcher: &files.Fetcher{Hosts: r.URLs.Hosts, MaxSize: or(r.URLs.MaxSize, defaultURLSize), Timeout: ms(r.URLs.TimeoutMS, defaultURLTime)},
		Page:    c.Page, Keys: keys, Outbox: s.store, Owe: s.queue.Owe, Open: s.open.Load, Log: c.Log,
	})
	return err
}

// Ready is closed when the first job could be run.
func (s *Server) Ready() <-chan struct{} { return s.ready }

// Reload serves another contract from the next request on; jobs that are
// queued keep the graph that they came with. Settings under runner stay.
func (s *Server) Reload(c *contract.Contract) error { return s.api.Reload(c) }

// Handler is the public API.
func (s *Server) Handler() http.Handler { return s.api }

// Serve answers on public, and on admin where it is not nil, until ctx is
// over. Then new jobs are refused, the running one may end, and everything
// else stays in the store for the next start.
func (s *Server) Serve(ctx context.Context, public, admin net.Listener) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var work sync.WaitGroup
	work.Go(func() { s.queue.Run(ctx, ms(s.c.Contract.Runner.Timeouts.DrainMS, defaultDrain)) })
	work.Go(func() { s.opening(ctx) })
	work.Go(func() {
		// Its only error was found when the server was made.
		_ = s.hooks.Run(ctx, s.queue.Owed())
	})
	var servers []*http.Server
	failed := make(chan error, 2)
	listen := func(h http.Handler, l net.Listener) {
		srv := s.server(h)
		servers = append(servers, srv)
		go func() { failed <- srv.Serve(l) }()
	}
	listen(s.api, public)
	if admin != nil {
		listen(s.api.Admin(), admin)
	}
	var err error
	select {
	case e := <-failed:
		err = fmt.Errorf("serving the API: %w", e)
		cancel()
	case <-ctx.Done():
	}
	s.queue.Drain()
	// Status and events go on being served while the last job ends.
	work.Wait()
	stop, done := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer done()
	for _, srv := range servers {
		if e := srv.Shutdown(stop); e != nil {
			// Somebody holds a connection open; it is cut.
			_ = srv.Close()
		}
	}
	return err
}

func (s *Server) server(h http.Handler) *http.Server {
	return &http.Server{
		Handler: h, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 64 << 10,
		ErrorLog: slog.NewLogLogger(s.c.Log.Handler(), slog.LevelDebug),
	}
}

// Close releases the state.
func (s *Server) Close() error {
	var err error
	if s.store != nil {
		err = s.store.Close()
	}
	if s.lock != nil {
		err = errors.Join(err, s.lock.release())
	}
	return err
}
