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
	"image"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"time"

	"github.com/comfyctl/comfyctl/pkg/runner/engine"
	"github.com/comfyctl/comfyctl/pkg/runner/jobs"
	"github.com/comfyctl/comfyctl/pkg/runner/outputs"
)

// Limits bound what is taken.
type Limits struct {
	Size   int64 // bytes of one file
	Pixels int64 // of a decoded image
}

// Store keeps files in Dir: blobs by hash, and a small document for each id.
type Store struct {
	Dir    string
	Limits Limits
}

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
}

// Errors for callers.
var (
	ErrTooLarge = errors.New("the file is larger than allowed")
	ErrNotFound = errors.New("no such file")
)

// Open makes the folders of a store.
func Open(dir string, l Limits) (*Store, error) {
	for _, d := range []string{"blobs", "ids", "hashes"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			return nil, fmt.Errorf("making the file store: %w", err)
		}
	}
	return &Store{Dir: dir, Limits: l}, nil
}

// Add stores what r gives, at most max bytes (0: the store's limit), and tells
// what it is by its content.
func (s *Store) Add(r io.Reader, name string, max int64) (*Info, error) {
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
	if err = errors.Join(err, tmp.Close()); err != nil {
		return nil, err
	}
	info, err := s.describe(tmp.Name(), name)
	if err != nil {
		return nil, err
	}
	hash := hex.EncodeToString(sum.Sum(nil))
	info.ID, info.Object, info.SizeBytes, info.Hash = jobs.NewID("file_"), "file", n, "sha256:"+hash
	info.CreatedAt = time.Now().UTC()
	if err := os.Rename(tmp.Name(), s.blob(hash)); err != nil {
		return nil, fmt.Errorf("storing file: %w", err)
	}
	if err := os.Chmod(s.blob(hash), 0o644); err != nil {
		return nil, fmt.Errorf("storing file: %w", err)
	}
	return info, s.write(info)
}

func (s *Store) write(info *Info) error {
	b, err := json.Marshal(info)
	if err != nil {
		return fmt.Errorf("describing file: %w", err)
	}
	for _, at := range []string{filepath.Join("ids", info.ID), filepath.Join("hashes", info.Hash[7:])} {
		if err := os.WriteFile(filepath.Join(s.Dir, at), b, 0o644); err != nil {
			return fmt.Errorf("describing file: %w", err)
		}
	}
	return nil
}

func (s *Store) describe(path, name string) (*Info, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("reading file: %w", err)
	}
	defer f.Close()
	head := make([]byte, 1<<14)
	n, err := io.ReadFull(f, head)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("reading file: %w", err)
	}
	kind := outputs.Sniff(head[:n], name)
	info := &Info{Name: name, ContentType: kind.ContentType, Type: kind.Type, Ext: kind.Ext}
	if kind.Type != "image" {
		return info, nil
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return nil, fmt.Errorf("reading file: %w", err)
	}
	c, _, err := image.DecodeConfig(f)
	if err != nil {
		info.Type = "file" // looks like a picture and is none
		return info, nil
	}
	info.Width, info.Height = c.Width, c.Height
	if s.Limits.Pixels > 0 && int64(c.Width)*int64(c.Height) > s.Limits.Pixels {
		return nil, fmt.Errorf("%w: the picture has %d×%d pixels, at most %d in all are taken", ErrTooLarge, c.Width, c.Height, s.Limits.Pixels)
	}
	return info, nil
}

var (
	hashForm = regexp.MustCompile(`^[0-9a-f]{64}$`)
	idForm   = regexp.MustCompile(`^file_[0-9A-Z]{26}$`)
)

func (s *Store) blob(hash string) string { return filepath.Join(s.Dir, "blobs", hash) }

// Get describes a file by its id (file_…) or its hash (sha256:HEX).
func (s *Store) Get(ref string) (*Info, error) {
	at := ""
	switch {
	case idForm.MatchString(ref):
		at = filepath.Join("ids", ref)
	case len(ref) == 71 && ref[:7] == "sha256:" && hashForm.MatchString(ref[7:]):
		at = filepath.Join("hashes", ref[7:])
	default:
		return nil, ErrNotFound
	}
	b, err := os.ReadFile(filepath.Join(s.Dir, at))
	if errors.Is(err, os.ErrNotExist) {
		return nil, ErrNotFound
	} else if err != nil {
		return nil, fmt.Errorf("reading file %s: %w", ref, err)
	}
	var info Info
	if err := json.Unmarshal(b, &info); err != nil {
		return nil, fmt.Errorf("reading file %s: %w", ref, err)
	}
	return &info, nil
}

// Path is where a file's bytes are.
func (s *Store) Path(info *Info) string { return s.blob(info.Hash[7:]) }

// Delete removes an id; the bytes go with the last id that has them.
func (s *Store) Delete(id string) error {
	info, err := s.Get(id)
	if err != nil {
		return err
	}
	if err := os.Remove(filepath.Join(s.Dir, "ids", info.ID)); err != nil {
		return fmt.Errorf("removing file %s: %w", id, err)
	}
	ids, err := os.ReadDir(filepath.Join(s.Dir, "ids"))
	if err != nil {
		return fmt.Errorf("removing file %s: %w", id, err)
	}
	for _, e := range ids {
		if other, err := s.Get(e.Name()); err == nil && other.Hash == info.Hash {
			return nil
		}
	}
	return errors.Join(os.Remove(filepath.Join(s.Dir, "hashes", info.Hash[7:])), os.Remove(s.Path(info)))
}

// Put implements jobs.Inputs: the engine gets the file under its hash, so that
// the same file is the same to the engine's cache.
func (s *Store) Put(ctx context.Context, ex engine.Executor, f jobs.FileInput) (string, error) {
	if !hashForm.MatchString(f.SHA256) {
		return "", ErrNotFound
	}
	r, err := os.Open(s.blob(f.SHA256))
	if err != nil {
		return "", fmt.Errorf("reading input file: %w", err)
	}
	defer r.Close()
	return ex.Put(ctx, "comfyctl", f.SHA256+f.Ext, r)
}
