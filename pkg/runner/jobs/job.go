// Package jobs keeps the runner's jobs: a durable store, and a queue that
// drives them through an engine. A job is stored before its creation is
// answered, and survives a restart of the runner.
package jobs

import (
	"crypto/rand"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/comfyctl/comfyctl/pkg/runner/problem"
)

// Status of a job.
type Status string

// The states. The last four are final.
const (
	Queued    Status = "queued"
	Running   Status = "running"
	Canceling Status = "canceling"
	Succeeded Status = "succeeded"
	Failed    Status = "failed"
	Canceled  Status = "canceled"
	Expired   Status = "expired"
)

// Statuses are all states.
var Statuses = []Status{Queued, Running, Canceling, Succeeded, Failed, Canceled, Expired}

// Final reports whether a job in this state will not change any more.
func (s Status) Final() bool {
	return s == Succeeded || s == Failed || s == Canceled || s == Expired
}

// Job is what callers see of a job; its JSON is the API's reply.
type Job struct {
	ID         string           `json:"id"`
	Object     string           `json:"object"`
	Workflow   string           `json:"workflow"`
	Version    string           `json:"version"`
	Release    string           `json:"release"`
	Engine     string           `json:"engine"`
	Status     Status           `json:"status"`
	CreatedAt  time.Time        `json:"created_at"`
	StartedAt  *time.Time       `json:"started_at"`
	FinishedAt *time.Time       `json:"finished_at"`
	Progress   Progress         `json:"progress"`
	Input      json.RawMessage  `json:"input"`
	Outputs    []Output         `json:"outputs"`
	Reused     bool             `json:"reused"`
	Degraded   json.RawMessage  `json:"degraded"`
	Error      *problem.Problem `json:"error"`
	Attempts   int              `json:"attempts"`
	Timings    Timings          `json:"timings"`
	Usage      *Usage           `json:"usage"`
	Metadata   json.RawMessage  `json:"metadata,omitempty"`
	Links      map[string]any   `json:"links"`
	// Caller is whose job it is, and Inline whether replies hold the outputs'
	// bytes; see Work.
	Caller string `json:"-"`
	Inline bool   `json:"-"`
}

// Progress says how far a running job is. Value goes from 0 to 1.
type Progress struct {
	Value         float64 `json:"value"`
	NodesDone     int     `json:"nodes_done"`
	NodesTotal    int     `json:"nodes_total"`
	CurrentNode   *Node   `json:"current_node"`
	Step          int     `json:"step"`
	Steps         int     `json:"steps"`
	QueuePosition int     `json:"queue_position"`
}

// Node names the node that is running.
type Node struct {
	ID        string `json:"id"`
	Title     string `json:"title,omitempty"`
	ClassType string `json:"class_type"`
}

// Output is one file or text that a job gave.
type Output struct {
	Name        string `json:"name"`
	NodeID      string `json:"node_id"`
	Type        string `json:"type"`
	ContentType string `json:"content_type"`
	SizeBytes   int64  `json:"size_bytes"`
	Width       int    `json:"width,omitempty"`
	Height      int    `json:"height,omitempty"`
	Hash        string `json:"hash"`
	URL         string `json:"url,omitempty"`
	Data        string `json:"data,omitempty"` // base64, outputs.mode data
	Text        string `json:"text,omitempty"`
	Filename    string `json:"filename,omitempty"`
	// Temporary is true for a preview, which the engine does not keep.
	Temporary bool `json:"temporary,omitempty"`
}

// Timings are in milliseconds.
type Timings struct {
	QueueMS  int64            `json:"queue_ms"`
	RunMS    int64            `json:"run_ms"`
	UploadMS int64            `json:"upload_ms"`
	Nodes    map[string]int64 `json:"nodes,omitempty"`
}

// Usage is what a job used.
type Usage struct {
	GPUSeconds float64 `json:"gpu_s"`
}

// Work is what the queue needs to run a job; callers never see it.
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
	TimeoutMS int64  `json:"timeout_ms,omitempty"`
	PromptID  string `json:"prompt_id,omitempty"`
	LastEvent int64  `json:"last_event,omitempty"`
	// Trace is the failed node's traceback, Log what the engine wrote.
	Trace []string `json:"trace,omitempty"`
	Log   []string `json:"log,omitempty"`
}

// Conversion is what becomes of a picture before it is kept.
type Conversion struct {
	Format  string `json:"format,omitempty"` // png, jpeg or webp; empty keeps it
	Quality int    `json:"quality,omitempty"`
	Strip   bool   `json:"strip,omitempty"`
}

// Bounds of a kept log.
const (
	keepLines = 500
	keepLine  = 2000 // bytes
)

// note keeps a line of the engine's log.
func (w *Work) note(text string) {
	for line := range strings.SplitSeq(strings.TrimRight(text, "\n"), "\n") {
		if len(line) > keepLine {
			line = strings.ToValidUTF8(line[:keepLine], "") + "…"
		}
		w.Log = append(w.Log, line)
	}
	if n := len(w.Log) - keepLines; n > 0 {
		w.Log = slices.Delete(w.Log, 0, n)
	}
}

// FileInput is a stored file that node inputs take by name.
type FileInput struct {
	SHA256 string      `json:"sha256"`
	Ext    string      `json:"ext"`
	To     [][2]string `json:"to"` // node, input
}

// Record is a job with its work, as stored.
type Record struct {
	Job  Job
	Work Work
}

// NewID makes an id: prefix + ULID.
func NewID(prefix string) string {
	return prefix + ulid.MustNew(ulid.Now(), rand.Reader).String()
}
