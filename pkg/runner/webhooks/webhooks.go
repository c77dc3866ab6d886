// Package webhooks sends what the outbox owes to callers' addresses, by
// Standard Webhooks: signed, more than once where it must be, never to a
// private address, and never in the way of a job.
package webhooks

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	mathrand "math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"code.dny.dev/ssrf"
	standard "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/comfyctl/comfyctl/pkg/runner/jobs"
)

// Sender delivers.
type Sender struct {
	Outbox jobs.Outbox
	// Secrets sign each delivery; the first is the newest. While one replaces
	// another, both do.
	Secrets []string
	// GiveUp is how long a delivery is tried; 0 means 24 hours.
	GiveUp time.Duration
	Log    *slog.Logger
	// Safe and Transport replace the check of addresses and the connections in
	// tests; nil means public addresses only.
	Safe      func(network, address string, c syscall.RawConn) error
	Transport http.RoundTripper

	once   sync.Once
	client *http.Client
	sign   []*standard.Webhook
	err    error
}

// Bounds of one delivery.
const (
	giveUp    = 24 * time.Hour
	timeout   = 15 * time.Second
	maxAnswer = 64 << 10 // bytes
	atOnce    = 8
	// A receiver's Retry-After is obeyed up to this.
	maxRetryAfter = 6 * time.Hour
)

// schedule are the pauses between attempts; the last repeats.
var schedule = []time.Duration{5 * time.Second, 30 * time.Second, 2 * time.Minute, 10 * time.Minute, 30 * time.Minute, time.Hour, 2 * time.Hour, 4 * time.Hour}

// NewSecret makes a secret, as whsec_ and base64.
func NewSecret() (string, error) {
	raw := make([]byte, 32)
	if _, err := rand.Read(raw); err != nil {
		return "", fmt.Errorf("making a webhook secret: %w", err)
	}
	return "whsec_" + base64.StdEncoding.EncodeToString(raw), nil
}

// CheckURL is what can be said of a webhook's address before anybody connects.
func CheckURL(raw string) error {
	u, err := url.Parse(raw)
	switch {
	case err != nil:
		return errors.New("it is not a URL")
	case u.Scheme != "https" || u.Hostname() == "":
		return errors.New("only https addresses are called")
	case u.User != nil:
		return errors.New("an address with a user name is not called")
	case u.Fragment != "":
		return errors.New("an address with a fragment is not called")
	}
	return nil
}

// Check reports whether every secret can sign.
func (s *Sender) Check() error {
	s.once.Do(s.prepare)
	return s.err
}

