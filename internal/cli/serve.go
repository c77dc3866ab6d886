package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/comfyctl/comfyctl/internal/diag"
	"github.com/comfyctl/comfyctl/pkg/contract"
	"github.com/comfyctl/comfyctl/pkg/runner/boot"
)

// listen takes an address for the API. A taken port is an error that names who
// has it, where that can be known.
func listen(ctx context.Context, host string, port int) (net.Listener, error) {
	addr := net.JoinHostPort(host, strconv.Itoa(port))
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", addr)
	switch {
	case err == nil:
		return l, nil
	case errors.Is(err, syscall.EADDRINUSE):
		e := failure("port_taken", "port "+strconv.Itoa(port)+" is taken", "-p 0 takes a free one, -p PORT another", nil)
		if who := portOwner(port); who != "" {
			e.Message += " by " + who
		}
		return nil, e
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return nil, usageError("bad_host", host+" is no address of this machine", "--host 127.0.0.1, or 0.0.0.0 for all of them")
	case errors.Is(err, os.ErrPermission):
		return nil, failure("port_refused", "not allowed to listen on port "+strconv.Itoa(port), "choose one above 1023 with -p", nil)
	}
	return nil, usageError("bad_host", "cannot listen on "+addr, err.Error())
}

// portOf is the port of a listener.
func portOf(l net.Listener) int {
	if tcp, ok := l.Addr().(*net.TCPAddr); ok {
		return tcp.Port
	}
	return 0
}

// stubPace makes the stub as fast as it can be, for tests.
const stubPace = 0

// startStub serves the project on the stub engine inside this process, on a
// free port and with a state of its own that goes with it.
func (a *App) startStub(ctx context.Context, p *project) (string, func() error, error) {
	parent := filepath.Join(p.Dir, stateDir, "test")
	if err := os.MkdirAll(parent, 0o755); err != nil {
		return "", nil, failure("cannot_write", "the folder "+a.shown(parent)+" cannot be made", "", err)
	}
	state, err := os.MkdirTemp(parent, "state-*")
	if err != nil {
		return "", nil, failure("cannot_write", "the folder "+a.shown(parent)+" cannot be used", "", err)
	}
	api, err := listen(ctx, "127.0.0.1", 0)
	if err != nil {
		return "", nil, errors.Join(err, os.RemoveAll(state))
	}
	ready := make(chan struct{})
	inner, cancel := context.WithCancel(ctx)
	ended := make(chan error, 1)
	o := boot.Options{
		Contract: p.Contract(contract.EngineStub, version), StateDir: state, API: api, Pace: stubPace, Version: version,
		Auth: "off", Log: a.logger(slog.LevelError), OnReady: func() { close(ready) },
	}
	go func() { ended <- boot.Run(inner, o) }()
	stop := func() error {
		cancel()
		return errors.Join(<-ended, os.RemoveAll(state))
	}
	select {
	case <-ready:
		return "http://" + api.Addr().String(), stop, nil
	case err := <-ended:
		cancel()
		return "", nil, errors.Join(failure("not_ready", "the stub engine did not start", "", err), os.RemoveAll(state))
	case <-ctx.Done():
		return "", nil, errors.Join(ctx.Err(), stop())
	case <-time.After(readyTimeout):
		return "", nil, errors.Join(failure("not_ready", fmt.Sprintf("the stub engine was not ready within %s", readyTimeout), "", nil), stop())
	}
}

// readyTimeout bounds the start of the stub engine.
const readyTimeout = 60 * time.Second

// logger turns the runner's records into lines of the story.
func (a *App) logger(level slog.Level) *slog.Logger {
	if a.flags.Verbose > 0 {
		level = slog.LevelDebug
	}
	return slog.New(&storyHandler{app: a, level: level})
}

// storyHandler is a slog.Handler that writes lines such as
// "12:04:31  job ended  job=job_01HX status=succeeded".
type storyHandler struct {
	app   *App
	level slog.Level
	attrs []slog.Attr
}

// Enabled implements slog.Handler.
func (h *storyHandler) Enabled(_ context.Context, l slog.Level) bool { return l >= h.level }

// Handle implements slog.Handler.
func (h *storyHandler) Handle(_ context.Context, r slog.Record) error {
	attrs := append([]slog.Attr{}, h.attrs...)
	r.Attrs(func(at slog.Attr) bool { attrs = append(attrs, at); return true })
	if h.app.flags.Output == formatNDJSON {
		m := map[string]any{"type": "log", "t": r.Time.UTC(), "level": r.Level.String(), "message": r.Message}
		for _, at := range attrs {
			m[at.Key] = plainValue(at.Value)
		}
		h.app.line(m)
		return nil
	}
	text := r.Time.Format("15:04:05") + "  "
	if r.Level != slog.LevelInfo {
		text += r.Level.String() + "  "
	}
	text += r.Message
	for _, at := range attrs {
		text += fmt.Sprintf("  %s=%v", at.Key, at.Value.Resolve())
	}
	h.app.console().Say("%s", diag.Safe(text))
	return nil
}

func plainValue(v slog.Value) any {
	switch x := v.Resolve().Any().(type) {
	case error:
		return x.Error()
	case time.Duration:
		return x.String()
	default:
		return x
	}
}

// WithAttrs implements slog.Handler.
func (h *storyHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	c := *h
	c.attrs = append(append([]slog.Attr{}, h.attrs...), attrs...)
	return &c
}

// WithGroup implements slog.Handler; groups are not told apart.
func (h *storyHandler) WithGroup(string) slog.Handler { return h }
