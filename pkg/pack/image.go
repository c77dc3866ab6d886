package pack

import (
	"bytes"
	"encoding/json"
	"fmt"
	"sync"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// image is an OCI image whose config is there at once and whose manifest is
// made when somebody asks: layers of an engine-built environment must be
// exported for their digests, which loading into that engine does not need.
type image struct {
	config      []byte
	layers      []annotated
	annotations map[string]string
	manifest    func() ([]byte, error)
}

// annotated is a layer with what its descriptor says of it.
type annotated struct {
	v1.Layer
	annotations map[string]string
}

var _ v1.Image = (*image)(nil)

func newImage(cfg *v1.ConfigFile, layers []annotated, annotations map[string]string) (*image, error) {
	b, err := json.Marshal(cfg)
	if err != nil {
		return nil, fmt.Errorf("encoding the image's config: %w", err)
	}
	i := &image{config: b, layers: layers, annotations: annotations}
	i.manifest = sync.OnceValues(i.makeManifest)
	return i, nil
}

func (i *image) makeManifest() ([]byte, error) {
	digest, size, err := v1.SHA256(bytes.NewReader(i.config))
	if err != nil {
		return nil, fmt.Errorf("hashing the image's config: %w", err)
	}
	m := v1.Manifest{
		SchemaVersion: 2, MediaType: types.OCIManifestSchema1,
		Config:      v1.Descriptor{MediaType: types.OCIConfigJSON, Size: size, Digest: digest},
		Layers:      []v1.Descriptor{},
		Annotations: i.annotations,
	}
	for _, l := range i.layers {
		d, err := partial.Descriptor(l.Layer)
		if err != nil {
			return nil, err
		}
		d.Annotations = l.annotations
		m.Layers = append(m.Layers, *d)
	}
	b, err := json.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("encoding the image's manifest: %w", err)
	}
	return b, nil
}

// Layers are in order, lowest first.
func (i *image) Layers() ([]v1.Layer, error) {
	out := make([]v1.Layer, len(i.layers))
	for n, l := range i.layers {
		out[n] = l.Layer
	}
	return out, nil
}

// MediaType of the manifest.
func (i *image) MediaType() (types.MediaType, error) { return types.OCIManifestSchema1, nil }

// Size of the manifest in bytes.
func (i *image) Size() (int64, error) { return partial.Size(i) }

// ConfigName is the digest of the config.
func (i *image) ConfigName() (v1.Hash, error) { return partial.ConfigName(i) }

// ConfigFile is the config, decoded.
func (i *image) ConfigFile() (*v1.ConfigFile, error) { return partial.ConfigFile(i) }

// RawConfigFile is the config's bytes.
func (i *image) RawConfigFile() ([]byte, error) { return i.config, nil }

// Digest of the manifest.
func (i *image) Digest() (v1.Hash, error) { return partial.Digest(i) }

// Manifest is the manifest, decoded.
func (i *image) Manifest() (*v1.Manifest, error) { return partial.Manifest(i) }

// RawManifest is the manifest's bytes.
func (i *image) RawManifest() ([]byte, error) { return i.manifest() }

// LayerByDigest finds a layer, or the config, by its digest.
func (i *image) LayerByDigest(h v1.Hash) (v1.Layer, error) {
	if name, err := i.ConfigName(); err == nil && name == h {
		return partial.ConfigLayer(i)
	}
	for _, l := range i.layers {
		d, err := l.Digest()
		if err != nil {
			return nil, err
		}
		if d == h {
			return l.Layer, nil
		}
	}
	return nil, fmt.Errorf("the image has no layer %s", h)
}

// LayerByDiffID finds a layer by the digest of its tar.
func (i *image) LayerByDiffID(h v1.Hash) (v1.Layer, error) {
	for _, l := range i.layers {
		d, err := l.DiffID()
		if err != nil {
			return nil, err
		}
		if d == h {
			return l.Layer, nil
		}
	}
	return nil, fmt.Errorf("the image has no layer whose tar is %s", h)
}
