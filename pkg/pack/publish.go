package pack

import (
	"context"
	"errors"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// Publisher takes an image somewhere and says how to name it from then on.
type Publisher interface {
	Publish(ctx context.Context, img v1.Image) (ref string, err error)
}

// Multi publishes to each in turn and returns the first one's reference.
type Multi []Publisher

// Publish stops at the first error.
func (m Multi) Publish(ctx context.Context, img v1.Image) (string, error) {
	if len(m) == 0 {
		return "", errors.New("publishing: nowhere to")
	}
	first := ""
	for i, p := range m {
		ref, err := p.Publish(ctx, img)
		if err != nil {
			return "", err
		}
		if i == 0 {
			first = ref
		}
	}
	return first, nil
}

// blob is a piece of an image, by its digest.
type blob struct {
	digest v1.Hash
	size   int64
	layer  v1.Layer // nil for the config
	bytes  []byte
}

// blobs are config and layers of an image, each once, then its manifest.
func blobs(img v1.Image) (list []blob, manifest blob, err error) {
	cfg, err := img.RawConfigFile()
	if err != nil {
		return nil, blob{}, err
	}
	name, err := img.ConfigName()
	if err != nil {
		return nil, blob{}, err
	}
	list = []blob{{digest: name, size: int64(len(cfg)), bytes: cfg}}
	seen := map[v1.Hash]bool{name: true}
	layers, err := img.Layers()
	if err != nil {
		return nil, blob{}, err
	}
	for _, l := range layers {
		d, err := l.Digest()
		if err != nil {
			return nil, blob{}, err
		}
		if seen[d] {
			continue
		}
		seen[d] = true
		size, err := l.Size()
		if err != nil {
			return nil, blob{}, err
		}
		list = append(list, blob{digest: d, size: size, layer: l})
	}
	raw, err := img.RawManifest()
	if err != nil {
		return nil, blob{}, err
	}
	digest, err := img.Digest()
	return list, blob{digest: digest, size: int64(len(raw)), bytes: raw}, err
}

func totalSize(list []blob) int64 {
	var n int64
	for _, b := range list {
		n += b.size
	}
	return n
}
