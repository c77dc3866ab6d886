package registry

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"
)

// sourceError says that what was to be sent could not be read: no registry is
// to blame, and another try would read the same.
type sourceError struct{ error }

// Unwrap is the reason.
func (e *sourceError) Unwrap() error { return e.error }

var (
	errIdle  = errors.New("the registry took no byte for too long")
	errTwice = errors.New("the body was sent already")
)

// body is what one request sends. Once it has been closed it gives nothing
// more: a transport that signs in anew and sends the request a second time
// would otherwise send a piece without its beginning.
//
// A transport may still read when it has answered; after Close it cannot.
type body struct {
	mu     sync.Mutex
	r      io.Reader
	closed bool
	read   func(n int) // is told of bytes read
}

func newBody(r io.Reader) *body { return &body{r: r} }

// Read counts.
func (b *body) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return 0, errTwice
	}
	n, err := b.r.Read(p)
	if n > 0 && b.read != nil {
		b.read(n)
	}
	if err != nil && err != io.EOF { //nolint:errorlint // io.Reader's contract
		return n, &sourceError{err}
	}
	return n, err
}

// Close ends it.
func (b *body) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	return nil
}

// watch ends a context when nothing has moved for a while.
type watch struct {
	timer *time.Timer
	stop  context.CancelCauseFunc
}

func newWatch(ctx context.Context, idle time.Duration) (context.Context, *watch) {
	ctx, stop := context.WithCancelCause(ctx)
	return ctx, &watch{stop: stop, timer: time.AfterFunc(idle, func() { stop(errIdle) })}
}

func (w *watch) moved(next time.Duration) { w.timer.Reset(next) }

func (w *watch) end() {
	w.timer.Stop()
	w.stop(nil)
}
