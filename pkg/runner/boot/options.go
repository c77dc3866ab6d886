// Package boot puts a runner together: the engine that the contract names, its
// supervisor and the server. Both comfy-runner and `comfyctl run` start here.
package boot

import (
	"io"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/comfyctl/comfyctl/pkg/contract"
)

// Options say what Run runs.
type Options struct {
	// Contract names the engine: its Engine.Kind chooses the stub or ComfyUI.
	Contract *contract.Contract
	// StateDir holds jobs, files and the engine's folders; it is made if absent.
	StateDir string
	// API serves the service, Admin what only the operator sees; Admin may be
	// nil. Run closes both.
	API, Admin net.Listener
	// EngineURL is a ComfyUI that runs already, in place of the contract's
	// engine.
	EngineURL string
	// Pace is the stub's: 1 is believable timing, 0 as fast as possible.
	Pace float64
	// Backoff is the first pause before the engine is started again and before a
	// job's second attempt; later ones double it. 0 means half a second.
	Backoff time.Duration
	// CancelTimeout is how long an interrupted prompt may go on before the engine
	// itself is started again; 0 means half a minute.
	CancelTimeout time.Duration
	// ImageDigest is the release named in replies.
	ImageDigest string
	// Version is this program's own.
	Version string
	// Auth is "off", "api-key", or empty for what the contract and the
	// listener's address say.
	Auth string
	// Keys are API keys besides the contract's, as lines NAME[:TIER] KEY.
	Keys string
	// Secrets looks secrets up by name; nil knows none.
	Secrets func(name string) (string, bool)
	// Environ is what the engine's process inherits, as KEY=value, before the
	// contract's env.
	Environ []string
	// EngineLog gets the engine's own output as it comes; nil drops it.
	EngineLog io.Writer
	// Page serves the page at /; nil means the built-in one.
	Page http.Handler
	// Log gets what the runner does; nil drops it.
	Log *slog.Logger
	// OnReady is called when jobs are taken for the first time.
	OnReady func()
	// Reload gives contracts that replace the first one while it runs.
	Reload <-chan *contract.Contract
}
