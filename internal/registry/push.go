package registry

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"golang.org/x/sync/errgroup"
)

// How much happens at once. Registries hash what they get, so that more
// uploads than this share one disk and one processor.
const (
	asksAtOnce = 16
	sendAtOnce = 4
)

// Progress is how far a push is. It may fall back where a registry lost a
// piece.
type Progress struct {
	// Done and Total are bytes; Done includes those the registry had.
	Done, Total int64
	// Sending is how many bytes the registry lacked when the push began.
	Sending int64
}

// Push sends an image: blobs that the registry has are skipped, those of
// another repository of it are mounted, the rest is sent in pieces, four blobs
// at a time, the largest first. A push that was cut off goes on where it was
// if Sessions is set. The result is the reference by digest.
func (c Client) Push(ctx context.Context, ref name.Reference, img v1.Image, progress func(Progress)) (string, error) {
	digest, err := img.Digest()
	if err != nil {
		return "", err
	}
	blobs, err := blobsOf(img)
	if err != nil {
		return "", err
	}
	q := quirksOf(ref.Context().RegistryStr())
	if err := q.fits(ref.Context().RegistryStr(), blobs); err != nil {
		return "", err
	}
	p, err := c.pusher(ctx, ref.Context(), q, blobs)
	if err != nil {
		return "", c.explain(ctx, ref, "sending", err)
	}
	defer p.close()
	p.meter.report = progress
	if err := p.push(ctx, ref, img, blobs); err != nil {
		return "", c.explain(ctx, ref, "sending", err)
	}
	return ref.Context().Digest(digest.String()).String(), nil
}

// pusher is one push to one repository.
type pusher struct {
	repo   name.Repository
	http   *http.Client
	close  func()
	quirks quirks
	// sizes of uploads, and the waits; tests make them small.
	tuning   tuning
	sessions sessions
	meter    meter
}

// tuning are the numbers that tests change.
type tuning struct {
	chunkFrom, chunk, least int64
	// fresh is for how long a sign-in that worked is relied on.
	fresh time.Duration
	// wait is the first pause after a failure; it doubles.
	wait time.Duration
	// idle is how long a registry may take no byte, answer how long it may
	// think after the last.
	idle, answer time.Duration
	tries        int
}

var usual = tuning{chunkFrom: chunkFrom, chunk: chunkSize, least: minChunk, fresh: 20 * time.Second, wait: 500 * time.Millisecond, idle: time.Minute, answer: 15 * time.Minute, tries: 6}

func (c Client) pusher(ctx context.Context, repo name.Repository, q quirks, blobs []blob) (*pusher, error) {
	auth, err := c.Resolve(repo)
	if err != nil {
		return nil, err
	}
	base, done := c.Transport, func() {}
	if base == nil {
		t := plain()
		base, done = t, t.CloseIdleConnections
	}
	scopes := []string{repo.Scope(transport.PushScope)}
	seen := map[string]bool{}
	for _, b := range blobs {
		if b.from != nil && b.from.Registry == repo.Registry && !seen[b.from.String()] {
			seen[b.from.String()] = true
			scopes = append(scopes, b.from.Scope(transport.PullScope))
		}
	}
	rt, err := transport.NewWithContext(ctx, repo.Registry, auth, transport.NewUserAgent(base, "comfyctl"), scopes)
	if err != nil {
		done()
		return nil, err
	}
	t := usual
	if c.tuning != nil {
		t = *c.tuning
	}
	return &pusher{repo: repo, http: &http.Client{Transport: rt}, close: done, quirks: q, tuning: t, sessions: sessions{dir: c.Sessions}}, nil
}

// plain is a transport for large bodies: a connection for each upload, since
// streams that share one wait for each other.
func plain() *http.Transport {
	return &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		TLSNextProto:        map[string]func(string, *tls.Conn) http.RoundTripper{},
		TLSHandshakeTimeout: 20 * time.Second,
		MaxIdleConnsPerHost: asksAtOnce,
		IdleConnTimeout:     90 * time.Second,
		WriteBufferSize:     1 << 20,
	}
}

