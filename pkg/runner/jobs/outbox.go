package jobs

import (
	"context"
	"database/sql"
	"fmt"
	"time"
)

func unixMilli(t *time.Time) any {
	if t == nil {
		return nil
	}
	return t.UnixMilli()
}

func insertDelivery(ctx context.Context, x execer, d *Delivery) error {
	_, err := x.ExecContext(ctx, `INSERT INTO deliveries VALUES (?,?,?,?,?,?,?,?,?,?,?)`,
		d.ID, d.Job, d.Event, d.URL, string(d.Body), d.Status, d.Attempts, d.CreatedAt.UnixMilli(), unixMilli(d.NextAt), d.Code, d.Error)
	return err
}

func (s *sqlite) SaveDelivery(ctx context.Context, d *Delivery) error {
	_, err := s.db.ExecContext(ctx, `UPDATE deliveries SET status = ?, attempts = ?, created_ms = ?, next_ms = ?, code = ?, error = ? WHERE id = ?`,
		d.Status, d.Attempts, d.CreatedAt.UnixMilli(), unixMilli(d.NextAt), d.Code, d.Error, d.ID)
	if err != nil {
		return fmt.Errorf("storing a delivery: %w", err)
	}
	return nil
}

func (s *sqlite) deliveries(ctx context.Context, where string, args ...any) ([]Delivery, error) {
	rows, err := s.db.QueryContext(ctx, `SELECT id, job, event, url, body, status, attempts, created_ms, next_ms, code, error FROM deliveries WHERE `+where, args...) //nolint:gosec // where is one of ours
	if err != nil {
		return nil, fmt.Errorf("reading deliveries: %w", err)
	}
	defer rows.Close()
	list := []Delivery{}
	for rows.Next() {
		var d Delivery
		var body []byte
		var created int64
		var next sql.NullInt64
		if err := rows.Scan(&d.ID, &d.Job, &d.Event, &d.URL, &body, &d.Status, &d.Attempts, &created, &next, &d.Code, &d.Error); err != nil {
			return nil, fmt.Errorf("reading deliveries: %w", err)
		}
		d.Body, d.CreatedAt = body, time.UnixMilli(created).UTC()
		if next.Valid {
			t := time.UnixMilli(next.Int64).UTC()
			d.NextAt = &t
		}
		list = append(list, d)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("reading deliveries: %w", err)
	}
	return list, nil
}

func (s *sqlite) Due(ctx context.Context, now time.Time, limit int) ([]Delivery, error) {
	return s.deliveries(ctx, `status = 'pending' AND next_ms <= ? ORDER BY next_ms, id LIMIT ?`, now.UnixMilli(), limit)
}

func (s *sqlite) NextDue(ctx context.Context) (time.Time, error) {
	var next sql.NullInt64
	if err := s.db.QueryRowContext(ctx, `SELECT min(next_ms) FROM deliveries WHERE status = 'pending'`).Scan(&next); err != nil {
		return time.Time{}, fmt.Errorf("reading deliveries: %w", err)
	}
	if !next.Valid {
		return time.Time{}, nil
	}
	return time.UnixMilli(next.Int64), nil
}

func (s *sqlite) Deliveries(ctx context.Context, job string, caller *string, limit int) ([]Delivery, error) {
	where, args := "1", []any{}
	if job != "" {
		where, args = "job = ?", append(args, job)
	}
	if caller != nil {
		where, args = where+" AND job IN (SELECT id FROM jobs WHERE caller = ?)", append(args, *caller)
	}
	return s.deliveries(ctx, where+" ORDER BY id DESC LIMIT ?", append(args, limit)...)
}

func (s *sqlite) Delivery(ctx context.Context, id string) (*Delivery, error) {
	list, err := s.deliveries(ctx, `id = ?`, id)
	if err == nil && len(list) == 0 {
		err = ErrNotFound
	}
	if err != nil {
		return nil, err
	}
	return &list[0], nil
}
