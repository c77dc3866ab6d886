package fetch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/comfyctl/comfyctl/internal/cas"
	"github.com/comfyctl/comfyctl/internal/diag"
)

// childStore tells a run of this test program that it is the process to kill.
const childStore, childURL, childSum = "FETCH_TEST_STORE", "FETCH_TEST_URL", "FETCH_TEST_SUM"

// TestChild is what TestKilled starts; alone it does nothing.
func TestChild(t *testing.T) {
	dir := os.Getenv(childStore)
	if dir == "" {
		return
	}
	c := &Client{Store: cas.Open(dir), Connections: 3, segment: 64 << 10}
	_, _, err := c.Get(t.Context(), Request{URL: os.Getenv(childURL), Name: "m.bin", SHA256: os.Getenv(childSum)})
	t.Fatalf("the process was not killed: %v", err)
}

// A process that is killed outright leaves what it has, and the next one goes
// on there.
func TestKilled(t *testing.T) {
	for _, known := range []bool{true, false} {
		t.Run(fmt.Sprintf("known=%v", known), func(t *testing.T) { killed(t, known) })
	}
}

func killed(t *testing.T, known bool) {
	content := noise(7, 2<<20)
	// The first process gets everything but one range, which hangs.
	var once sync.Once
	stuck, saved := make(chan struct{}), false
	o := &origin{versions: [][]byte{content}}
	o.plan = func(_ int, r *http.Request) fault {
		if strings.HasPrefix(r.Header.Get("Range"), "bytes=1048576-") && !saved {
			once.Do(func() { close(stuck) })
			return lorris
		}
		return none
	}
	dir, url := t.TempDir(), o.start(t)
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestChild$") //nolint:gosec // this very program
	sum := ""
	if known {
		sum = sumOf(content)
	}
	cmd.Env = append(os.Environ(), childStore+"="+dir, childURL+"="+url, childSum+"="+sum)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	<-stuck
	for len(journals(t, dir)) == 0 { // it writes one a second
		time.Sleep(20 * time.Millisecond)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()

	o.mu.Lock()
	saved = true
	o.mu.Unlock()
	o.sent.Store(0)
	c := small(t)
	c.Store, c.segment = cas.Open(dir), 64<<10
	b, _, err := c.Get(t.Context(), Request{URL: url, Name: "m.bin", SHA256: sum})
	if err != nil || b.SHA256 != sumOf(content) {
		t.Fatalf("%+v, %v", b, err)
	}
	if sent := o.sent.Load(); sent > int64(len(content))/2 {
		t.Errorf("the second process fetched %d of %d bytes", sent, len(content))
	}
	if err := c.Store.Verify(b.SHA256); err != nil {
		t.Error(err)
	}
}

func journals(t *testing.T, dir string) []string {
	t.Helper()
	list, err := os.ReadDir(dir + "/tmp")
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	var out []string
	for _, e := range list {
		if strings.HasSuffix(e.Name(), ".json") && !strings.HasPrefix(e.Name(), ".") {
			out = append(out, e.Name())
		}
	}
	return out
}

// Two that want the same bytes at once fetch them once.
func TestTwoAtOnce(t *testing.T) {
	content := noise(3, 1<<20)
	o := &origin{versions: [][]byte{content}}
	url, dir := o.start(t), t.TempDir()
	var wg sync.WaitGroup
	for range 4 {
		c := small(t)
		c.Store = cas.Open(dir)
		wg.Go(func() {
			b, _, err := c.Get(t.Context(), Request{URL: url, Name: "m.bin", SHA256: sumOf(content)})
			if err != nil || b.SHA256 != sumOf(content) {
				t.Errorf("%+v, %v", b, err)
			}
		})
	}
	wg.Wait()
	if n := o.sent.Load(); n != int64(len(content)) {
		t.Errorf("%d bytes were sent, the file has %d", n, len(content))
	}
}

// A mirror goes on where another stopped, because the hash decides.
func TestMirrorGoesOn(t *testing.T) {
	content := noise(4, 512<<10)
	bad := &origin{versions: [][]byte{content}, plan: func(n int, _ *http.Request) fault {
		if n > 4 {
			return broken
		}
		return none
	}}
	good := &origin{versions: [][]byte{content}}
	c := small(t)
	if _, _, err := c.Get(t.Context(), Request{URL: bad.start(t), Name: "m", SHA256: sumOf(content)}); err == nil {
		t.Fatal("no error")
	}
	b, _, err := c.Get(t.Context(), Request{URL: good.start(t), Name: "m", SHA256: sumOf(content)})
	if err != nil || b.SHA256 != sumOf(content) {
		t.Fatalf("%+v, %v", b, err)
	}
	if n := good.sent.Load(); n >= int64(len(content)) {
		t.Errorf("the mirror sent all %d bytes", n)
	}
}

// A file that changed between two runs begins anew, with and without marks.
func TestChangedBetweenRuns(t *testing.T) {
	o := &origin{versions: [][]byte{noise(5, 256<<10), noise(6, 256<<10)}}
	o.plan = func(n int, _ *http.Request) fault {
		switch {
		case n == 13:
			return changed
		case n > 4 && n < 13:
			return broken
		}
		return none
	}
	c := small(t)
	c.Connections = 1
	r := Request{URL: o.start(t), Name: "m"}
	if _, _, err := c.Get(t.Context(), r); err == nil {
		t.Fatal("no error")
	}
	o.mu.Lock()
	o.requests = 12
	o.mu.Unlock()
	b, etag, err := c.Get(t.Context(), r)
	if err != nil || b.SHA256 != sumOf(o.versions[1]) || etag != `"v1"` {
		t.Errorf("%+v, %q, %v", b, etag, err)
	}
}

// A signed address that runs out is asked for again, and no more often than
// needed.
func TestSignedAddressRunsOut(t *testing.T) {
	content := noise(8, 512<<10)
	o := &origin{versions: [][]byte{content}}
	var mu sync.Mutex
	valid, left, asked := 0, 0, 0
	storage := serve(t, func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		ok := r.URL.Query().Get("sig") == fmt.Sprint(valid) && left > 0
		left--
		mu.Unlock()
		if !ok {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		if r.Header.Get("Authorization") != "" {
			w.WriteHeader(http.StatusBadRequest) // as object stores do
			return
		}
		o.ServeHTTP(w, r)
	})
	hub := serve(t, func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		if r.Header.Get("Authorization") != "Bearer s3cret" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		asked++
		valid, left = valid+1, 5
		http.Redirect(w, r, fmt.Sprintf("%s/blob?sig=%d", storage, valid), http.StatusFound)
	})
	c := small(t)
	c.Connections = 1
	b, _, err := c.Get(t.Context(), Request{URL: hub, Name: "m", Token: "s3cret"})
	if err != nil || b.SHA256 != sumOf(content) {
		t.Fatalf("%+v, %v", b, err)
	}
	if asked != 4 { // 16 ranges, 5 with each address
		t.Errorf("the hub was asked %d times", asked)
	}
}

