package comfy

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"mime/multipart"
	"net/http"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"sync"

	"github.com/google/uuid"

	"github.com/comfyctl/comfyctl/pkg/runner/engine"
)

// ledger remembers which files each prompt named, so that Forget can remove
// them; a file that another remembered prompt names too stays.
type ledger struct {
	mu    sync.Mutex
	files map[string][]engine.File
}

func (l *ledger) note(id string, outputs []engine.Output) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.files == nil {
		l.files = map[string][]engine.File{}
	}
	for _, o := range outputs {
		if o.File != nil {
			l.files[id] = append(l.files[id], *o.File)
		}
	}
}

// drop forgets a prompt and returns the files that nobody else names.
func (l *ledger) drop(id string) []engine.File {
	l.mu.Lock()
	defer l.mu.Unlock()
	mine := l.files[id]
	delete(l.files, id)
	others := map[engine.File]bool{}
	for _, list := range l.files {
		for _, f := range list {
			others[f] = true
		}
	}
	var out []engine.File
	for _, f := range mine {
		if !others[f] {
			out = append(out, f)
		}
	}
	return out
}

// folder is where files of a type are.
func (f *Folders) folder(kind string) (string, error) {
	switch kind {
	case "output", "":
		return f.Output, nil
	case "temp":
		return f.Temp, nil
	case "input":
		return f.Input, nil
	}
	return "", fmt.Errorf("the engine has no %q folder: %w", kind, fs.ErrNotExist)
}

// within is the path of a file below its folder. It refuses what a node could
// name to get out of there.
func within(subfolder, name string) (string, error) {
	p := path.Join(subfolder, name)
	if name == "" || name != path.Base(name) || !filepath.IsLocal(filepath.FromSlash(p)) || strings.ContainsRune(p, 0) {
		return "", fmt.Errorf("the engine names a file outside its folder (%q in %q): %w", name, subfolder, fs.ErrPermission)
	}
	return filepath.FromSlash(p), nil
}

// open reads a file from its folder; a link that leads out of it is refused.
func (f *Folders) open(file engine.File) (io.ReadCloser, error) {
	dir, err := f.folder(file.Type)
	if err != nil {
		return nil, err
	}
	p, err := within(file.Subfolder, file.Name)
	if err != nil {
		return nil, err
	}
	r, err := os.OpenInRoot(dir, p)
	if err != nil {
		return nil, fmt.Errorf("opening an output: %w", err)
	}
	return r, nil
}

// annotation is what makes a loader look into another folder.
var annotation = regexp.MustCompile(`\[(input|output|temp)\]$`)

// inputName checks the place of an upload and returns it in parts.
func inputName(subfolder, name string) (string, string, error) {
	if subfolder != "" {
		subfolder = path.Clean(subfolder)
	}
	bad := strings.ContainsAny(name, "/\\\x00") || name == "." || name == ".." || annotation.MatchString(name) ||
		strings.ContainsAny(subfolder, "\\\x00")
	if _, err := within(subfolder, name); err != nil || bad {
		return "", "", fmt.Errorf("storing an input: %q in %q is no file name", name, subfolder)
	}
	return subfolder, name, nil
}

// put writes an input into its folder. Readers see all of it or nothing.
func (f *Folders) put(ctx context.Context, subfolder, name string, r io.Reader) (string, error) {
	root, err := os.OpenRoot(f.Input)
	if err != nil {
		return "", fmt.Errorf("opening the engine's input folder: %w", err)
	}
	defer root.Close()
	if subfolder != "" {
		if err := root.MkdirAll(filepath.FromSlash(subfolder), 0o755); err != nil {
			return "", fmt.Errorf("making an input folder: %w", err)
		}
	}
	part := filepath.Join(filepath.FromSlash(subfolder), ".part-"+uuid.NewString())
	w, err := root.OpenFile(part, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return "", fmt.Errorf("storing an input: %w", err)
	}
	_, err = io.Copy(w, &contextReader{ctx, r})
	if e := w.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = root.Rename(part, filepath.Join(filepath.FromSlash(subfolder), name))
	}
	if err != nil {
		_ = root.Remove(part)
		return "", fmt.Errorf("storing an input: %w", err)
	}
	return path.Join(subfolder, name), nil
}

