// Package feed reads the public data that packs are found by: JSON files and
// the answers of the node registry. They are fetched when needed, kept in the
// cache with their ETag, and asked for again only by that; nothing of them is
// part of comfyctl.
package feed

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/comfyctl/comfyctl/internal/diag"
)

// Client reads feeds. The zero value has no cache and no network.
type Client struct {
	HTTP *http.Client
	// Dir is the folder of the cache.
	Dir string
	// Offline takes what the cache has and asks nobody.
	Offline bool
}

// Answer is what a feed gave.
type Answer struct {
	Body   []byte
	SHA256 string
	// Status is that of HTTP; 404 is an answer, not an error.
	Status int
	// Stale is set where the server could not be reached and the cache stood in.
	Stale bool
}

// Limits of a request.
const (
	maxBody = 128 << 20
	timeout = 60 * time.Second
	tries   = 3
)

// record is what the cache keeps beside a body.
type record struct {
	URL    string `json:"url"`
	ETag   string `json:"etag"`
	SHA256 string `json:"sha256"`
	Status int    `json:"status"`
}

// Get reads an address, or a file of this machine.
func (c *Client) Get(ctx context.Context, address string) (Answer, error) {
	scheme, _, ok := strings.Cut(address, "://")
	if !ok || len(scheme) == 1 || scheme == "file" {
		b, err := os.ReadFile(strings.TrimPrefix(address, "file://"))
		if err != nil {
			return Answer{}, &diag.Error{Code: "feed_failed", Class: diag.ClassUsage, Err: err, Message: "the data of node packs cannot be read", Help: "give a file or an address"}
		}
		return answer(b, http.StatusOK), nil
	}
	kept, have := c.kept(address)
	if c.Offline {
		if !have.ok() {
			return Answer{}, &diag.Error{Code: "offline", Class: diag.ClassFailed, Message: "--offline: " + plain(address) + " is not in the cache", Help: "run without --offline once"}
		}
		return kept, nil
	}
	got, err := c.ask(ctx, address, have)
	if err != nil {
		if ctx.Err() == nil && have.ok() {
			kept.Stale = true
			return kept, nil
		}
		return Answer{}, err
	}
	if got.Status == http.StatusNotModified {
		return kept, nil
	}
	return got, nil
}

func answer(b []byte, status int) Answer {
	sum := sha256.Sum256(b)
	return Answer{Body: b, SHA256: hex.EncodeToString(sum[:]), Status: status}
}

func (r record) ok() bool { return r.Status != 0 }

func (c *Client) file(address string) string {
	sum := sha256.Sum256([]byte(address))
	return filepath.Join(c.Dir, "feeds", hex.EncodeToString(sum[:12]))
}

// kept is the cached answer; a damaged one counts as none.
func (c *Client) kept(address string) (Answer, record) {
	var r record
	b, err := os.ReadFile(c.file(address) + ".json")
	if err != nil || json.Unmarshal(b, &r) != nil || r.URL != address {
		return Answer{}, record{}
	}
	body, err := os.ReadFile(c.file(address))
	a := answer(body, r.Status)
	if err != nil || a.SHA256 != r.SHA256 {
		return Answer{}, record{}
	}
	return a, r
}

func (c *Client) keep(address, etag string, a Answer) error {
	r, err := json.Marshal(record{URL: address, ETag: etag, SHA256: a.SHA256, Status: a.Status})
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(c.file(address)), 0o755); err != nil {
		return err
	}
	// The body first: a record without its body counts as damaged.
	return errors.Join(replace(c.file(address), a.Body), replace(c.file(address)+".json", r))
}

func replace(name string, b []byte) error {
	f, err := os.CreateTemp(filepath.Dir(name), ".new-")
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		_ = os.Remove(f.Name())
	}
	return err
}

// ask sends the request, with patience for a server that is busy.
func (c *Client) ask(ctx context.Context, address string, have record) (Answer, error) {
	var last error
	for try := range tries {
		if try > 0 {
			select {
			case <-time.After(time.Duration(try*try) * time.Second):
			case <-ctx.Done():
				return Answer{}, context.Cause(ctx)
			}
		}
		a, etag, again, err := c.once(ctx, address, have)
		if err == nil {
			if a.Status == http.StatusNotModified {
				return a, nil
			}
			if err := c.keep(address, etag, a); err != nil {
				return a, fmt.Errorf("keeping %s: %w", plain(address), err)
			}
			return a, nil
		}
		if ctx.Err() != nil {
			return Answer{}, context.Cause(ctx)
		}
		if last = err; !again {
			break
		}
	}
	return Answer{}, &diag.Error{Code: "feed_failed", Class: diag.ClassFailed, Retryable: true, Err: last, Message: "cannot read " + plain(address), Help: "try again, or run with --offline when it was read before"}
}

func (c *Client) once(ctx context.Context, address string, have record) (a Answer, etag string, again bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return a, "", false, errors.New("it is no address")
	}
	req.Header.Set("User-Agent", "comfyctl")
	req.Header.Set("Accept", "application/json, */*;q=0.5")
	if have.ETag != "" {
		req.Header.Set("If-None-Match", have.ETag)
	}
	client := c.HTTP
	if client == nil {
		client = &http.Client{}
	}
	resp, err := client.Do(req)
	if err != nil {
		// Where nobody listens, asking again at once is of no use.
		var op *net.OpError
		dial := errors.As(err, &op) && op.Op == "dial"
		return a, "", !dial, errors.New(strings.ReplaceAll(err.Error(), address, plain(address)))
	}
	defer resp.Body.Close()
	switch s := resp.StatusCode; {
	case s == http.StatusNotModified && have.ETag != "":
		return Answer{Status: s}, "", false, nil
	case s == http.StatusTooManyRequests || s >= 500:
		return a, "", true, fmt.Errorf("the server answers %s", resp.Status)
	case s != http.StatusOK && s != http.StatusNotFound && s != http.StatusForbidden:
		return a, "", false, fmt.Errorf("the server answers %s", resp.Status)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxBody+1))
	if err != nil {
		return a, "", true, err
	}
	if len(body) > maxBody {
		return a, "", false, fmt.Errorf("it is larger than %d MiB", maxBody>>20)
	}
	return answer(body, resp.StatusCode), resp.Header.Get("ETag"), false, nil
}

// plain is an address without user and query.
func plain(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return "an address"
	}
	u.User, u.RawQuery = nil, ""
	return u.String()
}
