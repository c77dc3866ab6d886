package pack

import (
	"archive/tar"
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"
	"sync"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/klauspost/compress/gzip"

	"github.com/comfyctl/comfyctl/internal/cas"
	"github.com/comfyctl/comfyctl/internal/dockerengine"
	"github.com/comfyctl/comfyctl/internal/layer"
	"github.com/comfyctl/comfyctl/internal/progress"
)

// environmentImage is an environment in Docker's store, seen as layers.
type environmentImage struct {
	key    string
	base   string
	config dockerengine.ImageConfig
	layers []v1.Layer
}

// newEnvironmentImage names the layers without reading them. They are exported
// and compressed, all at once, when somebody first asks for a digest: Docker
// itself never does, it has them.
func newEnvironmentImage(ctx context.Context, e *dockerengine.Engine, img dockerengine.Image, p environmentPlan, s *cas.Store, report progress.Func) (*environmentImage, error) {
	out := &environmentImage{key: p.key, base: p.base, config: img.Config}
	x := &exporter{engine: e, image: img, store: s, report: report}
	x.once = sync.OnceValue(func() error { return x.export(ctx) })
	for _, d := range img.DiffIDs {
		h, err := v1.NewHash(d)
		if err != nil {
			return nil, fmt.Errorf("reading the layers of %s: %w", p.tag, err)
		}
		out.layers = append(out.layers, &engineLayer{x: x, diffID: h})
	}
	return out, nil
}

type exporter struct {
	engine *dockerengine.Engine
	image  dockerengine.Image
	store  *cas.Store
	report progress.Func
	once   func() error
}

func (x *exporter) missing() bool {
	for _, d := range x.image.DiffIDs {
		if _, ok := layer.FindZipped(x.store, strings.TrimPrefix(d, "sha256:")); !ok {
			return true
		}
	}
	return false
}

// export streams the image out of Docker once, compressing each layer into the
// store.
func (x *exporter) export(ctx context.Context) error {
	if !x.missing() {
		return nil
	}
	body, err := x.engine.SaveImage(ctx, x.image.ID)
	if err != nil {
		return err
	}
	defer body.Close()
	ev := progress.Event{Step: "export", State: progress.Running, Item: "environment", Total: x.image.Size}
	counted := &counter{r: body, each: func(n int64) {
		ev.Done = n
		x.report(ev)
	}}
	if err := readSaved(ctx, counted, x.store); err != nil {
		return fmt.Errorf("exporting the environment: %w", err)
	}
	if x.missing() {
		return errors.New("exporting the environment: Docker's archive lacks a layer of it")
	}
	ev.State = progress.Done
	x.report(ev)
	return nil
}

type counter struct {
	r    io.Reader
	n    int64
	each func(int64)
}

// Read counts.
func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	c.each(c.n)
	return n, err
}

// readSaved keeps every layer of a `docker save` archive. Older engines name
// them ID/layer.tar, newer ones blobs/sha256/…, some of them compressed.
func readSaved(ctx context.Context, r io.Reader, s *cas.Store) error {
	tr := tar.NewReader(r)
	for {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if h.Typeflag != tar.TypeReg || path.Base(h.Name) != "layer.tar" && !strings.HasPrefix(h.Name, "blobs/") {
			continue
		}
		content := bufio.NewReader(tr)
		head, err := content.Peek(2)
		if err != nil || head[0] == '{' { // a manifest or a config among the blobs
			continue
		}
		var from io.Reader = content
		if head[0] == 0x1f && head[1] == 0x8b {
			if from, err = gzip.NewReader(content); err != nil {
				return err
			}
		}
		if _, _, err := layer.ZipReader(ctx, s, from); err != nil {
			return err
		}
	}
}

// engineLayer is a layer of an image in Docker's store.
type engineLayer struct {
	x      *exporter
	diffID v1.Hash
}

var _ v1.Layer = (*engineLayer)(nil)

func (l *engineLayer) get() (*layer.Zipped, error) {
	if err := l.x.once(); err != nil {
		return nil, err
	}
	z, ok := layer.FindZipped(l.x.store, l.diffID.Hex)
	if !ok {
		return nil, fmt.Errorf("the layer %s left the content store meanwhile", l.diffID)
	}
	return z, nil
}

// Digest exports the environment if that was not done.
func (l *engineLayer) Digest() (v1.Hash, error) {
	z, err := l.get()
	if err != nil {
		return v1.Hash{}, err
	}
	return z.Digest()
}

// DiffID is known without exporting.
func (l *engineLayer) DiffID() (v1.Hash, error) { return l.diffID, nil }

// Compressed exports the environment if that was not done.
func (l *engineLayer) Compressed() (io.ReadCloser, error) {
	z, err := l.get()
	if err != nil {
		return nil, err
	}
	return z.Compressed()
}

// Uncompressed exports the environment if that was not done.
func (l *engineLayer) Uncompressed() (io.ReadCloser, error) {
	z, err := l.get()
	if err != nil {
		return nil, err
	}
	return z.Uncompressed()
}

// Size exports the environment if that was not done.
func (l *engineLayer) Size() (int64, error) {
	z, err := l.get()
	if err != nil {
		return 0, err
	}
	return z.Size()
}

// MediaType is OCI's for a gzipped tar.
func (l *engineLayer) MediaType() (types.MediaType, error) { return types.OCILayer, nil }
