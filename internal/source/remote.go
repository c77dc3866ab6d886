package source

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/comfyctl/comfyctl/internal/fetch"
	"github.com/comfyctl/comfyctl/internal/modelfile"
)

// fetched is what the store remembers of an address without a hash.
type fetched struct {
	SHA256 string `json:"sha256"`
	ETag   string `json:"etag"`
}

// remote fetches from a hub or a server. Where the hub says the hash, the store
// is asked for it first; where nobody does, the server is asked whether what
// came from there before is still the same.
func (c *Client) remote(ctx context.Context, w Want, ref Ref, place Place, a Asker) (Got, error) {
	if w.SHA256 == "" {
		facts, err := place.Facts(ctx, a)
		if err != nil {
			return Got{}, err
		}
		w.SHA256, w.Size = facts.SHA256, max(w.Size, facts.Size)
		a.SHA256 = facts.SHA256
		if size, ok := c.store.Has(w.SHA256); ok {
			return c.stored(w, w.SHA256, size)
		}
	}
	r := c.request(w, ref, place, a)
	r.Check, r.Also, r.Progress = w.check, w.Also, w.Progress
	var old fetched
	if w.SHA256 == "" && c.store.Fact("url", r.URL, &old) {
		if _, ok := c.store.Has(old.SHA256); ok {
			r.ETag = old.ETag
		}
	}
	b, etag, err := c.fetch.Get(ctx, r)
	if errors.Is(err, fetch.ErrNotModified) {
		size, ok := c.store.Has(old.SHA256)
		if !ok {
			return Got{}, fmt.Errorf("fetching %s: it left the content store meanwhile", w.Path)
		}
		return c.stored(w, old.SHA256, size)
	}
	if err != nil {
		return Got{}, err
	}
	if etag != "" && w.SHA256 == "" {
		if err := c.store.SetFact("url", r.URL, fetched{SHA256: b.SHA256, ETag: etag}); err != nil {
			return Got{}, err
		}
	}
	if err := c.store.Name(b.SHA256, w.Path); err != nil {
		return Got{}, err
	}
	return Got{File: c.store.Path(b.SHA256), SHA256: b.SHA256, Size: b.Size, Source: ref.Raw, Cached: b.Existed}, nil
}

func (c *Client) request(w Want, ref Ref, place Place, a Asker) fetch.Request {
	return fetch.Request{URL: ref.Scheme + "://" + ref.Rest, Name: w.Path, SHA256: w.SHA256, Size: w.Size, AuthName: a.AuthName,
		Target: func(ctx context.Context) (fetch.Target, error) { return place.Target(ctx, a) }}
}

// Describe says what the first source that answers knows of a file, and reads
// the file's header by a few ranges. Nothing is kept. A local file is hashed.
func (c *Client) Describe(ctx context.Context, w Want) (*Facts, error) {
	if err := w.mayPickle(); err != nil {
		return nil, err
	}
	var failed mirrors
	for _, s := range w.Sources {
		facts, err := c.describe(ctx, w, s)
		if err == nil || ctx.Err() != nil {
			return facts, err
		}
		failed.add(s, err)
	}
	return nil, failed.error()
}

func (c *Client) describe(ctx context.Context, w Want, source string) (*Facts, error) {
	ref, err := Parse(source, w.Dir)
	if err != nil {
		return nil, err
	}
	if ref.Scheme == "file" {
		got, err := c.local(ctx, w, ref)
		if err != nil {
			return nil, err
		}
		facts := &Facts{Source: source, SHA256: got.SHA256, Size: got.Size}
		facts.Header, err = readFile(w.Path, got.File, got.Size)
		return facts, err
	}
	place, a, err := c.locate(w, ref)
	if err != nil {
		return nil, err
	}
	a.Terms = true
	facts, err := place.Facts(ctx, a)
	if err != nil {
		return nil, err
	}
	return facts, c.header(ctx, w, ref, place, a, facts)
}

// maxLook bounds what is read of a file that is only looked at.
const maxLook = 128 << 20

var errTooFar = errors.New("its header is too long to look at from afar")

// header reads the beginning of a file far away. A server without ranges, and
// a header that is very long, leave it unread.
func (c *Client) header(ctx context.Context, w Want, ref Ref, place Place, a Asker, facts *Facts) error {
	r := c.request(w, ref, place, a)
	r.SHA256, r.Size = facts.SHA256, facts.Size
	rd, err := c.fetch.Open(ctx, r)
	if isCode(err, "no_ranges") {
		return nil
	}
	if err != nil {
		return err
	}
	defer rd.Close()
	if facts.Size = rd.Size(); facts.ETag == "" {
		facts.ETag = rd.ETag()
	}
	facts.Header, err = modelfile.Read(w.Path, &limited{rd, maxLook}, rd.Size())
	if errors.Is(err, errTooFar) {
		return nil
	}
	return err
}

// limited gives up when too much is read.
type limited struct {
	r    io.ReaderAt
	left int64
}

// ReadAt reads, as long as there is something left.
func (l *limited) ReadAt(p []byte, off int64) (int, error) {
	if l.left -= int64(len(p)); l.left < 0 {
		return 0, errTooFar
	}
	return l.r.ReadAt(p, off)
}
