package fetch

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// fault is what goes wrong with one request.
type fault string

const (
	none        fault = ""
	reset       fault = "reset"
	cut         fault = "cut"
	shifted     fault = "shifted"
	wrongTotal  fault = "wrong total"
	noTotal     fault = "no total"
	unsatisfied fault = "416"
	tooMany     fault = "429"
	broken      fault = "503"
	gone        fault = "404"
	forbidden   fault = "403"
	noRanges    fault = "no ranges"
	noLength    fault = "no length"
	closing     fault = "closing"
	page        fault = "page"
	zipped      fault = "gzip"
	lorris      fault = "slow"
	changed     fault = "changed"
	lying       fault = "lying"
)

var allFaults = []fault{reset, cut, shifted, wrongTotal, noTotal, unsatisfied, tooMany, broken, gone, forbidden, noRanges, noLength, closing, page, zipped, lorris, changed}

// origin serves versions of a file, with a fault of choice for each request.
type origin struct {
	mu       sync.Mutex
	versions [][]byte
	now      int // index of versions
	plan     func(n int, r *http.Request) fault
	requests int
	noETag   bool
	sent     atomic.Int64 // bytes of bodies
	quit     chan struct{}
}

func (o *origin) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	o.mu.Lock()
	o.requests++
	f := none
	if o.plan != nil {
		f = o.plan(o.requests, r)
	}
	if f == changed && o.now+1 < len(o.versions) {
		o.now++
	}
	content, etag := o.versions[o.now], fmt.Sprintf(`"v%d"`, o.now)
	o.mu.Unlock()
	if !o.noETag {
		w.Header().Set("ETag", etag)
	}
	switch f {
	case unsatisfied:
		w.Header().Set("Content-Range", fmt.Sprintf("bytes */%d", len(content)))
		w.WriteHeader(http.StatusRequestedRangeNotSatisfiable)
	case tooMany:
		w.Header().Set("Retry-After", "0")
		w.WriteHeader(http.StatusTooManyRequests)
	case broken:
		w.WriteHeader(http.StatusServiceUnavailable)
	case gone:
		w.WriteHeader(http.StatusNotFound)
	case forbidden:
		w.WriteHeader(http.StatusForbidden)
	case page:
		_, _ = io.WriteString(w, "<!DOCTYPE html><title>Sign in</title>")
	default:
		o.send(w, r, content, etag, f)
	}
}

func (o *origin) send(w http.ResponseWriter, r *http.Request, content []byte, etag string, f fault) {
	begin, end := 0, len(content)
	ranged := r.Header.Get("Range") != "" && f != noRanges && f != noLength && f != closing
	if v := r.Header.Get("If-Range"); v != "" && v != etag {
		ranged = false
	}
	if ranged {
		a, b, _ := strings.Cut(strings.TrimPrefix(r.Header.Get("Range"), "bytes="), "-")
		begin, _ = strconv.Atoi(a)
		last, _ := strconv.Atoi(b)
		end = min(last+1, end)
		if begin >= len(content) {
			w.Header().Set("Content-Range", fmt.Sprintf("bytes */%d", len(content)))
			w.WriteHeader(http.StatusRequestedRangeNotSatisfiable)
			return
		}
	}
	body := content[begin:end]
	switch f {
	case zipped:
		w.Header().Set("Content-Encoding", "gzip")
	case lying:
		body = append([]byte{}, body...)
		body[len(body)/2] ^= 1
	}
	if f != noLength && f != closing {
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	}
	if ranged {
		total := strconv.Itoa(len(content))
		shift := 0
		switch f {
		case shifted:
			shift = 1
		case wrongTotal:
			total += "0"
		case noTotal:
			total = "*"
		}
		w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%s", begin+shift, end-1+shift, total))
		w.WriteHeader(http.StatusPartialContent)
	}
	o.write(w, body, f)
}

func (o *origin) write(w http.ResponseWriter, body []byte, f fault) {
	half := body[:len(body)/2]
	switch f {
	case reset, cut, closing:
		if f == closing { // the end of the connection is the end of the body
			w.Header().Set("Connection", "close")
		}
		_, _ = w.Write(half)
		_ = http.NewResponseController(w).Flush()
		if f == closing {
			half = body[len(body)/2:]
			_, _ = w.Write(half[:len(half)/2])
			_ = http.NewResponseController(w).Flush()
		}
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			panic(err)
		}
		if tcp, ok := conn.(*net.TCPConn); ok && f == reset {
			_ = tcp.SetLinger(0)
		}
		_ = conn.Close()
	case lorris:
		_, _ = w.Write(half)
		_ = http.NewResponseController(w).Flush()
		select {
		case <-o.quit:
		case <-time.After(5 * time.Second):
		}
	default:
		n, _ := w.Write(body)
		o.sent.Add(int64(n))
	}
}