func (s *Sender) prepare() {
	if s.Log == nil {
		s.Log = slog.New(slog.DiscardHandler)
	}
	if len(s.Secrets) == 0 {
		s.err = errors.New("signing webhooks: there is no secret")
	}
	for _, secret := range s.Secrets {
		w, err := standard.NewWebhook(secret)
		if err != nil || !strings.HasPrefix(secret, "whsec_") {
			s.err = errors.New("signing webhooks: a secret is not whsec_ and base64")
			return
		}
		s.sign = append(s.sign, w)
	}
	safe := s.Safe
	if safe == nil {
		safe = ssrf.New(ssrf.WithAnyPort()).Safe
	}
	transport := s.Transport
	if transport == nil {
		dialer := &net.Dialer{Timeout: 10 * time.Second, Control: safe}
		transport = &http.Transport{
			Proxy: nil, DialContext: dialer.DialContext, TLSHandshakeTimeout: 10 * time.Second,
			MaxResponseHeaderBytes: 64 << 10, MaxIdleConnsPerHost: 2, IdleConnTimeout: time.Minute,
		}
	}
	s.client = &http.Client{
		Transport: transport, Timeout: timeout,
		// A redirect is an answer like any other: it is not followed.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// Run delivers what is owed until ctx is over. owed is sent to when there may
// be something new.
func (s *Sender) Run(ctx context.Context, owed <-chan struct{}) error {
	if err := s.Check(); err != nil {
		return err
	}
	defer s.client.CloseIdleConnections()
	for ctx.Err() == nil {
		sent, err := s.round(ctx)
		if err != nil && ctx.Err() == nil {
			s.Log.Error("reading what webhooks are owed", "error", err)
		}
		if sent == atOnce {
			continue
		}
		t := time.NewTimer(s.pause(ctx))
		select {
		case <-ctx.Done():
		case <-owed:
		case <-t.C:
		}
		t.Stop()
	}
	return nil
}

// pause is how long nothing comes due.
func (s *Sender) pause(ctx context.Context) time.Duration {
	next, err := s.Outbox.NextDue(ctx)
	if err != nil || next.IsZero() {
		return time.Minute
	}
	return min(max(time.Until(next), 10*time.Millisecond), time.Minute)
}

// round sends what is due, several at a time.
func (s *Sender) round(ctx context.Context) (int, error) {
	due, err := s.Outbox.Due(ctx, time.Now(), atOnce)
	if err != nil {
		return 0, err
	}
	var sending sync.WaitGroup
	for i := range due {
		sending.Go(func() { s.deliver(ctx, &due[i]) })
	}
	sending.Wait()
	return len(due), nil
}

// deliver makes one attempt and stores how it went.
func (s *Sender) deliver(ctx context.Context, d *jobs.Delivery) {
	d.Attempts++
	code, after, err := s.post(ctx, d)
	if ctx.Err() != nil {
		// It counts as not tried; the receiver knows it by its id if it got it.
		return
	}
	d.Code, d.Error, d.NextAt = code, "", nil
	limit := s.GiveUp
	if limit <= 0 {
		limit = giveUp
	}
	next := time.Now().Add(wait(d.Attempts, after)).UTC()
	switch {
	case err == nil && code >= 200 && code < 300:
		d.Status = jobs.DeliveryDelivered
	case err == nil && !retryable(code):
		d.Status, d.Error = jobs.DeliveryFailed, fmt.Sprintf("the receiver answered %d, which another try would not change", code)
	case next.After(d.CreatedAt.Add(limit)):
		d.Status, d.Error = jobs.DeliveryFailed, "it was not taken within "+limit.String()+": "+reason(code, err)
	default:
		d.NextAt, d.Error = &next, reason(code, err)
	}
	if err := s.Outbox.SaveDelivery(context.WithoutCancel(ctx), d); err != nil {
		s.Log.Error("storing a delivery", "delivery", d.ID, "error", err)
	}
	if d.Status != jobs.DeliveryDelivered {
		s.Log.Warn("webhook not delivered", "delivery", d.ID, "job", d.Job, "event", d.Event, "attempt", d.Attempts, "status", d.Status, "reason", d.Error)
	}
}

func reason(code int, err error) string {
	var ue *url.Error
	switch {
	case err == nil:
		return fmt.Sprintf("the receiver answered %d", code)
	case errors.Is(err, ssrf.ErrProhibitedIP), errors.Is(err, ssrf.ErrProhibitedPort), errors.Is(err, ssrf.ErrProhibitedNetwork):
		return "the address is not a public one"
	case errors.As(err, &ue) && ue.Timeout():
		return "the receiver did not answer within " + timeout.String()
	case errors.As(err, &ue):
		// Without the address, which may hold a secret of the receiver's.
		return ue.Err.Error()
	}
	return err.Error()
}

// retryable is true for an answer that another try may change.
func retryable(code int) bool {
	switch code {
	case http.StatusRequestTimeout, http.StatusConflict, http.StatusTooEarly, http.StatusTooManyRequests:
		return true
	}
	return code >= 500
}

// wait is the pause after the nth attempt, with a fifth of chance in it.
func wait(n int, after time.Duration) time.Duration {
	d := schedule[min(n, len(schedule))-1]
	d = time.Duration(float64(d) * (0.8 + 0.4*mathrand.Float64())) //nolint:gosec // no secret
	return max(d, min(after, maxRetryAfter))
}

// post sends a delivery. The id stays the same at each attempt, the time does
// not.
func (s *Sender) post(ctx context.Context, d *jobs.Delivery) (code int, after time.Duration, err error) {
	now := time.Now()
	var signatures []string
	for _, w := range s.sign {
		signature, err := w.Sign(d.ID, now, d.Body)
		if err != nil {
			return 0, 0, fmt.Errorf("signing: %w", err)
		}
		signatures = append(signatures, signature)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, d.URL, bytes.NewReader(d.Body))
	if err != nil {
		return 0, 0, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "comfyctl-webhooks")
	req.Header.Set(standard.HeaderWebhookID, d.ID)
	req.Header.Set(standard.HeaderWebhookTimestamp, strconv.FormatInt(now.Unix(), 10))
	req.Header.Set(standard.HeaderWebhookSignature, strings.Join(signatures, " "))
	resp, err := s.client.Do(req)
	if err != nil {
		return 0, 0, err
	}
	defer resp.Body.Close()
	// Read so that the connection can be used again, but not for ever.
	_, _ = io.CopyN(io.Discard, resp.Body, maxAnswer)
	if n, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil && n > 0 {
		after = time.Duration(n) * time.Second
	}
	return resp.StatusCode, after, nil
}