func TestWaitsAsTold(t *testing.T) {
	o := &origin{versions: [][]byte{noise(9, 1000)}}
	var first, second time.Time
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if first.IsZero() {
			first = time.Now()
			w.Header().Set("RateLimit", `"resolvers";r=0;t=1`)
			w.WriteHeader(http.StatusTooManyRequests)
			return
		}
		second = time.Now()
		o.ServeHTTP(w, r)
	})
	if _, _, err := client(t).Get(t.Context(), Request{URL: url, Name: "m"}); err != nil {
		t.Fatal(err)
	}
	if d := second.Sub(first); d < time.Second {
		t.Errorf("asked again after %s", d)
	}
	long := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Retry-After", "3600")
		w.WriteHeader(http.StatusTooManyRequests)
	})
	var e *diag.Error
	if _, _, err := client(t).Get(t.Context(), Request{URL: long, Name: "m"}); !errors.As(err, &e) || e.Code != "rate_limited" || !e.Retryable {
		t.Errorf("an hour: %v", err)
	}
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for _, tc := range []struct {
		name, value string
		want        time.Duration
	}{
		{"Retry-After", "7", 7 * time.Second},
		{"Retry-After", "-7", 0},
		{"Retry-After", "Fri, 02 Jan 2026 03:05:05 GMT", time.Minute},
		{"Retry-After", "Fri, 02 Jan 2026 03:00:00 GMT", 0},
		{"Retry-After", "soon", 0},
		{"RateLimit", `"api";r=0;t=42`, 42 * time.Second},
		{"RateLimit", `limit=5, remaining=0, t=9`, 9 * time.Second},
		{"RateLimit", `t=x`, 0},
	} {
		if got := retryAfter(http.Header{http.CanonicalHeaderKey(tc.name): {tc.value}}, now); got != tc.want {
			t.Errorf("%s: %s: %s, want %s", tc.name, tc.value, got, tc.want)
		}
	}
}

// A server that takes one connection at a time still gives the file.
func TestOneConnectionOnly(t *testing.T) {
	content := noise(10, 512<<10)
	o := &origin{versions: [][]byte{content}}
	var busy sync.Mutex
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if !busy.TryLock() {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		defer busy.Unlock()
		time.Sleep(2 * time.Millisecond)
		o.ServeHTTP(w, r)
	})
	c := small(t)
	c.Connections = 6
	b, _, err := c.Get(t.Context(), Request{URL: url, Name: "m"})
	if err != nil || b.SHA256 != sumOf(content) {
		t.Errorf("%+v, %v", b, err)
	}
}

