package jobs

import (
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/comfyctl/comfyctl/pkg/runner/engine"
)

// Work is what the queue needs to run a job. It is written once, with the job;
// callers never see it.
type Work struct {
	// Graph is the workflow with the caller's values in it, but for files.
	Graph json.RawMessage `json:"graph"`
	// Files are the inputs that are put into the engine before the run.
	Files []FileInput `json:"files,omitempty"`
	// Names gives the outputs' names by node.
	Names map[string]string `json:"names"`
	// Conversions are what the service asks of the pictures of a node.
	Conversions map[string]Conversion `json:"conversions,omitempty"`
	// OutputNodes are the nodes that run anew each time although they have no
	// file name prefix; those of them in Foreign may do more than write down
	// what others computed.
	OutputNodes []string `json:"output_nodes,omitempty"`
	Foreign     []string `json:"foreign,omitempty"`
	// Caller is whose job it is: the name of an API key, or empty.
	Caller    string `json:"caller,omitempty"`
	Mode      string `json:"mode,omitempty"` // url or data
	Priority  int    `json:"priority,omitempty"`
	MaxWaitMS int64  `json:"max_wait_ms,omitempty"`
	// TimeoutMS bounds one attempt, StallMS its silence; 0 means the queue's own.
	TimeoutMS int64  `json:"timeout_ms,omitempty"`
	StallMS   int64  `json:"stall_ms,omitempty"`
	Policy    Policy `json:"policy,omitzero"`
	// Webhook is told of what happens to the job.
	Webhook *Webhook `json:"webhook,omitempty"`
}

// Policy says what is tried again.
type Policy struct {
	// Retries is how often an attempt that broke off is made again; nil means
	// the queue's own.
	Retries *int `json:"retries,omitempty"`
	// OnCrash and OnDisconnect say what counts as broken off. Both false means
	// both.
	OnCrash      bool `json:"on_crash,omitempty"`
	OnDisconnect bool `json:"on_disconnect,omitempty"`
	// KeepMemory is true where a job that ran out of memory is not tried again
	// after the engine has freed what it can.
	KeepMemory bool `json:"keep_memory,omitempty"`
	// Fallbacks are tried in turn after that.
	Fallbacks []Fallback `json:"fallbacks,omitempty"`
}

// Fallback is what a job runs with when memory does not suffice.
type Fallback struct {
	// Input holds the inputs that differ, as callers know them.
	Input json.RawMessage `json:"input"`
	// Set are the values as the graph takes them.
	Set []Setting `json:"set"`
}

// Setting is the value of one node input.
type Setting struct {
	Node  string          `json:"node"`
	Input string          `json:"input"`
	Value json.RawMessage `json:"value"`
}

// Webhook says where a job's events are sent.
type Webhook struct {
	URL string `json:"url"`
	// Events are the types that are sent; empty means the ends of a job.
	Events []string `json:"events,omitempty"`
}

// Conversion is what becomes of a picture before it is kept.
type Conversion struct {
	Format  string `json:"format,omitempty"` // png, jpeg or webp; empty keeps it
	Quality int    `json:"quality,omitempty"`
	Strip   bool   `json:"strip,omitempty"`
}

// FileInput is a stored file that node inputs take by name.
type FileInput struct {
	SHA256 string      `json:"sha256"`
	Ext    string      `json:"ext"`
	To     [][2]string `json:"to"` // node, input
}

// Run is what the queue remembers of a job while it drives it. It is stored
// with each change of state, so that another start of the runner goes on where
// this one was.
type Run struct {
	// PromptID is the engine's name of the attempt; it is stored before the
	// engine sees the prompt.
	PromptID string `json:"prompt_id,omitempty"`
	// Takes counts how often the job was taken from the line. It fences: a
	// change by a runner that has lost the job in between is refused.
	Takes int `json:"takes,omitempty"`
	// Result is what the engine gave, from its end until the outputs are kept.
	Result *engine.Result `json:"result,omitempty"`
	// NotBefore is when the next attempt may begin.
	NotBefore time.Time `json:"not_before,omitzero"`
	// Freed and Fallback say how far the job went after it ran out of memory:
	// whether the engine freed what it could, and how many fallbacks are used.
	Freed    bool `json:"freed,omitempty"`
	Fallback int  `json:"fallback,omitempty"`

	LastEvent int64 `json:"last_event,omitempty"`
	// Trace is the failed node's traceback, Log what the engine wrote.
	Trace []string `json:"trace,omitempty"`
	Log   []string `json:"log,omitempty"`
}

// Bounds of a kept log.
const (
	keepLines = 500
	keepLine  = 2000 // bytes
)

// note keeps a line of the engine's log.
func (r *Run) note(text string) {
	for line := range strings.SplitSeq(strings.TrimRight(text, "\n"), "\n") {
		if len(line) > keepLine {
			line = strings.ToValidUTF8(line[:keepLine], "") + "…"
		}
		r.Log = append(r.Log, line)
	}
	if n := len(r.Log) - keepLines; n > 0 {
		r.Log = slices.Delete(r.Log, 0, n)
	}
}

// Record is a job with its work, as stored.
type Record struct {
	Job  Job
	Work Work
	Run  Run
}
