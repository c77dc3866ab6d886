// Package runner is the service inside an image: it keeps jobs, runs them on
// an engine and serves the API. Its parts are in the packages under it; boot
// puts an engine beside it.
package runner

import (
	"log/slog"
	"net/http"
	"syscall"
	"time"

	"github.com/comfyctl/comfyctl/pkg/contract"
	"github.com/comfyctl/comfyctl/pkg/runner/engine"
)

// Values of Config.Auth.
const (
	AuthOff = "off"
	AuthKey = "api-key"
)

// Config makes a Server.
type Config struct {
	Contract *contract.Contract
	Executor engine.Executor
	// Changed wakes the queue when the executor's status may have changed.
	Changed func() <-chan struct{}
	// StateDir holds jobs, files and outputs; it is made if absent. One server
	// at a time may use it.
	StateDir string
	// EngineInput is the engine's input folder where it is reachable: copies of
	// inputs are removed from it when their jobs are.
	EngineInput string
	// Leftovers removes what jobs that are over left in the engine's folders;
	// nil where those are out of reach.
	Leftovers func(live func(job string) bool) error
	// Backoff is the pause before a job's second attempt; later ones double it.
	// 0 means half a second.
	Backoff time.Duration
	// ImageDigest is the release that replies name; empty means the contract's
	// digest.
	ImageDigest string
	// Version is this program's own.
	Version string
	// Auth is AuthOff or AuthKey; empty means AuthOff.
	Auth string
	// Keys are API keys besides the contract's, as lines NAME[:TIER] KEY.
	Keys string
	// Secrets looks up the secret that holds the keys; nil knows none.
	Secrets func(name string) (string, bool)
	// Page serves the page at /; nil means that there is none.
	Page http.Handler
	Log  *slog.Logger
	// hookSafe and hookTransport replace the check of addresses that webhooks go
	// to and the connections to them, in tests.
	hookSafe      func(network, address string, c syscall.RawConn) error
	hookTransport http.RoundTripper
}

// Defaults of what the contract leaves at zero.
const (
	defaultQueue     = 100
	defaultWait      = 10 * time.Minute
	defaultJob       = 5 * time.Minute
	defaultStall     = 5 * time.Minute
	defaultDrain     = 2 * time.Minute
	defaultRetention = 24 * time.Hour
	defaultFile      = 100 << 20
	defaultPixels    = 100_000_000
	defaultURLSize   = 50 << 20
	defaultURLTime   = 30 * time.Second
	defaultRetries   = 2
	defaultKeepFree  = 256 << 20
)

func retries(r *contract.Retries) int {
	if r == nil || r.Max == nil {
		return defaultRetries
	}
	return *r.Max
}

func or(v, fallback int64) int64 {
	if v > 0 {
		return v
	}
	return fallback
}

// ms turns the contract's milliseconds into a duration.
func ms(v int64, fallback time.Duration) time.Duration {
	if v > 0 {
		return time.Duration(v) * time.Millisecond
	}
	return fallback
}
