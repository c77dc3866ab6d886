// Package files keeps the files that callers send, by their SHA-256, and
// fetches those that they name by URL without ever reaching a private address.
package files

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"time"

	"github.com/comfyctl/comfyctl/pkg/runner/durable"
	"github.com/comfyctl/comfyctl/pkg/runner/engine"
	"github.com/comfyctl/comfyctl/pkg/runner/jobs"
)

// Limits bound what is taken.
type Limits struct {
	Size   int64 // bytes of one file
	Pixels int64 // of a decoded image
}

// Store keeps files in a folder: bytes in blobs/HASH, a document for each id in
// infos/HASH/ID, and in ids/ID the hash.
type Store struct {
	Dir    string
	Limits Limits
	// Engine is the engine's input folder where it is reachable: the copies
	// that it got are erased with the files.
	Engine string
	// Sync waits until the disk has what is stored.
	Sync bool
}

// Owner is whose a file is.
type Owner struct {
	// Caller is the name of an API key; empty where auth is off.
	Caller string
	// All sees every caller's files.
	All bool
}

func (o Owner) sees(i *Info) bool { return o.All || o.Caller == i.Caller }

// Info describes a stored file; its JSON is the API's reply.
type Info struct {
	ID          string    `json:"id"`
	Object      string    `json:"object"`
	Name        string    `json:"name,omitempty"`
	ContentType string    `json:"content_type"`
	Type        string    `json:"type"`
	SizeBytes   int64     `json:"size_bytes"`
	Width       int       `json:"width,omitempty"`
	Height      int       `json:"height,omitempty"`
	Hash        string    `json:"hash"` // sha256:HEX
	CreatedAt   time.Time `json:"created_at"`
	Ext         string    `json:"ext"`
	Caller      string    `json:"-"`
	// Passing is true for a file that came with a job and goes with it.
	Passing bool `json:"-"`
}

// document is how an Info is kept.
type document struct {
	Info
	Caller  string `json:"caller,omitempty"`
	Passing bool   `json:"passing,omitempty"`
}

// Errors for callers.
var (
	ErrTooLarge = errors.New("the file is larger than allowed")
	ErrNotFound = errors.New("no such file")
)

// Open makes the folders of a store.
func Open(dir string, l Limits) (*Store, error) {
	for _, d := range []string{"blobs", "ids", "infos"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			return nil, fmt.Errorf("making the file store: %w", err)
		}
	}
	return &Store{Dir: dir, Limits: l}, nil
}

// Add stores what r gives, at most max bytes (0: the store's limit), and tells
// what it is by its content. A passing file goes with the last job that has
// it.
func (s *Store) Add(r io.Reader, name string, max int64, o Owner, passing bool) (*Info, error) {
	if max <= 0 || (s.Limits.Size > 0 && max > s.Limits.Size) {
		max = s.Limits.Size
	}
	tmp, err := os.CreateTemp(s.Dir, ".part-*")
	if err != nil {
		return nil, fmt.Errorf("storing file: %w", err)
	}
	defer os.Remove(tmp.Name())
	sum := sha256.New()
	src := r
	if max > 0 {
		src = io.LimitReader(r, max+1)
	}
	n, err := io.Copy(io.MultiWriter(tmp, sum), src)
	if err == nil && max > 0 && n > max {
		err = fmt.Errorf("%w: at most %d bytes", ErrTooLarge, max)
	}
	if s.Sync && err == nil {
		err = tmp.Sync()
	}
	if err = errors.Join(err, tmp.Close()); err != nil {
		return nil, err
	}
	info, err := s.describe(tmp.Name(), name)
	if err != nil {
		return nil, err
	}
	hash := hex.EncodeToString(sum.Sum(nil))
	info.ID, info.Object, info.SizeBytes, info.Hash = jobs.NewID("file_"), "file", n, "sha256:"+hash
	info.CreatedAt, info.Caller, info.Passing = time.Now().UTC(), o.Caller, passing
	if err := os.Chmod(tmp.Name(), 0o644); err != nil {
		return nil, fmt.Errorf("storing file: %w", err)
	}
	if err := os.Rename(tmp.Name(), s.blob(hash)); err != nil {
		return nil, fmt.Errorf("storing file: %w", err)
	}
	if passing {
		if had := s.passing(hash, o.Caller); had != nil {
			info.ID = had.ID
		}
	}
	if err := s.write(info); err != nil || !s.Sync {
		return info, err
	}
	return info, durable.Folder(filepath.Join(s.Dir, "blobs"))
}

