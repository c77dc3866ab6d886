package jobs

import (
	"encoding/json"
	"slices"
	"sync"
)

// Event is one message of a job's stream. Ids rise within a job.
type Event struct {
	ID   int64
	Type string // status progress preview output log warning done
	Data json.RawMessage
}

// EventTypes are the types of events.
var EventTypes = []string{"status", "progress", "preview", "output", "log", "warning", "done"}

// keepEvents is how many events of a job are kept for replay.
const keepEvents = 1024

// keepEnded is how many are kept once the job has ended.
const keepEnded = 256

// stream is the live events of one job: a ring for replay and the listeners.
type stream struct {
	mu     sync.Mutex
	last   int64
	ring   []Event
	closed bool
	wake   chan struct{} // closed and replaced at each event
}

func newStream(last int64) *stream { return &stream{last: last, wake: make(chan struct{})} }

func (s *stream) add(typ string, data any) {
	b, err := json.Marshal(data)
	if err != nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last++
	if typ == "preview" {
		// Pictures are large, and only the newest is worth showing.
		s.ring = slices.DeleteFunc(s.ring, isPreview)
	}
	s.ring = append(s.ring, Event{ID: s.last, Type: typ, Data: b})
	if len(s.ring) > keepEvents {
		s.ring = append(s.ring[:0:0], s.ring[len(s.ring)-keepEvents:]...)
	}
	close(s.wake)
	s.wake = make(chan struct{})
}

// shrink keeps what a replay after the end is good for.
func (s *stream) shrink() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := len(s.ring) - keepEnded; n > 0 {
		s.ring = slices.Delete(s.ring, 0, n)
	}
	s.ring = slices.Clip(slices.Clone(s.ring))
}

func isPreview(e Event) bool { return e.Type == "preview" }

func (s *stream) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.closed = true
		close(s.wake)
	}
}

// after returns the events past an id, whether more can come, and a channel
// that is closed when they do.
func (s *stream) after(id int64) (events []Event, more bool, wake <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, e := range s.ring {
		if e.ID > id {
			events = append(events, s.ring[i:]...)
			break
		}
	}
	return events, !s.closed, s.wake
}

func (s *stream) lastID() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.last
}
