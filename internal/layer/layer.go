package layer

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/klauspost/compress/gzip"

	"github.com/comfyctl/comfyctl/internal/cas"
	"github.com/comfyctl/comfyctl/internal/tee"
)

// Envelope names every choice that decides the bytes of a layer. It changes
// with them, never silently: keys of cached layers contain it.
const Envelope = "tar sorted+parents mtime=0 root 0644/0755 pax-if-needed; gzip klauspost/compress v1.20.1 level 1"

const gzipLevel = gzip.BestSpeed

// Raw is an uncompressed layer that is replayed from its files.
type Raw struct {
	archive *Archive
	digest  v1.Hash
}

var _ v1.Layer = (*Raw)(nil)

// NewRaw is the layer of an archive whose digest (64 hex digits) is known.
func NewRaw(a *Archive, sum string) *Raw {
	return &Raw{archive: a, digest: v1.Hash{Algorithm: "sha256", Hex: sum}}
}

// HashArchive reads an archive and returns its SHA-256.
func HashArchive(ctx context.Context, a *Archive, progress func(done int64)) (string, error) {
	r := a.Reader()
	defer r.Close()
	h := sha256.New()
	if err := tee.Copy(ctx, r, progress, h); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// Digest of the layer as stored.
func (l *Raw) Digest() (v1.Hash, error) { return l.digest, nil }

// DiffID of the tar, which is the same.
func (l *Raw) DiffID() (v1.Hash, error) { return l.digest, nil }

// Compressed is the tar: nothing compresses it.
func (l *Raw) Compressed() (io.ReadCloser, error) { return l.archive.Reader(), nil }

// CompressedAt is the tar from an offset in bytes on.
func (l *Raw) CompressedAt(offset int64) (io.ReadCloser, error) { return l.archive.ReaderAt(offset) }

// Uncompressed is the tar.
func (l *Raw) Uncompressed() (io.ReadCloser, error) { return l.archive.Reader(), nil }

// Size in bytes.
func (l *Raw) Size() (int64, error) { return l.archive.Size(), nil }

// MediaType is OCI's for a bare tar.
func (l *Raw) MediaType() (types.MediaType, error) { return types.OCIUncompressedLayer, nil }

// Zipped is a gzipped layer that lies in the content store.
type Zipped struct {
	store  *cas.Store
	digest v1.Hash
	diffID v1.Hash
	size   int64
}

var _ v1.Layer = (*Zipped)(nil)

// Zip packs entries into the store. Cached is true where the store had the
// very layer before.
func Zip(ctx context.Context, s *cas.Store, entries []Entry) (l *Zipped, cached bool, err error) {
	a, err := NewArchive(entries)
	if err != nil {
		return nil, false, err
	}
	r := a.Reader()
	defer r.Close()
	return ZipReader(ctx, s, r)
}

// ZipReader compresses a tar into the store.
func ZipReader(ctx context.Context, s *cas.Store, r io.Reader) (l *Zipped, cached bool, err error) {
	w, err := s.Create()
	if err != nil {
		return nil, false, err
	}
	defer w.Abort()
	gz, err := gzip.NewWriterLevel(w, gzipLevel)
	if err != nil {
		return nil, false, fmt.Errorf("compressing a layer: %w", err)
	}
	h := sha256.New()
	if err := tee.Copy(ctx, r, nil, h, gz); err != nil {
		return nil, false, err
	}
	if err := gz.Close(); err != nil {
		return nil, false, fmt.Errorf("compressing a layer: %w", err)
	}
	b, err := w.Commit("")
	if err != nil {
		return nil, false, err
	}
	l = &Zipped{store: s, size: b.Size,
		digest: v1.Hash{Algorithm: "sha256", Hex: b.SHA256},
		diffID: v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(h.Sum(nil))}}
	return l, b.Existed, s.SetFact("zipped", Envelope+"\n"+l.diffID.Hex, b.SHA256)
}

// FindZipped is the compressed layer of a tar (64 hex digits) that the store
// has, if it has it.
func FindZipped(s *cas.Store, diffID string) (*Zipped, bool) {
	var sum string
	if !s.Fact("zipped", Envelope+"\n"+diffID, &sum) {
		return nil, false
	}
	size, ok := s.Has(sum)
	if !ok {
		return nil, false
	}
	return &Zipped{store: s, size: size,
		digest: v1.Hash{Algorithm: "sha256", Hex: sum}, diffID: v1.Hash{Algorithm: "sha256", Hex: diffID}}, true
}

// Digest of the compressed bytes.
func (l *Zipped) Digest() (v1.Hash, error) { return l.digest, nil }

// DiffID of the tar inside.
func (l *Zipped) DiffID() (v1.Hash, error) { return l.diffID, nil }

// Compressed bytes from the store.
func (l *Zipped) Compressed() (io.ReadCloser, error) { return l.store.Open(l.digest.Hex) }

// CompressedAt is the stored bytes from an offset on.
func (l *Zipped) CompressedAt(offset int64) (io.ReadCloser, error) {
	f, err := l.store.Open(l.digest.Hex)
	if err != nil {
		return nil, err
	}
	if err := skip(f, offset); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("reading a layer: %w", err)
	}
	return f, nil
}

// Uncompressed is the tar inside.
func (l *Zipped) Uncompressed() (io.ReadCloser, error) {
	f, err := l.store.Open(l.digest.Hex)
	if err != nil {
		return nil, err
	}
	gz, err := gzip.NewReader(f)
	if err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("reading a layer: %w", err)
	}
	return &gunzip{Reader: gz, file: f}, nil
}

type gunzip struct {
	*gzip.Reader
	file io.Closer
}

// Close closes both.
func (g *gunzip) Close() error {
	_ = g.Reader.Close()
	return g.file.Close()
}

// Size of the compressed bytes.
func (l *Zipped) Size() (int64, error) { return l.size, nil }

// MediaType is OCI's for a gzipped tar.
func (l *Zipped) MediaType() (types.MediaType, error) { return types.OCILayer, nil }
