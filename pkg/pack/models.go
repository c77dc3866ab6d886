package pack

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/docker/go-units"

	"github.com/comfyctl/comfyctl/internal/cas"
	"github.com/comfyctl/comfyctl/internal/diag"
	"github.com/comfyctl/comfyctl/internal/fetch"
	"github.com/comfyctl/comfyctl/internal/layer"
	"github.com/comfyctl/comfyctl/internal/progress"
	"github.com/comfyctl/comfyctl/pkg/contract"
)

// ModelOptions say how Models finds the bytes.
type ModelOptions struct {
	Store *cas.Store
	// All finds those with load mount and start too, as a local run does.
	All bool
	// Secret looks up the value behind a model's auth; nil knows none.
	Secret func(name string) (string, bool)
	// HTTP fetches; nil means a plain client.
	HTTP *http.Client
	// HFEndpoint replaces Hugging Face's address.
	HFEndpoint string
	Progress   progress.Func
}

// stepModels is the name of the step in progress events.
const stepModels = "models"

// Models finds the file of every baked model of r, fetching what is not on
// this machine, and fills in File, Size and SHA256. A file that has another
// hash than the recipe says, or that cannot be a model, is an error.
func Models(ctx context.Context, r *Recipe, o ModelOptions) error {
	if o.Progress == nil {
		o.Progress = progress.Discard
	}
	seen := map[string]bool{}
	for i := range r.Models {
		m := &r.Models[i]
		if err := checkPath(m.Path, seen); err != nil {
			return err
		}
		if m.Load != contract.LoadBake && !o.All {
			continue
		}
		m.SHA256 = strings.ToLower(m.SHA256)
		if err := one(ctx, r, m, o); err != nil {
			o.Progress(progress.Event{Step: stepModels, State: progress.Failed, Item: m.Path})
			return err
		}
	}
	return nil
}

