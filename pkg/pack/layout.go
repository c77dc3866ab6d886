package pack

import (
	"bytes"
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

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/comfyctl/comfyctl/internal/diag"
	"github.com/comfyctl/comfyctl/internal/diskspace"
	"github.com/comfyctl/comfyctl/internal/progress"
	"github.com/comfyctl/comfyctl/internal/tee"
)

const refName = "org.opencontainers.image.ref.name"

// OCILayout writes an OCI image layout: a folder that skopeo, crane, podman and
// comfyctl read.
type OCILayout struct {
	Dir string
	// Name is the image's name in the reference that is returned; Tag is
	// recorded in the layout.
	Name, Tag string
	Progress  progress.Func
}

// Publish writes beside Dir and renames, so that a Dir is whole or is not
// there. What an older layout at Dir has of the image is linked, not copied.
// The reference is NAME@DIGEST.
func (o OCILayout) Publish(ctx context.Context, img v1.Image) (string, error) {
	dir, err := filepath.Abs(o.Dir)
	if err != nil {
		return "", fmt.Errorf("finding %s: %w", o.Dir, err)
	}
	if err := replaceable(dir); err != nil {
		return "", err
	}
	list, manifest, err := blobs(img)
	if err != nil {
		return "", err
	}
	if err := diskspace.Require(dir, totalSize(list), "the image in "+o.Dir, "choose another disk with --oci DIR"); err != nil {
		return "", err
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return "", fmt.Errorf("making %s: %w", filepath.Dir(dir), err)
	}
	tmp, err := os.MkdirTemp(filepath.Dir(dir), "."+filepath.Base(dir)+"-")
	if err != nil {
		return "", fmt.Errorf("writing the image: %w", err)
	}
	defer os.RemoveAll(tmp)
	w := layoutWriter{dir: tmp, old: dir, report: reporter(o.Progress, "oci", totalSize(list))}
	if err := w.write(ctx, append(list, manifest)); err != nil {
		return "", err
	}
	if err := w.index(manifest, o.Tag, img); err != nil {
		return "", err
	}
	if err := swap(tmp, dir); err != nil {
		return "", err
	}
	w.report.done(o.Dir)
	return o.Name + "@" + manifest.digest.String(), nil
}

// replaceable refuses a folder with something else in it.
func replaceable(dir string) error {
	list, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("looking into %s: %w", dir, err)
	}
	for _, e := range list {
		if e.Name() == "oci-layout" {
			return nil
		}
	}
	if len(list) == 0 {
		return nil
	}
	return &diag.Error{Code: "not_a_layout", Class: diag.ClassUsage, Message: dir + " holds something that is no OCI layout", Help: "name a new folder, or an empty one"}
}

type layoutWriter struct {
	dir, old string
	report   *reports
}

func blobPath(dir string, h v1.Hash) string { return filepath.Join(dir, "blobs", h.Algorithm, h.Hex) }

func (w layoutWriter) write(ctx context.Context, list []blob) error {
	if err := os.MkdirAll(filepath.Join(w.dir, "blobs", "sha256"), 0o755); err != nil {
		return fmt.Errorf("writing the image: %w", err)
	}
	for _, b := range list {
		if w.reuse(b) {
			w.report.add(b.size)
			continue
		}
		if err := w.blob(ctx, b); err != nil {
			return fmt.Errorf("writing the image: %w", err)
		}
	}
	return nil
}

// reuse links a blob of the layout that is being replaced. Blobs of this
// writer are put there by a rename after their hash was checked, so a size
// that fits is enough.
func (w layoutWriter) reuse(b blob) bool {
	old := blobPath(w.old, b.digest)
	fi, err := os.Stat(old)
	return err == nil && b.layer != nil && fi.Size() == b.size && os.Link(old, blobPath(w.dir, b.digest)) == nil
}

// blob copies one blob, checking its digest on the way.
func (w layoutWriter) blob(ctx context.Context, b blob) error {
	r, err := b.open()
	if err != nil {
		return err
	}
	defer r.Close()
	f, err := os.CreateTemp(w.dir, "new-")
	if err != nil {
		return err
	}
	h := sha256.New()
	var before int64
	err = tee.Copy(ctx, r, func(done int64) {
		w.report.add(done - before)
		before = done
	}, f, h)
	if got := hex.EncodeToString(h.Sum(nil)); err == nil && got != b.digest.Hex {
		err = fmt.Errorf("a layer changed while it was written: %s became sha256:%s", b.digest, got)
	}
	if err = errors.Join(err, f.Chmod(0o644), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), blobPath(w.dir, b.digest))
}

func (b blob) open() (io.ReadCloser, error) {
	if b.layer == nil {
		return io.NopCloser(bytes.NewReader(b.bytes)), nil
	}
	return b.layer.Compressed()
}

func (w layoutWriter) index(manifest blob, tag string, img v1.Image) error {
	idx, err := layoutIndex(manifest, tag, img)
	if err != nil {
		return err
	}
	err = os.WriteFile(filepath.Join(w.dir, "index.json"), idx, 0o644)
	if err == nil {
		err = os.WriteFile(filepath.Join(w.dir, "oci-layout"), []byte(layoutFile), 0o644)
	}
	if err != nil {
		return fmt.Errorf("writing the image: %w", err)
	}
	return nil
}

const layoutFile = `{"imageLayoutVersion":"1.0.0"}`

func layoutIndex(manifest blob, tag string, img v1.Image) ([]byte, error) {
	cfg, err := img.ConfigFile()
	if err != nil {
		return nil, err
	}
	d := v1.Descriptor{MediaType: types.OCIManifestSchema1, Size: manifest.size, Digest: manifest.digest, Platform: cfg.Platform()}
	if tag != "" {
		d.Annotations = map[string]string{refName: tag}
	}
	b, err := json.Marshal(v1.IndexManifest{SchemaVersion: 2, MediaType: types.OCIImageIndex, Manifests: []v1.Descriptor{d}})
	if err != nil {
		return nil, fmt.Errorf("encoding the index: %w", err)
	}
	return b, nil
}

// swap puts tmp where dir is.
func swap(tmp, dir string) error {
	if err := os.Chmod(tmp, 0o755); err != nil {
		return fmt.Errorf("writing the image: %w", err)
	}
	old := tmp + "-old"
	err := os.Rename(dir, old)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("replacing %s: %w", dir, err)
	}
	if rerr := os.Rename(tmp, dir); rerr != nil {
		if err == nil {
			_ = os.Rename(old, dir)
		}
		return fmt.Errorf("replacing %s: %w", dir, rerr)
	}
	if err := os.RemoveAll(old); err != nil {
		return fmt.Errorf("removing the old %s: %w", dir, err)
	}
	return nil
}

// reports turns bytes into progress events of one step.
type reports struct {
	f progress.Func
	e progress.Event
}

func reporter(f progress.Func, step string, total int64) *reports {
	if f == nil {
		f = progress.Discard
	}
	return &reports{f: f, e: progress.Event{Step: step, State: progress.Running, Total: total}}
}

func (r *reports) add(n int64) {
	r.e.Done += n
	r.f(r.e)
}

func (r *reports) done(text string) {
	r.e.State, r.e.Text, r.e.Done = progress.Done, text, r.e.Total
	r.f(r.e)
}
