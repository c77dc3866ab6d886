package source

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/comfyctl/comfyctl/internal/cas"
	"github.com/comfyctl/comfyctl/internal/diag"
	"github.com/comfyctl/comfyctl/internal/fetch"
)

// Options say how a Client works.
type Options struct {
	// Secret looks up the value behind a model's auth; nil knows none.
	Secret func(name string) (string, bool)
	// HTTP fetches; nil means a plain client.
	HTTP *http.Client
	// Backends by scheme; nil means Hubs of the public hubs.
	Backends map[string]Backend
	// Quota is how many bytes the store may hold; 0 means as many as fit.
	Quota int64
}

// Client finds and fetches model files.
type Client struct {
	store *cas.Store
	fetch *fetch.Client
	o     Options
}

// New makes a client that fetches into a store.
func New(store *cas.Store, o Options) *Client {
	if o.Backends == nil {
		o.Backends = Hubs(Endpoints{})
	}
	return &Client{store: store, o: o, fetch: &fetch.Client{HTTP: o.HTTP, Store: store, Quota: o.Quota}}
}

// Want is a model file that is wanted.
type Want struct {
	// Path is where it goes under ComfyUI's models folder; its extension says
	// which format it must have.
	Path string
	// Sources are tried in order; all of them have the same bytes. Relative
	// paths start in Dir.
	Sources []string
	Dir     string
	// SHA256 is 64 hex digits, or empty when it is not known.
	SHA256 string
	// Size in bytes, 0 when it is not known.
	Size int64
	// Auth is the name of a secret.
	Auth string
	// AllowPickle lets a pickle in that has a SHA256 and names nothing unsafe.
	AllowPickle bool
	// Also gets the bytes in order while they are read, as fetch.Request says.
	Also func(size int64) (io.Writer, error)
	// Progress gets the bytes so far and the total, 0 where it is not known.
	Progress func(done, total int64)
}

// Got is a model file on this machine.
type Got struct {
	File   string // absolute path; not to be changed
	SHA256 string
	Size   int64 // bytes
	// Source is the one that had it, empty where the store did.
	Source string
	// Cached is true where no byte was fetched or hashed.
	Cached bool
}

// Fetch brings a file to this machine, or finds it there. What cannot be the
// model that its name says is an error and not kept.
func (c *Client) Fetch(ctx context.Context, w Want) (Got, error) {
	w.SHA256 = strings.ToLower(w.SHA256)
	if err := w.mayPickle(); err != nil {
		return Got{}, err
	}
	if size, ok := c.store.Has(w.SHA256); ok {
		return c.stored(w, w.SHA256, size)
	}
	if len(w.Sources) == 0 {
		return Got{}, &diag.Error{Code: "model_without_source", Class: diag.ClassCheck,
			Message: "nothing says where the model " + w.Path + " comes from",
			Help:    "give it a `source:`, or `load: mount` when the target has it"}
	}
	var failed mirrors
	for _, s := range w.Sources {
		got, err := c.from(ctx, w, s)
		if err == nil || ctx.Err() != nil {
			return got, err
		}
		failed.add(s, err)
	}
	return Got{}, failed.error()
}

// stored uses a blob of the store, which may have come under another name.
func (c *Client) stored(w Want, sum string, size int64) (Got, error) {
	f, err := c.store.OpenFile(sum)
	if err != nil {
		return Got{}, err
	}
	defer f.Close()
	if err := w.check(f, size); err != nil {
		return Got{}, err
	}
	c.store.Touch(sum)
	return Got{File: c.store.Path(sum), SHA256: sum, Size: size, Cached: true}, nil
}

func (c *Client) from(ctx context.Context, w Want, source string) (Got, error) {
	ref, err := Parse(source, w.Dir)
	if err != nil {
		return Got{}, err
	}
	if ref.Scheme == "file" {
		return c.local(ctx, w, ref)
	}
	place, a, err := c.locate(w, ref)
	if err != nil {
		return Got{}, err
	}
	return c.remote(ctx, w, ref, place, a)
}

// locate finds the back end of a source, and the secret if it is for it.
func (c *Client) locate(w Want, ref Ref) (Place, Asker, error) {
	a := Asker{Fetch: c.fetch, AuthName: w.Auth, Name: w.Path, SHA256: w.SHA256}
	place, err := c.place(ref)
	if err != nil || w.Auth == "" {
		return place, a, err
	}
	if scope, ok := c.scope(w); ok && scope != place.Scope() {
		a.AuthName = ""
		return place, a, nil
	}
	if c.o.Secret != nil {
		if v, ok := c.o.Secret(w.Auth); ok {
			a.Secret = strings.TrimSpace(v)
		}
	}
	if a.Secret == "" {
		return nil, a, &diag.Error{Code: "secret_missing", Class: diag.ClassAuth,
			Message: fmt.Sprintf("the secret %s is not set; the model %s needs it", w.Auth, w.Path),
			Help:    fmt.Sprintf("export %s, or set %s_FILE to a file that holds it, or to - for stdin", w.Auth, w.Auth)}
	}
	return place, a, nil
}

func (c *Client) place(ref Ref) (Place, error) {
	b, ok := c.o.Backends[ref.Scheme]
	if !ok {
		return nil, Unsupported(ref.Raw, "nothing here fetches from "+ref.Scheme+"://")
	}
	return b.Locate(ref.Rest)
}

// scope is the one place that a model's secret is for: its first source at a
// hub, else its first one anywhere. Mirrors elsewhere are asked without.
func (c *Client) scope(w Want) (string, bool) {
	first, found := "", false
	for _, s := range w.Sources {
		ref, err := Parse(s, w.Dir)
		if err != nil || ref.Scheme == "file" {
			continue
		}
		p, err := c.place(ref)
		if err != nil {
			continue
		}
		if ref.Scheme != "https" && ref.Scheme != "http" {
			return p.Scope(), true
		}
		if !found {
			first, found = p.Scope(), true
		}
	}
	return first, found
}

// mirrors collects why each source failed.
type mirrors struct {
	first error
	rest  [][2]string
}

func (m *mirrors) add(source string, err error) {
	if m.first == nil {
		m.first = err
		return
	}
	m.rest = append(m.rest, [2]string{"and " + fetch.Redact(source), err.Error()})
}

// error is that of the first source, with a line for each other.
func (m *mirrors) error() error {
	var e *diag.Error
	if len(m.rest) == 0 || !errors.As(m.first, &e) {
		return m.first
	}
	all := *e
	all.Facts = append(append([][2]string{}, e.Facts...), m.rest...)
	return &all
}
