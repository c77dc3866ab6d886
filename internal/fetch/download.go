package fetch

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/comfyctl/comfyctl/internal/cas"
	"github.com/comfyctl/comfyctl/internal/diag"
	"github.com/comfyctl/comfyctl/internal/diskspace"
	"github.com/comfyctl/comfyctl/internal/tee"
)

// download is one file on its way.
type download struct {
	c    *Client
	r    Request
	part *cas.Part
	http http.Client
	own  *http.Transport // closed at the end

	addrLock sync.Mutex
	addr     *address

	mu    sync.Mutex
	state state
	until time.Time // no request before, as the server asked
	// mixed is set where the bytes may come from several versions.
	mixed bool
	// whole is set where the server gives no ranges, or none that can be
	// trusted to be of one version.
	whole   bool
	wake    chan struct{} // bytes arrived
	said    time.Time     // of the last progress
	sayLock sync.Mutex
	checked bool // room on disk
}

// state is what is kept beside a part.
type state struct {
	// Source is where the bytes came from, hashed, as it may hold a secret;
	// ETag and Modified are its words.
	Source   string `json:"source"`
	Size     int64  `json:"size"`
	ETag     string `json:"etag,omitempty"`
	Modified string `json:"modified,omitempty"`
	Done     spans  `json:"done"`
}

func newDownload(c *Client, r Request, part *cas.Part) *download {
	d := &download{c: c, r: r, part: part, wake: make(chan struct{}, 1)}
	d.connect()
	if !part.State(&d.state) || d.state.Size <= 0 || r.Size > 0 && r.Size != d.state.Size || r.SHA256 == "" && (d.state.Source != r.source() || d.state.validator() == "") {
		d.state = state{Size: -1}
		// Bytes that nothing is known of only take room.
		_ = part.Reset()
	}
	d.state.Done = d.state.Done.sane(d.state.Size)
	d.mixed = len(d.state.Done) > 0
	if d.state.Source != r.source() {
		d.state.ETag, d.state.Modified = "", ""
	}
	d.state.Source = r.source()
	return d
}

func (r Request) source() string {
	sum := sha256.Sum256([]byte(r.URL))
	return hex.EncodeToString(sum[:])
}

// connect makes the client that the requests share.
func (d *download) connect() {
	if d.c.HTTP != nil {
		d.http = *d.c.HTTP
		return
	}
	d.own = transport(d.c.connections())
	d.http = http.Client{Transport: d.own}
}

func (c *Client) connections() int {
	if c.Connections > 0 {
		return c.Connections
	}
	return defaultConnections
}

// close leaves what arrived for the next time.
func (d *download) close() {
	if err := d.save(); isFull(err) {
		d.shorten()
	}
	if d.own != nil {
		d.own.CloseIdleConnections()
	}
}

// save records what arrived, if the next run can use it.
func (d *download) save() error {
	d.mu.Lock()
	s := d.state
	s.Done = append(spans{}, s.Done...)
	useful := d.part != nil && !d.whole && len(s.Done) > 0 && s.Size > 0
	d.mu.Unlock()
	if !useful {
		return nil
	}
	return d.part.Save(s)
}

// giveUp is how much is dropped on a full disk so that the rest can be recorded.
const giveUp = 64 << 10

// shorten makes room for the record of what arrived, on a disk that is full.
func (d *download) shorten() {
	d.mu.Lock()
	end := int64(0)
	if n := len(d.state.Done); n > 0 {
		end = max(d.state.Done[n-1][1]-giveUp, 0)
	}
	d.state.Done = d.state.Done.cut(end)
	d.mu.Unlock()
	if d.part.Truncate(end) == nil {
		// Without a record the next run begins anew, nothing else.
		_ = d.save()
	}
}

func (d *download) etag() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.state.ETag
}

func (d *download) size() int64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.state.Size
}

// validator is what If-Range compares: a strong ETag, else the time.
func (s state) validator() string {
	if s.ETag != "" && s.ETag[0] == '"' {
		return s.ETag
	}
	return s.Modified
}

// known is the state at this moment, but for the list of what is done.
func (d *download) known() state {
	d.mu.Lock()
	defer d.mu.Unlock()
	return state{Size: d.state.Size, ETag: d.state.ETag, Modified: d.state.Modified}
}

// run fetches until the file is whole, checked and in its place.
func (d *download) run(ctx context.Context) (cas.Blob, error) {
	p := patience{first: d.c.firstPause()}
	for changes := 0; ; {
		sum, err := d.attempt(ctx)
		switch {
		case errors.Is(err, errChanged):
			if changes++; changes > restarts {
				return cas.Blob{}, err
			}
		case errors.Is(err, errRestart):
			if err := p.spend(ctx, d.r, &retryError{err: err}, 0); err != nil {
				return cas.Blob{}, err
			}
		case err != nil:
			return cas.Blob{}, err
		case d.r.SHA256 != "" && sum != d.r.SHA256:
			wrong := &cas.WrongHashError{Want: d.r.SHA256, Got: sum}
			if !d.mixed {
				return cas.Blob{}, wrongHash(d.r, wrong)
			}
		default:
			return d.keep(sum)
		}
		if err := d.reset(); err != nil {
			return cas.Blob{}, err
		}
	}
}

