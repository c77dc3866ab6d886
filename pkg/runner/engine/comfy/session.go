package comfy

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/comfyctl/comfyctl/pkg/runner/engine"
)

// Times of one prompt.
const (
	socketWait  = 2 * time.Second         // for the socket, before a prompt is sent
	pollAlive   = 1500 * time.Millisecond // history, while the socket works
	pollDeaf    = 250 * time.Millisecond  // history, when only polling is left
	quietBefore = 5 * time.Second         // silence that makes us look at the queue
	strikeAgain = 3 * time.Second         // between two attempts to stop a prompt
	// innocentFor is how long after an interrupt another prompt may be its victim.
	innocentFor = 10 * time.Second
)

// Reasons for which a session ends while the process may still answer.
var (
	errUnstoppable = errors.New("an interrupted prompt does not stop")
	errPoisoned    = errors.New("the device is in a state that only a restart mends")
)

// wedgedError means that the engine's worker is dead while HTTP still answers.
type wedgedError struct{ prompt string }

func (e *wedgedError) Error() string { return "the engine's worker has died" }

// session is one life of the engine, from its first answer to its end.
type session struct {
	client *client
	socket *socket
	o      Options
	// ctx is over when the engine is; its cause says why.
	ctx context.Context
	end context.CancelCauseFunc

	// submitting is held for reading while a prompt is posted, for writing
	// while an interrupt is under way that could hit the next prompt.
	submitting sync.RWMutex

	mu       sync.Mutex
	struck   string // the prompt that was interrupted last
	struckAt time.Time
	// unimported are the node packs that the log says failed to import.
	unimported []string
}

// run runs a prompt. One that fell to an interrupt meant for its predecessor is
// sent again, once.
func (s *session) run(ctx context.Context, p engine.Prompt, on func(engine.Event)) (*engine.Result, error) {
	res, err := s.once(ctx, p, on)
	if errors.Is(err, engine.ErrInterrupted) && s.innocent(p.ID) {
		if err := s.client.post(s.ctx, "/history", map[string][]string{"delete": {p.ID}}); err != nil {
			return nil, fmt.Errorf("clearing the history before sending a prompt again: %w", err)
		}
		res, err = s.once(ctx, p, on)
	}
	var failed *engine.RunError
	if errors.As(err, &failed) && poisoned(failed) {
		s.end(errPoisoned)
	}
	return res, err
}

// innocent reports whether our last interrupt was meant for another prompt and
// is recent enough to have hit this one.
func (s *session) innocent(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.struck != "" && s.struck != id && time.Since(s.struckAt) < innocentFor
}

// once sends a prompt and sees it to its end.
func (s *session) once(ctx context.Context, p engine.Prompt, on func(engine.Event)) (*engine.Result, error) {
	if p.Sent {
		return s.takeUp(ctx, p, on)
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if s.ctx.Err() != nil {
		return nil, fmt.Errorf("%w: %w", engine.ErrNotReady, context.Cause(s.ctx))
	}
	box, clientID := s.socket.subscribe(ctx, p.ID, socketWait)
	defer s.socket.unsubscribe(p.ID)
	if err := s.send(ctx, p, clientID); err != nil {
		return nil, err
	}
	w := newWatch(p, on)
	return w.follow(ctx, s, box)
}

// takeUp sees a prompt to its end that was sent by somebody else's hand. What
// the engine says of it goes to the socket of that one, so it is only polled.
func (s *session) takeUp(ctx context.Context, p engine.Prompt, on func(engine.Event)) (*engine.Result, error) {
	found, err := s.find(p.ID)
	switch {
	case s.ctx.Err() != nil:
		return nil, s.lost()
	case err != nil:
		return nil, fmt.Errorf("%w: %w", engine.ErrUnreachable, err)
	case !found:
		return nil, fmt.Errorf("%w: it does not know it", engine.ErrLost)
	}
	box := newMailbox()
	box.deafen()
	return newWatch(p, on).follow(ctx, s, box)
}

// send posts the prompt. It is not tied to the caller's context: a post that
// is cut off leaves open whether the prompt was accepted.
func (s *session) send(ctx context.Context, p engine.Prompt, clientID string) error {
	partly, err := s.post(ctx, p, clientID)
	var refused *engine.RefusedError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &refused):
		if partly && !s.stop(p.ID) {
			s.end(errUnstoppable)
		}
		return refused
	case ctx.Err() != nil:
		return ctx.Err()
	case s.ctx.Err() != nil:
		return s.lost()
	case refusedConnection(err):
		return fmt.Errorf("%w: %w", engine.ErrNotReady, err)
	}
	if found, asked := s.find(p.ID); asked == nil && found {
		return nil
	}
	return fmt.Errorf("%w: submitting it: %w", engine.ErrLost, err)
}

