package registry

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
)

// upload sends one blob.
type upload struct {
	*pusher
	blob blob

	location *url.URL // of the open upload; nil before it
	offset   int64    // bytes that the registry has
	chunk    int64    // bytes in a request
	whole    bool     // the rest goes in one request
	astray   bool     // the registry has refused an offset before
	counted  int64    // bytes of this blob in the meter
	signedIn time.Time
}

// run sends the blob, going on after failures where the registry stands. It
// gives up when it gets no further.
func (u *upload) run(ctx context.Context) error {
	u.chunk = u.tuning.chunk
	u.signedIn = time.Now()
	u.whole = u.quirks.whole || u.blob.size <= u.tuning.chunkFrom
	if done, err := u.begin(ctx); done || err != nil {
		return err
	}
	best := u.offset
	for n := 1; ; n++ {
		err := u.send(ctx)
		if err == nil {
			u.sessions.drop(u.repo, u.blob.digest)
			u.count(u.blob.size)
			return nil
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		adapted := u.adapt(err)
		if !adapted && !passing(err) {
			return err
		}
		if u.location != nil {
			u.locate(ctx)
		}
		if u.offset > best {
			best, n = u.offset, 1
		}
		if n >= u.tuning.tries {
			return err
		}
		if adapted {
			continue
		}
		if err := u.tuning.pause(ctx, n, err); err != nil {
			return err
		}
	}
}

// begin takes up an upload that was cut off, or mounts the blob, or opens an
// upload.
func (u *upload) begin(ctx context.Context) (done bool, err error) {
	if s, ok := u.sessions.load(u.repo, u.blob.digest); ok && !u.whole {
		if loc, err := url.Parse(s.Location); err == nil && loc.Host == u.repo.RegistryStr() {
			u.location = loc
			u.locate(ctx)
		}
	}
	if u.location != nil {
		return false, nil
	}
	from := u.blob.from
	if u.quirks.noMount || from == nil || from.Registry != u.repo.Registry || *from == u.repo {
		return false, nil
	}
	err = u.again(ctx, func() error {
		done, err = u.open(ctx, from)
		return err
	})
	// A registry that minds the question gets a plain upload.
	if err != nil && !passing(err) {
		return false, nil
	}
	if done {
		u.count(u.blob.size)
	}
	return done, err
}

// open starts an upload. Mounted is true where the registry took the blob from
// another repository instead.
func (u *upload) open(ctx context.Context, from *name.Repository) (mounted bool, err error) {
	to := u.url("blobs/uploads/")
	if from != nil {
		to.RawQuery = url.Values{"mount": {u.blob.digest.String()}, "from": {from.RepositoryStr()}}.Encode()
	}
	res, err := u.ask(ctx, http.MethodPost, to, nil, http.StatusAccepted, http.StatusCreated)
	if err != nil {
		return false, err
	}
	if res.code == http.StatusCreated {
		return true, nil
	}
	u.offset = 0
	if least, err := strconv.ParseInt(res.header.Get("OCI-Chunk-Min-Length"), 10, 64); err == nil && least > u.chunk {
		u.chunk = least
	}
	return false, u.moved(res)
}

// moved reads where the upload goes on.
func (u *upload) moved(res reply) error {
	loc := res.header.Get("Location")
	if loc == "" {
		if u.location != nil {
			return nil
		}
		return errors.New("the registry does not say where to upload to")
	}
	next, err := res.url.Parse(loc)
	if err != nil {
		return fmt.Errorf("reading where to upload to: %w", err)
	}
	u.location = next
	return nil
}

// send goes on with the upload until the blob is in the registry.
func (u *upload) send(ctx context.Context) error {
	if u.location == nil {
		if mounted, err := u.open(ctx, nil); mounted || err != nil {
			return err
		}
	}
	if u.whole && u.offset == 0 {
		if there, err := u.freshen(ctx); there || err != nil {
			return err
		}
		return u.put(ctx, u.blob.size)
	}
	for u.offset < u.blob.size {
		if there, err := u.freshen(ctx); there || err != nil {
			return err
		}
		n := min(u.chunk, u.blob.size-u.offset)
		if u.whole {
			n = u.blob.size - u.offset
		}
		done, err := u.patch(ctx, n)
		if done || err != nil {
			return err
		}
		u.sessions.save(u.repo, u.blob.digest, session{Location: u.location.String(), Chunk: u.chunk, At: time.Now()})
	}
	return u.put(ctx, 0)
}

// earlyError is a registry that ends an upload after its first piece.
type earlyError struct{}

// Error says so.
func (earlyError) Error() string { return "the registry ended the upload before its end" }

// patch sends one piece. Done is true where the registry says that this was
// the whole blob, and it was.
func (u *upload) patch(ctx context.Context, n int64) (done bool, err error) {
	res, err := u.transfer(ctx, http.MethodPatch, u.location, n, func(r *http.Request) {
		r.Header.Set("Content-Range", fmt.Sprintf("%d-%d", u.offset, u.offset+n-1))
	})
	if err != nil {
		return false, err
	}
	defer drain(res)
	if err := answer(res, http.StatusAccepted, http.StatusCreated, http.StatusNoContent); err != nil {
		return false, err
	}
	if res.StatusCode == http.StatusCreated {
		if u.offset+n < u.blob.size {
			return false, earlyError{}
		}
		return true, u.verify(ctx)
	}
	if err := u.moved(replyOf(res)); err != nil {
		return false, err
	}
	next := u.offset + n
	if end, ok := rangeEnd(res.Header); ok && end <= u.blob.size {
		next = end
	}
	u.offset = next
	u.count(next)
	return false, nil
}

// put ends the upload, with the last n bytes in it.
func (u *upload) put(ctx context.Context, n int64) error {
	to := *u.location
	q := to.Query()
	q.Set("digest", u.blob.digest.String())
	to.RawQuery = q.Encode()
	res, err := u.transfer(ctx, http.MethodPut, &to, n, nil)
	if err != nil {
		return err
	}
	defer drain(res)
	return answer(res, http.StatusCreated, http.StatusOK, http.StatusNoContent)
}

// verify asks whether the blob is there.
func (u *upload) verify(ctx context.Context) error {
	_, err := u.ask(ctx, http.MethodHead, u.url("blobs/"+u.blob.digest.String()), nil, http.StatusOK)
	return err
}

// locate finds out how much of an open upload the registry has. An upload that
// it has lost begins anew.
func (u *upload) locate(ctx context.Context) {
	res, err := u.ask(ctx, http.MethodGet, u.location, nil, http.StatusNoContent, http.StatusOK)
	if err != nil && status(err) == 0 {
		return // nothing answers: the next request will meet the same, and be counted
	}
	var end int64
	ok := false
	if err == nil {
		end, ok = rangeEnd(res.header)
	}
	if !ok || end > u.blob.size || u.moved(res) != nil {
		u.restart()
		return
	}
	u.offset = end
	u.count(end)
}

func (u *upload) restart() {
	u.location, u.offset = nil, 0
	u.sessions.drop(u.repo, u.blob.digest)
	u.count(0)
}

// adapt changes how the blob is sent where the registry cannot take it so, and
// says whether that is worth another try.
func (u *upload) adapt(err error) bool {
	var early earlyError
	s := status(err)
	switch {
	case errors.As(err, &early):
		u.whole = true
	case s == http.StatusRequestEntityTooLarge && u.chunk/2 >= u.tuning.least:
		// A proxy in between bounds bodies.
		u.whole = false
		u.chunk = min(u.chunk, u.blob.size) / 2
	case s == http.StatusRequestedRangeNotSatisfiable && u.offset > 0 && !u.astray, s == http.StatusNotFound && u.location != nil:
		// The upload stands elsewhere, or is gone: locate will tell.
		u.astray = true
		return true
	case (s == http.StatusBadRequest || s == http.StatusRequestedRangeNotSatisfiable || s == http.StatusMethodNotAllowed || s == http.StatusNotImplemented) && !u.whole:
		u.whole = true
	default:
		return false
	}
	u.restart()
	return true
}

// count moves the meter to n bytes of this blob.
func (u *upload) count(n int64) {
	if d := n - u.counted; d != 0 {
		u.counted = n
		u.meter.add(d)
	}
}

// rangeEnd reads "0-99" as 100. A registry writes "0-0" for an upload without
// a byte; one byte is sent again then.
func rangeEnd(h http.Header) (int64, bool) {
	_, last, ok := strings.Cut(strings.TrimPrefix(h.Get("Range"), "bytes="), "-")
	if !ok {
		return 0, false
	}
	n, err := strconv.ParseInt(last, 10, 64)
	if err != nil || n < 0 {
		return 0, false
	}
	if n == 0 {
		return 0, true
	}
	return n + 1, true
}