func sumOf(b []byte) string {
	s := sha256.Sum256(b)
	return hex.EncodeToString(s[:])
}

// noise is n bytes that depend on the seed.
func noise(seed uint64, n int) []byte {
	src := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8)})
	b := make([]byte, n)
	_, _ = src.Read(b)
	return b
}

// try makes a small client for many small ranges.
func small(t *testing.T) *Client {
	c := client(t)
	c.Connections, c.segment = 3, 32<<10
	return c
}

// begin counts requests from 0, under a new plan.
func (o *origin) begin(plan func(n int, r *http.Request) fault) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.requests, o.plan = 0, plan
	o.sent.Store(0)
}

func (o *origin) asked() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.requests
}

func (o *origin) start(t *testing.T) string {
	t.Helper()
	o.quit = make(chan struct{})
	url := serve(t, o.ServeHTTP)
	t.Cleanup(func() { close(o.quit) })
	return url
}

// TestAnyFaults is the promise of this package: whatever goes wrong, and in
// whatever order, Get ends with the right bytes or with an error.
func TestAnyFaults(t *testing.T) {
	seeds := 60
	if testing.Short() {
		seeds = 20
	}
	outcomes := map[bool]int{}
	for seed := range seeds {
		outcomes[anyFaults(t, uint64(seed))]++
	}
	t.Logf("right bytes %d times, an error %d times", outcomes[true], outcomes[false])
	if outcomes[true] == 0 || outcomes[false] == 0 {
		t.Error("the faults are too hard or too easy to show anything")
	}
}

func anyFaults(t *testing.T, seed uint64) (right bool) {
	rng := rand.New(rand.NewPCG(seed, 1))
	o := &origin{versions: [][]byte{noise(seed, 1+rng.IntN(400<<10)), noise(seed+1000, 1+rng.IntN(400<<10))}, noETag: rng.IntN(6) == 0}
	share := rng.Float64() * rng.Float64()
	known := rng.IntN(2) == 0
	faults := allFaults
	if known {
		faults = append(append([]fault{}, faults...), lying)
	}
	o.plan = func(int, *http.Request) fault {
		if rng.Float64() < share {
			return faults[rng.IntN(len(faults))]
		}
		return none
	}
	if o.noETag {
		// Without a mark nobody can tell two versions of one length apart, but
		// they are of two lengths here.
		o.versions = o.versions[:1]
	}
	c := small(t)
	c.stall = 200 * time.Millisecond
	r := Request{URL: o.start(t), Name: "m.bin"}
	if known {
		r.SHA256 = sumOf(o.versions[rng.IntN(len(o.versions))])
	}
	for range 3 { // each goes on from what the one before left
		h := sha256.New()
		r.Also = func(int64) (io.Writer, error) { h.Reset(); return h, nil }
		b, _, err := c.Get(t.Context(), r)
		if err != nil {
			continue
		}
		ok := b.SHA256 == r.SHA256
		for _, v := range o.versions {
			ok = ok || !known && b.SHA256 == sumOf(v)
		}
		if verr := c.Store.Verify(b.SHA256); !ok || verr != nil {
			t.Fatalf("seed %d: a wrong file was kept: %+v, %v", seed, b, verr)
		}
		if got := hex.EncodeToString(h.Sum(nil)); !b.Existed && got != b.SHA256 {
			t.Fatalf("seed %d: the second writer got other bytes", seed)
		}
		return true
	}
	return false
}

// Each fault alone, on the second request, leads to the right bytes: but for
// those that are final.
func TestOneFault(t *testing.T) {
	content := noise(1, 300<<10)
	for _, f := range append(allFaults, lying) {
		for _, known := range []bool{true, false} {
			if f == lying && !known || f == changed {
				continue
			}
			t.Run(fmt.Sprintf("%s known=%v", f, known), func(t *testing.T) {
				o := &origin{versions: [][]byte{content}, plan: func(n int, _ *http.Request) fault {
					if n == 2 {
						return f
					}
					return none
				}}
				c := small(t)
				c.stall = 300 * time.Millisecond
				r := Request{URL: o.start(t), Name: "m.bin"}
				if known {
					r.SHA256 = sumOf(content)
				}
				b, _, err := c.Get(t.Context(), r)
				final := f == lying
				if final != (err != nil) || err == nil && b.SHA256 != sumOf(content) {
					t.Errorf("%+v, %v", b, err)
				}
			})
		}
	}
}