func (s *session) post(ctx context.Context, p engine.Prompt, clientID string) (partly bool, err error) {
	s.submitting.RLock()
	defer s.submitting.RUnlock()
	if err := ctx.Err(); err != nil {
		return false, err
	}
	method := "none"
	if p.Preview {
		method = "auto"
	}
	return s.client.submit(s.ctx, submission{
		Prompt: p.Graph, PromptID: p.ID, ClientID: clientID,
		// Known since 0.5.0 and harmless before.
		Extra: map[string]string{"preview_method": method},
	})
}

// find reports whether the engine knows the prompt.
func (s *session) find(id string) (bool, error) {
	at, _, err := s.client.queue(s.ctx, id)
	if err != nil {
		return false, err
	}
	if at != absent {
		return true, nil
	}
	// It may have ended between the two questions, never the other way round.
	e, err := s.client.history(s.ctx, id)
	return e != nil, err
}

// lost says why the session ended.
func (s *session) lost() error {
	return fmt.Errorf("%w: %w", engine.ErrLost, context.Cause(s.ctx))
}

// stop ends a prompt, wherever it is, and reports whether it has stopped. The
// end of the engine stops it too.
func (s *session) stop(id string) bool {
	ctx, cancel := context.WithTimeout(s.ctx, s.o.CancelTimeout)
	defer cancel()
	locked := false
	defer func() {
		if locked {
			s.submitting.Unlock()
		}
	}()
	pause := 50 * time.Millisecond
	var struck time.Time
	for {
		if time.Since(struck) > strikeAgain {
			struck = time.Now()
			if !s.cancelJob(ctx, id) {
				if !locked {
					s.submitting.Lock()
					locked = true
				}
				s.strike(ctx, id)
			}
		}
		if gone, err := s.ended(ctx, id); err == nil && gone {
			return true
		}
		select {
		case <-s.ctx.Done():
			return true
		case <-ctx.Done():
			return false
		case <-time.After(pause):
		}
		pause = min(2*pause, 400*time.Millisecond)
	}
}

// cancelJob uses the route that cannot hit another prompt. It reports false
// where the release lacks it (before 0.26.0).
func (s *session) cancelJob(ctx context.Context, id string) bool {
	code, _, err := s.client.call(ctx, http.MethodPost, "/api/jobs/"+url.PathEscape(id)+"/cancel", struct{}{})
	return err == nil && code == http.StatusOK
}

// strike takes the prompt out of the queue, or interrupts it if it runs. The
// engine looks whether it runs, then sets a flag for whatever runs by then; so
// nothing is submitted meanwhile, and who was hit is looked at afterwards.
func (s *session) strike(ctx context.Context, id string) {
	if err := s.client.post(ctx, "/queue", map[string][]string{"delete": {id}}); err != nil {
		return
	}
	at, _, err := s.client.queue(ctx, id)
	if err != nil || at != running {
		return
	}
	s.mu.Lock()
	s.struck, s.struckAt = id, time.Now()
	s.mu.Unlock()
	// A failure shows as a prompt that goes on, and is tried again.
	_ = s.client.post(ctx, "/interrupt", map[string]string{"prompt_id": id})
}

// ended reports whether the prompt neither waits nor runs.
func (s *session) ended(ctx context.Context, id string) (bool, error) {
	at, _, err := s.client.queue(ctx, id)
	return at == absent, err
}

// logLine looks at a line of the engine's log.
func (s *session) logLine(line string) {
	s.noteImport(line)
	if strings.Contains(line, "Exception in thread") && strings.Contains(line, "prompt_worker") {
		s.end(&wedgedError{})
	}
	s.socket.logLine(line)
}
