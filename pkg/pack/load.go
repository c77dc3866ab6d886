package pack

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/comfyctl/comfyctl/internal/diskspace"
	"github.com/comfyctl/comfyctl/internal/dockerengine"
	"github.com/comfyctl/comfyctl/internal/layer"
	"github.com/comfyctl/comfyctl/internal/progress"
	"github.com/comfyctl/comfyctl/internal/tee"
	"github.com/comfyctl/comfyctl/pkg/contract"
)

// Docker loads an image into a Docker Engine. Layers that the Engine has are
// named, not sent.
type Docker struct {
	Engine *dockerengine.Engine
	// Tags name the image there, such as portrait:latest.
	Tags     []string
	Progress progress.Func
}

// Publish loads, then looks whether the image is there: Docker's answer alone
// is no proof. The reference is the image's id, which `docker run` takes.
func (d Docker) Publish(ctx context.Context, img v1.Image) (string, error) {
	name, err := img.ConfigName()
	if err != nil {
		return "", err
	}
	if _, err := d.Engine.Image(ctx, name.String()); err == nil {
		reporter(d.Progress, "load", 0).done("already in Docker")
		return name.String(), d.name(ctx, name.String(), img)
	} else if !dockerengine.IsNotFound(err) {
		return "", err
	}
	layers, err := img.Layers()
	if err != nil {
		return "", err
	}
	have, err := d.have(ctx, img, layers)
	if err != nil {
		return "", err
	}
	if err := d.load(ctx, img, layers, have); err != nil && have > 0 && ctx.Err() == nil {
		// What was there may have gone since: send everything.
		err = d.load(ctx, img, layers, 0)
		if err != nil {
			return "", err
		}
	} else if err != nil {
		return "", err
	}
	if _, err := d.Engine.Image(ctx, name.String()); err != nil {
		return "", fmt.Errorf("loading the image: Docker took it, but does not have it: %w", err)
	}
	return name.String(), d.name(ctx, name.String(), img)
}

// name tags the image and clears away what the tags stood for before.
func (d Docker) name(ctx context.Context, id string, img v1.Image) error {
	for _, t := range d.Tags {
		if err := d.Engine.Tag(ctx, id, t); err != nil {
			return err
		}
	}
	if len(d.Tags) == 0 {
		return nil
	}
	return d.sweep(ctx, id, img)
}

// have counts how many of the lowest layers the Engine has: those that an
// image in it starts with. Docker finds a layer by all that lie below it.
func (d Docker) have(ctx context.Context, img v1.Image, layers []v1.Layer) (int, error) {
	if d.Engine.Info().ContainerdStore {
		return 0, nil
	}
	cfg, err := img.ConfigFile()
	if err != nil {
		return 0, err
	}
	best := 0
	for _, label := range []string{contract.Label, environmentLabel} {
		list, err := d.Engine.Images(ctx, map[string]string{label: ""})
		if err != nil {
			return 0, err
		}
		for _, i := range list {
			n := 0
			for n < len(layers) && n < len(i.DiffIDs) && i.DiffIDs[n] == cfg.RootFS.DiffIDs[n].String() {
				n++
			}
			best = max(best, n)
		}
	}
	return best, nil
}

func (d Docker) load(ctx context.Context, img v1.Image, layers []v1.Layer, have int) error {
	sizes, total, err := uncompressedSizes(layers[have:])
	if err != nil {
		return err
	}
	// Docker keeps what arrives beside what it unpacks.
	if free, ok := d.Engine.FreeDisk(); ok && free < 2*total {
		return diskspace.Full(d.Engine.Info().Root, 2*total, free, "loading the image into Docker", "`comfyctl pack --oci DIR` writes elsewhere; `docker system df` shows what fills it")
	}
	rep := reporter(d.Progress, "load", total)
	pr, pw := io.Pipe()
	done := make(chan error, 1)
	go func() {
		err := writeLoad(ctx, pw, img, layers, have, sizes, rep)
		_ = pw.CloseWithError(err)
		done <- err
	}()
	err = d.Engine.LoadImage(ctx, pr)
	_ = pr.CloseWithError(errStopped)
	if werr := <-done; werr != nil && !errors.Is(werr, errStopped) {
		err = errors.Join(werr, err)
	}
	if err == nil {
		rep.done(fmt.Sprintf("%d of %d layers were there", have, len(layers)))
	}
	return err
}

// errStopped ends the writing of an archive that nobody reads any more.
var errStopped = errors.New("docker stopped reading")

// uncompressedSizes: a docker-archive names the size in front of each layer.
// Compressed layers are unpacked twice for it, which small ones can bear; an
// environment is only sent to an Engine that has lost it.
func uncompressedSizes(layers []v1.Layer) (sizes []int64, total int64, err error) {
	for _, l := range layers {
		var n int64
		if raw, ok := l.(*layer.Raw); ok {
			n, err = raw.Size()
		} else {
			var r io.ReadCloser
			if r, err = l.Uncompressed(); err == nil {
				n, err = io.Copy(io.Discard, r)
				err = errors.Join(err, r.Close())
			}
		}
		if err != nil {
			return nil, 0, fmt.Errorf("reading a layer: %w", err)
		}
		sizes, total = append(sizes, n), total+n
	}
	return sizes, total, nil
}

// writeLoad writes a docker-archive whose lowest layers are placeholders.
func writeLoad(ctx context.Context, w io.Writer, img v1.Image, layers []v1.Layer, have int, sizes []int64, rep *reports) error {
	byDiffID := func(l v1.Layer) (v1.Hash, error) { return l.DiffID() }
	manifest, err := dockerManifest(img, "", byDiffID)
	if err != nil {
		return err
	}
	name, err := img.ConfigName()
	if err != nil {
		return err
	}
	cfg, err := img.RawConfigFile()
	if err != nil {
		return err
	}
	tw := tar.NewWriter(w)
	if err := addBytes(tw, "manifest.json", manifest); err != nil {
		return err
	}
	if err := addBytes(tw, archivePath(name), cfg); err != nil {
		return err
	}
	seen := map[v1.Hash]bool{}
	for i, l := range layers {
		d, err := l.DiffID()
		if err != nil {
			return err
		}
		if seen[d] {
			continue
		}
		seen[d] = true
		if i < have {
			if err := addBytes(tw, archivePath(d), nil); err != nil {
				return err
			}
			continue
		}
		if err := addLayer(ctx, tw, l, d, sizes[i-have], rep); err != nil {
			return err
		}
	}
	return tw.Close()
}

func addLayer(ctx context.Context, tw *tar.Writer, l v1.Layer, d v1.Hash, size int64, rep *reports) error {
	r, err := l.Uncompressed()
	if err != nil {
		return err
	}
	defer r.Close()
	if err := tw.WriteHeader(tarHeader(archivePath(d), size)); err != nil {
		return err
	}
	var before int64
	return tee.Copy(ctx, r, func(done int64) {
		rep.add(done - before)
		before = done
	}, tw)
}

// ShortName is the name that Docker gives an image of a service.
func ShortName(service string) string { return strings.ToLower(service) }
