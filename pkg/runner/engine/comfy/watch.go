package comfy

import (
	"context"
	"encoding/json"
	"slices"
	"time"

	"github.com/comfyctl/comfyctl/pkg/runner/engine"
)

// watch follows one prompt from its submission to its end.
type watch struct {
	prompt engine.Prompt
	on     func(engine.Event)

	started  bool // the engine said that it began
	cached   bool // it said what it takes from its cache
	ended    time.Time
	deaf     bool
	activity time.Time
	running  []string // what the engine last ran, while ours waits

	// runningSince is when the queue first showed ours as running, startedAt
	// when it was told to have begun.
	runningSince, startedAt time.Time

	node      string // that runs now
	nodeSince time.Time
	times     map[string]time.Duration
	display   map[string]string // ids made at run time to ids of the prompt
	reported  collector
}

func newWatch(p engine.Prompt, on func(engine.Event)) *watch {
	if on == nil {
		on = func(engine.Event) {}
	}
	return &watch{prompt: p, on: on, activity: time.Now(), times: map[string]time.Duration{}, display: map[string]string{}}
}

// follow returns when the prompt has ended in the engine.
func (w *watch) follow(ctx context.Context, s *session, box *mailbox) (*engine.Result, error) {
	poll := time.NewTimer(pollDeaf)
	defer poll.Stop()
	for {
		look := false
		select {
		case <-ctx.Done():
			return nil, w.abandon(s, ctx.Err())
		case <-s.ctx.Done():
			return nil, s.lost()
		case <-box.ready:
			before := w.ended
			w.read(box)
			look = w.ended != before
		case <-poll.C:
			look = true
		}
		if !look {
			continue
		}
		e, err := w.look(s)
		if err != nil {
			return nil, err
		}
		if e != nil {
			w.read(box)
			return w.result(e)
		}
		poll.Reset(w.pause())
	}
}

// pause is how long to wait before the next look at the history.
func (w *watch) pause() time.Duration {
	switch {
	case !w.ended.IsZero():
		return 20 * time.Millisecond
	case w.deaf || !w.started:
		return pollDeaf
	}
	return pollAlive
}

// abandon stops the prompt and returns why.
func (w *watch) abandon(s *session, why error) error {
	if !s.stop(w.prompt.ID) {
		s.end(errUnstoppable)
	}
	return why
}

// look asks the engine itself: for the entry, and where there is none and
// reason for doubt, for the queue. It returns the entry once there is one.
func (w *watch) look(s *session) (*entry, error) {
	e, err := s.client.history(s.ctx, w.prompt.ID)
	if e != nil || err != nil {
		return e, nil //nolint:nilerr // an engine that does not answer is the supervisor's business
	}
	patience := min(quietBefore, s.o.Wedge)
	if w.prompt.Stall > 0 {
		patience = min(patience, w.prompt.Stall)
	}
	if w.started && !w.deaf && time.Since(w.activity) < patience {
		return nil, nil
	}
	at, now, err := s.client.queue(s.ctx, w.prompt.ID)
	if err != nil {
		return nil, nil //nolint:nilerr // as above
	}
	if at == absent {
		// It may have ended between the two questions.
		if e, err = s.client.history(s.ctx, w.prompt.ID); e == nil && err == nil {
			return nil, engine.ErrLost
		}
		return e, nil
	}
	return nil, w.judge(s, at, now)
}

// judge decides whether a prompt that waits or runs is still worth waiting for.
func (w *watch) judge(s *session, at place, now []string) error {
	if !slices.Equal(now, w.running) {
		w.running, w.activity = now, time.Now()
	}
	if at == running && w.runningSince.IsZero() {
		w.runningSince = time.Now()
	}
	if w.deaf {
		// Nothing can be heard, so silence means nothing.
		return nil
	}
	begun := w.startedAt
	if !w.started {
		begun = w.runningSince
	}
	if at == running && !w.cached && time.Since(begun) > s.o.Wedge {
		s.end(&wedgedError{prompt: w.prompt.ID})
		return s.lost()
	}
	if w.prompt.Stall > 0 && time.Since(w.activity) > w.prompt.Stall {
		return w.abandon(s, engine.ErrStalled)
	}
	return nil
}

// read takes what has arrived and reports it.
func (w *watch) read(box *mailbox) {
	items, touched, deaf := box.take()
	w.deaf = deaf
	if touched {
		w.activity = time.Now()
	}
	for _, it := range items {
		switch {
		case it.preview != nil:
			if !w.prompt.Preview {
				continue
			}
			node := it.preview.node
			if node == "" {
				node = w.node
			}
			w.on(engine.Event{Kind: engine.EventPreview, Node: w.own(node), ContentType: it.preview.contentType, Data: it.preview.data})
		case it.note != nil:
			w.on(engine.Event{Kind: engine.EventLog, Node: w.own(it.note.node), Text: it.note.text})
		default:
			w.message(it.message)
		}
	}
}

// own maps an id made at run time to the id of the prompt.
func (w *watch) own(node string) string {
	if id, ok := w.display[node]; ok {
		return id
	}
	return node
}

func (w *watch) message(m *message) {
	if m.Data.Node != nil && m.Data.DisplayNode != "" {
		w.display[*m.Data.Node] = m.Data.DisplayNode
	}
	switch m.Type {
	case "execution_start":
		if !w.started {
			w.started, w.startedAt = true, time.Now()
			w.on(engine.Event{Kind: engine.EventStarted})
		}
	case "execution_cached":
		w.cached = true
		var nodes []string
		_ = json.Unmarshal(m.Data.Nodes, &nodes)
		w.on(engine.Event{Kind: engine.EventCached, Nodes: nodes})
	case "executing":
		w.enter(m.node())
		if m.Data.Node == nil {
			w.ended = time.Now()
			return
		}
		w.on(engine.Event{Kind: engine.EventNode, Node: w.node})
	case "progress":
		value, _ := m.Data.Value.Float64()
		top, _ := m.Data.Max.Float64()
		w.on(engine.Event{Kind: engine.EventProgress, Node: w.own(m.node()), Value: value, Max: top})
	case "executed":
		if outputs := w.reported.add(m.node(), m.Data.Output); len(outputs) > 0 {
			w.on(engine.Event{Kind: engine.EventOutput, Node: m.node(), Outputs: outputs})
		}
	}
	// execution_success, execution_error and execution_interrupted come before
	// the history entry, and an error may be that of a blocked branch: the
	// entry decides.
}

// enter ends the running node's time and begins that of the next.
func (w *watch) enter(node string) {
	now := time.Now()
	if w.node != "" {
		w.times[w.node] += now.Sub(w.nodeSince)
	}
	w.node, w.nodeSince = node, now
}

// result reads the entry.
func (w *watch) result(e *entry) (*engine.Result, error) {
	w.enter("")
	end := e.ending()
	if end.err != nil {
		return nil, end.err
	}
	var c collector
	for _, f := range e.Outputs {
		c.add(e.node(f.Name), f.Value)
	}
	return &engine.Result{
		Outputs:  c.list,
		Cached:   end.cached,
		Reused:   reused(w.prompt.Graph, e.executedOutputs(), end.cached),
		NodeTime: w.times,
	}, nil
}
