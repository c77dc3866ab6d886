package registry

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"slices"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// Seekable is a layer that can be read from the middle. Other layers are read
// from their start when an upload goes on, and the bytes that the registry has
// are thrown away.
type Seekable interface {
	// CompressedAt opens the layer's bytes, as stored, at an offset in bytes.
	CompressedAt(offset int64) (io.ReadCloser, error)
}

// blob is a config or a layer to send.
type blob struct {
	digest v1.Hash
	size   int64
	layer  v1.Layer // nil for the config
	config []byte
	from   *name.Repository // where it can be mounted from; nil without
	title  string
}

// label names the blob for people, with a space before it, or is empty.
func (b blob) label() string {
	if b.title == "" {
		return ""
	}
	return " (" + b.title + ")"
}

// blobsOf lists what an image consists of, each once, the largest first.
func blobsOf(img v1.Image) ([]blob, error) {
	cfg, err := img.RawConfigFile()
	if err != nil {
		return nil, err
	}
	m, err := img.Manifest()
	if err != nil {
		return nil, err
	}
	layers, err := img.Layers()
	if err != nil {
		return nil, err
	}
	if len(layers) != len(m.Layers) {
		return nil, fmt.Errorf("the manifest has %d layers, the image %d", len(m.Layers), len(layers))
	}
	list := []blob{{digest: m.Config.Digest, size: int64(len(cfg)), config: cfg, title: "config"}}
	seen := map[v1.Hash]bool{m.Config.Digest: true}
	for i, l := range layers {
		d := m.Layers[i]
		if seen[d.Digest] || !d.MediaType.IsDistributable() {
			continue
		}
		seen[d.Digest] = true
		b := blob{digest: d.Digest, size: d.Size, layer: l, title: d.Annotations["dev.comfyctl.layer.name"]}
		if m, ok := l.(*remote.MountableLayer); ok {
			from := m.Reference.Context()
			b.layer, b.from = m.Layer, &from
		}
		list = append(list, b)
	}
	slices.SortStableFunc(list, func(a, b blob) int { return cmp.Compare(b.size, a.size) })
	return list, nil
}

// open reads the blob from an offset on.
func (b blob) open(offset int64) (io.ReadCloser, error) {
	if b.layer == nil {
		return io.NopCloser(bytes.NewReader(b.config[offset:])), nil
	}
	if s, ok := b.layer.(Seekable); ok {
		return s.CompressedAt(offset)
	}
	r, err := b.layer.Compressed()
	if err != nil {
		return nil, err
	}
	if _, err := io.CopyN(io.Discard, r, offset); err != nil {
		_ = r.Close()
		return nil, fmt.Errorf("reading %s: %w", short(b.digest.String()), err)
	}
	return r, nil
}
