package api

import (
	"bufio"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/comfyctl/comfyctl/pkg/runner/files"
	"github.com/comfyctl/comfyctl/pkg/runner/jobs"
	"github.com/comfyctl/comfyctl/pkg/runner/problem"
)

// Keys are the API keys that are let in, as SHA-256.
type Keys struct {
	list []key
}

type key struct {
	name string
	tier string
	sum  [32]byte
}

// admin reports whether the key opens what the operator sees.
func (k key) admin() bool { return k.tier == "admin" }

// opens reports whether the key may be used for a path.
func (k key) opens(path string) bool {
	if path == "/metrics" {
		return k.admin() || k.tier == "metrics"
	}
	return k.tier != "metrics"
}

// Add reads lines `NAME[:TIER] KEY` where KEY is the key itself or sha256:HEX.
// Empty lines and # comments are skipped.
func (k *Keys) Add(text string) error {
	sc := bufio.NewScanner(strings.NewReader(text))
	for n := 1; sc.Scan(); n++ {
		line := strings.TrimSpace(sc.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		f := strings.Fields(line)
		if len(f) != 2 {
			return fmt.Errorf("line %d is not NAME and KEY", n)
		}
		name, tier, _ := strings.Cut(f[0], ":")
		if name == "" {
			return fmt.Errorf("line %d has a key without a name", n)
		}
		one := key{name: name, tier: tier, sum: sha256.Sum256([]byte(f[1]))}
		if h, ok := strings.CutPrefix(f[1], "sha256:"); ok {
			b, err := hex.DecodeString(h)
			if err != nil || len(b) != 32 {
				return fmt.Errorf("line %d: sha256: wants 64 hexadecimal digits", n)
			}
			copy(one.sum[:], b)
		}
		k.list = append(k.list, one)
	}
	return sc.Err()
}

// Empty reports whether nobody could be let in.
func (k *Keys) Empty() bool { return len(k.list) == 0 }

// Generate adds a new key and returns it; only its hash is kept.
func (k *Keys) Generate(name, tier string) (string, error) {
	raw := make([]byte, 32)
	if _, err := rand.Read(raw); err != nil {
		return "", fmt.Errorf("making an API key: %w", err)
	}
	text := "ck_" + new(big.Int).SetBytes(raw).Text(62)
	k.list = append(k.list, key{name: name, tier: tier, sum: sha256.Sum256([]byte(text))})
	return text, nil
}

// Lines writes the keys as ParseKeys reads them, hashes only.
func (k *Keys) Lines() string {
	var b strings.Builder
	for _, one := range k.list {
		name := one.name
		if one.tier != "" {
			name += ":" + one.tier
		}
		fmt.Fprintf(&b, "%s sha256:%s\n", name, hex.EncodeToString(one.sum[:]))
	}
	return b.String()
}

// find returns the key that the text is, comparing with all in constant time.
func (k *Keys) find(text string) (key, bool) {
	sum := sha256.Sum256([]byte(text))
	var found key
	ok := false
	for _, one := range k.list {
		if subtle.ConstantTimeCompare(sum[:], one.sum[:]) == 1 {
			found, ok = one, true
		}
	}
	return found, ok
}

// credential is the key of a request.
func credential(r *http.Request) string {
	if h := r.Header.Get("X-API-Key"); h != "" {
		return h
	}
	if t, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); ok {
		return strings.TrimSpace(t)
	}
	return ""
}

const callerKey contextKey = 1

// caller is the key of a request; where auth is off, one that sees all.
func caller(ctx context.Context) key {
	k, ok := ctx.Value(callerKey).(key)
	if !ok {
		return key{tier: "admin"}
	}
	return k
}

func owner(ctx context.Context) files.Owner {
	k := caller(ctx)
	return files.Owner{Caller: k.name, All: k.admin()}
}

// mine reports whether the caller may see a job.
func mine(ctx context.Context, j *jobs.Job) bool {
	k := caller(ctx)
	return k.admin() || k.name == j.Caller
}

// free are the paths that never need a key. The page is a form; what it calls
// needs one.
func free(path string) bool {
	return path == "/healthz" || path == "/readyz" || (!isAPI(path) && path != "/metrics")
}

