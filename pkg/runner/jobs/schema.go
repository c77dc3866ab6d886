package jobs

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"time"

	_ "modernc.org/sqlite" // the driver "sqlite"

	"github.com/comfyctl/comfyctl/internal/diag"
)

// migrations take a database from one version to the next; the version is
// SQLite's user_version. They are append-only.
var migrations = []string{
	`CREATE TABLE IF NOT EXISTS jobs (
  id TEXT PRIMARY KEY, status TEXT NOT NULL, final INTEGER NOT NULL, workflow TEXT NOT NULL,
  caller TEXT NOT NULL, created_ms INTEGER NOT NULL, finished_ms INTEGER, job TEXT NOT NULL, work TEXT NOT NULL) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS jobs_final ON jobs (final, finished_ms);
CREATE TABLE IF NOT EXISTS job_files (sha256 TEXT NOT NULL, job TEXT NOT NULL, PRIMARY KEY (sha256, job)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS job_files_job ON job_files (job);
CREATE TABLE IF NOT EXISTS idempotency (
  key TEXT PRIMARY KEY, body TEXT NOT NULL, job TEXT NOT NULL, created_ms INTEGER NOT NULL) WITHOUT ROWID;`,
	// What changes is apart from the graph, which does not.
	`ALTER TABLE jobs ADD COLUMN takes INTEGER NOT NULL DEFAULT 0;
ALTER TABLE jobs ADD COLUMN run TEXT NOT NULL DEFAULT '{}';
ALTER TABLE jobs ADD COLUMN progress TEXT;
CREATE TABLE job_events (job TEXT NOT NULL, id INTEGER NOT NULL, type TEXT NOT NULL, data TEXT NOT NULL, PRIMARY KEY (job, id)) WITHOUT ROWID;
CREATE TABLE deliveries (
  id TEXT PRIMARY KEY, job TEXT NOT NULL, event TEXT NOT NULL, url TEXT NOT NULL, body TEXT NOT NULL, status TEXT NOT NULL,
  attempts INTEGER NOT NULL, created_ms INTEGER NOT NULL, next_ms INTEGER, code INTEGER NOT NULL, error TEXT NOT NULL) WITHOUT ROWID;
CREATE INDEX deliveries_due ON deliveries (next_ms) WHERE status = 'pending';
CREATE INDEX deliveries_job ON deliveries (job);
CREATE TABLE usage (
  job TEXT PRIMARY KEY, caller TEXT NOT NULL, workflow TEXT NOT NULL, status TEXT NOT NULL, finished_ms INTEGER NOT NULL, gpu_ms INTEGER NOT NULL) WITHOUT ROWID;`,
}

// Durability says what a stored job survives.
type Durability string

// Process survives the end of the program by whatever cause; Power also that
// of the machine, at the cost of waiting for the disk.
const (
	Process Durability = "process"
	Power   Durability = "power"
)

// errNewer marks a database that a later release wrote.
var errNewer = errors.New("a newer comfy-runner wrote it")

// OpenSQLite opens or makes the store in a file. A damaged one is put aside,
// beside it, and aside is its name; a new one takes its place.
func OpenSQLite(ctx context.Context, file string, d Durability) (s Store, aside string, err error) {
	db, err := openSQLite(ctx, file, d)
	if err != nil && damaged(err) {
		if aside, err = putAside(file, err); err != nil {
			return nil, "", err
		}
		db, err = openSQLite(ctx, file, d)
	}
	if errors.Is(err, errNewer) {
		return nil, "", &diag.Error{Class: diag.ClassFailed, Message: fmt.Sprintf("the job store %s cannot be read: %v", file, err),
			Help: "start the release that wrote it, or a newer one; or give this one a state folder of its own"}
	}
	if err != nil {
		return nil, "", fmt.Errorf("opening the job store %s: %w", file, err)
	}
	return &sqlite{db: db}, aside, nil
}

func openSQLite(ctx context.Context, file string, d Durability) (*sql.DB, error) {
	// WAL with synchronous NORMAL survives a kill of the process, FULL also a
	// power cut.
	sync := "NORMAL"
	if d == Power {
		sync = "FULL"
	}
	db, err := sql.Open("sqlite", "file:"+file+"?_pragma=journal_mode(WAL)&_pragma=synchronous("+sync+")&_pragma=busy_timeout(10000)&_txlock=immediate")
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1) // one writer; reads are by key and short
	if err := check(ctx, db); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

// errDamaged marks a database whose pages do not fit together.
var errDamaged = errors.New("it is damaged")

// check reads the whole database once and brings it up to date.
func check(ctx context.Context, db *sql.DB) error {
	var verdict string
	if err := db.QueryRowContext(ctx, `PRAGMA quick_check(1)`).Scan(&verdict); err != nil {
		return err
	}
	if verdict != "ok" {
		return fmt.Errorf("%w: %s", errDamaged, verdict)
	}
	var version int
	if err := db.QueryRowContext(ctx, `PRAGMA user_version`).Scan(&version); err != nil {
		return err
	}
	if version > len(migrations) {
		return fmt.Errorf("%w: its version is %d, this one knows %d", errNewer, version, len(migrations))
	}
	for ; version < len(migrations); version++ {
		tx, err := db.BeginTx(ctx, nil)
		if err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, migrations[version]+fmt.Sprintf("PRAGMA user_version = %d;", version+1))
		if err == nil {
			err = tx.Commit()
		}
		if err != nil {
			_ = tx.Rollback()
			return fmt.Errorf("bringing it up to version %d: %w", version+1, err)
		}
	}
	return nil
}

// SQLite's result codes of a file that is no database, or no sound one.
const (
	sqliteCorrupt = 11
	sqliteNotADB  = 26
)

func damaged(err error) bool {
	var coded interface{ Code() int }
	return errors.Is(err, errDamaged) || errors.As(err, &coded) && (coded.Code()&0xff == sqliteCorrupt || coded.Code()&0xff == sqliteNotADB)
}

// putAside renames a damaged database and its log.
func putAside(file string, why error) (string, error) {
	aside := file + ".damaged-" + time.Now().UTC().Format("20060102T150405.000")
	for _, part := range []string{"", "-wal", "-shm"} {
		if err := os.Rename(file+part, aside+part); err != nil && !errors.Is(err, os.ErrNotExist) {
			return "", fmt.Errorf("putting a damaged job store aside (%w): %w", why, err)
		}
	}
	return aside, nil
}
