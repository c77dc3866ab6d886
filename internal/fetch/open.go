package fetch

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"time"
)

// address is a target in use, and where its redirects led.
type address struct {
	Target
	origin *url.URL
	final  *url.URL // nil until an answer came
}

// transport is for many bytes: HTTP/1.1, because ranges that share one
// connection of HTTP/2 share its window too.
func transport(connections int) *http.Transport {
	t := &http.Transport{Proxy: http.ProxyFromEnvironment, TLSHandshakeTimeout: 30 * time.Second,
		TLSNextProto:        map[string]func(string, *tls.Conn) http.RoundTripper{},
		MaxIdleConnsPerHost: connections, IdleConnTimeout: 30 * time.Second, ResponseHeaderTimeout: time.Minute}
	return t
}

// where is the address to ask now. Fresh is set where it has just been found
// out, so that a refusal is final.
func (d *download) where(ctx context.Context) (a address, fresh bool, err error) {
	d.addrLock.Lock()
	defer d.addrLock.Unlock()
	if d.addr != nil {
		return *d.addr, false, nil
	}
	t := Target{URL: d.r.URL}
	if d.r.Target != nil {
		if t, err = d.r.Target(ctx); err != nil {
			return a, false, err
		}
	}
	u, err := url.Parse(t.URL)
	if err != nil {
		return a, false, errors.New("the address cannot be read")
	}
	if d.r.Token != "" {
		if t.Header == nil {
			t.Header = http.Header{}
		}
		t.Header.Set("Authorization", "Bearer "+d.r.Token)
	}
	d.addr = &address{Target: t, origin: u}
	return *d.addr, true, nil
}

// led records where the redirects of an address ended: further ranges are
// asked for there, which spares the hub.
func (d *download) led(a address, final *url.URL) {
	d.addrLock.Lock()
	defer d.addrLock.Unlock()
	if d.addr != nil && d.addr.URL == a.URL && final.String() != a.URL {
		d.addr.final = final
	}
}

// expired forgets an address that no longer answers.
func (d *download) expired(a address) {
	d.addrLock.Lock()
	defer d.addrLock.Unlock()
	if d.addr != nil && d.addr.URL == a.URL && d.addr.final == a.final {
		d.addr = nil
	}
}

// request asks for the bytes of s, or for all of them when s is nil, and
// judges the answer. The caller closes what it returns.
func (d *download) request(ctx context.Context, s *span) (*answer, error) {
	if err := d.gate(ctx); err != nil {
		return nil, err
	}
	a, fresh, err := d.where(ctx)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	resp, err := d.send(ctx, cancel, a, s)
	if err != nil {
		cancel(nil)
		return nil, err
	}
	ans, err := d.judge(resp, a, fresh, s)
	if err != nil {
		_ = resp.Body.Close()
		cancel(nil)
		return nil, err
	}
	ans.body, ans.cancel = resp.Body, cancel
	d.led(a, resp.Request.URL)
	return ans, nil
}

// send sends the request and waits for the headers of the answer.
func (d *download) send(ctx context.Context, cancel context.CancelCauseFunc, a address, s *span) (*http.Response, error) {
	to := a.origin
	if a.final != nil {
		to = a.final
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, to.String(), nil)
	if err != nil {
		return nil, err
	}
	if sameHost(to, a.origin) {
		maps.Copy(req.Header, a.Header)
	}
	d.headers(req.Header, s)
	client := d.http
	if a.Transport != nil {
		client.Transport = a.Transport
	}
	client.CheckRedirect = guard(a)
	late := time.AfterFunc(d.c.patienceFor(), func() { cancel(errStalled) })
	defer late.Stop()
	resp, err := client.Do(req)
	if err != nil {
		return nil, d.unreached(ctx, err)
	}
	return resp, nil
}

// small sends a request about a file, and reads the answer into memory.
func (d *download) small(ctx context.Context, method string, t Target) (*Reply, error) {
	if err := d.gate(ctx); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, d.c.patienceFor(), errStalled)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, t.URL, nil)
	if err != nil {
		return nil, errors.New("the address cannot be read")
	}
	maps.Copy(req.Header, t.Header)
	req.Header.Set("User-Agent", "comfyctl")
	req.Header.Set("Accept-Encoding", "identity")
	client := d.http
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	resp, err := client.Do(req)
	if err != nil {
		return nil, d.unreached(ctx, err)
	}
	defer resp.Body.Close()
	if again(resp.StatusCode) {
		wait := retryAfter(resp.Header, time.Now())
		d.hold(wait)
		return nil, &retryError{err: status(d.r, resp), after: wait}
	}
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxSmall))
	if err != nil {
		return nil, &retryError{err: cause(ctx, err)}
	}
	return &Reply{URL: resp.Request.URL, Code: resp.StatusCode, Status: resp.Status, Header: resp.Header, Body: b}, nil
}

// maxSmall bounds what a hub may say about a file.
const maxSmall = 16 << 20

// headers says which bytes are wanted.
func (d *download) headers(h http.Header, s *span) {
	h.Set("User-Agent", "comfyctl")
	// Compression would hide the length, and models do not shrink.
	h.Set("Accept-Encoding", "identity")
	if d.r.ETag != "" && (s == nil || s[0] == 0) {
		h.Set("If-None-Match", d.r.ETag)
	}
	if s == nil {
		return
	}
	h.Set("Range", fmt.Sprintf("bytes=%d-%d", s[0], s[1]-1))
	// Where the hash is known it decides in the end, whichever mirror sends the
	// bytes and whatever it calls them.
	if v := d.known().validator(); s[0] > 0 && v != "" && d.r.SHA256 == "" {
		h.Set("If-Range", v)
	}
}

var errStalled = errors.New("the server sent next to nothing for too long")

// unreached judges a request that brought no answer. The cause is given without
// the address, which may hold a secret.
func (d *download) unreached(ctx context.Context, err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	var dns *net.DNSError
	if errors.As(err, &dns) && dns.IsNotFound {
		return err
	}
	return &retryError{err: cause(ctx, err), dial: isDial(err)}
}

func isDial(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "dial"
}

func cause(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

func sameHost(a, b *url.URL) bool { return a.Host == b.Host && a.Scheme == b.Scheme }

// guard lets no secret follow a redirect to another host, nor a request leave
// https.
func guard(a address) func(*http.Request, []*http.Request) error {
	return func(next *http.Request, via []*http.Request) error {
		if len(via) >= maxRedirects {
			return fmt.Errorf("more than %d redirects", maxRedirects)
		}
		if a.origin.Scheme == "https" && next.URL.Scheme != "https" {
			return errors.New("redirected from https to " + next.URL.Scheme)
		}
		if !sameHost(next.URL, a.origin) {
			for k := range a.Header {
				next.Header.Del(k)
			}
		}
		// The address that sent us here may hold a secret.
		next.Header.Del("Referer")
		return nil
	}
}
