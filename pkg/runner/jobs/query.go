package jobs

import (
	"context"
	"database/sql"
	"fmt"
	"time"
)

func (s *sqlite) List(ctx context.Context, q Query) ([]*Record, error) {
	text, args := `SELECT `+columns+` FROM jobs WHERE 1`, []any{}
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
	order := " ORDER BY id DESC LIMIT ?"
	if q.Oldest {
		order = " ORDER BY id LIMIT ?"
	}
	return s.query(ctx, text+order, append(args, q.Limit)...)
}

// Delete erases a job and its events. What its webhook is owed is still sent,
// and what it used stays in the accounts.
func (s *sqlite) Delete(ctx context.Context, id string) error {
	err := s.within(ctx, func(tx *sql.Tx) error {
		for _, text := range []string{`DELETE FROM job_files WHERE job = ?`, `DELETE FROM job_events WHERE job = ?`} {
			if _, err := tx.ExecContext(ctx, text, id); err != nil {
				return err
			}
		}
		res, err := tx.ExecContext(ctx, `DELETE FROM jobs WHERE id = ?`, id)
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); err == nil && n == 0 {
			return ErrNotFound
		}
		return nil
	})
	if err != nil {
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

// Bounds of what is kept besides jobs.
const (
	deliveriesKept = 7 * 24 * time.Hour
	usageKept      = 400 * 24 * time.Hour
)

func (s *sqlite) Trim(ctx context.Context) error {
	now := time.Now()
	for _, t := range []struct {
		text string
		past time.Duration
	}{
		{`DELETE FROM idempotency WHERE created_ms < ?`, idempotencyKept},
		{`DELETE FROM deliveries WHERE status <> 'pending' AND created_ms < ?`, deliveriesKept},
		{`DELETE FROM usage WHERE finished_ms < ?`, usageKept},
	} {
		if _, err := s.db.ExecContext(ctx, t.text, now.Add(-t.past).UnixMilli()); err != nil {
			return fmt.Errorf("removing what has run out: %w", err)
		}
	}
	return nil
}
