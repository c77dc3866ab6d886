package runner

import (
	"context"
	"database/sql"
	"fmt"
	"path/filepath"

	_ "modernc.org/sqlite" // the driver "sqlite"

	"github.com/comfyctl/comfyctl/internal/diag"
)

// stateLock keeps a second runner out of a state folder: both would run the
// same jobs. It is the lock of an SQLite file, which every system has and
// which ends with the process.
type stateLock struct {
	db *sql.DB
	tx *sql.Conn
}

func lockState(dir string) (*stateLock, error) {
	db, err := sql.Open("sqlite", "file:"+filepath.Join(dir, "lock.db"))
	if err != nil {
		return nil, fmt.Errorf("locking the state folder: %w", err)
	}
	db.SetMaxOpenConns(1)
	// The lock outlives the call that takes it.
	conn, err := db.Conn(context.Background())
	if err == nil {
		_, err = conn.ExecContext(context.Background(), "BEGIN EXCLUSIVE")
	}
	if err != nil {
		_ = db.Close()
		return nil, &diag.Error{
			Class: diag.ClassFailed, Message: fmt.Sprintf("the state folder %s is in use or cannot be written: %v", dir, err),
			Help: "stop the other runner, or give this one a state folder of its own",
		}
	}
	return &stateLock{db: db, tx: conn}, nil
}

func (l *stateLock) release() error {
	// Closing the connection ends the transaction.
	_ = l.tx.Close()
	return l.db.Close()
}
