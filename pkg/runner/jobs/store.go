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
	// hash, it returns the job made earlier and fresh false. A new job is
	// stored only where admit, which is called within the transaction, agrees.
	Create(ctx context.Context, r *Record, key, bodyHash string, admit func() error) (got *Record, fresh bool, err error)
	Get(ctx context.Context, id string) (*Record, error)
	// Save writes a job's new state; it is durable when Save returns.
	Save(ctx context.Context, r *Record) error
	List(ctx context.Context, q Query) ([]*Record, error)
	// Unfinished lists the jobs that are not final, oldest first.
	Unfinished(ctx context.Context) ([]*Record, error)
	Delete(ctx context.Context, id string) error
	// Uses counts the jobs that have a file as their input.
	Uses(ctx context.Context, sha256 string) (int, error)
	// Trim forgets what has run out.
	Trim(ctx context.Context) error
	Close() error
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
}

type sqlite struct{ db *sql.DB }

const schema = `
CREATE TABLE IF NOT EXISTS jobs (
  id TEXT PRIMARY KEY, status TEXT NOT NULL, final INTEGER NOT NULL, workflow TEXT NOT NULL,
  caller TEXT NOT NULL, created_ms INTEGER NOT NULL, finished_ms INTEGER, job TEXT NOT NULL, work TEXT NOT NULL) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS jobs_final ON jobs (final, finished_ms);
CREATE TABLE IF NOT EXISTS job_files (sha256 TEXT NOT NULL, job TEXT NOT NULL, PRIMARY KEY (sha256, job)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS job_files_job ON job_files (job);
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
	if _, err := db.ExecContext(context.Background(), schema); err != nil {
		_ = db.Close()
		return nil, fmt.Errorf("opening the job store %s: %w", file, err)
	}
	return &sqlite{db: db}, nil
}

func (s *sqlite) Close() error { return s.db.Close() }

func (s *sqlite) Create(ctx context.Context, r *Record, key, bodyHash string, admit func() error) (*Record, bool, error) {
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return nil, false, fmt.Errorf("storing job: %w", err)
	}
	defer func() { _ = tx.Rollback() }()
	if key != "" {
		if got, err := earlier(ctx, tx, key, bodyHash); got != nil || err != nil {
			return got, false, err
		}
	}
	if err := admit(); err != nil {
		return nil, false, err
	}
	if key != "" {
		if _, err := tx.ExecContext(ctx, `INSERT OR REPLACE INTO idempotency VALUES (?,?,?,?)`, key, bodyHash, r.Job.ID, time.Now().UnixMilli()); err != nil {
			return nil, false, fmt.Errorf("storing idempotency key: %w", err)
		}
	}
	if err := put(ctx, tx, r); err != nil {
		return nil, false, err
	}
	for _, f := range r.Work.Files {
		if _, err := tx.ExecContext(ctx, `INSERT OR IGNORE INTO job_files VALUES (?,?)`, f.SHA256, r.Job.ID); err != nil {
			return nil, false, fmt.Errorf("storing a job's files: %w", err)
		}
	}
	if err := tx.Commit(); err != nil {
		return nil, false, fmt.Errorf("storing job: %w", err)
	}
	return r, true, nil
}

// earlier is the job that a key made, or nil. One that was deleted since makes
// room for a new one.
func earlier(ctx context.Context, tx *sql.Tx, key, bodyHash string) (*Record, error) {
	var body, id string
	err := tx.QueryRowContext(ctx, `SELECT body, job FROM idempotency WHERE key = ? AND created_ms > ?`,
		key, time.Now().Add(-idempotencyKept).UnixMilli()).Scan(&body, &id)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("reading idempotency key: %w", err)
	case body != bodyHash:
		return nil, ErrIdempotency
	}
	got, err := scan(tx.QueryRowContext(ctx, `SELECT job, work FROM jobs WHERE id = ?`, id))
	if errors.Is(err, ErrNotFound) {
		return nil, nil
	}
	return got, err
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
	_, err = x.ExecContext(ctx, `INSERT OR REPLACE INTO jobs VALUES (?,?,?,?,?,?,?,?,?)`,
		r.Job.ID, string(r.Job.Status), r.Job.Status.Final(), r.Job.Workflow, r.Work.Caller, r.Job.CreatedAt.UnixMilli(), finished, string(job), string(work))
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
	rec.Job.Caller, rec.Job.Inline = rec.Work.Caller, rec.Work.Mode == "data"
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
	if q.Caller != nil {
		add("caller = ?", *q.Caller)
	}
	if !q.Since.IsZero() {
		add("created_ms >= ?", q.Since.UnixMilli())
	}
	for k, v := range q.Metadata {
		add("EXISTS (SELECT 1 FROM json_each(job, '$.metadata') WHERE key = ? AND value = ?)", k)
		args = append(args, v)
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
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("deleting job %s: %w", id, err)
	}
	defer func() { _ = tx.Rollback() }()
	if _, err := tx.ExecContext(ctx, `DELETE FROM job_files WHERE job = ?`, id); err != nil {
		return fmt.Errorf("deleting job %s: %w", id, err)
	}
	res, err := tx.ExecContext(ctx, `DELETE FROM jobs WHERE id = ?`, id)
	if err != nil {
		return fmt.Errorf("deleting job %s: %w", id, err)
	}
	if n, err := res.RowsAffected(); err == nil && n == 0 {
		return ErrNotFound
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("deleting job %s: %w", id, err)
	}
	return nil
}

func (s *sqlite) Uses(ctx context.Context, sha256 string) (n int, err error) {
	if err := s.db.QueryRowContext(ctx, `SELECT count(*) FROM job_files WHERE sha256 = ?`, sha256).Scan(&n); err != nil {
		return 0, fmt.Errorf("counting a file's jobs: %w", err)
	}
	return n, nil
}

func (s *sqlite) Trim(ctx context.Context) error {
	if _, err := s.db.ExecContext(ctx, `DELETE FROM idempotency WHERE created_ms < ?`, time.Now().Add(-idempotencyKept).UnixMilli()); err != nil {
		return fmt.Errorf("removing old idempotency keys: %w", err)
	}
	return nil
}
