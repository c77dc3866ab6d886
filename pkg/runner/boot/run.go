package boot

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"slices"
	"time"

	"github.com/comfyctl/comfyctl/pkg/contract"
	"github.com/comfyctl/comfyctl/pkg/runner"
	"github.com/comfyctl/comfyctl/pkg/runner/engine/comfy"
	"github.com/comfyctl/comfyctl/pkg/runner/prompt"
	"github.com/comfyctl/comfyctl/pkg/runner/web"
)

// Run serves until ctx is over, then drains: jobs that run are finished, the
// engine is stopped, and nil is returned. It returns an error when the state
// cannot be opened or a listener fails; an engine that cannot start shows in
// /readyz and in the log instead.
func Run(ctx context.Context, o Options) error {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	defer closeListeners(o.API, o.Admin)
	proc, folders, err := process(o)
	if err != nil {
		return err
	}
	sup := comfy.NewSupervisor(proc, comfy.Options{
		Log: o.Log, Folders: folders, Backoff: o.Backoff, CancelTimeout: o.CancelTimeout, Classes: classes(o.Contract),
		StartTimeout: time.Duration(o.Contract.Runner.Timeouts.StartMS) * time.Millisecond,
	})
	srv, err := runner.New(ctx, runner.Config{
		Contract: o.Contract, Executor: sup, Changed: sup.Changed, StateDir: o.StateDir, EngineInput: inputFolder(folders), Leftovers: leftovers(folders), Backoff: o.Backoff,
		ImageDigest: o.ImageDigest, Version: o.Version, Auth: auth(o), Keys: o.Keys, Secrets: o.Secrets, Page: page(o), Log: o.Log,
	})
	if err != nil {
		return err
	}
	defer func() {
		if err := srv.Close(); err != nil {
			o.Log.Error("closing the state", "error", err)
		}
	}()
	// The engine outlives the server: a drain needs it to the end.
	engineCtx, stopEngine := context.WithCancel(context.WithoutCancel(ctx))
	defer stopEngine()
	supervised := make(chan error, 1)
	go func() {
		err := sup.Supervise(engineCtx)
		if err != nil {
			o.Log.Error("the engine cannot be started", "error", err)
		}
		supervised <- err
	}()
	serveCtx, stopServing := context.WithCancel(ctx)
	side := make(chan struct{})
	go func() {
		defer close(side)
		follow(serveCtx, o, srv)
	}()
	err = srv.Serve(serveCtx, o.API, o.Admin)
	stopServing()
	<-side
	stopEngine()
	<-supervised
	return err
}

// follow hands new contracts on and says when the first job can be taken.
func follow(ctx context.Context, o Options, srv *runner.Server) {
	ready := srv.Ready()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ready:
			ready = nil
			if o.OnReady != nil {
				o.OnReady()
			}
		case c, ok := <-o.Reload:
			if !ok {
				o.Reload = nil
				continue
			}
			if err := srv.Reload(c); err != nil {
				o.Log.Error("keeping the contract as it was", "error", err)
			}
		}
	}
}

// classes are the node classes of all workflows, in order.
func classes(c *contract.Contract) []string {
	found := map[string]bool{}
	for i := range c.Workflows {
		// A graph that cannot be read is the server's to complain of.
		graph, _ := prompt.Decode(c.Workflows[i].Graph)
		for _, n := range graph {
			found[n.ClassType] = true
		}
	}
	return slices.Sorted(maps.Keys(found))
}

func inputFolder(f *comfy.Folders) string {
	if f == nil {
		return ""
	}
	return f.Input
}

func leftovers(f *comfy.Folders) func(live func(job string) bool) error {
	if f == nil {
		return nil
	}
	return f.Leftovers
}

func closeListeners(list ...net.Listener) {
	for _, l := range list {
		if l != nil {
			// Serve may have closed it already.
			_ = l.Close()
		}
	}
}

// errNoContract is a mistake of the caller.
var errNoContract = errors.New("starting the runner: no contract is given")

func check(o Options) error {
	switch {
	case o.Contract == nil:
		return errNoContract
	case o.StateDir == "":
		return errors.New("starting the runner: no state folder is given")
	case o.API == nil:
		return fmt.Errorf("starting the runner: no listener is given")
	}
	return nil
}

// auth settles whether callers need a key: as asked, else as the contract
// says, else by whether other machines can reach the listener.
func auth(o Options) string {
	switch {
	case o.Auth != "":
		return o.Auth
	case o.Contract.Auth != nil && len(*o.Contract.Auth) == 0:
		return runner.AuthOff
	case o.Contract.Auth != nil:
		return runner.AuthKey
	}
	if tcp, ok := o.API.Addr().(*net.TCPAddr); ok && tcp.IP.IsLoopback() {
		return runner.AuthOff
	}
	return runner.AuthKey
}

// page is the built-in page, where no other was given.
func page(o Options) http.Handler {
	if o.Page != nil {
		return o.Page
	}
	return web.Handler()
}
