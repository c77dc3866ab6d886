package pack

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/comfyctl/comfyctl/internal/diskspace"
	"github.com/comfyctl/comfyctl/internal/progress"
	"github.com/comfyctl/comfyctl/internal/tee"
)

// Archive writes one tar that is both a docker-archive, for `docker load` of
// every age, and an OCI archive, which keeps the digest.
type Archive struct {
	File string
	// Name and Tag are what `docker load` calls the image.
	Name, Tag string
	Progress  progress.Func
}

// Publish writes beside File and renames. The reference is NAME@DIGEST.
func (a Archive) Publish(ctx context.Context, img v1.Image) (string, error) {
	list, manifest, err := blobs(img)
	if err != nil {
		return "", err
	}
	if err := diskspace.Require(filepath.Dir(a.File), totalSize(list), "the image in "+a.File, "choose another disk with --out FILE"); err != nil {
		return "", err
	}
	f, err := os.CreateTemp(filepath.Dir(a.File), "."+filepath.Base(a.File)+"-")
	if err != nil {
		return "", fmt.Errorf("writing the image: %w", err)
	}
	defer os.Remove(f.Name())
	rep := reporter(a.Progress, "archive", totalSize(list))
	err = a.write(ctx, f, img, append(list, manifest), rep)
	err = errors.Join(err, f.Chmod(0o644), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), a.File)
	}
	if err != nil {
		return "", fmt.Errorf("writing the image: %w", err)
	}
	rep.done(a.File)
	return a.Name + "@" + manifest.digest.String(), nil
}

func (a Archive) write(ctx context.Context, w io.Writer, img v1.Image, list []blob, rep *reports) error {
	idx, err := layoutIndex(list[len(list)-1], a.Tag, img)
	if err != nil {
		return err
	}
	docker, err := dockerManifest(img, a.Name+":"+a.Tag, func(l v1.Layer) (v1.Hash, error) { return l.Digest() })
	if err != nil {
		return err
	}
	tw := tar.NewWriter(w)
	for _, small := range []struct {
		name  string
		bytes []byte
	}{{"oci-layout", []byte(layoutFile)}, {"index.json", idx}, {"manifest.json", docker}} {
		if err := addBytes(tw, small.name, small.bytes); err != nil {
			return err
		}
	}
	for _, b := range list {
		if err := addBlob(ctx, tw, b, rep); err != nil {
			return err
		}
	}
	return tw.Close()
}

func archivePath(h v1.Hash) string { return "blobs/" + h.Algorithm + "/" + h.Hex }

func addBlob(ctx context.Context, tw *tar.Writer, b blob, rep *reports) error {
	r, err := b.open()
	if err != nil {
		return err
	}
	defer r.Close()
	if err := tw.WriteHeader(tarHeader(archivePath(b.digest), b.size)); err != nil {
		return err
	}
	h := sha256.New()
	var before int64
	if err := tee.Copy(ctx, r, func(done int64) {
		rep.add(done - before)
		before = done
	}, tw, h); err != nil {
		return err
	}
	if got := hex.EncodeToString(h.Sum(nil)); got != b.digest.Hex {
		return fmt.Errorf("a layer changed while it was written: %s became sha256:%s", b.digest, got)
	}
	return nil
}

func tarHeader(name string, size int64) *tar.Header {
	return &tar.Header{Name: name, Mode: 0o644, Size: size, ModTime: time.Unix(0, 0), Typeflag: tar.TypeReg}
}

func addBytes(tw *tar.Writer, name string, b []byte) error {
	if err := tw.WriteHeader(tarHeader(name, int64(len(b)))); err != nil {
		return err
	}
	_, err := tw.Write(b)
	return err
}

// dockerManifest is the manifest.json of a docker-archive.
func dockerManifest(img v1.Image, ref string, digest func(v1.Layer) (v1.Hash, error)) ([]byte, error) {
	cfg, err := img.ConfigName()
	if err != nil {
		return nil, err
	}
	layers, err := img.Layers()
	if err != nil {
		return nil, err
	}
	paths := []string{}
	for _, l := range layers {
		h, err := digest(l)
		if err != nil {
			return nil, err
		}
		paths = append(paths, archivePath(h))
	}
	tags := []string{}
	if ref != "" && ref != ":" {
		tags = append(tags, ref)
	}
	b, err := json.Marshal([]map[string]any{{"Config": archivePath(cfg), "RepoTags": tags, "Layers": paths}})
	if err != nil {
		return nil, fmt.Errorf("encoding the archive's manifest: %w", err)
	}
	return b, nil
}
