package layer

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"os"

	"github.com/comfyctl/comfyctl/internal/tee"
)

// FileSum computes the digest of the layer that holds one file, from the
// file's bytes as they pass by.
type FileSum struct {
	h          hash.Hash
	size, left int64
}

// NewFileSum starts the sum of a file of the given size that will be name in
// the image.
func NewFileSum(name string, size int64) (*FileSum, error) {
	a, err := NewArchive([]Entry{{Name: name, Mode: ModeFile, Size: size, Open: notRead}})
	if err != nil {
		return nil, err
	}
	s := &FileSum{h: sha256.New(), size: size, left: size}
	s.h.Write(a.parts[0].bytes)
	return s, nil
}

func notRead() (io.ReadCloser, error) { return nil, io.ErrClosedPipe }

// Write takes the next bytes of the file.
func (s *FileSum) Write(p []byte) (int, error) {
	if int64(len(p)) > s.left {
		return 0, fmt.Errorf("hashing a layer: the file is longer than its %d bytes", s.size)
	}
	s.left -= int64(len(p))
	return s.h.Write(p)
}

// Sum is the layer's digest, 64 hex digits, once every byte has been written.
func (s *FileSum) Sum() (string, error) {
	if s.left != 0 {
		return "", fmt.Errorf("hashing a layer: %d bytes of the file are missing", s.left)
	}
	if s.size > 0 { // an empty file has no part of its own before the end
		s.h.Write(make([]byte, padding(s.size)+endOfArchive))
	}
	return hex.EncodeToString(s.h.Sum(nil)), nil
}

// HashFile reads a file once and returns the SHA-256 of its bytes and of the
// layer that would hold it as name. Progress gets the bytes read so far.
func HashFile(ctx context.Context, file, name string, progress func(done int64)) (content, layer string, err error) {
	f, err := os.Open(file)
	if err != nil {
		return "", "", fmt.Errorf("hashing: %w", err)
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		return "", "", fmt.Errorf("hashing: %w", err)
	}
	sum, err := NewFileSum(name, fi.Size())
	if err != nil {
		return "", "", err
	}
	h := sha256.New()
	if err := tee.Copy(ctx, f, progress, h, sum); err != nil {
		return "", "", fmt.Errorf("hashing %s: %w", file, err)
	}
	if layer, err = sum.Sum(); err != nil {
		return "", "", err
	}
	return hex.EncodeToString(h.Sum(nil)), layer, nil
}
