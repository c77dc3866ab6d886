package client

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Options of a Client.
type Options struct {
	// Key is sent as a bearer token; empty sends none.
	Key string
	// UserAgent names the caller.
	UserAgent string
	// Trace is called after each request, without its headers; nil drops it.
	Trace func(method, path string, status int, took time.Duration)
}

// Client calls one service.
type Client struct {
	base string
	o    Options
	http *http.Client
}

// New makes a client of the service at base, such as http://127.0.0.1:8080.
func New(base string, o Options) (*Client, error) {
	u, err := url.Parse(base)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, fmt.Errorf("reading the service's address: %q is not an http or https URL", base)
	}
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.ResponseHeaderTimeout = 0 // a job may be waited for
	return &Client{base: strings.TrimSuffix(u.Scheme+"://"+u.Host+u.Path, "/"), o: o, http: &http.Client{Transport: t}}, nil
}

// Base is the service's address.
func (c *Client) Base() string { return c.base }

// Close drops idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Workflows lists what the service offers.
func (c *Client) Workflows(ctx context.Context) (*List, error) {
	var l List
	return &l, c.get(ctx, "/v1/workflows", &l)
}

// Workflow describes one workflow; the name may carry @version.
func (c *Client) Workflow(ctx context.Context, name string) (*Workflow, error) {
	var w Workflow
	return &w, c.get(ctx, "/v1/workflows/"+url.PathEscape(name), &w)
}

// Readiness asks /readyz. A service that is not ready is no error.
func (c *Client) Readiness(ctx context.Context) (*Ready, error) {
	var r Ready
	err := c.get(ctx, "/readyz", &r)
	var p *Problem
	if errors.As(err, &p) && p.Status == http.StatusServiceUnavailable && r.Engine.Stage != "" {
		return &r, nil
	}
	return &r, err
}

// Upload stores a file and returns what an input takes.
func (c *Client) Upload(ctx context.Context, name string, r io.Reader) (*File, error) {
	pr, pw := io.Pipe()
	form := multipart.NewWriter(pw)
	go func() {
		part, err := form.CreateFormFile("file", name)
		if err == nil {
			_, err = io.Copy(part, r)
		}
		if err == nil {
			err = form.Close()
		}
		pw.CloseWithError(err)
	}()
	defer pr.Close()
	resp, err := c.do(ctx, http.MethodPost, "/v1/files", pr, http.Header{"Content-Type": {form.FormDataContentType()}})
	if err != nil {
		return nil, fmt.Errorf("uploading %s: %w", name, err)
	}
	defer resp.Body.Close()
	var f File
	if err := json.NewDecoder(resp.Body).Decode(&f); err != nil {
		return nil, fmt.Errorf("uploading %s: %w", name, err)
	}
	return &f, nil
}

// submitTries is how often a job is sent; the idempotency key makes it one job.
const submitTries = 4

// Submit asks for a job and returns it as it was accepted. A full queue, a
// limit and a service that is not ready are tried again after the time that
// the service names.
func (c *Client) Submit(ctx context.Context, workflow string, req Request) (*Job, error) {
	body, err := json.Marshal(req)
	if err != nil {
		return nil, fmt.Errorf("encoding the request: %w", err)
	}
	var id [16]byte
	if _, err := rand.Read(id[:]); err != nil {
		return nil, fmt.Errorf("making an idempotency key: %w", err)
	}
	h := http.Header{"Content-Type": {"application/json"}, "Prefer": {"respond-async"}, "Idempotency-Key": {hex.EncodeToString(id[:])}}
	for try := 1; ; try++ {
		resp, err := c.do(ctx, http.MethodPost, "/v1/workflows/"+url.PathEscape(workflow)+"/jobs", bytes.NewReader(body), h)
		if err == nil {
			return readJob(resp)
		}
		wait, again := retryAfter(err, try)
		if !again || try == submitTries {
			return nil, err
		}
		select {
		case <-ctx.Done():
			return nil, errors.Join(ctx.Err(), err)
		case <-time.After(wait):
		}
	}
}

// retryAfter says whether a refusal may pass, and when.
func retryAfter(err error, try int) (time.Duration, bool) {
	var p *Problem
	if !errors.As(err, &p) {
		return 0, false
	}
	switch p.Status {
	case http.StatusRequestTimeout, http.StatusTooManyRequests, http.StatusServiceUnavailable:
	default:
		return 0, false
	}
	if p.Code == "draining" {
		return 0, false
	}
	if p.RetryAfter > 0 {
		return min(p.RetryAfter, 30*time.Second), true
	}
	return time.Duration(1<<try) * 250 * time.Millisecond, true
}

