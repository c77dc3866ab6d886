package jobs

import (
	"database/sql"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func open(t *testing.T, dir string) Store {
	t.Helper()
	s, aside, err := OpenSQLite(t.Context(), filepath.Join(dir, "jobs.db"), Process)
	if err != nil || aside != "" {
		t.Fatal(aside, err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func record(id string) *Record {
	return &Record{Job: Job{ID: id, Status: Queued, CreatedAt: time.Now().UTC().Truncate(time.Millisecond), Outputs: []Output{}, Workflow: "w"},
		Work: Work{Graph: json.RawMessage(`{"1":{"class_type":"X","inputs":{}}}`), Names: map[string]string{}}}
}

func yes() error { return nil }

func create(t *testing.T, s Store, r *Record) {
	t.Helper()
	if _, fresh, err := s.Create(t.Context(), r, "", "", Effects{}, yes); err != nil || !fresh {
		t.Fatal(fresh, err)
	}
}

// A change and what follows from it are stored together, or not at all.
func TestEffectsAreStoredWithTheChange(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	r := record("job_1")
	create(t, s, r)
	now := time.Now().UTC().Truncate(time.Millisecond)
	r.Job.Status, r.Job.FinishedAt, r.Run.Takes = Succeeded, &now, 1
	e := Effects{
		Events:     []Event{{ID: 7, Type: "status", Data: json.RawMessage(`{"status":"succeeded"}`)}},
		Deliveries: []Delivery{{ID: "msg_1", Job: "job_1", Event: "job.succeeded", URL: "https://x", Body: json.RawMessage(`{}`), Status: DeliveryPending, CreatedAt: now, NextAt: &now}},
		Usage:      &UsageEntry{Workflow: "w", Status: Succeeded, FinishedAt: now, GPUMS: 12},
	}
	// The same delivery twice cannot be stored, so nothing may be.
	twice := e
	twice.Deliveries = append(twice.Deliveries, e.Deliveries[0])
	if err := s.Apply(t.Context(), r, twice); err == nil {
		t.Fatal("two deliveries of one id were stored")
	}
	if got, err := s.Get(t.Context(), "job_1"); err != nil || got.Job.Status != Queued {
		t.Fatalf("half of a change was stored: %+v %v", got, err)
	}
	if err := s.Apply(t.Context(), r, e); err != nil {
		t.Fatal(err)
	}
	_ = s.Close()
	s = open(t, dir)
	got, err := s.Get(t.Context(), "job_1")
	if err != nil {
		t.Fatal(err)
	}
	want, _ := json.Marshal(r)
	have, _ := json.Marshal(got)
	if diff := cmp.Diff(string(want), string(have)); diff != "" {
		t.Error(diff)
	}
	events, err := s.Events(t.Context(), "job_1", 0)
	if diff := cmp.Diff(e.Events, events); diff != "" || err != nil {
		t.Error(diff, err)
	}
	due, err := s.Due(t.Context(), now, 10)
	if diff := cmp.Diff(e.Deliveries, due); diff != "" || err != nil {
		t.Error(diff, err)
	}
}

// What a runner does that lost a job meanwhile is refused, and so is any change
// of a job that has ended.
func TestLateChangesAreRefused(t *testing.T) {
	s := open(t, t.TempDir())
	r := record("job_1")
	create(t, s, r)
	mine, theirs := *r, *r
	mine.Run.Takes, mine.Job.Status = 1, Running
	if err := s.Apply(t.Context(), &mine, Effects{}); err != nil {
		t.Fatal(err)
	}
	theirs.Run.Takes, theirs.Job.Status = 2, Running
	if err := s.Apply(t.Context(), &theirs, Effects{}); err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	mine.Job.Status, mine.Job.FinishedAt = Failed, &now
	if err := s.Apply(t.Context(), &mine, Effects{Events: []Event{{ID: 1, Type: "status"}}}); !errors.Is(err, ErrFenced) {
		t.Errorf("the late runner: %v", err)
	}
	if events, _ := s.Events(t.Context(), "job_1", 0); len(events) != 0 {
		t.Errorf("its events are kept: %v", events)
	}
	theirs.Job.Status, theirs.Job.FinishedAt = Succeeded, &now
	if err := s.Apply(t.Context(), &theirs, Effects{}); err != nil {
		t.Fatal(err)
	}
	theirs.Job.Status = Failed
	if err := s.Apply(t.Context(), &theirs, Effects{}); !errors.Is(err, ErrFenced) {
		t.Errorf("a job that has ended: %v", err)
	}
}

func TestProgressIsKeptWhileItRuns(t *testing.T) {
	s := open(t, t.TempDir())
	r := record("job_1")
	create(t, s, r)
	p := Progress{Value: 0.5, NodesDone: 2, NodesTotal: 4, CurrentNode: &Node{ID: "3"}}
	if err := s.Advance(t.Context(), "job_1", p); err != nil {
		t.Fatal(err)
	}
	if got, _ := s.Get(t.Context(), "job_1"); got.Job.Progress.Value != 0 {
		t.Error("a job that waits has progress")
	}
	r.Job.Status, r.Run.Takes = Running, 1
	if err := s.Apply(t.Context(), r, Effects{}); err != nil {
		t.Fatal(err)
	}
	if err := s.Advance(t.Context(), "job_1", p); err != nil {
		t.Fatal(err)
	}
	got, _ := s.Get(t.Context(), "job_1")
	if diff := cmp.Diff(p, got.Job.Progress); diff != "" {
		t.Error(diff)
	}
}

// The database of the first release is taken over with its jobs.
func TestMigrationFromTheFirstVersion(t *testing.T) {
	dir := t.TempDir()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(dir, "jobs.db"))
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile("testdata/first.sql")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec(string(b)); err != nil {
		t.Fatal(err)
	}
	_ = db.Close()
	s := open(t, dir)
	list, err := s.Unfinished(t.Context())
	if err != nil || len(list) != 1 || list[0].Job.ID != "job_01" || list[0].Job.Status != Running || list[0].Run.Takes != 0 {
		t.Fatalf("%+v %v", list, err)
	}
	list[0].Job.Status = Queued
	if err := s.Apply(t.Context(), list[0], Effects{}); err != nil {
		t.Error(err)
	}
	if got, err := s.Get(t.Context(), "job_00"); err != nil || got.Job.Status != Succeeded {
		t.Errorf("%+v %v", got, err)
	}
}

func TestDamagedStoreIsPutAside(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "jobs.db")
	if err := os.WriteFile(file, []byte("this is no database, and is longer than a header of one would be ..............................................................."), 0o600); err != nil {
		t.Fatal(err)
	}
	s, aside, err := OpenSQLite(t.Context(), file, Process)
	if err != nil || aside == "" {
		t.Fatal(aside, err)
	}
	defer s.Close()
	if b, err := os.ReadFile(aside); err != nil || string(b[:4]) != "this" {
		t.Errorf("%q %v", b, err)
	}
	create(t, s, record("job_1"))
}

func TestPowerDurability(t *testing.T) {
	s, _, err := OpenSQLite(t.Context(), filepath.Join(t.TempDir(), "jobs.db"), Power)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var level int
	if err := s.(*sqlite).db.QueryRow("PRAGMA synchronous").Scan(&level); err != nil || level != 2 {
		t.Errorf("synchronous is %d, FULL is 2: %v", level, err)
	}
}

func TestIdempotencyKeys(t *testing.T) {
	s := open(t, t.TempDir())
	first := record("job_1")
	if _, fresh, err := s.Create(t.Context(), first, "k", "body", Effects{}, yes); err != nil || !fresh {
		t.Fatal(fresh, err)
	}
	no := func() error { return ErrFull }
	if got, fresh, err := s.Create(t.Context(), record("job_2"), "k", "body", Effects{}, no); err != nil || fresh || got.Job.ID != "job_1" {
		t.Errorf("again: %+v %v %v", got, fresh, err)
	}
	if _, _, err := s.Create(t.Context(), record("job_3"), "k", "other", Effects{}, yes); !errors.Is(err, ErrIdempotency) {
		t.Errorf("another body: %v", err)
	}
	if _, _, err := s.Create(t.Context(), record("job_4"), "new", "body", Effects{}, no); !errors.Is(err, ErrFull) {
		t.Errorf("refused: %v", err)
	}
}
