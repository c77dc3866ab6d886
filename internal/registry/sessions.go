package registry

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// sessionAge is after how long an upload is taken for forgotten; registries
// throw unfinished ones away after about a day or a week.
const sessionAge = 24 * time.Hour

// sessions remembers open uploads in a folder, so that a push that was killed
// goes on where it was. Without a folder it remembers nothing.
type sessions struct{ dir string }

// session is where an upload goes on.
type session struct {
	Location string    `json:"location"`
	Chunk    int64     `json:"chunk,omitempty"`
	At       time.Time `json:"at"`
}

func (s sessions) file(repo name.Repository, d v1.Hash) string {
	sum := sha256.Sum256([]byte(repo.String() + "@" + d.String()))
	return filepath.Join(s.dir, hex.EncodeToString(sum[:16])+".json")
}

// load is the open upload of a blob. One that cannot be read is as good as
// none: the blob is sent from its start.
func (s sessions) load(repo name.Repository, d v1.Hash) (session, bool) {
	if s.dir == "" {
		return session{}, false
	}
	b, err := os.ReadFile(s.file(repo, d))
	if err != nil {
		return session{}, false
	}
	var out session
	if json.Unmarshal(b, &out) != nil || out.Location == "" || time.Since(out.At) > sessionAge {
		return session{}, false
	}
	return out, true
}

// save remembers; a folder that cannot be written only costs the memory. The
// location lets anybody who reads it add to the upload, hence the mode.
func (s sessions) save(repo name.Repository, d v1.Hash, at session) {
	if s.dir == "" || os.MkdirAll(s.dir, 0o700) != nil {
		return
	}
	b, err := json.Marshal(at)
	if err != nil {
		return
	}
	f, err := os.CreateTemp(s.dir, ".session-*")
	if err != nil {
		return
	}
	_, werr := f.Write(b)
	if cerr := f.Close(); werr != nil || cerr != nil || os.Rename(f.Name(), s.file(repo, d)) != nil {
		_ = os.Remove(f.Name())
	}
}

func (s sessions) drop(repo name.Repository, d v1.Hash) {
	if s.dir != "" {
		_ = os.Remove(s.file(repo, d))
	}
}
