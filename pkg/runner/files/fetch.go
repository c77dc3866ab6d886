package files

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"path"
	"strings"
	"syscall"
	"time"

	"code.dny.dev/ssrf"
)

// Fetcher gets files that callers name by URL. Private, loopback, link-local
// and other special addresses are never reached: the address is checked when
// the connection is made, after the name was resolved and after each redirect.
type Fetcher struct {
	// Hosts are patterns such as *.example.com; empty means any public host.
	Hosts   []string
	MaxSize int64
	Timeout time.Duration
	// safe and trust replace the address check and the system's certificates
	// in tests.
	safe  func(network, address string, c syscall.RawConn) error
	trust *x509.CertPool
}

// ErrPrivate means that a URL leads to an address that is not public.
var ErrPrivate error = privateError{}

type privateError struct{}

func (privateError) Error() string { return "the URL leads to a private address" }

// FaultCode is the code of the fault in a reply.
func (privateError) FaultCode() string { return "private_address" }

// Check is what can be said of a URL without asking anybody.
func (f *Fetcher) Check(raw string) error {
	u, err := url.Parse(raw)
	if err != nil {
		return errors.New("it is not a URL")
	}
	return f.check(u)
}

// Fetch downloads a URL into the store.
func (f *Fetcher) Fetch(ctx context.Context, s *Store, raw string, max int64, o Owner) (*Info, error) {
	if err := f.Check(raw); err != nil {
		return nil, err
	}
	timeout := f.Timeout
	if timeout <= 0 {
		timeout = 30 * time.Second
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	client := f.client()
	defer client.CloseIdleConnections()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, raw, nil)
	if err != nil {
		return nil, errors.New("it is not a URL")
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, explain(err, req.URL.Host, timeout)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answered %d", resp.Request.URL.Host, resp.StatusCode)
	}
	if max <= 0 || (f.MaxSize > 0 && max > f.MaxSize) {
		max = f.MaxSize
	}
	if max > 0 && resp.ContentLength > max {
		return nil, fmt.Errorf("%w: at most %d bytes", ErrTooLarge, max)
	}
	info, err := s.Add(resp.Body, path.Base(resp.Request.URL.Path), max, o, true)
	if err != nil && ctx.Err() != nil {
		return nil, fmt.Errorf("%s did not send it within %s", req.URL.Host, timeout)
	} else if err != nil {
		return nil, err
	}
	return info, Declared(info, resp.Header.Get("Content-Type"))
}

// explain makes a message for the caller: no address that a name has here.
func explain(err error, host string, timeout time.Duration) error {
	var ue *url.Error
	var dns *net.DNSError
	switch {
	case errors.Is(err, ErrPrivate):
		return ErrPrivate
	case errors.As(err, &ue) && ue.Timeout():
		return fmt.Errorf("%s did not answer within %s", host, timeout)
	case errors.As(err, &dns):
		return fmt.Errorf("the name %s cannot be resolved", dns.Name)
	case errors.As(err, &ue):
		err = ue.Err
	}
	return fmt.Errorf("fetching from %s: %w", host, err)
}

// check is what can be said of a URL before its host is looked up.
func (f *Fetcher) check(u *url.URL) error {
	if u.Scheme != "https" || u.Hostname() == "" {
		return errors.New("only https URLs are fetched")
	}
	if u.User != nil {
		return errors.New("a URL with a user name is not fetched")
	}
	if addr, err := netip.ParseAddr(u.Hostname()); err == nil {
		// No name to look up: what the dialer would refuse is known already.
		network, port := "tcp6", u.Port()
		if port == "" {
			port = "443"
		}
		if addr = addr.Unmap(); addr.Is4() {
			network = "tcp4"
		}
		if err := f.guard()(network, net.JoinHostPort(addr.String(), port), nil); err != nil {
			return err
		}
	}
	if len(f.Hosts) > 0 && !matches(u.Hostname(), f.Hosts) {
		return fmt.Errorf("%s is not among the hosts that this service fetches from", u.Hostname())
	}
	return nil
}

func matches(host string, patterns []string) bool {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	for _, p := range patterns {
		p = strings.ToLower(p)
		if rest, wild := strings.CutPrefix(p, "*."); host == p || wild && strings.HasSuffix(host, "."+rest) {
			return true
		}
	}
	return false
}

func (f *Fetcher) client() *http.Client {
	dialer := &net.Dialer{Timeout: 10 * time.Second, Control: f.guard()}
	return &http.Client{
		Transport: &http.Transport{
			Proxy: nil, DialContext: dialer.DialContext, TLSHandshakeTimeout: 10 * time.Second, ResponseHeaderTimeout: 20 * time.Second,
			MaxResponseHeaderBytes: 64 << 10, TLSClientConfig: &tls.Config{RootCAs: f.trust, MinVersion: tls.VersionTLS12},
		},
		CheckRedirect: func(req *http.Request, via []*http.Request) error {
			if len(via) >= 5 {
				return errors.New("too many redirects")
			}
			return f.check(req.URL)
		},
	}
}

// guard looks at the address of each connection just before it is made, when
// no name can change any more: the registries' special ranges are refused.
func (f *Fetcher) guard() func(network, address string, c syscall.RawConn) error {
	safe := f.safe
	if safe == nil {
		safe = ssrf.New(ssrf.WithAnyPort()).Safe
	}
	return func(network, address string, c syscall.RawConn) error {
		if safe(network, address, c) != nil {
			return ErrPrivate
		}
		return nil
	}
}
