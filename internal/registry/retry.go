package registry

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
)

// longestWait bounds what a registry may ask for with Retry-After.
const longestWait = 5 * time.Minute

// waitError carries what a registry said of when to ask again.
type waitError struct {
	error
	wait time.Duration
}

// Unwrap is the answer itself.
func (w *waitError) Unwrap() error { return w.error }

// answer is an error for every status but the given; it remembers Retry-After.
func answer(res *http.Response, codes ...int) error {
	err := transport.CheckError(res, codes...)
	if err == nil {
		return nil
	}
	if s, perr := strconv.Atoi(res.Header.Get("Retry-After")); perr == nil && s > 0 {
		return &waitError{error: err, wait: min(time.Duration(s)*time.Second, longestWait)}
	}
	if at, perr := http.ParseTime(res.Header.Get("Retry-After")); perr == nil {
		return &waitError{error: err, wait: min(max(time.Until(at), 0), longestWait)}
	}
	return err
}

// status is the HTTP status of a refusal, or 0 if nothing was answered.
func status(err error) int {
	var t *transport.Error
	if errors.As(err, &t) {
		return t.StatusCode
	}
	return 0
}

// passing are failures that another try may not meet.
func passing(err error) bool {
	var own *sourceError
	if errors.As(err, &own) {
		return false
	}
	switch s := status(err); s {
	case 0, http.StatusRequestTimeout, http.StatusTooManyRequests, http.StatusLocked, http.StatusTooEarly:
		return true
	default:
		return s >= 500 && s != http.StatusNotImplemented
	}
}

// pause waits before try number n (1 is the first) is made again.
func (t tuning) pause(ctx context.Context, n int, err error) error {
	d := t.wait << min(n-1, 6)
	d += rand.N(d/2 + 1) //nolint:gosec // spreads clients, hides nothing
	var w *waitError
	if errors.As(err, &w) {
		d = w.wait
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// again repeats a small request while its failure may pass.
func (p *pusher) again(ctx context.Context, act func() error) error {
	for n := 1; ; n++ {
		err := act()
		if err == nil || n >= p.tuning.tries || !passing(err) || ctx.Err() != nil {
			return err
		}
		if perr := p.tuning.pause(ctx, n, err); perr != nil {
			return perr
		}
	}
}

// drain lets the connection be used again.
func drain(res *http.Response) {
	_, _ = io.CopyN(io.Discard, res.Body, 64<<10)
	_ = res.Body.Close()
}
