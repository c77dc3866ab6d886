package fetch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/docker/go-units"
	"golang.org/x/sync/errgroup"

	"github.com/comfyctl/comfyctl/internal/diag"
	"github.com/comfyctl/comfyctl/internal/diskspace"
)

const (
	// maxSegment is what a connection asks for at once: large enough that
	// asking costs nothing, small enough that hashing stays close behind.
	maxSegment = 32 << 20
	minSegment = 4 << 20
	bufferSize = 256 << 10
	// minStall is what a connection must bring within Client.stall.
	minStall = 32 << 10
	// sayEvery spaces progress out.
	sayEvery = 100 * time.Millisecond
)

var buffers = sync.Pool{New: func() any { b := make([]byte, bufferSize); return &b }}

func human(n int64) string { return units.HumanSize(float64(n)) }

func (c *Client) firstPause() time.Duration {
	if c.pause > 0 {
		return c.pause
	}
	return defaultPause
}

// piece is how many bytes a connection asks for at once.
func (d *download) piece(size int64) int64 {
	if d.c.segment > 0 {
		return d.c.segment
	}
	if size < 0 {
		return minSegment
	}
	return min(max(size/int64(4*d.c.connections()), minSegment), maxSegment)
}

// begin asks for the first missing bytes and learns from the answer how long
// the file is and whether there are ranges. Nothing is asked for when nothing
// is missing.
func (d *download) begin(ctx context.Context) (gaps []span, first *answer, err error) {
	p := patience{first: d.c.firstPause()}
	for {
		size := d.size()
		if size >= 0 {
			if gaps = d.state.Done.gaps(size, d.piece(size)); len(gaps) == 0 {
				return nil, nil, nil
			}
		} else {
			gaps = []span{{0, d.piece(max(d.r.Size, -1))}}
		}
		ask := &gaps[0]
		if d.whole {
			ask = nil
		}
		if first, err = d.request(ctx, ask); err == nil {
			break
		}
		if errors.Is(err, errNoRanges) {
			d.whole = true
			continue
		}
		if err := p.spend(ctx, d.r, err, 0); err != nil {
			return nil, nil, err
		}
	}
	if err := d.accept(first); err != nil {
		first.close()
		return nil, nil, err
	}
	if first.whole {
		return nil, first, nil
	}
	rest := slices.Clone(d.state.Done).add(gaps[0][0], gaps[0][1]).gaps(first.size, d.piece(first.size))
	return append([]span{{gaps[0][0], min(gaps[0][1], first.size)}}, rest...), first, nil
}

// accept compares an answer with what is known of the file, and records what
// was not.
func (d *download) accept(a *answer) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	s := &d.state
	switch {
	case d.r.Size > 0 && a.size >= 0 && a.size != d.r.Size:
		return wrongSize(d.r, a.size)
	case s.Size >= 0 && a.size != s.Size:
		return errChanged
	case differ(s.ETag, a.etag), differ(s.Modified, a.modified):
		if d.r.SHA256 == "" {
			return errChanged
		}
		d.mixed = true // the hash will tell
	case a.whole && len(s.Done) > 0:
		d.whole = true
		return errChanged // it has to begin again
	case a.whole && !a.firm && d.r.SHA256 == "" && d.r.Size <= 0:
		return &diag.Error{Code: "length_unknown", Class: diag.ClassCheck,
			Message: fmt.Sprintf("%s does not say how long %s is, so a cut could not be seen", Redact(d.r.URL), d.r.Name),
			Help:    "give the model its `sha256:`, or another source"}
	}
	s.Size = a.size
	if s.ETag == "" && s.Modified == "" {
		s.ETag, s.Modified = a.etag, a.modified
	}
	d.whole = a.whole
	if !a.whole && d.r.SHA256 == "" && s.validator() == "" {
		// Ranges without any mark could be of different versions.
		d.whole = true
		s.Size = -1
		return errChanged
	}
	return nil
}

func differ(a, b string) bool { return a != "" && b != "" && a != b }

// fill fetches the gaps, several at a time; the answer is to the first of them.
func (d *download) fill(ctx context.Context, gaps []span, first *answer) error {
	if len(gaps) == 0 {
		return nil
	}
	q := &queue{gaps: gaps[1:], alive: min(d.c.connections(), len(gaps))}
	g, ctx := errgroup.WithContext(ctx)
	for i := range q.alive {
		if i == 0 {
			g.Go(func() error { return d.work(ctx, q, gaps[0], first) })
			continue
		}
		g.Go(func() error {
			s, ok := q.take()
			if !ok {
				return nil
			}
			return d.work(ctx, q, s, nil)
		})
	}
	return g.Wait()
}

// queue hands out gaps.
type queue struct {
	mu    sync.Mutex
	gaps  []span
	alive int
}

// take gives the next gap; false ends the worker.
func (q *queue) take() (span, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.gaps) == 0 {
		q.alive--
		return span{}, false
	}
	s := q.gaps[0]
	q.gaps = q.gaps[1:]
	return s, true
}

// giveBack leaves a gap to the other workers, if there are any: a server that
// takes few connections refuses the rest.
func (q *queue) giveBack(s span) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.alive < 2 {
		return false
	}
	q.alive--
	q.gaps = append([]span{s}, q.gaps...)
	return true
}

