package registry

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"time"
)

// freshen signs in again, by a question without a body, where the token may
// have ended: a registry that refuses a piece in its middle may lose all pieces
// before it. There is true where the blob has come to the registry meanwhile.
func (u *upload) freshen(ctx context.Context) (there bool, err error) {
	if time.Since(u.signedIn) < u.tuning.fresh {
		return false, nil
	}
	res, err := u.ask(ctx, http.MethodHead, u.url("blobs/"+u.blob.digest.String()), nil, http.StatusOK, http.StatusNotFound)
	if err != nil {
		return false, err
	}
	u.signedIn = time.Now()
	return res.code == http.StatusOK, nil
}

// transfer sends n bytes from the offset on. The meter moves with them.
func (u *upload) transfer(ctx context.Context, method string, to *url.URL, n int64, with func(*http.Request)) (*http.Response, error) {
	ctx, w := newWatch(ctx, u.tuning.idle)
	source := io.ReadCloser(http.NoBody)
	if n > 0 {
		var err error
		if source, err = u.blob.open(u.offset); err != nil {
			w.end()
			return nil, &sourceError{err}
		}
	}
	start, sent := u.offset, int64(0)
	b := newBody(io.LimitReader(source, n))
	b.read = func(k int) {
		sent += int64(k)
		next := u.tuning.idle
		if sent >= n {
			next = u.tuning.answer
		}
		w.moved(next)
		u.count(start + sent)
	}
	res, err := u.do(ctx, method, to, func(r *http.Request) {
		r.ContentLength = n
		if n > 0 {
			r.Body = b
			r.Header.Set("Content-Type", "application/octet-stream")
		} else {
			w.moved(u.tuning.answer)
		}
		if with != nil {
			with(r)
		}
	})
	_ = b.Close() // nothing moves the meter any more
	if err == nil {
		res.Body = &closer{ReadCloser: res.Body, then: func() { w.end(); _ = source.Close() }}
		return res, nil
	}
	if errors.Is(context.Cause(ctx), errIdle) {
		err = errIdle
	}
	var own *sourceError
	if errors.As(err, &own) {
		err = own
	}
	w.end()
	_ = source.Close()
	return nil, err
}

// closer does more at the end of an answer.
type closer struct {
	io.ReadCloser
	then func()
}

// Close ends both.
func (c *closer) Close() error {
	err := c.ReadCloser.Close()
	c.then()
	return err
}
