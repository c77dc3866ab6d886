package fetch

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/comfyctl/comfyctl/internal/diag"
)

const (
	// maxTries is how often in a row a request may bring nothing.
	maxTries = 8
	maxDials = 4
	// progressed is how many bytes make a try count as one that brought some.
	progressed = 64 << 10
	maxPause   = 30 * time.Second
	// maxWait is the longest time that a server may ask to wait.
	maxWait = 10 * time.Minute
)

// retryError is a failure after which the same request may succeed.
type retryError struct {
	err   error
	after time.Duration // asked for by the server, 0 if it did not say
	// expired is set where the address should be asked for again.
	expired bool
	// dial is set where no connection came about.
	dial bool
}

func (e *retryError) Error() string { return e.err.Error() }
func (e *retryError) Unwrap() error { return e.err }

// errChanged says that the file at the source is another one than it was.
var errChanged = errors.New("the file changed at its source while it was fetched")

// errRestart says that a file without ranges has to begin again.
var errRestart = errors.New("the server cannot continue a file")

// patience counts failures in a row and waits between them.
type patience struct {
	first time.Duration
	tries int
}

// spend waits before the next try, or returns err when there were enough.
func (p *patience) spend(ctx context.Context, r Request, err error, brought int64) error {
	if brought >= progressed {
		p.tries = 0
	}
	var again *retryError
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if !errors.As(err, &again) {
		return err
	}
	if p.tries++; p.tries >= maxTries || again.dial && p.tries >= maxDials {
		p.tries = maxTries
		return again.err
	}
	wait := again.after
	if wait > maxWait {
		return &diag.Error{Code: "rate_limited", Class: diag.ClassFailed, Retryable: true, Err: redactError(again.err, r.URL),
			Message: fmt.Sprintf("%s asks to wait %s before %s can be fetched", Redact(r.URL), wait.Round(time.Second), r.Name),
			Help:    "try again later, or give `auth:` a token: signed-in accounts have a higher limit"}
	}
	if wait == 0 && (!again.expired || p.tries > 1) {
		wait = min(p.first<<(p.tries-1), maxPause)
		wait = wait/2 + rand.N(wait/2+1) //nolint:gosec // only spreads requests
	}
	return sleep(ctx, wait)
}

func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// retryAfter is how long a server asks to wait: Retry-After in seconds or as a
// time, or the t of RateLimit, which is the seconds until its window ends.
func retryAfter(h http.Header, now time.Time) time.Duration {
	if v := h.Get("Retry-After"); v != "" {
		if n, err := strconv.ParseInt(strings.TrimSpace(v), 10, 32); err == nil {
			return max(0, time.Duration(n)*time.Second)
		}
		if t, err := http.ParseTime(v); err == nil {
			return max(0, t.Sub(now))
		}
	}
	for _, field := range strings.FieldsFunc(h.Get("RateLimit"), func(r rune) bool { return r == ';' || r == ',' }) {
		name, value, ok := strings.Cut(strings.TrimSpace(field), "=")
		if n, err := strconv.ParseInt(value, 10, 32); ok && name == "t" && err == nil {
			return max(0, time.Duration(n)*time.Second)
		}
	}
	return 0
}
