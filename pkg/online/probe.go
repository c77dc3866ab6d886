package online

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"
)

const (
	maxRedirects = 10
	// sniff is how much of a file is looked at.
	sniff = 512
	// pause is before the one second try.
	pause = 500 * time.Millisecond
)

// file is what a server says about a file, without sending it.
type file struct {
	url    string
	status int
	said   string // the status in words, or the server's own
	size   int64  // bytes; 0 where unknown
	sha256 string // where the server names it
	page   string // what came in place of a file, if anything
	hub    bool
	gated  bool
	// insecure is set where a token would have gone over plain http.
	insecure bool
}

// hub asks Hugging Face about a file: the headers of the first answer are about
// the file itself, also where it redirects.
func (c *checker) hub(ctx context.Context, address, token string) (file, error) {
	resp, err := c.open(ctx, http.MethodHead, address, token, func(next *url.URL, resp *http.Response) bool {
		// A renamed repository; a redirect to storage has the facts already.
		return resp.Header.Get("X-Repo-Commit") == ""
	})
	f := file{url: address, hub: true}
	if errors.Is(err, errInsecure) {
		f.insecure = true
		return f, nil
	}
	if err != nil {
		return f, err
	}
	defer resp.Body.Close()
	f.status, f.said = resp.StatusCode, resp.Status
	f.gated = resp.Header.Get("X-Error-Code") == "GatedRepo"
	if text := resp.Header.Get("X-Error-Message"); text != "" {
		f.said = text
		if token != "" {
			f.said = strings.ReplaceAll(text, token, "…")
		}
	}
	f.size, _ = strconv.ParseInt(resp.Header.Get("X-Linked-Size"), 10, 64)
	if f.size == 0 && resp.StatusCode == http.StatusOK {
		f.size = max(0, resp.ContentLength)
	}
	if tag := strings.Trim(resp.Header.Get("X-Linked-Etag"), `"`); sha256Form.MatchString(tag) {
		f.sha256 = tag
	}
	return f, nil
}

// plain asks any server for the first bytes of a file: HEAD is answered wrongly
// by too many.
func (c *checker) plain(ctx context.Context, address, token string) (file, error) {
	f := file{url: address}
	resp, err := c.open(ctx, http.MethodGet, address, token, func(*url.URL, *http.Response) bool { return true })
	if errors.Is(err, errInsecure) {
		f.insecure = true
		return f, nil
	}
	if err != nil {
		return f, err
	}
	defer resp.Body.Close()
	f.status, f.said = resp.StatusCode, resp.Status
	switch resp.StatusCode {
	case http.StatusOK:
		f.size = max(0, resp.ContentLength)
	case http.StatusPartialContent:
		f.size = total(resp.Header.Get("Content-Range"))
	case http.StatusRequestedRangeNotSatisfiable:
		f.status, f.page = http.StatusOK, "an empty file"
		return f, nil
	default:
		return f, nil
	}
	head := make([]byte, sniff)
	n, err := io.ReadFull(resp.Body, head)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return f, err
	}
	f.page = looksLike(head[:n], resp.Header.Get("Content-Type"), resp.Request.URL.Path)
	return f, nil
}

var rangeTotal = regexp.MustCompile(`^bytes \d+-\d+/(\d+)$`)

func total(contentRange string) int64 {
	m := rangeTotal.FindStringSubmatch(contentRange)
	if m == nil {
		return 0
	}
	n, err := strconv.ParseInt(m[1], 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// looksLike recognises sign-in pages and errors that are sent as if they were
// the file.
func looksLike(head []byte, contentType, path string) string {
	kind, _, _ := mime.ParseMediaType(contentType)
	start := strings.ToLower(strings.TrimLeft(string(head), " \t\r\n\ufeff"))
	switch {
	case kind == "text/html", strings.HasPrefix(start, "<!doctype html"), strings.HasPrefix(start, "<html"):
		return "a web page"
	case kind == "application/json" && !strings.HasSuffix(path, ".json"):
		return "JSON"
	case len(head) == 0:
		return "an empty file"
	}
	return ""
}

// errInsecure refuses to send a token over plain http to another machine.
var errInsecure = errors.New("a token does not go over http")

// open sends a request and follows redirects while follow agrees. The token
// goes to the origin alone: not to another host, port or scheme, and over http
// only to this machine. One failure that may pass is tried again.
func (c *checker) open(ctx context.Context, method, address, token string, follow func(*url.URL, *http.Response) bool) (*http.Response, error) {
	origin, err := url.Parse(address)
	if err != nil || origin.Host == "" {
		return nil, errors.New("it is no address")
	}
	if token != "" && origin.Scheme != "https" && !local(origin.Hostname()) {
		return nil, errInsecure
	}
	at := origin
	for hops := 0; ; hops++ {
		if hops > maxRedirects {
			return nil, fmt.Errorf("more than %d redirects", maxRedirects)
		}
		header := http.Header{"Accept-Encoding": {"identity"}}
		if method == http.MethodGet {
			header.Set("Range", fmt.Sprintf("bytes=0-%d", sniff-1))
		}
		if token != "" && at.Scheme == origin.Scheme && at.Host == origin.Host {
			header.Set("Authorization", "Bearer "+token)
		}
		resp, err := c.send(ctx, method, at.String(), header, nil)
		if err != nil {
			return nil, err
		}
		next := location(resp)
		if next == nil || !follow(next, resp) {
			return resp, nil
		}
		_ = resp.Body.Close()
		if at.Scheme == "https" && next.Scheme != "https" {
			return nil, errors.New("it redirects from https to " + next.Scheme)
		}
		at = next
	}
}

// location is where a redirect goes; nil for any other answer.
func location(resp *http.Response) *url.URL {
	if resp.StatusCode/100 != 3 {
		return nil
	}
	u, err := resp.Location()
	if err != nil {
		return nil
	}
	return u
}

func local(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// send sends one request, and once more after a failure that may pass.
func (c *checker) send(ctx context.Context, method, address string, header http.Header, body []byte) (*http.Response, error) {
	for try := 0; ; try++ {
		req, err := http.NewRequestWithContext(ctx, method, address, strings.NewReader(string(body)))
		if err != nil {
			return nil, err
		}
		if body == nil {
			req.Body, req.ContentLength = http.NoBody, 0
		}
		req.Header = header.Clone()
		req.Header.Set("User-Agent", "comfyctl")
		resp, err := c.client.Do(req)
		again := err != nil || resp.StatusCode == http.StatusTooManyRequests || resp.StatusCode >= 500
		if !again || try > 0 || ctx.Err() != nil {
			return resp, cause(err)
		}
		if err == nil {
			_ = resp.Body.Close()
		}
		select {
		case <-ctx.Done():
			return nil, cause(ctx.Err())
		case <-time.After(pause):
		}
	}
}

// cause is an error of net/http without the address, which may carry secrets.
func cause(err error) error {
	var u *url.Error
	if errors.Is(err, context.DeadlineExceeded) {
		return errors.New("it said nothing in time")
	}
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}
