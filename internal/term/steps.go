package term

import (
	"fmt"
	"strings"
	"time"

	"github.com/comfyctl/comfyctl/internal/diag"
	"github.com/comfyctl/comfyctl/internal/progress"
)

// When a line is written off a terminal: buildkit's thresholds.
const (
	antiFlicker = 5 * time.Second  // no progress line sooner than this after the last
	heartbeat   = 10 * time.Second // and one at least this often
	minGain     = 5                // percent
	redraw      = 100 * time.Millisecond
)

// Steps draws progress events. On a terminal it is a region that redraws at
// 10 Hz and leaves one line a step; elsewhere it appends lines.
type Steps struct {
	c       *Console
	began   time.Time
	now     func() time.Time
	group   bool // GitHub's ::group:: around each step
	steps   []*step
	drawn   int // lines of the region on the screen
	stop    chan struct{}
	stopped chan struct{}
}

type step struct {
	name   string
	state  progress.State
	last   progress.Event
	began  time.Time
	said   time.Time
	saidAt int64
	rate   rate
}

// Steps opens a live region. Close it before anything else is printed as a
// result. Only one can be open at a time; group asks for GitHub's log groups.
func (c *Console) Steps(group bool) *Steps {
	s := &Steps{c: c, began: time.Now(), now: time.Now, group: group, stop: make(chan struct{}), stopped: make(chan struct{})}
	c.mu.Lock()
	c.live = s
	c.mu.Unlock()
	if !s.animated() {
		close(s.stopped)
		return s
	}
	go s.animate()
	return s
}

func (s *Steps) animated() bool {
	return s.c.Err.TTY && !s.c.Quiet && s.c.env("TERM") != "dumb" && s.c.env("ACCESSIBLE") == ""
}

func (s *Steps) animate() {
	defer close(s.stopped)
	t := time.NewTicker(redraw)
	defer t.Stop()
	for {
		select {
		case <-s.stop:
			return
		case <-t.C:
			s.c.mu.Lock()
			s.erase()
			s.draw()
			s.c.mu.Unlock()
		}
	}
}

// Close ends the region; steps that have not ended leave no line.
func (s *Steps) Close() {
	close(s.stop)
	<-s.stopped
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	s.erase()
	if s.c.live == s {
		s.c.live = nil
	}
}

// Event takes one fact. It is a progress.Func.
func (s *Steps) Event(e progress.Event) {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	st := s.step(e.Step)
	now := s.now()
	st.rate.add(now, e)
	st.last, st.state = e, e.State
	if e.Item != "" && e.State != progress.Running {
		// The item has ended, its step goes on.
		st.state = progress.Running
		if !s.animated() {
			s.plain(st, now, true)
		}
		return
	}
	if s.animated() {
		if st.state != progress.Running {
			s.erase()
			fmt.Fprint(s.c.Err, s.line(st, now)+"\n")
			s.remove(st)
			s.draw()
		}
		return
	}
	s.plain(st, now, st.state != progress.Running)
	if st.state != progress.Running {
		if s.group && !s.c.Quiet {
			fmt.Fprintln(s.c.Err, "::endgroup::")
		}
		s.remove(st)
	}
}

func (s *Steps) step(name string) *step {
	for _, st := range s.steps {
		if st.name == name {
			return st
		}
	}
	st := &step{name: name, began: s.now()}
	s.steps = append(s.steps, st)
	if s.group && !s.animated() && !s.c.Quiet {
		fmt.Fprintln(s.c.Err, "::group::"+diag.Safe(name))
	}
	return st
}

func (s *Steps) remove(gone *step) {
	for i, st := range s.steps {
		if st == gone {
			s.steps = append(s.steps[:i], s.steps[i+1:]...)
			return
		}
	}
}

// plain appends a line where one is due.
func (s *Steps) plain(st *step, now time.Time, final bool) {
	if s.c.Quiet {
		return
	}
	e := st.last
	if !final {
		since := now.Sub(st.said)
		gained := e.Total > 0 && (e.Done-st.saidAt)*100 >= minGain*e.Total
		due := since >= heartbeat || since >= antiFlicker && gained
		if st.said.IsZero() {
			// The first word of a step waits until it proves to be long.
			due = now.Sub(st.began) >= antiFlicker
		}
		if !due {
			return
		}
	}
	st.said, st.saidAt = now, e.Done
	text := facts(e)
	switch {
	case final && e.Item != "":
		text = strings.TrimSpace(text + " " + word(e.State))
	case final && e.State == progress.Cached:
		text = strings.TrimSpace(text + " cached")
	case final && e.State == progress.Failed:
		text = strings.TrimSpace(text + " failed")
	case final && text == "":
		text = "done"
	case !final:
		text += st.rate.text(e)
	}
	fmt.Fprintf(s.c.Err, "[%5.1fs] %s: %s\n", now.Sub(s.began).Seconds(), diag.Safe(st.name), text)
}

func word(st progress.State) string {
	return map[progress.State]string{progress.Done: "done", progress.Cached: "cached", progress.Warned: "warning", progress.Failed: "failed"}[st]
}
