package files

import (
	"context"
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
)

// Fetcher gets files that callers name by URL. Private, loopback, link-local
// and other special addresses are never reached: the address is checked when
// the connection is made, after the name was resolved and after each redirect.
type Fetcher struct {
	// Hosts are patterns such as *.example.com; empty means any public host.
	Hosts   []string
	MaxSize int64
	Timeout time.Duration
	// allow overrides the address check in tests.
	allow func(netip.Addr) bool
}

// ErrPrivate means that a URL leads to an address that is not public.
var ErrPrivate = errors.New("the URL leads to a private address")

// Fetch downloads a URL into the store.
func (f *Fetcher) Fetch(ctx context.Context, s *Store, raw string, max int64) (*Info, error) {
	u, err := url.Parse(raw)
	if err != nil {
		return nil, fmt.Errorf("not a URL: %s", raw)
	}
	if err := f.check(u); err != nil {
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
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, fmt.Errorf("not a URL: %s", raw)
	}
	resp, err := client.Do(req)
	if err != nil {
		var ue *url.Error
		switch {
		case errors.Is(err, ErrPrivate):
			return nil, ErrPrivate
		case errors.As(err, &ue) && ue.Timeout():
			return nil, fmt.Errorf("%s did not answer within %s", u.Host, timeout)
		case errors.As(err, &ue):
			err = ue.Err
		}
		return nil, fmt.Errorf("fetching from %s: %w", u.Host, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answered %d", u.Host, resp.StatusCode)
	}
	if max <= 0 || (f.MaxSize > 0 && max > f.MaxSize) {
		max = f.MaxSize
	}
	if max > 0 && resp.ContentLength > max {
		return nil, fmt.Errorf("%w: at most %d bytes", ErrTooLarge, max)
	}
	return s.Add(resp.Body, path.Base(resp.Request.URL.Path), max)
}

// check is what can be said of a URL before its host is looked up.
func (f *Fetcher) check(u *url.URL) error {
	if u.Scheme != "https" && u.Scheme != "http" || u.Host == "" {
		return errors.New("only http and https URLs are fetched")
	}
	if u.User != nil {
		return errors.New("a URL with a user name is not fetched")
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
	dialer := &net.Dialer{Timeout: 10 * time.Second, ControlContext: func(_ context.Context, _, address string, _ syscall.RawConn) error {
		ap, err := netip.ParseAddrPort(address)
		if err != nil || !f.public(ap.Addr()) {
			return ErrPrivate
		}
		return nil
	}}
	return &http.Client{
		Transport: &http.Transport{Proxy: nil, DialContext: dialer.DialContext, TLSHandshakeTimeout: 10 * time.Second, ResponseHeaderTimeout: 20 * time.Second},
		CheckRedirect: func(req *http.Request, via []*http.Request) error {
			if len(via) >= 5 {
				return errors.New("too many redirects")
			}
			if via[0].URL.Scheme == "https" && req.URL.Scheme != "https" {
				return errors.New("a redirect leaves https")
			}
			return f.check(req.URL)
		},
	}
}

var special = func() []netip.Prefix {
	var list []netip.Prefix
	for _, s := range []string{"0.0.0.0/8", "100.64.0.0/10", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "198.18.0.0/15",
		"198.51.100.0/24", "203.0.113.0/24", "240.0.0.0/4", "64:ff9b::/96", "64:ff9b:1::/48", "100::/64", "2001::/23", "2001:db8::/32", "2002::/16", "fec0::/10"} {
		list = append(list, netip.MustParsePrefix(s))
	}
	return list
}()

func (f *Fetcher) public(a netip.Addr) bool {
	if f.allow != nil {
		return f.allow(a)
	}
	return publicAddr(a)
}

// publicAddr reports whether an address is reachable by anyone. IPv4 inside
// IPv6 is looked at as IPv4.
func publicAddr(a netip.Addr) bool {
	a = a.Unmap()
	if !a.IsValid() || a.Zone() != "" || !a.IsGlobalUnicast() || a.IsPrivate() || a.IsLoopback() || a.IsLinkLocalUnicast() || a.IsMulticast() || a.IsUnspecified() {
		return false
	}
	for _, p := range special {
		if p.Contains(a) {
			return false
		}
	}
	return true
}
