package cli

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"mime"
	"os"
	"path/filepath"
	"strings"

	"github.com/comfyctl/comfyctl/internal/client"
)

// saved is one output as it was written.
type saved struct {
	Name        string `json:"name"`
	Path        string `json:"path,omitempty"`
	ContentType string `json:"content_type"`
	Bytes       int64  `json:"bytes"`
	SHA256      string `json:"sha256"`
	Text        string `json:"text,omitempty"`
	Width       int    `json:"width,omitempty"`
	Height      int    `json:"height,omitempty"`
}

// saver decides where outputs go.
type saver struct {
	a *App
	// dir takes files by output name; file is the one path asked for.
	dir, file string
	stdout    bool
	written   int
}

// saver reads -O: a folder, a file, - for stdout, or the folder acted in.
func (a *App) saver(out string) (*saver, error) {
	if out == "-" {
		return &saver{a: a, stdout: true}, nil
	}
	d, err := a.dir()
	if err != nil || out == "" {
		return &saver{a: a, dir: d}, err
	}
	path, err := a.path(out)
	if err != nil {
		return nil, err
	}
	st, err := os.Stat(path)
	switch {
	case err == nil && st.IsDir(), strings.HasSuffix(out, "/"), strings.HasSuffix(out, string(filepath.Separator)):
		return &saver{a: a, dir: path}, nil
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return nil, usageError("bad_path", "-O "+out+" cannot be used", pathReason(err))
	case err != nil && filepath.Ext(path) == "":
		return &saver{a: a, dir: path}, nil
	}
	return &saver{a: a, file: path}, nil
}

// all saves a job's outputs in their order.
func (s *saver) all(ctx context.Context, c *client.Client, job *client.Job) ([]saved, error) {
	if s.stdout && len(job.Outputs) > 1 {
		s.a.console().Say("writing %s to stdout; %d more outputs are left out", job.Outputs[0].Name, len(job.Outputs)-1)
		job.Outputs = job.Outputs[:1]
	}
	list := []saved{}
	for _, o := range job.Outputs {
		one := saved{Name: o.Name, ContentType: o.ContentType, Text: o.Text, Width: o.Width, Height: o.Height}
		if o.Text != "" && o.URL == "" && o.Filename == "" && !s.stdout && s.file == "" {
			one.Bytes = int64(len(o.Text))
			sum := sha256.Sum256([]byte(o.Text))
			one.SHA256 = hex.EncodeToString(sum[:])
			list = append(list, one)
			continue
		}
		if err := s.one(ctx, c, job, o, &one); err != nil {
			return list, err
		}
		list = append(list, one)
	}
	return list, nil
}

// one fetches an output; the file appears when it is whole.
func (s *saver) one(ctx context.Context, c *client.Client, job *client.Job, o client.Output, to *saved) error {
	r, err := c.Open(ctx, job, o)
	if err != nil {
		return err
	}
	defer r.Close()
	sum := sha256.New()
	if s.stdout {
		to.Bytes, err = io.Copy(io.MultiWriter(s.a.out, sum), r)
		to.SHA256 = hex.EncodeToString(sum.Sum(nil))
		return err
	}
	path := s.path(o)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return failure("cannot_write", "`"+s.a.shown(path)+"` cannot be written", "-O names another place", err)
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".comfyctl-*")
	if err != nil {
		return failure("cannot_write", "`"+s.a.shown(path)+"` cannot be written", "-O names another place", err)
	}
	to.Bytes, err = io.Copy(io.MultiWriter(f, sum), r)
	err = errors.Join(err, f.Chmod(0o644), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("saving output %s: %w", o.Name, err), os.Remove(f.Name()))
	}
	to.Path, to.SHA256 = s.a.shown(path), hex.EncodeToString(sum.Sum(nil))
	s.written++
	return nil
}

// path is where an output goes. A given file name is taken as it is for the
// first output; other names never overwrite a file.
func (s *saver) path(o client.Output) string {
	if s.file != "" && s.written == 0 {
		return s.file
	}
	stem, ext := filepath.Join(s.dir, fileName(o.Name)), extension(o)
	if s.file != "" {
		e := filepath.Ext(s.file)
		stem = strings.TrimSuffix(s.file, e) + "-" + fileName(o.Name)
	}
	path := stem + ext
	for n := 2; ; n++ {
		if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) || n > 9999 {
			return path
		}
		path = fmt.Sprintf("%s-%d%s", stem, n, ext)
	}
}

// fileName makes an output's name, which a stranger may have chosen, a plain
// file name.
func fileName(name string) string {
	safe := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '-', r == '_':
			return r
		}
		return '_'
	}, name)
	if safe == "" {
		return "output"
	}
	return safe
}

// extension is the usual one of an output's content type.
func extension(o client.Output) string {
	media, _, err := mime.ParseMediaType(o.ContentType)
	if err == nil {
		if e := map[string]string{"image/png": ".png", "image/jpeg": ".jpg", "image/webp": ".webp", "image/gif": ".gif", "video/mp4": ".mp4", "video/webm": ".webm",
			"audio/flac": ".flac", "audio/mpeg": ".mp3", "audio/wav": ".wav", "audio/ogg": ".ogg", "text/plain": ".txt", "application/json": ".json", "model/gltf-binary": ".glb"}[media]; e != "" {
			return e
		}
	}
	if e := fileName(strings.TrimPrefix(filepath.Ext(o.Filename), ".")); filepath.Ext(o.Filename) != "" && len(e) <= 12 {
		return "." + e
	}
	return ".bin"
}
