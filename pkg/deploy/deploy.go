// Package deploy turns an image into a release on a target: observe, plan,
// apply, verify. The plan is a value that prints and diffs; what stands on the
// target, found by its labels, is the truth, and nothing is kept beside it.
// There is a package for each kind of target.
package deploy

import (
	"context"
	"io"
	"strings"
	"time"

	"github.com/comfyctl/comfyctl/internal/progress"
	"github.com/comfyctl/comfyctl/pkg/contract"
)

// Spec is what should run on a target.
type Spec struct {
	// Service, Env and Target name it; Env may be empty.
	Service, Env, Target string
	// Image is a reference that the target can start; ImageDigest is its
	// identity, as sha256:HEX.
	Image, ImageDigest string
	Contract           *contract.Contract
	// Host and Port are where the API is published; Port 0 means a free one.
	Host string
	Port int
	// Mounts are bound read-only, model files mostly.
	Mounts []Mount
	// Secrets are the values of the contract's secrets, by name.
	Secrets map[string]string
	// Env of the runner besides its own settings.
	RunnerEnv map[string]string
	// NoGPU runs on the CPU whatever the contract asks for.
	NoGPU bool
	// GPUs are the devices to use, by index or id, where the contract asks for
	// any; empty means as many as it asks for.
	GPUs []string
	// ReadyTimeout bounds the wait for ready; 0 means the contract's start
	// timeout, else 10 minutes.
	ReadyTimeout time.Duration
	// Wait waits until the release is ready.
	Wait bool
	// KeepOnFailure leaves a release that did not get ready for a look.
	KeepOnFailure bool
	// Verify is called when the release is ready, before it counts; an error
	// takes it back. Nil verifies nothing beyond its digest.
	Verify func(ctx context.Context, url string) error
	// By says who deploys, such as "me@host"; whoever has to wait is told.
	By string
	// Force removes what a deploy that was killed left, however young.
	Force bool
}

// Mount is a file or folder of the host inside the release.
type Mount struct{ Source, Target string }

// Release is what runs, or ran, on a target.
type Release struct {
	Service string    `json:"service"`
	Env     string    `json:"env,omitempty"`
	Target  string    `json:"target"`
	Release string    `json:"release"` // v1, v2 …
	State   string    `json:"state"`   // ready, starting, unhealthy, stopping, stopped
	Reason  string    `json:"reason,omitempty"`
	Image   string    `json:"image"`
	Digest  string    `json:"digest"`
	Engine  string    `json:"engine,omitempty"`
	URL     string    `json:"url,omitempty"`
	ID      string    `json:"id"`
	Since   time.Time `json:"since"`
	Baked   bool      `json:"baked"`
	GPU     string    `json:"gpu,omitempty"`
}

// Op is what an action does to a resource.
type Op string

// The operations of a plan.
const (
	Create Op = "+"
	Change Op = "~"
	Remove Op = "-"
	Keep   Op = "="
)

// Action is one line of a plan.
type Action struct {
	Op       Op     `json:"action"`
	Resource string `json:"resource"`
	From     string `json:"from,omitempty"`
	To       string `json:"to,omitempty"`
}

// Plan is what an Apply would do.
type Plan struct {
	Spec    *Spec    `json:"-"`
	Release string   `json:"release"`
	Actions []Action `json:"plan"`
	// Notes are facts to know before saying yes.
	Notes []string `json:"notes,omitempty"`
	// Before is what runs now; nil means nothing.
	Before *Release `json:"before,omitempty"`
}

// Add appends an action.
func (p *Plan) Add(op Op, resource, from, to string) {
	p.Actions = append(p.Actions, Action{Op: op, Resource: resource, From: from, To: to})
}

// String is the plan as people read it, a line for each action.
func (p *Plan) String() string {
	var b strings.Builder
	for _, a := range p.Actions {
		b.WriteString(string(a.Op) + " " + a.Resource)
		switch {
		case a.From != "" && a.To != "":
			b.WriteString("  " + a.From + " → " + a.To)
		case a.From != "" || a.To != "":
			b.WriteString("  " + a.From + a.To)
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// Changes reports whether applying would touch the target.
func (p *Plan) Changes() bool {
	for _, a := range p.Actions {
		if a.Op != Keep {
			return true
		}
	}
	return false
}

// LogOptions select log lines.
type LogOptions struct {
	Follow bool
	// Tail is how many lines to start with; below 0 means all.
	Tail  int
	Since time.Duration
	// Release names one; empty means the one that serves.
	Release string
}

// Target is a place to deploy to.
type Target interface {
	// Observe lists the releases of a service, the serving one first.
	Observe(ctx context.Context) ([]Release, error)
	// Plan compares what runs with what should; it changes nothing.
	Plan(ctx context.Context, s *Spec) (*Plan, error)
	// Apply carries a plan out and returns the release that serves. Where the
	// new one does not get ready, the one before is put back.
	Apply(ctx context.Context, p *Plan, on progress.Func) (*Release, error)
	// Logs copies log lines until they end or ctx is over.
	Logs(ctx context.Context, o LogOptions, w io.Writer) error
	// Destroy removes what deploys made and lists it. Data stays where keepData
	// says so. Nothing to remove is no error.
	Destroy(ctx context.Context, keepData bool) ([]string, error)
}
