package pack

import (
	"archive/tar"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/comfyctl/comfyctl/internal/fetch"
	"github.com/comfyctl/comfyctl/internal/progress"
	"github.com/comfyctl/comfyctl/pkg/lock"
)

// wheelsPath is where the files lie while the environment is built.
const wheelsPath = "/run/comfyctl/wheels/"

// lockedLines are requirement files for pip: every package by its file and
// hash, those that must be built from source apart.
func lockedLines(list []lock.Wheel) (wheels, sources string) {
	for _, w := range list {
		line := fmt.Sprintf("%s @ file://%s --hash=sha256:%s\n", w.Name, wheelsPath+url.PathEscape(w.File), w.SHA256)
		if w.Source {
			sources += line
		} else {
			wheels += line
		}
	}
	return wheels, sources
}

// wheelFile is a package's file on this machine.
type wheelFile struct {
	name, path string
	size       int64 // bytes
}

// parallel is how many packages are fetched at a time.
const parallel = 4

// fetchWheels brings the files of all packages into the content store.
func fetchWheels(ctx context.Context, list []lock.Wheel, o BuildOptions) ([]wheelFile, error) {
	store := o.Store()
	client := &fetch.Client{HTTP: o.Sources.HTTP, Store: store, Connections: 2}
	out := make([]wheelFile, len(list))
	var done, total int64
	var count atomic.Int64
	for _, w := range list {
		total += w.Size
	}
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(parallel)
	for i, w := range list {
		g.Go(func() error {
			req := fetch.Request{URL: w.URL, Name: w.File, SHA256: w.SHA256, Size: w.Size}
			if h := indexSignIn(w.URL, o.Index); h != nil {
				req.Target = func(context.Context) (fetch.Target, error) { return fetch.Target{URL: w.URL, Header: h}, nil }
			}
			b, _, err := client.Get(gctx, req)
			if err != nil {
				return fmt.Errorf("fetching the Python package %s %s: %w", w.Name, w.Version, err)
			}
			out[i] = wheelFile{w.File, store.Path(b.SHA256), b.Size}
			o.Progress(progress.Event{Step: "packages", State: progress.Running, Text: fmt.Sprintf("%d of %d", count.Add(1), len(list)), Done: atomic.AddInt64(&done, b.Size), Total: total})
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	if len(list) > 0 {
		o.Progress(progress.Event{Step: "packages", State: progress.Done, Text: fmt.Sprintf("%d Python packages, by hash", len(list)), Done: done, Total: done})
	}
	return out, nil
}

// indexSignIn is the header for a file on the host of a package index whose
// address carries user and password; the lock does not hold them.
func indexSignIn(file string, indexes []string) http.Header {
	f, err := url.Parse(file)
	if err != nil {
		return nil
	}
	for _, index := range indexes {
		u, err := url.Parse(index)
		if err != nil || u.User == nil || u.Host != f.Host || u.Scheme != f.Scheme {
			continue
		}
		password, _ := u.User.Password()
		return http.Header{"Authorization": {"Basic " + base64.StdEncoding.EncodeToString([]byte(u.User.Username()+":"+password))}}
	}
	return nil
}

// context streams the build context: small files, then the packages from the
// content store.
func (p environmentPlan) context(wheels []wheelFile) io.ReadCloser {
	r, w := io.Pipe()
	go func() {
		tw := tar.NewWriter(w)
		err := writeFiles(tw, p.files)
		for _, f := range wheels {
			if err == nil {
				err = writeWheel(tw, f)
			}
		}
		if err == nil {
			err = tw.Close()
		}
		w.CloseWithError(err)
	}()
	return r
}

func writeWheel(tw *tar.Writer, f wheelFile) error {
	file, err := os.Open(f.path)
	if err != nil {
		return err
	}
	h := &tar.Header{Name: "wheels/" + strings.ReplaceAll(f.name, "/", "_"), Mode: 0o644, Size: f.size, ModTime: time.Unix(0, 0), Typeflag: tar.TypeReg}
	if err = tw.WriteHeader(h); err == nil {
		_, err = io.Copy(tw, file)
	}
	return errors.Join(err, file.Close())
}
