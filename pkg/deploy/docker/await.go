package docker

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/pkg/stdcopy"

	"github.com/comfyctl/comfyctl/internal/diag"
	"github.com/comfyctl/comfyctl/internal/progress"
	"github.com/comfyctl/comfyctl/pkg/deploy"
)

const (
	pollEvery = 300 * time.Millisecond
	// tooOften is how many starts of the engine in a row may fail.
	tooOften = 3
)

// readyLimit is how long a release may take to get ready.
func readyLimit(s *deploy.Spec) time.Duration {
	if s.ReadyTimeout > 0 {
		return s.ReadyTimeout
	}
	if ms := s.Contract.Runner.Timeouts.StartMS; ms > 0 {
		return time.Duration(ms) * time.Millisecond
	}
	return 10 * time.Minute
}

// await waits until a container is ready and is the release that was meant,
// then has it verified. The engine's log is passed on while it boots.
func (t *Target) await(ctx context.Context, s *deploy.Spec, id string, on progress.Func) error {
	if !s.Wait {
		return nil
	}
	began := time.Now()
	base, got, err := t.untilReady(ctx, s, id, on)
	if err != nil {
		return err
	}
	if err := same(s, base, got); err != nil {
		return err
	}
	on(progress.Event{Step: "ready", State: progress.Done, Text: fmt.Sprintf("in %.1fs", time.Since(began).Seconds())})
	if s.Verify == nil {
		return nil
	}
	if err := s.Verify(ctx, base); err != nil {
		return unverified(err)
	}
	return nil
}

// unverified marks what the caller's check of a ready release said.
func unverified(err error) error {
	var e *diag.Error
	if errors.As(err, &e) || errors.Is(err, context.Canceled) {
		return err
	}
	return &diag.Error{Code: "not_verified", Class: diag.ClassFailed, Message: "the release is ready, but did not pass its check", Err: err,
		Help: "`comfyctl test` runs the same cases; --no-smoke deploys without them"}
}

// same reports whether the one that answers is the one that was deployed.
func same(s *deploy.Spec, base string, got *ready) error {
	want, err := s.Contract.Digest()
	if err != nil {
		return err
	}
	if got.Contract == want && (s.ImageDigest == "" || got.Release == s.ImageDigest) {
		return nil
	}
	return &diag.Error{Code: "wrong_release", Class: diag.ClassFailed, Message: "another release answers at " + base,
		Facts: [][2]string{
			{"deployed", "contract " + short(want) + ", image " + short(s.ImageDigest)},
			{"answers", "contract " + short(got.Contract) + ", image " + short(got.Release)},
		},
		Help: "pack again; if it stays so, something else listens on that address"}
}

func (t *Target) untilReady(ctx context.Context, s *deploy.Spec, id string, on progress.Func) (string, *ready, error) {
	stop := t.show(ctx, id, on)
	defer stop()
	every := t.poll
	if every == 0 {
		every = pollEvery
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	late := time.NewTimer(readyLimit(s))
	defer late.Stop()
	began := time.Now()
	for {
		c, err := t.Engine.ContainerInspect(ctx, id)
		if err != nil {
			return "", nil, fmt.Errorf("looking at the container that starts: %w", err)
		}
		if !c.State.Running || c.State.Restarting {
			return "", nil, t.died(ctx, id, c.State)
		}
		base := url(c)
		got, err := t.readyz(ctx, base)
		switch {
		case err != nil: // it does not listen yet
		case got.Ready:
			return base, got, nil
		case got.Engine.Stage == "failed", got.Engine.Stage == "backoff" && got.Engine.Restarts >= tooOften-1:
			return "", nil, t.engineFailed(ctx, id, got)
		default:
			on(progress.Event{Step: "ready", State: progress.Running, Text: got.Engine.Stage, Done: int64(time.Since(began).Seconds()), Unit: "s"})
		}
		select {
		case <-ctx.Done():
			return "", nil, ctx.Err()
		case <-late.C:
			return "", nil, t.late(ctx, s, id)
		case <-tick.C:
		}
	}
}

// show passes the container's log on, line by line, until the function that
// it returns is called. A log that cannot be read is no reason to stop.
func (t *Target) show(ctx context.Context, id string, on progress.Func) func() {
	ctx, cancel := context.WithCancel(ctx)
	body, err := t.Engine.ContainerLogs(ctx, id, container.LogsOptions{ShowStdout: true, ShowStderr: true, Follow: true, Since: "0"})
	if err != nil {
		return cancel
	}
	r, w := io.Pipe()
	var work sync.WaitGroup
	work.Go(func() {
		_, err := stdcopy.StdCopy(w, w, body)
		w.CloseWithError(err)
	})
	work.Go(func() {
		lines := bufio.NewScanner(r)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			if text := engineLine(lines.Bytes()); text != "" {
				on(progress.Event{Step: "engine", State: progress.Running, Text: text})
			}
		}
		// A line past the buffer ends the show, not the writer.
		r.CloseWithError(lines.Err())
	})
	return func() {
		cancel()
		_ = body.Close()
		_ = r.Close()
		work.Wait()
	}
}

// engineLine is what a line of the runner's log says: the engine's own words,
// a warning of the runner, or a line that is no record at all.
func engineLine(line []byte) string {
	var r struct{ Level, Msg, Source string }
	if json.Unmarshal(line, &r) != nil {
		return diag.Safe(string(line))
	}
	if r.Source == "engine" || r.Level == "WARN" || r.Level == "ERROR" {
		return diag.Safe(r.Msg)
	}
	return ""
}