// A body that ends with its connection cannot be told from a cut one.
func TestEndOfConnection(t *testing.T) {
	var lc net.ListenConfig
	l, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = conn.Read(make([]byte, 4096))
			_, _ = io.WriteString(conn, "HTTP/1.0 200 OK\r\nETag: \"1\"\r\n\r\nhello")
			_ = conn.Close()
		}
	}()
	url := "http://" + l.Addr().String()
	var e *diag.Error
	if _, _, err := client(t).Get(t.Context(), Request{URL: url, Name: "m"}); !errors.As(err, &e) || e.Code != "length_unknown" {
		t.Errorf("got %v", err)
	}
	for _, r := range []Request{{SHA256: helloSum}, {Size: 5}} {
		r.URL, r.Name = url, "m"
		if b, _, err := client(t).Get(t.Context(), r); err != nil || b.SHA256 != helloSum {
			t.Errorf("%+v, %v", b, err)
		}
	}
	if _, _, err := client(t).Get(t.Context(), Request{URL: url, Name: "m", Size: 6}); !errors.As(err, &e) || e.Code != "wrong_size" {
		t.Errorf("got %v", err)
	}
}

func TestQuotaAndSize(t *testing.T) {
	url := (&origin{versions: [][]byte{noise(1, 100<<10)}}).start(t)
	for _, tc := range []struct {
		quota int64
		r     Request
		code  string
	}{
		{50 << 10, Request{}, "cache_full"},
		{1 << 20, Request{}, ""},
		{0, Request{Size: 5}, "wrong_size"},
	} {
		c := client(t)
		c.Quota, tc.r.URL, tc.r.Name = tc.quota, url, "m"
		_, _, err := c.Get(t.Context(), tc.r)
		var e *diag.Error
		if tc.code == "" && err != nil || tc.code != "" && (!errors.As(err, &e) || e.Code != tc.code) {
			t.Errorf("%+v: %v", tc, err)
		}
	}
}

func TestEmptyFile(t *testing.T) {
	b, _, err := client(t).Get(t.Context(), Request{URL: (&origin{versions: [][]byte{{}}}).start(t), Name: "m"})
	if err != nil || b.SHA256 != sumOf(nil) || b.Size != 0 {
		t.Errorf("%+v, %v", b, err)
	}
}

func TestNoServer(t *testing.T) {
	_, _, err := client(t).Get(t.Context(), Request{URL: "http://127.0.0.1:1/x?token=s3cret", Name: "m"})
	var e *diag.Error
	if !errors.As(err, &e) || e.Code != "fetch_failed" || strings.Contains(err.Error(), "s3cret") {
		t.Errorf("got %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := client(t).Get(ctx, Request{URL: "http://127.0.0.1:1/x", Name: "m"}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestSpans(t *testing.T) {
	var s spans
	for _, a := range []span{{10, 20}, {30, 40}, {20, 25}, {0, 5}, {26, 26}, {24, 31}} {
		s = s.add(a[0], a[1])
	}
	if d := cmp.Diff(spans{{0, 5}, {10, 40}}, s); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff([]span{{5, 10}, {40, 48}, {48, 50}}, s.gaps(50, 8)); d != "" {
		t.Error(d)
	}
	if s.front() != 5 || s.bytes() != 35 || len(s.sane(39)) != 1 {
		t.Errorf("front %d, bytes %d, sane %v", s.front(), s.bytes(), s.sane(39))
	}
}

func FuzzContentRange(f *testing.F) {
	for _, s := range []string{"bytes 0-4/5", "bytes 0-4/*", "bytes */5", "bytes 9223372036854775807-9223372036854775807/9223372036854775807", "x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		begin, end, total, ok := contentRange(s)
		if ok && (begin < 0 || end <= begin || end > total) {
			t.Errorf("%q: %d %d %d", s, begin, end, total)
		}
		retryAfter(http.Header{"Retry-After": {s}, "Ratelimit": {s}}, time.Unix(0, 0))
	})
}

func FuzzSpans(f *testing.F) {
	f.Add([]byte{1, 5, 3, 9, 200, 220})
	f.Fuzz(func(t *testing.T, b []byte) {
		var s spans
		var have [256]bool
		for ; len(b) > 1; b = b[2:] {
			s = s.add(int64(b[0]), int64(b[1]))
			for i := int(b[0]); i < int(b[1]); i++ {
				have[i] = true
			}
		}
		n := int64(0)
		for _, h := range have {
			if h {
				n++
			}
		}
		missing := int64(0)
		for _, g := range s.gaps(256, 7) {
			missing += g[1] - g[0]
		}
		if s.bytes() != n || missing != 256-n {
			t.Errorf("%v: %d bytes, want %d; %d missing", s, s.bytes(), n, missing)
		}
	})
}
