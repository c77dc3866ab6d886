package jobs

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	_ "modernc.org/sqlite" // the driver "sqlite"
)

// ErrNotFound means that there is no such job.
var ErrNotFound = errors.New("no such job")

// ErrIdempotency means that the key was used with another body.
var ErrIdempotency = errors.New("the idempotency key was used with another body")

// Store keeps jobs durably. A networked store can take its place: every
// method is one transaction.
type Store interface {
	// Create stores a new job. With an idempotency key whose body has the same
	// hash, it returns the job made earlier and fresh false.
	Create(ctx context.Context, r *Record, key, bodyHash string) (got *Record, fresh bool, err error)
	Get(ctx context.Context, id string) (*Record, error)
	// Save writes a job's new state; it is durable when Save returns.
	Save(ctx context.Context, r *Record) error
	List(ctx context.Context, q Query) ([]*Record, error)
	// Unfinished lists the jobs that are not final, oldest first.
	Unfinished(ctx context.Context) ([]*Record, error)
	Delete(ctx context.Context, id string) error
	Close() error
}

// Query selects jobs, newest first.
type Query struct {
	Status, Workflow string
	// Before is the id to go on after; ids rise with time.
	Before string
	Limit  int
	// FinishedBefore selects final jobs for removal; zero means any.
	FinishedBefore time.Time
}

type sqlite struct{ db *sql.DB }

const schema = `
CREATE TABLE IF NOT EXISTS jobs (
  id TEXT PRIMARY KEY, status TEXT NOT NULL, final INTEGER NOT NULL, workflow TEXT NOT NULL,
  finished_ms INTEGER, job BLOB NOT NULL, work BLOB NOT NULL) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS jobs_final ON jobs (final, finished_ms);
CREATE TABLE IF NOT EXISTS idempotency (
  key TEXT PRIMARY KEY, body TEXT NOT NULL, job TEXT NOT NULL, created_ms INTEGER NOT NULL) WITHOUT ROWID;
`

// idempotencyKept is how long a key is remembered.
const idempotencyKept = 24 * time.Hour

// OpenSQLite opens or makes the store in a file. WAL with synchronous NORMAL
// survives a kill of the process, which is what is promised.
func OpenSQLite(file string) (Store, error) {
	db, err := sql.Open("sqlite", "file:"+file+"?_pragma=journal_mode(WAL)&_pragma=synchronous(NORMAL)&_pragma=busy_timeout(10000)&_txlock=immediate")
	if err != nil {
		return nil, fmt.Errorf("opening the job store %s: %w", file, err)
	}
	db.SetMaxOpenConns(1) // one writer; reads are by key and short
	if _, err := db.Exec(schema); err != nil {
		_ = db.Close()
		return nil, fmt.Errorf("opening the job store %s: %w", file, err)
	}
	return &sqlite{db: db}, nil
}

func (s *sqlite) Close() error { return s.db.Close() }

func (s *sqlite) Create(ctx context.Context, r *Record, key, bodyHash string) (*Record, bool, error) {
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return nil, false, fmt.Errorf("storing job: %w", err)
	}
	defer func() { _ = tx.Rollback() }()
	if key != "" {
		now := time.Now()
		var body, id string
		err := tx.QueryRowContext(ctx, `SELECT body, job FROM idempotency WHERE key = ? AND created_ms > ?`,
			key, now.Add(-idempotencyKept).UnixMilli()).Scan(&body, &id)
		switch {
		case err == nil && body != bodyHash:
			return nil, false, ErrIdempotency
		case err == nil:
			got, err := scan(tx.QueryRowContext(ctx, `SELECT job, work FROM jobs WHERE id = ?`, id))
			if err == nil {
				return got, false, nil
			}
			if !errors.Is(err, ErrNotFound) { // deleted since: the key makes a new job
				return nil, false, err
			}
		case !errors.Is(err, sql.ErrNoRows):
			return nil, false, fmt.Errorf("reading idempotency key: %w", err)
		}
		if _, err := tx.ExecContext(ctx, `INSERT OR REPLACE INTO idempotency VALUES (?,?,?,?)`, key, bodyHash, r.Job.ID, now.UnixMilli()); err != nil {
			return nil, false, fmt.Errorf("storing idempotency key: %w", err)
		}
	}
	if err := put(ctx, tx, r); err != nil {
		return nil, false, err
	}
	if err := tx.Commit(); err != nil {
		return nil, false, fmt.Errorf("storing job: %w", err)
	}
	return r, true, nil
}

