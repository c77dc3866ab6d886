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

// message is an event before it has an id.
type message struct {
	typ  string
	data any
}

// eventsPerTake is the room for ids between one take of a job and the next.
// Only some events are stored, so what a restart knows of the ids is too low;
// this keeps them rising. It leaves 53 bits enough for billions of takes.
const eventsPerTake = 1 << 20

func newStream(last int64) *stream { return &stream{last: last, wake: make(chan struct{})} }

// add tells what is not stored.
func (s *stream) add(typ string, data any) { s.publish(s.prepare(message{typ, data})) }

// prepare gives messages their ids. They are to be published, or dropped,
// before others are prepared.
func (s *stream) prepare(list ...message) []Event {
	s.mu.Lock()
	defer s.mu.Unlock()
	var events []Event
	for _, m := range list {
		b, err := json.Marshal(m.data)
		if err != nil {
			continue
		}
		s.last++
		events = append(events, Event{ID: s.last, Type: m.typ, Data: b})
	}
	return events
}

// skipTo lets ids go on from last, if they are not there yet.
func (s *stream) skipTo(last int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last = max(s.last, last)
}

func (s *stream) publish(events []Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	for _, e := range events {
		if e.Type == "preview" {
			// Pictures are large, and only the newest is worth showing.
			s.ring = slices.DeleteFunc(s.ring, isPreview)
		}
		s.ring = append(s.ring, e)
	}
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

// first is the id of the oldest event in memory; the next one's where there is
// none.
func (s *stream) first() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.ring) > 0 {
		return s.ring[0].ID
	}
	return s.last + 1
}
