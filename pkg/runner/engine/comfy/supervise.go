package comfy

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/comfyctl/comfyctl/pkg/runner/engine"
)

// Supervise starts the engine and keeps it alive until ctx is over, then stops
// it and returns nil. It returns an error, with the stage failed, only when
// starting again cannot help, such as an interpreter that does not exist.
func (s *Supervisor) Supervise(ctx context.Context) error {
	defer s.stop()
	for failures := 0; ; {
		lived, err := s.life(ctx)
		s.stop()
		if ctx.Err() != nil {
			s.update(func(st *engine.Status) { st.Stage, st.Reason = engine.StageStopped, "" })
			return nil
		}
		s.mu.Lock()
		worked := s.worked
		s.worked = false
		s.mu.Unlock()
		if lived >= steady || worked {
			// It got somewhere: this is no crash loop.
			failures = 0
		}
		failures++
		if permanent(err, lived) {
			s.update(func(st *engine.Status) { st.Stage, st.Reason = engine.StageFailed, s.explain(err, failures) })
			return err
		}
		reason := s.explain(err, failures)
		pause := s.pause(failures)
		s.o.Log.Warn("engine is down", "reason", reason, "again_in", pause.Round(time.Millisecond))
		s.update(func(st *engine.Status) { st.Stage, st.Reason = engine.StageBackoff, reason })
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
		s.update(func(st *engine.Status) { st.Restarts++ })
	}
}

// pause doubles with each failure in a row, with a fifth of chance in it so
// that many runners do not start in step.
func (s *Supervisor) pause(failures int) time.Duration {
	d := backoffLongest
	if n := failures - 1; n < 10 {
		d = min(s.backoff<<n, backoffLongest)
	}
	return time.Duration(float64(d) * (0.8 + 0.4*rand.Float64())) //nolint:gosec // no secret
}

// permanent is true for an end that another start would only repeat.
func permanent(err error, lived time.Duration) bool {
	var end *exitError
	// Python's argument parser ends with 2.
	return errors.As(err, new(*configError)) || lived == 0 && errors.As(err, &end) && end.code == 2
}

// explain puts the reason into one line, with the last of the log.
func (s *Supervisor) explain(err error, failures int) string {
	text := err.Error()
	if l, ok := s.p.(logged); ok && !errors.As(err, new(*configError)) {
		if tail := l.LogTail(); len(tail) > 0 {
			text += "; last log line: " + tail[len(tail)-1]
		}
	}
	if failures > 1 {
		text = fmt.Sprintf("%d failures in a row; %s", failures, text)
	}
	return text
}

func (s *Supervisor) stop() {
	ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	if err := s.p.Stop(ctx); err != nil {
		s.o.Log.Warn("stopping the engine", "error", err)
	}
}

// life is one run of the engine. It returns how long it was ready and why that
// ended.
func (s *Supervisor) life(ctx context.Context) (lived time.Duration, err error) {
	s.update(func(st *engine.Status) { st.Stage, st.Reason = engine.StageStarting, "" })
	// Over with the process, so that nothing waits for a dead one.
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	// The log may speak before the address is known.
	sess := &session{o: s.o, ctx: ctx, end: end, socket: newSocket(nil, s.o.Log)}
	// The first lines say which packs were not imported.
	if l, ok := s.p.(logged); ok {
		defer l.OnLog(sess.logLine)()
	}
	if err := s.p.Start(ctx); err != nil {
		return 0, err
	}
	sess.client = newClient(s.p.URL())
	defer sess.client.close()
	sess.socket.client = sess.client
	var work sync.WaitGroup
	defer work.Wait()
	defer end(nil)
	if done := s.p.Done(); done != nil {
		work.Go(func() {
			select {
			case <-done:
				end(s.p.Err())
			case <-ctx.Done():
			}
		})
	}
	st, err := s.awaitReady(ctx, sess.client)
	if err != nil {
		return 0, err
	}
	work.Go(func() { sess.socket.run(ctx) })
	began := time.Now()
	if lacks := s.lacks(ctx, sess); lacks != "" {
		// Starting again would not help; who mends it may do so while it runs.
		s.o.Log.Error("the engine lacks what the workflows need", "lacks", lacks)
		s.update(func(to *engine.Status) { to.Stage, to.Reason, to.Version = engine.StageUnfit, lacks, st.System.Version })
	} else {
		s.ready(sess, st)
	}
	err = s.guard(ctx, sess)
	s.mu.Lock()
	s.session = nil
	s.mu.Unlock()
	// At once: to end the process may take a while.
	s.update(func(st *engine.Status) { st.Stage, st.Reason = engine.StageBackoff, err.Error() })
	end(err)
	return max(time.Since(began), 1), err
}

func (s *Supervisor) ready(sess *session, st *stats) {
	s.mu.Lock()
	s.session = sess
	s.mu.Unlock()
	s.update(func(to *engine.Status) {
		to.Stage, to.Reason, to.Version, to.Devices = engine.StageReady, "", st.System.Version, nil
		for _, d := range st.Devices {
			to.Devices = append(to.Devices, d.Name)
		}
	})
	s.o.Log.Info("engine is ready", "version", st.System.Version, "url", sess.client.base)
}

// awaitReady polls until the engine answers. Its port is bound last, so an
// answer means that everything is loaded.
func (s *Supervisor) awaitReady(ctx context.Context, c *client) (*stats, error) {
	every := readyEvery
	if s.p.Done() == nil {
		every = readyRemote
	}
	deadline := time.Now().Add(s.o.StartTimeout)
	for {
		once, cancel := context.WithTimeout(ctx, readyTimeout)
		st, err := c.stats(once)
		cancel()
		if err == nil {
			err = s.stillWedged(ctx, c)
		}
		if err == nil {
			return st, nil
		}
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if time.Now().After(deadline) {
			return nil, fmt.Errorf("no answer within %s: %w", s.o.StartTimeout, err)
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-time.After(every):
		}
	}
}

// stillWedged says that an engine which is not ours to restart still sits on
// the prompt that its worker died of.
func (s *Supervisor) stillWedged(ctx context.Context, c *client) error {
	s.mu.Lock()
	id := s.wedged
	s.mu.Unlock()
	if id == "" || s.p.Done() != nil {
		return nil
	}
	at, _, err := c.queue(ctx, id)
	if err == nil && at == running {
		err = errors.New("the engine's worker has died; restart it")
	}
	return err
}

// guard returns why the session ended.
func (s *Supervisor) guard(ctx context.Context, sess *session) error {
	tick := time.NewTicker(s.health)
	defer tick.Stop()
	misses := 0
	for {
		select {
		case <-ctx.Done():
			err := context.Cause(ctx)
			var w *wedgedError
			if errors.As(err, &w) {
				s.mu.Lock()
				s.wedged = w.prompt
				s.mu.Unlock()
			}
			return err
		case <-tick.C:
		}
		once, cancel := context.WithTimeout(ctx, readyTimeout)
		_, err := sess.client.stats(once)
		cancel()
		if err == nil {
			misses = 0
			continue
		}
		misses++
		if misses >= healthMisses || refusedConnection(err) && misses >= 2 {
			return fmt.Errorf("it no longer answers: %w", err)
		}
	}
}