// Job asks for a job; wait above 0 lets the service hold the answer until the
// job has ended, for at most that long.
func (c *Client) Job(ctx context.Context, id string, wait time.Duration) (*Job, error) {
	path := "/v1/jobs/" + url.PathEscape(id)
	if wait > 0 {
		path += "?wait=" + strconv.Itoa(max(1, int(wait.Seconds())))
	}
	resp, err := c.do(ctx, http.MethodGet, path, nil, nil)
	if err != nil {
		return nil, err
	}
	return readJob(resp)
}

// Cancel stops a job.
func (c *Client) Cancel(ctx context.Context, id string) (*Job, error) {
	resp, err := c.do(ctx, http.MethodPost, "/v1/jobs/"+url.PathEscape(id)+"/cancel", nil, nil)
	if err != nil {
		return nil, err
	}
	return readJob(resp)
}

// Open reads an output's bytes. The caller closes it.
func (c *Client) Open(ctx context.Context, job *Job, o Output) (io.ReadCloser, error) {
	at := o.URL
	if at == "" {
		at = "/v1/jobs/" + url.PathEscape(job.ID) + "/outputs/" + url.PathEscape(o.Name)
	}
	resp, err := c.do(ctx, http.MethodGet, at, nil, nil)
	if err != nil {
		return nil, fmt.Errorf("fetching output %s: %w", o.Name, err)
	}
	return resp.Body, nil
}

func readJob(resp *http.Response) (*Job, error) {
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, fmt.Errorf("reading the job: %w", err)
	}
	return DecodeJob(b)
}

// DecodeJob reads a job's JSON and keeps it whole in Raw.
func DecodeJob(b []byte) (*Job, error) {
	j := &Job{Raw: bytes.TrimSpace(b)}
	if err := json.Unmarshal(b, j); err != nil {
		return nil, fmt.Errorf("reading the job: %w", err)
	}
	if j.ID == "" {
		return nil, errors.New("reading the job: it has no id; is this a comfyctl service?")
	}
	return j, nil
}

func (c *Client) get(ctx context.Context, path string, to any) error {
	resp, err := c.do(ctx, http.MethodGet, path, nil, nil)
	if err != nil {
		var p *Problem
		if errors.As(err, &p) && p.body != nil {
			// /readyz answers 503 with a body of its own.
			_ = json.Unmarshal(p.body, to)
		}
		return err
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(to); err != nil {
		return fmt.Errorf("reading %s: %w", path, err)
	}
	return nil
}

// maxProblem bounds what is read of an error's body.
const maxProblem = 1 << 20

// do sends one request; a status from 400 on is a *Problem.
func (c *Client) do(ctx context.Context, method, path string, body io.Reader, h http.Header) (*http.Response, error) {
	at := path
	own := !strings.Contains(path, "://")
	if own {
		at = c.base + path
	}
	req, err := http.NewRequestWithContext(ctx, method, at, body)
	if err != nil {
		return nil, fmt.Errorf("calling the service: %w", err)
	}
	for k, v := range h {
		req.Header[k] = v
	}
	// A key goes to the service alone, never to a storage host it points to.
	if c.o.Key != "" && (own || strings.HasPrefix(at, c.base+"/")) {
		req.Header.Set("Authorization", "Bearer "+c.o.Key)
	}
	if c.o.UserAgent != "" {
		req.Header.Set("User-Agent", c.o.UserAgent)
	}
	began := time.Now()
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, err
	}
	if c.o.Trace != nil {
		c.o.Trace(method, path, resp.StatusCode, time.Since(began))
	}
	if resp.StatusCode < 400 {
		return resp, nil
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxProblem))
	if err != nil {
		return nil, fmt.Errorf("reading the answer: %w", err)
	}
	return nil, problem(resp, b)
}

func problem(resp *http.Response, b []byte) *Problem {
	p := &Problem{body: b}
	if json.Unmarshal(b, p) != nil || p.Message == "" {
		*p = Problem{body: b, Code: "http_" + strconv.Itoa(resp.StatusCode), Message: "the service answered " + resp.Status}
	}
	p.Status = resp.StatusCode
	if n, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil && n > 0 {
		p.RetryAfter = time.Duration(n) * time.Second
	}
	return p
}
