// Package jobs keeps the runner's jobs: a durable store, and a queue that
// drives them through an engine. A job is stored before its creation is
// answered, and survives a restart of the runner.
package jobs

import (
	"crypto/rand"
	"encoding/json"
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

// entropy makes ids of one millisecond rise too.
var entropy = &ulid.LockedMonotonicReader{MonotonicReader: ulid.Monotonic(rand.Reader, 0)}

// NewID makes an id: prefix + ULID. Ids of a process rise.
func NewID(prefix string) string {
	return prefix + ulid.MustNew(ulid.Now(), entropy).String()
}