// work fetches one gap after the other.
func (d *download) work(ctx context.Context, q *queue, s span, ans *answer) error {
	for {
		p := patience{first: d.c.firstPause()}
		for at := s[0]; at < s[1]; {
			before := at
			err := d.once(ctx, ans, &at, s[1])
			if ans = nil; err == nil {
				continue
			}
			if err := p.spend(ctx, d.r, err, at-before); err != nil {
				if p.tries >= maxTries && ctx.Err() == nil && q.giveBack(span{at, s[1]}) {
					return nil
				}
				return err
			}
		}
		var ok bool
		if s, ok = q.take(); !ok {
			return nil
		}
	}
}

// once sends one request, unless there is an answer already, and writes what
// it brings up to end.
func (d *download) once(ctx context.Context, ans *answer, at *int64, end int64) error {
	if ans == nil {
		var err error
		if ans, err = d.request(ctx, &span{*at, end}); err != nil {
			return err
		}
		defer ans.close()
		if err := d.accept(ans); err != nil {
			return err
		}
	}
	return d.copy(ctx, ans, at, end)
}

// watch ends a connection that brings nearly nothing.
func (d *download) watch(cancel context.CancelCauseFunc, got *atomic.Int64) (stop func()) {
	every, last := d.c.patienceFor(), int64(0)
	var mu sync.Mutex
	mu.Lock()
	defer mu.Unlock()
	var t *time.Timer
	t = time.AfterFunc(every, func() {
		mu.Lock()
		defer mu.Unlock()
		now := got.Load()
		if now-last < minStall {
			cancel(errStalled)
			return
		}
		last = now
		t.Reset(every)
	})
	return func() {
		mu.Lock()
		defer mu.Unlock()
		t.Stop()
	}
}

// patienceFor is how long a connection may bring next to nothing.
func (c *Client) patienceFor() time.Duration {
	if c.stall > 0 {
		return c.stall
	}
	return defaultStall
}

// copy writes a body to its place. End is -1 where the body says when it ends.
func (d *download) copy(ctx context.Context, ans *answer, at *int64, end int64) error {
	// The first answer was asked for before this context was there.
	defer context.AfterFunc(ctx, func() { ans.cancel(context.Cause(ctx)) })()
	var got atomic.Int64
	defer d.watch(ans.cancel, &got)()
	bp := buffers.Get().(*[]byte) //nolint:forcetypeassert // the pool holds nothing else
	defer buffers.Put(bp)
	buf := *bp
	fresh := *at == 0
	for end < 0 || *at < end {
		room := int64(len(buf))
		if end >= 0 {
			room = min(room, end-*at)
		}
		n, err := ans.body.Read(buf[:room])
		if fresh && n > 0 {
			// A first read of a few bytes shows no page, but nobody sends those.
			if fresh = false; looksLikePage(buf[:n], "", d.r.Name) {
				return pageError(d.r)
			}
		}
		if n > 0 {
			got.Add(int64(n))
			if _, werr := d.part.WriteAt(buf[:n], *at); werr != nil {
				return werr
			}
			d.arrived(*at, int64(n))
			*at += int64(n)
		}
		switch {
		case err == nil:
		case errors.Is(err, io.EOF) && end < 0:
			return nil
		case errors.Is(err, io.EOF) && *at == end:
			return nil
		case errors.Is(err, io.EOF):
			return &retryError{err: io.ErrUnexpectedEOF}
		case errors.Is(err, context.Canceled) && ctx.Err() == nil:
			return &retryError{err: errStalled} // the watch did that
		default:
			return &retryError{err: cause(ctx, err)}
		}
	}
	return nil
}

// stream takes a file without ranges.
func (d *download) stream(ctx context.Context, ans *answer) error {
	var at int64
	err := d.copy(ctx, ans, &at, ans.size)
	var again *retryError
	if errors.As(err, &again) && !errors.Is(err, context.Canceled) {
		return fmt.Errorf("%w: %w", errRestart, again.err)
	}
	if err == nil && ans.size < 0 {
		if d.r.Size > 0 && at != d.r.Size {
			return wrongSize(d.r, at)
		}
		d.mu.Lock()
		d.state.Size = at
		d.mu.Unlock()
	}
	return err
}

// arrived counts bytes.
func (d *download) arrived(at, n int64) {
	d.mu.Lock()
	d.state.Done = d.state.Done.add(at, at+n)
	done, size := d.state.Done.bytes(), d.state.Size
	d.mu.Unlock()
	select {
	case d.wake <- struct{}{}:
	default:
	}
	d.say(false, done, size)
}

// say tells the caller how far it is.
func (d *download) say(last bool, done, size int64) {
	if d.r.Progress == nil {
		return
	}
	d.sayLock.Lock()
	defer d.sayLock.Unlock()
	if now := time.Now(); last || now.Sub(d.said) >= sayEvery {
		d.said = now
		d.r.Progress(done, max(size, 0))
	}
}

// hold keeps every connection from asking for a while.
func (d *download) hold(wait time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if until := time.Now().Add(min(wait, maxWait)); wait > 0 && until.After(d.until) {
		d.until = until
	}
}

func (d *download) gate(ctx context.Context) error {
	d.mu.Lock()
	wait := time.Until(d.until)
	d.mu.Unlock()
	return sleep(ctx, wait)
}

func isFull(err error) bool { return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) }

// full explains a disk without room.
func full(err error, d *download) error {
	var path *os.PathError
	if !isFull(err) || !errors.As(err, &path) {
		return err
	}
	d.mu.Lock()
	done, size := d.state.Done.bytes(), d.state.Size
	d.mu.Unlock()
	have, _ := diskspace.Free(d.c.Store.Dir())
	return diskspace.Full(d.c.Store.Dir(), max(size-done, 0), have, "fetching "+d.r.Name,
		human(done)+" of it have arrived and are kept; free some space, or keep the cache on another disk")
}