// passing finds the caller's passing document of a hash, or nil.
func (s *Store) passing(hash, caller string) *Info {
	for _, i := range s.infos(hash) {
		if i.Passing && i.Caller == caller {
			return i
		}
	}
	return nil
}

func (s *Store) write(info *Info) error {
	b, err := json.Marshal(document{Info: *info, Caller: info.Caller, Passing: info.Passing})
	if err != nil {
		return fmt.Errorf("describing file: %w", err)
	}
	dir := filepath.Join(s.Dir, "infos", info.Hash[7:])
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("describing file: %w", err)
	}
	if err := os.WriteFile(filepath.Join(dir, info.ID), b, 0o644); err != nil {
		return fmt.Errorf("describing file: %w", err)
	}
	if err := os.WriteFile(filepath.Join(s.Dir, "ids", info.ID), []byte(info.Hash[7:]), 0o644); err != nil {
		return fmt.Errorf("describing file: %w", err)
	}
	return nil
}

var (
	hashForm = regexp.MustCompile(`^[0-9a-f]{64}$`)
	idForm   = regexp.MustCompile(`^file_[0-9A-Z]{26}$`)
)

func (s *Store) blob(hash string) string { return filepath.Join(s.Dir, "blobs", hash) }

// infos are the documents of a hash.
func (s *Store) infos(hash string) []*Info {
	names, _ := filepath.Glob(filepath.Join(s.Dir, "infos", hash, "file_*"))
	var list []*Info
	for _, name := range names {
		// One that goes away meanwhile is not listed.
		if i, err := readInfo(name); err == nil {
			list = append(list, i)
		}
	}
	return list
}

func readInfo(name string) (*Info, error) {
	b, err := os.ReadFile(name) //nolint:gosec // hash and id are checked by their form
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ErrNotFound
	} else if err != nil {
		return nil, fmt.Errorf("reading a file's description: %w", err)
	}
	var d document
	if err := json.Unmarshal(b, &d); err != nil {
		return nil, fmt.Errorf("reading a file's description: %w", err)
	}
	d.Info.Caller, d.Info.Passing = d.Caller, d.Passing
	return &d.Info, nil
}

// Get describes a file by its id (file_…) or its hash (sha256:HEX). A file of
// another caller is not found.
func (s *Store) Get(ref string, o Owner) (*Info, error) {
	switch {
	case idForm.MatchString(ref):
		hash, err := os.ReadFile(filepath.Join(s.Dir, "ids", ref))
		if err != nil || !hashForm.Match(hash) {
			return nil, ErrNotFound
		}
		info, err := readInfo(filepath.Join(s.Dir, "infos", string(hash), ref))
		if err == nil && !o.sees(info) {
			return nil, ErrNotFound
		}
		return info, err
	case len(ref) == 71 && ref[:7] == "sha256:" && hashForm.MatchString(ref[7:]):
		for _, i := range s.infos(ref[7:]) {
			if o.sees(i) {
				return i, nil
			}
		}
	}
	return nil, ErrNotFound
}

// Have implements jobs.Inputs.
func (s *Store) Have(sha string) bool {
	_, err := os.Stat(s.blob(sha))
	return hashForm.MatchString(sha) && err == nil
}

// Path is where a file's bytes are.
func (s *Store) Path(info *Info) string { return s.blob(info.Hash[7:]) }

// Put implements jobs.Inputs: the engine gets the file under its hash, so that
// the same file is the same to the engine's cache.
func (s *Store) Put(ctx context.Context, ex engine.Executor, f jobs.FileInput) (string, error) {
	if !hashForm.MatchString(f.SHA256) {
		return "", ErrNotFound
	}
	r, err := os.Open(s.blob(f.SHA256))
	if errors.Is(err, fs.ErrNotExist) {
		return "", missing(f.SHA256)
	} else if err != nil {
		return "", fmt.Errorf("reading input file: %w", err)
	}
	defer r.Close()
	return ex.Put(ctx, engineFolder, f.SHA256+f.Ext, r)
}
