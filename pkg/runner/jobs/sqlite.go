package jobs

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

type sqlite struct{ db *sql.DB }

// idempotencyKept is how long a key is remembered.
const idempotencyKept = 24 * time.Hour

func (s *sqlite) Close() error { return s.db.Close() }

// within runs f in a transaction.
func (s *sqlite) within(ctx context.Context, f func(tx *sql.Tx) error) error {
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	if err := f(tx); err != nil {
		return err
	}
	return tx.Commit()
}

func (s *sqlite) Create(ctx context.Context, r *Record, key, bodyHash string, e Effects, admit func() error) (got *Record, fresh bool, err error) {
	err = s.within(ctx, func(tx *sql.Tx) error {
		if key != "" {
			if got, err = earlier(ctx, tx, key, bodyHash); got != nil || err != nil {
				return err
			}
		}
		if err := admit(); err != nil {
			return err
		}
		if key != "" {
			if _, err := tx.ExecContext(ctx, `INSERT OR REPLACE INTO idempotency VALUES (?,?,?,?)`, key, bodyHash, r.Job.ID, time.Now().UnixMilli()); err != nil {
				return fmt.Errorf("storing idempotency key: %w", err)
			}
		}
		if err := insert(ctx, tx, r); err != nil {
			return err
		}
		for _, f := range r.Work.Files {
			if _, err := tx.ExecContext(ctx, `INSERT OR IGNORE INTO job_files VALUES (?,?)`, f.SHA256, r.Job.ID); err != nil {
				return fmt.Errorf("storing a job's files: %w", err)
			}
		}
		got, fresh = r, true
		return effects(ctx, tx, r.Job.ID, e)
	})
	if err != nil {
		return nil, false, fmt.Errorf("storing job: %w", err)
	}
	return got, fresh, nil
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
	got, err := scan(tx.QueryRowContext(ctx, `SELECT `+columns+` FROM jobs WHERE id = ?`, id))
	if errors.Is(err, ErrNotFound) {
		return nil, nil
	}
	return got, err
}

type execer interface {
	ExecContext(ctx context.Context, q string, args ...any) (sql.Result, error)
}

// finishedMS is a time for the column of that name.
func finishedMS(j *Job) any {
	if j.FinishedAt == nil {
		return nil
	}
	return j.FinishedAt.UnixMilli()
}

func insert(ctx context.Context, x execer, r *Record) error {
	var doc [3][]byte
	for i, v := range []any{&r.Job, &r.Work, &r.Run} {
		b, err := json.Marshal(v)
		if err != nil {
			return fmt.Errorf("encoding job: %w", err)
		}
		doc[i] = b
	}
	_, err := x.ExecContext(ctx, `INSERT INTO jobs (id, status, final, workflow, caller, created_ms, finished_ms, takes, job, work, run) VALUES (?,?,?,?,?,?,?,?,?,?,?)`,
		r.Job.ID, string(r.Job.Status), r.Job.Status.Final(), r.Job.Workflow, r.Work.Caller, r.Job.CreatedAt.UnixMilli(), finishedMS(&r.Job), r.Run.Takes,
		string(doc[0]), string(doc[1]), string(doc[2]))
	return err
}

func (s *sqlite) Apply(ctx context.Context, r *Record, e Effects) error {
	job, err := json.Marshal(&r.Job)
	if err != nil {
		return fmt.Errorf("encoding job: %w", err)
	}
	run, err := json.Marshal(&r.Run)
	if err != nil {
		return fmt.Errorf("encoding job: %w", err)
	}
	err = s.within(ctx, func(tx *sql.Tx) error {
		res, err := tx.ExecContext(ctx, `UPDATE jobs SET status = ?, final = ?, finished_ms = ?, takes = ?, job = ?, run = ?, progress = NULL WHERE id = ? AND NOT final AND takes <= ?`,
			string(r.Job.Status), r.Job.Status.Final(), finishedMS(&r.Job), r.Run.Takes, string(job), string(run), r.Job.ID, r.Run.Takes)
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); err != nil || n == 0 {
			return errors.Join(err, ErrFenced)
		}
		return effects(ctx, tx, r.Job.ID, e)
	})
	if err != nil {
		return fmt.Errorf("storing job %s: %w", r.Job.ID, err)
	}
	return nil
}

