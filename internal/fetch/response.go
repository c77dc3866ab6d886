package fetch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"
)

// answer is a response that brings bytes.
type answer struct {
	body   io.ReadCloser
	cancel context.CancelCauseFunc
	// at is where the body begins; whole is set for a response without a range.
	at    int64
	whole bool
	size  int64 // of the file, -1 if unknown
	// firm is set where the end of the body is told apart from a cut.
	firm           bool
	etag, modified string
}

func (a *answer) close() {
	_ = a.body.Close()
	a.cancel(nil)
}

// judge reads the head of a response to a request for s (nil: for all bytes).
func (d *download) judge(resp *http.Response, a address, fresh bool, s *span) (*answer, error) {
	ans := &answer{size: -1, etag: resp.Header.Get("ETag"), modified: resp.Header.Get("Last-Modified")}
	switch code := resp.StatusCode; {
	case code == http.StatusOK:
		ans.whole, ans.size = true, resp.ContentLength
		ans.firm = ans.size >= 0 || slices.Contains(resp.TransferEncoding, "chunked") || resp.ProtoMajor > 1
	case code == http.StatusPartialContent && s != nil:
		begin, end, total, ok := contentRange(resp.Header.Get("Content-Range"))
		if !ok || begin != s[0] || resp.ContentLength >= 0 && resp.ContentLength != end-begin {
			return nil, &retryError{err: fmt.Errorf("asked for the bytes from %d, the server answered with Content-Range %q", s[0], resp.Header.Get("Content-Range"))}
		}
		ans.at, ans.size, ans.firm = begin, total, true
	case code == http.StatusNotModified && d.r.ETag != "":
		return nil, ErrNotModified
	case code == http.StatusRequestedRangeNotSatisfiable && s != nil:
		return nil, d.outOfRange(resp, s)
	case !fresh && code >= 400 && code < 500 && !again(code):
		// A signed address may have run out; its source gives a new one.
		d.expired(a)
		return nil, &retryError{err: status(d.r, resp), expired: true}
	case again(code):
		e := &retryError{err: status(d.r, resp), after: retryAfter(resp.Header, time.Now())}
		d.hold(e.after)
		return nil, e
	default:
		return nil, status(d.r, resp)
	}
	if enc := resp.Header.Get("Content-Encoding"); enc != "" && enc != "identity" {
		return nil, &retryError{err: fmt.Errorf("the server sends the file in the encoding %q", enc)}
	}
	if looksLikePage(nil, resp.Header.Get("Content-Type"), d.r.Name) {
		if !fresh {
			d.expired(a)
			return nil, &retryError{err: pageError(d.r), expired: true}
		}
		return nil, pageError(d.r)
	}
	return ans, nil
}

// again lists the states that pass.
func again(code int) bool {
	return code >= 500 || code == http.StatusTooManyRequests || code == http.StatusRequestTimeout || code == http.StatusTooEarly
}

// outOfRange reads an answer 416, which may say how long the file is.
func (d *download) outOfRange(resp *http.Response, s *span) error {
	total, err := strconv.ParseInt(strings.TrimPrefix(resp.Header.Get("Content-Range"), "bytes */"), 10, 64)
	if known := d.size(); err == nil && known >= 0 && total != known {
		return errChanged
	}
	if s[0] == 0 {
		return errNoRanges // an empty file, or a server that knows no ranges
	}
	return &retryError{err: errors.New("the server refuses a range of the file (416)")}
}

// errNoRanges says that the file must be asked for as a whole.
var errNoRanges = errors.New("the server gives no ranges of this file")

// contentRange reads "bytes FIRST-LAST/TOTAL"; end is behind the last byte.
func contentRange(h string) (begin, end, total int64, ok bool) {
	rest, ok := strings.CutPrefix(h, "bytes ")
	if !ok {
		return 0, 0, 0, false
	}
	r, t, ok1 := strings.Cut(rest, "/")
	first, last, ok2 := strings.Cut(r, "-")
	if !ok1 || !ok2 {
		return 0, 0, 0, false
	}
	begin, err1 := strconv.ParseInt(first, 10, 64)
	end, err2 := strconv.ParseInt(last, 10, 64)
	total, err3 := strconv.ParseInt(t, 10, 64)
	if errors.Join(err1, err2, err3) != nil || begin < 0 || end < begin || end >= total {
		return 0, 0, 0, false
	}
	return begin, end + 1, total, true
}

// weights are formats that are never HTML or JSON.
var weights = []string{".safetensors", ".sft", ".gguf", ".ckpt", ".pt", ".pth", ".bin", ".pkl", ".onnx"}

// looksLikePage recognises a sign-in or error page sent under status 200.
func looksLikePage(head []byte, contentType, name string) bool {
	ext := strings.ToLower(path.Ext(name))
	t, _, _ := mime.ParseMediaType(contentType)
	if t == "text/html" && ext != ".html" || t == "application/json" && slices.Contains(weights, ext) {
		return true
	}
	start := strings.ToLower(strings.TrimLeft(string(head[:min(len(head), 512)]), " \t\r\n\ufeff"))
	return strings.HasPrefix(start, "<!doctype html") || strings.HasPrefix(start, "<html")
}
