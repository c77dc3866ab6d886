package fetch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"github.com/comfyctl/comfyctl/internal/diag"
)

// Reader reads pieces of a file far away, without keeping it. It is not for
// several goroutines at once.
type Reader struct {
	d      *download
	ctx    context.Context //nolint:containedctx // io.ReaderAt has no other place for it
	at     int64
	window []byte
}

// minWindow is the least that a request brings.
const minWindow = 64 << 10

// Open asks for the first bytes of a file, and so learns its size and whether
// it may be read. A server without ranges is an error of code no_ranges.
func (c *Client) Open(ctx context.Context, r Request) (*Reader, error) {
	d := &download{c: c, r: r, wake: make(chan struct{}, 1), state: state{Size: -1}}
	d.connect()
	rd := &Reader{d: d, ctx: ctx}
	if err := rd.load(0, minWindow); err != nil {
		d.close()
		return nil, c.failed(ctx, r, err)
	}
	return rd, nil
}

// Size of the file in bytes.
func (r *Reader) Size() int64 { return r.d.size() }

// ETag is what the server calls the content.
func (r *Reader) ETag() string { return r.d.etag() }

// Close ends the connections.
func (r *Reader) Close() { r.d.close() }

// ReadAt brings the bytes from off on.
func (r *Reader) ReadAt(p []byte, off int64) (int, error) {
	total := 0
	for total < len(p) {
		at := off + int64(total)
		if at >= r.Size() {
			return total, io.EOF
		}
		if at < r.at || at >= r.at+int64(len(r.window)) {
			if err := r.load(at, int64(len(p)-total)); err != nil {
				return total, r.d.c.failed(r.ctx, r.d.r, err)
			}
		}
		total += copy(p[total:], r.window[at-r.at:])
	}
	return total, nil
}

// load brings the bytes from at on into the window.
func (r *Reader) load(at, n int64) error {
	end := at + max(n, minWindow)
	if size := r.Size(); size >= 0 {
		end = min(end, size)
	}
	p := patience{first: r.d.c.firstPause()}
	for {
		err := r.once(span{at, end})
		if err == nil {
			return nil
		}
		if err := p.spend(r.ctx, r.d.r, err, 0); err != nil {
			return err
		}
	}
}

func (r *Reader) once(s span) error {
	ans, err := r.d.request(r.ctx, &s)
	if errors.Is(err, errNoRanges) {
		return r.noRanges()
	}
	if err != nil {
		return err
	}
	defer ans.close()
	if ans.whole && ans.size > minWindow || ans.whole && ans.size < 0 {
		return r.noRanges()
	}
	// Ranges without a mark are good enough for a look at the beginning.
	if err := r.d.accept(ans); err != nil && (ans.at > 0 || !errors.Is(err, errChanged)) {
		return err
	}
	r.d.mu.Lock()
	r.d.state.Size = ans.size
	r.d.mu.Unlock()
	b := make([]byte, min(s[1], ans.size)-s[0])
	if _, err := io.ReadFull(ans.body, b); err != nil {
		return &retryError{err: cause(r.ctx, err)}
	}
	if s[0] == 0 && looksLikePage(b, "", r.d.r.Name) {
		return pageError(r.d.r)
	}
	r.at, r.window = s[0], b
	return nil
}

func (r *Reader) noRanges() error {
	return &diag.Error{Code: "no_ranges", Class: diag.ClassFailed, Message: fmt.Sprintf("%s gives no ranges of %s, so that it cannot be looked at before it is fetched", Redact(r.d.r.URL), r.d.r.Name),
		Help: "fetch it, or name another source"}
}

// Reply is what a hub says about a file.
type Reply struct {
	URL    *url.URL
	Code   int
	Status string // such as 404 Not Found
	Header http.Header
	Body   []byte
}

// Ask sends a small request, again where that may help, and gives the reply
// whatever it says. Redirects are not followed.
func (c *Client) Ask(ctx context.Context, method string, t Target, name string) (*Reply, error) {
	r := Request{URL: t.URL, Name: name}
	d := &download{c: c, r: r}
	d.connect()
	defer d.close()
	p := patience{first: c.firstPause()}
	for {
		reply, err := d.small(ctx, method, t)
		if err == nil {
			return reply, nil
		}
		if err := p.spend(ctx, r, err, 0); err != nil {
			return nil, c.failed(ctx, r, err)
		}
	}
}