func (d *download) keep(sum string) (cas.Blob, error) {
	size := d.size()
	if d.r.Check != nil {
		if err := d.r.Check(io.NewSectionReader(d.part, 0, size), size); err != nil {
			return cas.Blob{}, err
		}
	}
	b, err := d.part.Commit(sum, size)
	if err == nil {
		d.mu.Lock()
		d.state.Done = nil // nothing is left to save
		d.mu.Unlock()
		d.say(true, size, size)
	}
	return b, err
}

// reset begins the file anew.
func (d *download) reset() error {
	d.mu.Lock()
	d.state = state{Source: d.r.source(), Size: -1}
	d.mixed = false
	d.mu.Unlock()
	d.addrLock.Lock()
	d.addr = nil
	d.addrLock.Unlock()
	return d.part.Reset()
}

// attempt fetches what is missing of one version and returns its hash.
func (d *download) attempt(ctx context.Context) (string, error) {
	gaps, first, err := d.begin(ctx)
	if err != nil {
		return "", err
	}
	if first != nil {
		defer first.close()
	}
	if err := d.room(); err != nil {
		return "", err
	}
	sum := sha256.New()
	writers := []io.Writer{sum}
	follow := func(ctx context.Context) error {
		if d.r.Also != nil {
			w, err := d.r.Also(d.size())
			if err != nil {
				return err
			}
			writers = append(writers, w)
		}
		return tee.Copy(ctx, &follower{d: d, ctx: ctx}, nil, writers...)
	}
	known := d.size() >= 0
	g, gctx := errgroup.WithContext(ctx)
	filled := make(chan struct{})
	g.Go(func() error {
		defer close(filled)
		if first != nil && first.whole {
			return d.stream(gctx, first)
		}
		return d.fill(gctx, gaps, first)
	})
	g.Go(func() error { d.journal(gctx, filled); return nil })
	if known {
		g.Go(func() error { return follow(gctx) })
	}
	if err := g.Wait(); err != nil {
		return "", full(err, d)
	}
	if !known {
		if err := follow(ctx); err != nil {
			return "", err
		}
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

// journal saves the state once a second, so that a kill loses little.
func (d *download) journal(ctx context.Context, filled <-chan struct{}) {
	t := time.NewTicker(time.Second)
	defer t.Stop()
	for {
		select {
		case <-t.C:
			_ = d.save() // the write of the bytes themselves will tell
		case <-filled:
			return
		case <-ctx.Done():
			return
		}
	}
}

// follower reads the file in order, as far as it has arrived.
type follower struct {
	d   *download
	ctx context.Context //nolint:containedctx // a reader has no other way to be stopped
	at  int64
}

// Read waits for bytes.
func (f *follower) Read(p []byte) (int, error) {
	for {
		f.d.mu.Lock()
		front, size := f.d.state.Done.front(), f.d.state.Size
		f.d.mu.Unlock()
		if f.at == size {
			return 0, io.EOF
		}
		if front > f.at {
			n, err := f.d.part.ReadAt(p[:min(int64(len(p)), front-f.at)], f.at)
			f.at += int64(n)
			if n > 0 {
				return n, nil
			}
			return 0, fmt.Errorf("reading back what was fetched: %w", err)
		}
		select {
		case <-f.d.wake:
		case <-f.ctx.Done():
			return 0, context.Cause(f.ctx)
		}
	}
}

// room checks the quota and the disk, once the size is known.
func (d *download) room() error {
	size := d.size()
	if size < 0 || d.checked {
		return nil
	}
	d.checked = true
	d.mu.Lock()
	need := size - d.state.Done.bytes()
	d.mu.Unlock()
	if q := d.c.Quota; q > 0 {
		used, err := d.c.Store.Size()
		if err != nil {
			return err
		}
		if used+need > q {
			return &diag.Error{Code: "cache_full", Class: diag.ClassFailed,
				Message: fmt.Sprintf("%s needs %s in the cache, which holds %s of at most %s", d.r.Name, human(need), human(used), human(q)),
				Help:    "`comfyctl cache prune` makes room, COMFYCTL_CACHE_MAX sets the limit", Retryable: true,
				Details: map[string]any{"need": need, "used": used, "limit": q}}
		}
	}
	return diskspace.Require(d.c.Store.Dir(), need, "fetching "+d.r.Name, "free some space, or keep the cache on another disk")
}