// guard is around every request: an id, a recovered panic, the checks against
// other sites' pages, the key.
func (a *API) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id := r.Header.Get("X-Request-Id")
		if len(id) == 0 || len(id) > 128 || strings.ContainsFunc(id, func(c rune) bool { return c <= ' ' || c > '~' }) {
			id = jobs.NewID("req_")
		}
		r = r.WithContext(context.WithValue(r.Context(), requestIDKey, id))
		h := w.Header()
		h.Set("X-Request-Id", id)
		h.Set("X-Content-Type-Options", "nosniff")
		defer func() {
			if v := recover(); v != nil {
				if v == http.ErrAbortHandler { //nolint:errorlint // compared as net/http does
					panic(v)
				}
				a.c.Log.Error("a handler panicked", "path", r.URL.Path, "panic", fmt.Sprint(v), "stack", string(debug.Stack()))
				a.fail(w, r, problem.New("internal", "the runner failed"))
			}
		}()
		if done, p := a.sites(w, r); p != nil {
			a.fail(w, r, p)
			return
		} else if done {
			return
		}
		if a.c.Keys != nil && !free(r.URL.Path) {
			k, ok := a.c.Keys.find(credential(r))
			if !ok {
				h.Set("WWW-Authenticate", `Bearer realm="comfyctl"`)
				a.fail(w, r, problem.New("unauthorized", "an API key is needed").WithHint("send `Authorization: Bearer KEY` or `X-API-Key: KEY`"))
				return
			}
			if !k.opens(r.URL.Path) {
				a.fail(w, r, problem.New("forbidden", "the key `"+k.name+"` does not open "+r.URL.Path).WithHint("the metrics take a key of the tier admin or metrics; a metrics key takes nothing else"))
				return
			}
			r = r.WithContext(context.WithValue(r.Context(), callerKey, k))
		}
		pace(w, r, bodyGrace)
		next.ServeHTTP(w, r)
	})
}

// sites keeps other sites' pages from using a service on this machine: their
// origin must be ours or allowed, and a loopback service answers only to
// loopback names, so that a rebound name reaches nothing.
func (a *API) sites(w http.ResponseWriter, r *http.Request) (done bool, p *problem.Problem) {
	if a.c.Keys == nil && onLoopback(r) && !loopbackName(r.Host) {
		return false, problem.New("forbidden", "this service answers to localhost only").WithHint("auth is off; the Host header names another machine")
	}
	origin := r.Header.Get("Origin")
	if origin == "" {
		if site := r.Header.Get("Sec-Fetch-Site"); (site == "cross-site" || site == "same-site") && !safeMethod(r.Method) {
			return false, problem.New("forbidden", "pages of other sites may not call this service").WithHint("list their origin under runner.cors.origins")
		}
		return false, nil
	}
	u, err := url.Parse(origin)
	same := err == nil && u.Host == r.Host
	allowed := slices.Contains(a.state.Load().contract.Runner.CORSOrigins, origin)
	switch {
	case allowed:
		h := w.Header()
		h.Set("Access-Control-Allow-Origin", origin)
		h.Add("Vary", "Origin")
		h.Set("Access-Control-Expose-Headers", "Location, X-Request-Id, Retry-After")
		if r.Method == http.MethodOptions {
			h.Set("Access-Control-Allow-Methods", "GET, POST, DELETE")
			h.Set("Access-Control-Allow-Headers", "Authorization, X-API-Key, Content-Type, Prefer, Idempotency-Key, Last-Event-ID")
			h.Set("Access-Control-Max-Age", "600")
			w.WriteHeader(http.StatusNoContent)
			return true, nil
		}
	case !same && !safeMethod(r.Method):
		return false, problem.New("forbidden", "pages of "+origin+" may not call this service").WithHint("list the origin under runner.cors.origins")
	}
	return false, nil
}

func safeMethod(m string) bool { return m == http.MethodGet || m == http.MethodHead }

func onLoopback(r *http.Request) bool {
	addr, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	if !ok {
		return false
	}
	tcp, ok := addr.(*net.TCPAddr)
	return ok && tcp.IP.IsLoopback()
}

func loopbackName(host string) bool {
	name, _, err := net.SplitHostPort(host)
	if err != nil {
		name = host
	}
	name = strings.Trim(name, "[]")
	if name == "localhost" || strings.HasSuffix(name, ".localhost") {
		return true
	}
	ip := net.ParseIP(name)
	return ip != nil && ip.IsLoopback()
}