// contextReader ends a copy when the context is over.
type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func (c *contextReader) Read(b []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(b)
}

// remove deletes files and then the folders that this left empty.
func (f *Folders) remove(files []engine.File) error {
	var errs []error
	for _, file := range files {
		dir, err := f.folder(file.Type)
		if err != nil {
			continue
		}
		p, err := within(file.Subfolder, file.Name)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		root, err := os.OpenRoot(dir)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		if err := root.Remove(p); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, fmt.Errorf("removing an output: %w", err))
		}
		// The outermost folder stays: the engine may be about to make the next
		// prompt's folder in it.
		for d := filepath.Dir(p); filepath.Dir(d) != "."; d = filepath.Dir(d) {
			// Fails while others still use the folder.
			if root.Remove(d) != nil {
				break
			}
		}
		root.Close()
	}
	return errors.Join(errs...)
}

// Leftovers removes the output folders of jobs that are over, which a kill in
// the middle of an attempt leaves. Each is jobs/ID in the output folder.
func (f *Folders) Leftovers(live func(job string) bool) error {
	dir := filepath.Join(f.Output, "jobs")
	list, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("listing the engine's outputs: %w", err)
	}
	var errs []error
	for _, e := range list {
		if !live(e.Name()) {
			errs = append(errs, os.RemoveAll(filepath.Join(dir, e.Name())))
		}
	}
	return errors.Join(errs...)
}

// upload sends an input over HTTP.
func (c *client) upload(ctx context.Context, subfolder, name string, r io.Reader) (string, error) {
	pr, pw := io.Pipe()
	defer pr.Close()
	form := multipart.NewWriter(pw)
	go func() {
		err := form.WriteField("type", "input")
		if err == nil && subfolder != "" {
			err = form.WriteField("subfolder", subfolder)
		}
		if err == nil {
			err = form.WriteField("overwrite", "true")
		}
		var part io.Writer
		if err == nil {
			part, err = form.CreateFormFile("image", name)
		}
		if err == nil {
			_, err = io.Copy(part, r)
		}
		if err == nil {
			err = form.Close()
		}
		pw.CloseWithError(err)
	}()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.base+"/upload/image", pr)
	if err != nil {
		return "", err
	}
	req.Header.Set("Content-Type", form.FormDataContentType())
	resp, err := c.http.Do(req)
	if err != nil {
		return "", fmt.Errorf("uploading an input: %w: %w", engine.ErrUnreachable, err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return "", fmt.Errorf("uploading an input: %w", err)
	}
	if resp.StatusCode != http.StatusOK {
		return "", fmt.Errorf("uploading an input: %w", &statusError{resp.StatusCode, excerpt(b)})
	}
	var stored struct{ Name, Subfolder string }
	if err := json.Unmarshal(bytes.TrimSpace(b), &stored); err != nil || stored.Name == "" {
		return "", fmt.Errorf("uploading an input: the engine does not say where it is")
	}
	return path.Join(stored.Subfolder, stored.Name), nil
}

// view reads a file over HTTP.
func (c *client) view(ctx context.Context, f engine.File) (io.ReadCloser, error) {
	if _, err := within(f.Subfolder, f.Name); err != nil {
		return nil, err
	}
	q := url.Values{"filename": {f.Name}, "subfolder": {f.Subfolder}, "type": {f.Type}}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.base+"/view?"+q.Encode(), nil)
	if err != nil {
		return nil, err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, fmt.Errorf("reading an output: %w: %w", engine.ErrUnreachable, err)
	}
	if resp.StatusCode == http.StatusOK {
		return &body{resp.Body}, nil
	}
	defer resp.Body.Close()
	b, _ := io.ReadAll(io.LimitReader(resp.Body, maxErrorBody))
	if resp.StatusCode == http.StatusNotFound {
		return nil, fmt.Errorf("reading an output: %w", fs.ErrNotExist)
	}
	return nil, fmt.Errorf("reading an output: %w", &statusError{resp.StatusCode, excerpt(b)})
}

// body is what a file is read from; what breaks on the way is not the file's
// fault.
type body struct{ io.ReadCloser }

func (b *body) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = fmt.Errorf("%w: %w", engine.ErrUnreachable, err)
	}
	return n, err
}