func effects(ctx context.Context, tx execer, job string, e Effects) error {
	for _, ev := range e.Events {
		if _, err := tx.ExecContext(ctx, `INSERT OR REPLACE INTO job_events VALUES (?,?,?,?)`, job, ev.ID, ev.Type, string(ev.Data)); err != nil {
			return fmt.Errorf("storing an event: %w", err)
		}
	}
	for i := range e.Deliveries {
		if err := insertDelivery(ctx, tx, &e.Deliveries[i]); err != nil {
			return fmt.Errorf("storing a delivery: %w", err)
		}
	}
	if u := e.Usage; u != nil {
		if _, err := tx.ExecContext(ctx, `INSERT OR REPLACE INTO usage VALUES (?,?,?,?,?,?)`, job, u.Caller, u.Workflow, string(u.Status), u.FinishedAt.UnixMilli(), u.GPUMS); err != nil {
			return fmt.Errorf("storing usage: %w", err)
		}
	}
	return nil
}

func (s *sqlite) Advance(ctx context.Context, id string, p Progress) error {
	b, err := json.Marshal(p)
	if err == nil {
		_, err = s.db.ExecContext(ctx, `UPDATE jobs SET progress = ? WHERE id = ? AND status = 'running'`, string(b), id)
	}
	if err != nil {
		return fmt.Errorf("storing a job's progress: %w", err)
	}
	return nil
}

// columns are what scan reads.
const columns = `job, work, run, progress`

type row interface{ Scan(dest ...any) error }

func scan(r row) (*Record, error) {
	var job, work, run, progress []byte
	if err := r.Scan(&job, &work, &run, &progress); errors.Is(err, sql.ErrNoRows) {
		return nil, ErrNotFound
	} else if err != nil {
		return nil, fmt.Errorf("reading job: %w", err)
	}
	var rec Record
	for _, d := range []struct {
		b    []byte
		into any
	}{{job, &rec.Job}, {work, &rec.Work}, {run, &rec.Run}, {progress, &rec.Job.Progress}} {
		if len(d.b) == 0 {
			continue
		}
		if err := json.Unmarshal(d.b, d.into); err != nil {
			return nil, fmt.Errorf("decoding job: %w", err)
		}
	}
	rec.Job.Caller, rec.Job.Inline = rec.Work.Caller, rec.Work.Mode == "data"
	return &rec, nil
}

func (s *sqlite) Get(ctx context.Context, id string) (*Record, error) {
	return scan(s.db.QueryRowContext(ctx, `SELECT `+columns+` FROM jobs WHERE id = ?`, id))
}

func (s *sqlite) Unfinished(ctx context.Context) ([]*Record, error) {
	return s.query(ctx, `SELECT `+columns+` FROM jobs WHERE NOT final ORDER BY id`)
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

func (s *sqlite) Events(ctx context.Context, id string, after int64) ([]Event, error) {
	rows, err := s.db.QueryContext(ctx, `SELECT id, type, data FROM job_events WHERE job = ? AND id > ? ORDER BY id`, id, after)
	if err != nil {
		return nil, fmt.Errorf("reading a job's events: %w", err)
	}
	defer rows.Close()
	var list []Event
	for rows.Next() {
		var e Event
		var data []byte
		if err := rows.Scan(&e.ID, &e.Type, &data); err != nil {
			return nil, fmt.Errorf("reading a job's events: %w", err)
		}
		e.Data = data
		list = append(list, e)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("reading a job's events: %w", err)
	}
	return list, nil
}
