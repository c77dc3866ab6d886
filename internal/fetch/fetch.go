// Package fetch brings files over HTTP into the content store: hashed while
// they arrive, kept only when whole, never with a secret sent to a host other
// than the one it is for.
package fetch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"
	"time"

	"github.com/comfyctl/comfyctl/internal/cas"
	"github.com/comfyctl/comfyctl/internal/diag"
	"github.com/comfyctl/comfyctl/internal/diskspace"
)

// Request is a file to fetch.
type Request struct {
	URL string
	// Name is what the file is called in messages.
	Name string
	// SHA256 is what its hash must be; empty accepts any.
	SHA256 string
	// Token is sent as a Bearer token to the host of URL alone; AuthName is the
	// name of the secret, for messages.
	Token, AuthName string
	// Progress gets the bytes so far and the total, 0 where it is not known.
	Progress func(done, total int64)
	// ETag is what the server called the content that is here already; when it
	// is still that, Get returns ErrNotModified.
	ETag string
	// Check may refuse the content before it is kept.
	Check func(content io.ReaderAt, size int64) error
}

// Client fetches into Store.
type Client struct {
	// HTTP is used with its redirect rule replaced; nil means a plain client.
	HTTP  *http.Client
	Store *cas.Store
}

const (
	headSize     = 64 << 10
	maxRedirects = 10
	// idle is how long a server may send nothing at all.
	idle = 2 * time.Minute
)

// ErrNotModified says that the server still has the content of Request.ETag.
var ErrNotModified = errors.New("not modified")

// Get fetches one file and returns the server's ETag with it.
func (c *Client) Get(ctx context.Context, r Request) (b cas.Blob, etag string, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	watch := time.AfterFunc(idle, func() { cancel(fmt.Errorf("the server sent nothing for %s", idle)) })
	defer watch.Stop()
	resp, err := c.open(ctx, r)
	if err != nil {
		return cas.Blob{}, "", c.failed(ctx, r, err)
	}
	defer resp.Body.Close()
	if r.ETag != "" && resp.StatusCode == http.StatusNotModified {
		return cas.Blob{}, r.ETag, ErrNotModified
	}
	if err := status(r, resp); err != nil {
		return cas.Blob{}, "", err
	}
	if resp.ContentLength > 0 {
		if err := diskspace.Require(c.Store.Dir(), resp.ContentLength, "fetching "+r.Name, "free some space, or keep the cache on another disk"); err != nil {
			return cas.Blob{}, "", err
		}
	}
	w, err := c.Store.Create()
	if err != nil {
		return cas.Blob{}, "", err
	}
	defer w.Abort()
	if err := receive(r, resp, w, func() { watch.Reset(idle) }); err != nil {
		return cas.Blob{}, "", c.failed(ctx, r, err)
	}
	if r.Check != nil {
		if err := r.Check(w, w.Size()); err != nil {
			return cas.Blob{}, "", err
		}
	}
	b, err = w.Commit(r.SHA256)
	var wrong *cas.WrongHashError
	if errors.As(err, &wrong) {
		return b, "", &diag.Error{Code: "wrong_hash", Class: diag.ClassCheck, Err: err,
			Message: r.Name + " is not the file that the service file asks for",
			Facts:   [][2]string{{"expected", wrong.Want}, {"got", wrong.Got}, {"from", Redact(r.URL)}},
			Help:    "the file changed at its source, or the sha256 is of another one; it was not kept"}
	}
	return b, resp.Header.Get("ETag"), err
}

// open sends the request. The token stays with the host that it is for, over
// https, whatever the server redirects to.
func (c *Client) open(ctx context.Context, r Request) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, r.URL, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("User-Agent", "comfyctl")
	// Compression would hide the length, and models do not shrink.
	req.Header.Set("Accept-Encoding", "identity")
	if r.Token != "" {
		req.Header.Set("Authorization", "Bearer "+r.Token)
	}
	if r.ETag != "" {
		req.Header.Set("If-None-Match", r.ETag)
	}
	client := http.Client{}
	if c.HTTP != nil {
		client = *c.HTTP
	}
	origin := req.URL
	client.CheckRedirect = func(next *http.Request, via []*http.Request) error {
		if len(via) >= maxRedirects {
			return fmt.Errorf("more than %d redirects", maxRedirects)
		}
		if origin.Scheme == "https" && next.URL.Scheme != "https" {
			return errors.New("redirected from https to " + next.URL.Scheme)
		}
		if next.URL.Host != origin.Host {
			next.Header.Del("Authorization")
		}
		return nil
	}
	return client.Do(req)
}

// receive copies the body, looking at its beginning first.
func receive(r Request, resp *http.Response, w *cas.Writer, alive func()) error {
	head := make([]byte, headSize)
	n, err := io.ReadFull(resp.Body, head)
	head = head[:n]
	whole := errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
	if err != nil && (!whole || resp.ContentLength > int64(n)) {
		return err
	}
	if looksLikePage(head, resp.Header.Get("Content-Type")) {
		return pageError(r)
	}
	if _, err := w.Write(head); err != nil {
		return err
	}
	buf := make([]byte, 1<<20)
	for !whole {
		n, err := resp.Body.Read(buf)
		alive()
		if _, werr := w.Write(buf[:n]); werr != nil {
			return werr
		}
		if r.Progress != nil {
			r.Progress(w.Size(), max(resp.ContentLength, 0))
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
	}
	if resp.ContentLength >= 0 && w.Size() != resp.ContentLength {
		return io.ErrUnexpectedEOF
	}
	return nil
}

// looksLikePage recognises a sign-in or error page sent under status 200.
func looksLikePage(head []byte, contentType string) bool {
	if t, _, _ := mime.ParseMediaType(contentType); t == "text/html" {
		return true
	}
	start := strings.ToLower(strings.TrimLeft(string(head[:min(len(head), 512)]), " \t\r\n\ufeff"))
	return strings.HasPrefix(start, "<!doctype html") || strings.HasPrefix(start, "<html")
}

func pageError(r Request) error {
	return &diag.Error{Code: "not_a_model", Class: diag.ClassCheck,
		Message: fmt.Sprintf("%s gives a web page, not the file %s", Redact(r.URL), r.Name),
		Help:    "use the address of the download itself (on Hugging Face: `resolve`, not `blob`); a page that asks to sign in needs `auth:` with the name of a secret"}
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
	// The cause may quote the address with what it carries.
	return &diag.Error{Code: "fetch_failed", Class: diag.ClassFailed, Retryable: true, Message: msg,
		Err: errors.New(strings.ReplaceAll(err.Error(), r.URL, Redact(r.URL))), Help: "try again; nothing of it was kept"}
}
