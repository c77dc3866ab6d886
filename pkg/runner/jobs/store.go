package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"time"
)

// Errors of a Store.
var (
	// ErrNotFound means that there is no such job.
	ErrNotFound = errors.New("no such job")
	// ErrIdempotency means that the key was used with another body.
	ErrIdempotency = errors.New("the idempotency key was used with another body")
	// ErrFenced means that the job has ended, or was taken by another runner
	// since.
	ErrFenced = errors.New("the job is no longer this runner's")
)

// Store keeps jobs durably. A networked store can take its place: every
// method is one transaction, durable when it returns.
type Store interface {
	// Create stores a new job and what follows from it. With an idempotency key
	// whose body has the same hash, it returns the job made earlier and fresh
	// false. A new job is stored only where admit, which is called within the
	// transaction, agrees.
	Create(ctx context.Context, r *Record, key, bodyHash string, e Effects, admit func() error) (got *Record, fresh bool, err error)
	Get(ctx context.Context, id string) (*Record, error)
	// Apply writes a job's new state and what follows from it. ErrFenced means
	// that nothing was written.
	Apply(ctx context.Context, r *Record, e Effects) error
	// Advance writes how far a running job is, if it still runs.
	Advance(ctx context.Context, id string, p Progress) error
	List(ctx context.Context, q Query) ([]*Record, error)
	// Unfinished lists the jobs that are not final, oldest first.
	Unfinished(ctx context.Context) ([]*Record, error)
	// Events lists a job's kept events past an id.
	Events(ctx context.Context, id string, after int64) ([]Event, error)
	Delete(ctx context.Context, id string) error
	// Uses counts the jobs that have a file as their input.
	Uses(ctx context.Context, sha256 string) (int, error)
	// Trim forgets what has run out.
	Trim(ctx context.Context) error
	Close() error
	Outbox
}

// Effects follow from a change of a job's state; they are stored with it or
// not at all.
type Effects struct {
	// Events are kept for replay.
	Events []Event
	// Deliveries are owed to the job's webhook.
	Deliveries []Delivery
	// Usage is what an ended job has used.
	Usage *UsageEntry
}

// UsageEntry is a line of the accounts.
type UsageEntry struct {
	Caller, Workflow string
	Status           Status
	FinishedAt       time.Time
	GPUMS            int64
}

// Query selects jobs, newest first.
type Query struct {
	Status, Workflow string
	// Caller selects one caller's jobs; nil selects all.
	Caller *string
	// Metadata selects jobs by values of their metadata.
	Metadata map[string]string
	// Since selects jobs made at or after it; zero means any.
	Since time.Time
	// Before is the id to go on after; ids rise with time.
	Before string
	Limit  int
	// FinishedBefore selects final jobs for removal; zero means any.
	FinishedBefore time.Time
	// Oldest gives the oldest first.
	Oldest bool
}

// Delivery is one event that a webhook is owed, or was sent.
type Delivery struct {
	ID    string          `json:"id"`
	Job   string          `json:"job"`
	Event string          `json:"event"`
	URL   string          `json:"url"`
	Body  json.RawMessage `json:"-"`
	// Status is pending, delivered or failed.
	Status    string    `json:"status"`
	Attempts  int       `json:"attempts"`
	CreatedAt time.Time `json:"created_at"`
	// NextAt is when it is tried next, where it is pending.
	NextAt *time.Time `json:"next_at"`
	// Code is the last answer's status, Error what went wrong at last.
	Code  int    `json:"response_status,omitempty"`
	Error string `json:"error,omitempty"`
}

// The states of a delivery.
const (
	DeliveryPending   = "pending"
	DeliveryDelivered = "delivered"
	DeliveryFailed    = "failed"
)

// Outbox keeps what webhooks are owed.
type Outbox interface {
	// Due lists pending deliveries whose time has come, oldest first.
	Due(ctx context.Context, now time.Time, limit int) ([]Delivery, error)
	// NextDue is when the next one comes due; zero means never.
	NextDue(ctx context.Context) (time.Time, error)
	// Deliveries lists those of a job, or all where it is empty, newest first;
	// with a caller only those of that caller's jobs.
	Deliveries(ctx context.Context, job string, caller *string, limit int) ([]Delivery, error)
	Delivery(ctx context.Context, id string) (*Delivery, error)
	// SaveDelivery writes an attempt's outcome.
	SaveDelivery(ctx context.Context, d *Delivery) error
}