type execer interface {
	ExecContext(ctx context.Context, q string, args ...any) (sql.Result, error)
}

func put(ctx context.Context, x execer, r *Record) error {
	job, err := json.Marshal(&r.Job)
	if err != nil {
		return fmt.Errorf("encoding job: %w", err)
	}
	work, err := json.Marshal(&r.Work)
	if err != nil {
		return fmt.Errorf("encoding job: %w", err)
	}
	var finished any
	if r.Job.FinishedAt != nil {
		finished = r.Job.FinishedAt.UnixMilli()
	}
	_, err = x.ExecContext(ctx, `INSERT OR REPLACE INTO jobs VALUES (?,?,?,?,?,?,?)`,
		r.Job.ID, string(r.Job.Status), r.Job.Status.Final(), r.Job.Workflow, finished, job, work)
	if err != nil {
		return fmt.Errorf("storing job %s: %w", r.Job.ID, err)
	}
	return nil
}

func (s *sqlite) Save(ctx context.Context, r *Record) error { return put(ctx, s.db, r) }

type row interface{ Scan(dest ...any) error }

func scan(r row) (*Record, error) {
	var job, work []byte
	if err := r.Scan(&job, &work); errors.Is(err, sql.ErrNoRows) {
		return nil, ErrNotFound
	} else if err != nil {
		return nil, fmt.Errorf("reading job: %w", err)
	}
	var rec Record
	if err := json.Unmarshal(job, &rec.Job); err != nil {
		return nil, fmt.Errorf("decoding job: %w", err)
	}
	if err := json.Unmarshal(work, &rec.Work); err != nil {
		return nil, fmt.Errorf("decoding job: %w", err)
	}
	return &rec, nil
}

func (s *sqlite) Get(ctx context.Context, id string) (*Record, error) {
	return scan(s.db.QueryRowContext(ctx, `SELECT job, work FROM jobs WHERE id = ?`, id))
}

func (s *sqlite) List(ctx context.Context, q Query) ([]*Record, error) {
	text, args := `SELECT job, work FROM jobs WHERE 1`, []any{}
	add := func(cond string, arg any) { text += " AND " + cond; args = append(args, arg) }
	if q.Status != "" {
		add("status = ?", q.Status)
	}
	if q.Workflow != "" {
		add("workflow = ?", q.Workflow)
	}
	if q.Before != "" {
		add("id < ?", q.Before)
	}
	if !q.FinishedBefore.IsZero() {
		add("final AND finished_ms < ?", q.FinishedBefore.UnixMilli())
	}
	if q.Limit <= 0 {
		q.Limit = 100
	}
	return s.query(ctx, text+" ORDER BY id DESC LIMIT ?", append(args, q.Limit)...)
}

func (s *sqlite) Unfinished(ctx context.Context) ([]*Record, error) {
	return s.query(ctx, `SELECT job, work FROM jobs WHERE NOT final ORDER BY id`)
}

func (s *sqlite) query(ctx context.Context, text string, args ...any) ([]*Record, error) {
	rows, err := s.db.QueryContext(ctx, text, args...)
	if err != nil {
		return nil, fmt.Errorf("listing jobs: %w", err)
	}
	defer rows.Close()
	var list []*Record
	for rows.Next() {
		r, err := scan(rows)
		if err != nil {
			return nil, err
		}
		list = append(list, r)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("listing jobs: %w", err)
	}
	return list, nil
}

func (s *sqlite) Delete(ctx context.Context, id string) error {
	res, err := s.db.ExecContext(ctx, `DELETE FROM jobs WHERE id = ?`, id)
	if err != nil {
		return fmt.Errorf("deleting job %s: %w", id, err)
	}
	if n, _ := res.RowsAffected(); n == 0 {
		return ErrNotFound
	}
	return nil
}
