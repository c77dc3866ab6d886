// Package fetch brings files over HTTP into the content store: several ranges
// at a time, hashed while they arrive, going on where an earlier run stopped,
// kept only when whole, never with a secret sent to a host other than the one
// it is for.
package fetch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/comfyctl/comfyctl/internal/cas"
	"github.com/comfyctl/comfyctl/internal/diag"
)

// Target is an address where the bytes can be had for a while.
type Target struct {
	URL string
	// Header goes to the host of URL alone, whatever it redirects to.
	Header http.Header
	// Transport replaces the client's, for a registry that signs requests.
	Transport http.RoundTripper
}

// Request is a file to fetch.
type Request struct {
	// URL is where it is; with Target, it only names the source, in messages
	// and in the store.
	URL string
	// Target gives the address of the bytes. It is called again when an address
	// has expired.
	Target func(ctx context.Context) (Target, error)
	// Name is what the file is called in messages.
	Name string
	// SHA256 is what its hash must be; empty accepts any.
	SHA256 string
	// Size is how long it must be, in bytes; 0 accepts any.
	Size int64
	// Token is sent as a Bearer token to the host of URL alone; AuthName is the
	// name of the secret, for messages.
	Token, AuthName string
	// Progress gets the bytes so far and the total, 0 where it is not known. It
	// is not called by two goroutines at once.
	Progress func(done, total int64)
	// ETag is what the server called the content that is here already; when it
	// is still that, Get returns ErrNotModified.
	ETag string
	// Check may refuse the content before it is kept.
	Check func(content io.ReaderAt, size int64) error
	// Also makes a writer that gets the bytes in order while they arrive, once
	// their number is known. It may be called again, when the file changed
	// meanwhile and all begins anew.
	Also func(size int64) (io.Writer, error)
}

// Client fetches into Store.
type Client struct {
	// HTTP is used with its redirect rule replaced; nil means a plain client.
	HTTP  *http.Client
	Store *cas.Store
	// Connections at a time for one file; 0 means 8.
	Connections int
	// Quota is how many bytes the store may hold; 0 means as many as fit.
	Quota int64

	// What tests make small.
	segment int64         // bytes asked for at once
	pause   time.Duration // before the first retry
	stall   time.Duration // in which a connection must bring minStall bytes
}

const (
	maxRedirects       = 10
	defaultConnections = 8
	defaultPause       = 500 * time.Millisecond
	defaultStall       = 30 * time.Second
	// restarts is how often a file may change while it is fetched.
	restarts = 3
)

// ErrNotModified says that the server still has the content of Request.ETag.
var ErrNotModified = errors.New("not modified")

// Get fetches one file and returns the server's ETag with it. A file whose
// hash is known and in the store is not asked for again. What an interrupted
// Get brought stays, and the next one of the same hash or address goes on
// there.
func (c *Client) Get(ctx context.Context, r Request) (b cas.Blob, etag string, err error) {
	if b, ok := c.have(r); ok {
		return b, "", nil
	}
	part, err := c.Store.OpenPart(ctx, r.key())
	if err != nil {
		return cas.Blob{}, "", err
	}
	defer part.Close()
	// Another process may have brought it while this one waited.
	if b, ok := c.have(r); ok {
		return b, "", part.Drop()
	}
	d := newDownload(c, r, part)
	defer d.close()
	b, err = d.run(ctx)
	if err == nil || errors.Is(err, ErrNotModified) {
		return b, d.etag(), err
	}
	err = c.failed(ctx, r, err)
	var e *diag.Error
	if errors.As(err, &e) && !e.Retryable {
		// What was refused is of no use to the next run.
		return b, "", errors.Join(err, part.Drop())
	}
	return b, "", err
}

func (c *Client) have(r Request) (cas.Blob, bool) {
	size, ok := c.Store.Has(r.SHA256)
	return cas.Blob{SHA256: r.SHA256, Size: size, Existed: true}, ok
}

// key says which bytes these will be: mirrors of one hash share a part.
func (r Request) key() string {
	if r.SHA256 != "" {
		return "sha256:" + r.SHA256
	}
	return r.URL
}

func (c *Client) failed(ctx context.Context, r Request, err error) error {
	var e *diag.Error
	if errors.As(err, &e) {
		return err
	}
	if ctx.Err() != nil {
		err = context.Cause(ctx)
		if errors.Is(err, context.Canceled) {
			return err
		}
	}
	msg := "fetching " + r.Name + " from " + Redact(r.URL) + " failed"
	if errors.Is(err, io.ErrUnexpectedEOF) {
		msg = "the download of " + r.Name + " from " + Redact(r.URL) + " was cut short"
	}
	return &diag.Error{Code: "fetch_failed", Class: diag.ClassFailed, Retryable: true, Message: msg,
		Err: redactError(err, r.URL), Help: "try again; what has arrived is kept, and fetching goes on there"}
}

func wrongHash(r Request, err *cas.WrongHashError) error {
	return &diag.Error{Code: "wrong_hash", Class: diag.ClassCheck, Err: err,
		Message: r.Name + " is not the file that the service file asks for",
		Facts:   [][2]string{{"expected", err.Want}, {"got", err.Got}, {"from", Redact(r.URL)}},
		Help:    "the file changed at its source, or the sha256 is of another one; it was not kept"}
}

func wrongSize(r Request, got int64) error {
	return &diag.Error{Code: "wrong_size", Class: diag.ClassCheck,
		Message: fmt.Sprintf("%s has %d bytes at its source, %d were expected", r.Name, got, r.Size),
		Facts:   [][2]string{{"from", Redact(r.URL)}},
		Help:    "the file changed at its source; nothing of it was kept"}
}

func pageError(r Request) error {
	return &diag.Error{Code: "not_a_model", Class: diag.ClassCheck,
		Message: fmt.Sprintf("%s gives a web page, not the file %s", Redact(r.URL), r.Name),
		Help:    "use the address of the download itself (on Hugging Face: `resolve`, not `blob`); a page that asks to sign in needs `auth:` with the name of a secret"}
}

// redactError takes addresses out of an error, which may carry secrets.
func redactError(err error, known string) error {
	text := err.Error()
	if known != "" {
		text = strings.ReplaceAll(text, known, Redact(known))
	}
	return errors.New(addresses.ReplaceAllStringFunc(text, Redact))
}