func (p *pusher) push(ctx context.Context, ref name.Reference, img v1.Image, blobs []blob) error {
	missing, err := p.missing(ctx, blobs)
	if err != nil {
		return err
	}
	raw, err := img.RawManifest()
	if err != nil {
		return err
	}
	p.plan(blobs, missing, int64(len(raw)))
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(sendAtOnce)
	for _, b := range missing {
		g.Go(func() error {
			u := &upload{pusher: p, blob: b}
			return u.run(gctx)
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	if err := p.putManifest(ctx, ref, img, raw); err != nil {
		return err
	}
	p.meter.add(int64(len(raw)))
	return nil
}

// missing are the blobs that the repository lacks, in the order of blobs.
func (p *pusher) missing(ctx context.Context, blobs []blob) ([]blob, error) {
	there := make([]bool, len(blobs))
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(asksAtOnce)
	for i, b := range blobs {
		g.Go(func() error {
			return p.again(gctx, func() error {
				res, err := p.ask(gctx, http.MethodHead, p.url("blobs/"+b.digest.String()), nil, http.StatusOK, http.StatusNotFound)
				there[i] = err == nil && res.code == http.StatusOK
				return err
			})
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	var out []blob
	for i, b := range blobs {
		if !there[i] {
			out = append(out, b)
		}
	}
	return out, nil
}

func (p *pusher) plan(blobs, missing []blob, manifest int64) {
	for _, b := range blobs {
		p.meter.at.Total += b.size
	}
	p.meter.at.Total += manifest
	p.meter.at.Sending = manifest
	for _, b := range missing {
		p.meter.at.Sending += b.size
	}
	p.meter.add(p.meter.at.Total - p.meter.at.Sending)
}

func (p *pusher) putManifest(ctx context.Context, ref name.Reference, img v1.Image, raw []byte) error {
	mt, err := img.MediaType()
	if err != nil {
		return err
	}
	return p.again(ctx, func() error {
		_, err := p.ask(ctx, http.MethodPut, p.url("manifests/"+ref.Identifier()), func(r *http.Request) {
			r.Body, r.ContentLength = newBody(bytes.NewReader(raw)), int64(len(raw))
			r.Header.Set("Content-Type", string(mt))
		}, http.StatusOK, http.StatusCreated, http.StatusAccepted)
		return err
	})
}

func (p *pusher) url(rest string) *url.URL {
	return &url.URL{Scheme: p.repo.Scheme(), Host: p.repo.RegistryStr(), Path: "/v2/" + p.repo.RepositoryStr() + "/" + rest}
}

// reply is an answer without its body.
type reply struct {
	code   int
	header http.Header
	url    *url.URL // that answered
}

func replyOf(res *http.Response) reply {
	return reply{code: res.StatusCode, header: res.Header, url: res.Request.URL}
}

// ask makes a request of little content; a status that is not among codes is
// an error.
func (p *pusher) ask(ctx context.Context, method string, to *url.URL, with func(*http.Request), codes ...int) (reply, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, p.tuning.idle, errIdle)
	defer cancel()
	res, err := p.do(ctx, method, to, with)
	if err != nil {
		if errors.Is(context.Cause(ctx), errIdle) {
			err = errIdle
		}
		return reply{}, err
	}
	defer drain(res)
	return replyOf(res), answer(res, codes...)
}

func (p *pusher) do(ctx context.Context, method string, to *url.URL, with func(*http.Request)) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, to.String(), nil)
	if err != nil {
		return nil, fmt.Errorf("asking the registry: %w", err)
	}
	if with != nil {
		with(req)
	}
	res, err := p.http.Do(req)
	// The address of an upload lets anybody add to it: it is in no message.
	var ue *url.Error
	if errors.As(err, &ue) {
		return nil, fmt.Errorf("%s %s: %w", method, p.repo.RegistryStr(), ue.Err)
	}
	return res, err
}

// meter adds up what all uploads have sent.
type meter struct {
	mu     sync.Mutex
	at     Progress
	report func(Progress)
}

func (m *meter) add(n int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.at.Done += n
	if m.report != nil {
		m.report(m.at)
	}
}
