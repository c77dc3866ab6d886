package jobs

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"
)

// Line is where jobs wait for a runner, and who has which. The embedded one is
// in memory and is made anew from the store at each start. One over a network
// keeps its tickets there, so that several runners take from it: a lease that
// is not renewed runs out, and its ticket is given to somebody else. What such
// a late runner still does is refused by the store, for Run.Takes has risen.
type Line interface {
	// Put adds a job, or changes the ticket of one that waits.
	Put(ctx context.Context, t Ticket) error
	// Take leases the first job that may run now; nil when there is none.
	Take(ctx context.Context) (*Lease, error)
	// Renew keeps a lease. ErrLeaseLost means that somebody else has the job.
	Renew(ctx context.Context, l *Lease) error
	// Done ends a lease, and the job's time in the line.
	Done(ctx context.Context, l *Lease) error
	// Back ends a lease and lets the job wait again.
	Back(ctx context.Context, l *Lease, t Ticket) error
	// Remove takes out a job that waits; false means that it does not.
	Remove(ctx context.Context, job string) (bool, error)
	// Position is 1 for the job that is next, 0 for one that does not wait or
	// where the line cannot tell.
	Position(job string) int
	// Len is how many jobs wait.
	Len() int
	// Next is when a job may first be taken, where all that wait may not yet
	// be; zero where one may be now or none waits.
	Next() time.Time
}

// Ticket is a job's place in a line: by priority, the highest first, then by
// id, the oldest first.
type Ticket struct {
	Job      string
	Priority int
	// NotBefore is when it may be taken; zero means at once.
	NotBefore time.Time
}

// Lease is a job that a runner has, until Until.
type Lease struct {
	Ticket
	Until time.Time
	// Token tells leases of one job apart.
	Token int64
}

// ErrLeaseLost means that a lease ran out and the job was given to another.
var ErrLeaseLost = errors.New("the lease of the job was lost")

// memoryLine is the embedded Line.
type memoryLine struct {
	mu      sync.Mutex
	ttl     time.Duration
	waiting []Ticket
	present map[string]Ticket // those that wait, by job
	leased  map[string]*Lease
	tokens  int64
}

// NewLine makes a line in memory whose leases last for ttl.
func NewLine(ttl time.Duration) Line {
	return &memoryLine{ttl: ttl, present: map[string]Ticket{}, leased: map[string]*Lease{}}
}

// before orders tickets.
func before(a, b Ticket) int {
	if a.Priority != b.Priority {
		return b.Priority - a.Priority
	}
	switch {
	case a.Job < b.Job:
		return -1
	case a.Job > b.Job:
		return 1
	}
	return 0
}

func (m *memoryLine) Put(_ context.Context, t Ticket) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.put(t)
	return nil
}

func (m *memoryLine) put(t Ticket) {
	m.remove(t.Job)
	at, _ := slices.BinarySearchFunc(m.waiting, t, before)
	m.waiting = slices.Insert(m.waiting, at, t)
	m.present[t.Job] = t
}

func (m *memoryLine) Take(context.Context) (*Lease, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	m.redeliver(now)
	for i, t := range m.waiting {
		if t.NotBefore.After(now) {
			continue
		}
		m.waiting = slices.Delete(m.waiting, i, i+1)
		delete(m.present, t.Job)
		m.tokens++
		l := &Lease{Ticket: t, Until: now.Add(m.ttl), Token: m.tokens}
		m.leased[t.Job] = l
		given := *l
		return &given, nil
	}
	return nil, nil
}

// redeliver puts back what nobody renews.
func (m *memoryLine) redeliver(now time.Time) {
	for job, l := range m.leased {
		if now.After(l.Until) {
			delete(m.leased, job)
			m.put(Ticket{Job: job, Priority: l.Priority})
		}
	}
}

// mine reports whether a lease still stands, if late.
func (m *memoryLine) mine(l *Lease) bool {
	held := m.leased[l.Job]
	return held != nil && held.Token == l.Token
}

func (m *memoryLine) Renew(_ context.Context, l *Lease) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.mine(l) {
		return ErrLeaseLost
	}
	l.Until = time.Now().Add(m.ttl)
	m.leased[l.Job].Until = l.Until
	return nil
}

func (m *memoryLine) Done(_ context.Context, l *Lease) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.mine(l) {
		return ErrLeaseLost
	}
	delete(m.leased, l.Job)
	return nil
}

func (m *memoryLine) Back(_ context.Context, l *Lease, t Ticket) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.mine(l) {
		return ErrLeaseLost
	}
	delete(m.leased, l.Job)
	m.put(t)
	return nil
}

func (m *memoryLine) Remove(_ context.Context, job string) (bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.remove(job), nil
}

func (m *memoryLine) remove(job string) bool {
	at, ok := m.find(job)
	if ok {
		m.waiting = slices.Delete(m.waiting, at, at+1)
		delete(m.present, job)
	}
	return ok
}

// find is where a job waits.
func (m *memoryLine) find(job string) (int, bool) {
	t, ok := m.present[job]
	if !ok {
		return 0, false
	}
	return slices.BinarySearchFunc(m.waiting, t, before)
}

func (m *memoryLine) Position(job string) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	if at, ok := m.find(job); ok {
		return at + 1
	}
	return 0
}

func (m *memoryLine) Len() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.waiting)
}

func (m *memoryLine) Next() time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	var first time.Time
	for _, t := range m.waiting {
		if t.NotBefore.IsZero() {
			return time.Time{}
		}
		if first.IsZero() || t.NotBefore.Before(first) {
			first = t.NotBefore
		}
	}
	return first
}