func checkPath(p string, seen map[string]bool) error {
	if p == "" || path.IsAbs(p) || path.Clean(p) != p || p == "." || strings.HasPrefix(p, "../") || strings.Contains(p, `\`) {
		return &diag.Error{Code: "model_path", Class: diag.ClassCheck, Message: fmt.Sprintf("%q is no path under ComfyUI's models folder", p), Help: "write it like checkpoints/model.safetensors"}
	}
	if seen[p] {
		return &diag.Error{Code: "model_path", Class: diag.ClassCheck, Message: fmt.Sprintf("two models want to be %s", p), Help: "remove one of them"}
	}
	seen[p] = true
	return nil
}

// one tries the sources of a model in turn.
func one(ctx context.Context, r *Recipe, m *Model, o ModelOptions) error {
	if size, ok := o.Store.Has(m.SHA256); ok {
		m.File, m.Size = o.Store.Path(m.SHA256), size
		o.Progress(progress.Event{Step: stepModels, State: progress.Cached, Item: m.Path, Text: units.HumanSize(float64(size)), Done: size, Total: size})
		return nil
	}
	if len(m.Sources) == 0 {
		return &diag.Error{Code: "model_without_source", Class: diag.ClassCheck,
			Message: "nothing says where the model " + m.Path + " comes from",
			Help:    "give it a `source:`, or `load: mount` when the target has it"}
	}
	var first error
	for _, s := range m.Sources {
		err := fromSource(ctx, r, m, s, o)
		if err == nil || ctx.Err() != nil {
			return err
		}
		if first == nil {
			first = err
		}
	}
	return first
}

func fromSource(ctx context.Context, r *Recipe, m *Model, source string, o ModelOptions) error {
	loc, err := locate(source, r.Dir, o.HFEndpoint)
	if err != nil {
		return err
	}
	if loc.file != "" {
		return fromFile(ctx, m, loc.file, o)
	}
	return fromURL(ctx, m, loc, o)
}

// fromFile uses a file in place. It is read only when the index does not know
// its hash; the digest of its layer is computed in the same pass.
func fromFile(ctx context.Context, m *Model, file string, o ModelOptions) error {
	fi, err := os.Stat(file)
	if errors.Is(err, fs.ErrNotExist) {
		return &diag.Error{Code: "model_missing", Class: diag.ClassCheck, Err: err,
			Message: "the model file " + file + " does not exist",
			Facts:   [][2]string{{"for", m.Path}},
			Help:    "put it there, give `source:` another place, or use `load: mount` when the target has it"}
	}
	if err != nil {
		return fmt.Errorf("finding the model %s: %w", m.Path, err)
	}
	if !fi.Mode().IsRegular() {
		return notAModel(file, "it is no regular file", "")
	}
	if err := checkFile(m.Path, file, fi.Size()); err != nil {
		return err
	}
	sum, known := o.Store.Lookup(file, fi)
	if !known {
		ev := progress.Event{Step: stepModels, State: progress.Running, Item: m.Path, Total: fi.Size()}
		var layerSum string
		sum, layerSum, err = layer.HashFile(ctx, file, imagePath(m.Path), func(done int64) {
			ev.Done = done
			o.Progress(ev)
		})
		if err != nil {
			return err
		}
		if err := errors.Join(o.Store.Remember(file, fi, sum), rememberLayer(o.Store, m.Path, sum, layerSum)); err != nil {
			return err
		}
	}
	if m.SHA256 != "" && m.SHA256 != sum {
		return &diag.Error{Code: "wrong_hash", Class: diag.ClassCheck,
			Message: file + " is not the file that the service file asks for",
			Facts:   [][2]string{{"expected", m.SHA256}, {"got", sum}},
			Help:    "correct the sha256, or bring the right file"}
	}
	if abs, err := filepath.Abs(file); err == nil {
		file = abs
	}
	m.File, m.Size, m.SHA256 = file, fi.Size(), sum
	o.Progress(progress.Event{Step: stepModels, State: state(known), Item: m.Path, Text: units.HumanSize(float64(m.Size)), Done: m.Size, Total: m.Size})
	return nil
}

func checkFile(name, file string, size int64) error {
	f, err := os.Open(file)
	if err != nil {
		return fmt.Errorf("reading the model %s: %w", name, err)
	}
	defer f.Close()
	return checkContent(name, f, size)
}

// fetched is what the store remembers of an address without a hash.
type fetched struct {
	SHA256 string `json:"sha256"`
	ETag   string `json:"etag"`
}

func fromURL(ctx context.Context, m *Model, loc location, o ModelOptions) error {
	req := fetch.Request{URL: loc.url, Name: m.Path, SHA256: m.SHA256, AuthName: m.Auth}
	if m.Auth != "" {
		token, ok := "", false
		if o.Secret != nil {
			token, ok = o.Secret(m.Auth)
		}
		if !ok || token == "" {
			return &diag.Error{Code: "secret_missing", Class: diag.ClassAuth,
				Message: fmt.Sprintf("the secret %s is not set; the model %s needs it", m.Auth, m.Path),
				Help:    fmt.Sprintf("export %s, or set %s_FILE to a file that holds it", m.Auth, m.Auth)}
		}
		req.Token = strings.TrimSpace(token)
	}
	var old fetched
	if m.SHA256 == "" && o.Store.Fact("url", loc.url, &old) {
		if _, ok := o.Store.Has(old.SHA256); ok {
			req.ETag = old.ETag
		}
	}
	req.Check = checkOf(m.Path)
	ev := progress.Event{Step: stepModels, State: progress.Running, Item: m.Path}
	req.Progress = func(done, total int64) {
		ev.Done, ev.Total = done, total
		o.Progress(ev)
	}
	c := fetch.Client{HTTP: o.HTTP, Store: o.Store}
	b, etag, err := c.Get(ctx, req)
	cached := errors.Is(err, fetch.ErrNotModified)
	switch {
	case cached:
		size, ok := o.Store.Has(old.SHA256)
		if !ok {
			return fmt.Errorf("fetching %s: it left the content store meanwhile", m.Path)
		}
		b = cas.Blob{SHA256: old.SHA256, Size: size}
	case err != nil:
		return err
	case etag != "" && m.SHA256 == "":
		if err := o.Store.SetFact("url", loc.url, fetched{SHA256: b.SHA256, ETag: etag}); err != nil {
			return err
		}
	}
	m.File, m.Size, m.SHA256 = o.Store.Path(b.SHA256), b.Size, b.SHA256
	o.Progress(progress.Event{Step: stepModels, State: state(cached), Item: m.Path, Text: units.HumanSize(float64(b.Size)), Done: b.Size, Total: b.Size})
	return nil
}

func state(cached bool) progress.State {
	if cached {
		return progress.Cached
	}
	return progress.Done
}
