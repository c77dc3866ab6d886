package client

import (
	"encoding/json"
	"time"
)

// List is what a service offers.
type List struct {
	Service string    `json:"service"`
	Engine  string    `json:"engine"`
	Data    []Summary `json:"data"`
}

// Summary names one workflow.
type Summary struct {
	Name        string   `json:"name"`
	Version     string   `json:"version"`
	Aliases     []string `json:"aliases"`
	Description string   `json:"description"`
}

// Workflow is one workflow with its inputs and outputs.
type Workflow struct {
	Summary
	Inputs  Schema          `json:"inputs"`
	Outputs []WorkflowOut   `json:"outputs"`
	Example json.RawMessage `json:"example"`
}

// WorkflowOut is a declared output.
type WorkflowOut struct {
	Name string `json:"name"`
	Node string `json:"node_id"`
	Type string `json:"type"`
}

// Schema is the JSON Schema of a workflow's inputs.
type Schema struct {
	Properties map[string]Property `json:"properties"`
	Required   []string            `json:"required"`
	Order      []string            `json:"x-order"`
}

// Property is one input. Numbers keep their digits.
type Property struct {
	// Kind is comfyctl's type: string text int float bool enum seed image …
	Kind        string            `json:"x-type"`
	Description string            `json:"description"`
	Default     json.RawMessage   `json:"default"`
	Examples    []json.RawMessage `json:"examples"`
	Minimum     json.Number       `json:"minimum"`
	Maximum     json.Number       `json:"maximum"`
	Enum        []json.RawMessage `json:"enum"`
	MaxLength   int               `json:"maxLength"`
	Step        json.Number       `json:"x-step"`
	Random      bool              `json:"x-random"`
	File        bool              `json:"x-file"`
}

// Request asks for a job.
type Request struct {
	Input    map[string]json.RawMessage `json:"input"`
	Metadata map[string]string          `json:"metadata,omitempty"`
}

// Job statuses that are final.
const (
	Succeeded = "succeeded"
	Failed    = "failed"
	Canceled  = "canceled"
	Expired   = "expired"
)

// Job is a job as the runner tells it.
type Job struct {
	ID         string                     `json:"id"`
	Workflow   string                     `json:"workflow"`
	Version    string                     `json:"version"`
	Release    string                     `json:"release"`
	Engine     string                     `json:"engine"`
	Status     string                     `json:"status"`
	CreatedAt  time.Time                  `json:"created_at"`
	StartedAt  *time.Time                 `json:"started_at"`
	FinishedAt *time.Time                 `json:"finished_at"`
	Progress   Progress                   `json:"progress"`
	Input      map[string]json.RawMessage `json:"input"`
	Outputs    []Output                   `json:"outputs"`
	Reused     bool                       `json:"reused"`
	Error      *Problem                   `json:"error"`
	Attempts   int                        `json:"attempts"`
	Timings    Timings                    `json:"timings"`
	// Raw is the job as it came, every field of it.
	Raw json.RawMessage `json:"-"`
}

// Final reports whether the job has ended.
func (j *Job) Final() bool {
	switch j.Status {
	case Succeeded, Failed, Canceled, Expired:
		return true
	}
	return false
}

// Progress of a job; Value goes from 0 to 1.
type Progress struct {
	Value         float64 `json:"value"`
	NodesDone     int     `json:"nodes_done"`
	NodesTotal    int     `json:"nodes_total"`
	CurrentNode   *Node   `json:"current_node"`
	Step          int     `json:"step"`
	Steps         int     `json:"steps"`
	QueuePosition int     `json:"queue_position"`
}

// Node of a workflow.
type Node struct {
	ID        string `json:"id"`
	Title     string `json:"title"`
	ClassType string `json:"class_type"`
}

// Output of a job.
type Output struct {
	Name        string `json:"name"`
	NodeID      string `json:"node_id"`
	Type        string `json:"type"`
	ContentType string `json:"content_type"`
	SizeBytes   int64  `json:"size_bytes"`
	Width       int    `json:"width"`
	Height      int    `json:"height"`
	Hash        string `json:"hash"`
	URL         string `json:"url"`
	Text        string `json:"text"`
	Filename    string `json:"filename"`
}

// Timings of a job, in milliseconds.
type Timings struct {
	QueueMS  int64 `json:"queue_ms"`
	RunMS    int64 `json:"run_ms"`
	UploadMS int64 `json:"upload_ms"`
}

// File is an uploaded file.
type File struct {
	ID          string `json:"id"`
	ContentType string `json:"content_type"`
	SizeBytes   int64  `json:"size_bytes"`
	Hash        string `json:"hash"`
}

// Ready is the answer of /readyz.
type Ready struct {
	Ready    bool   `json:"ready"`
	Service  string `json:"service"`
	Release  string `json:"release"`
	Contract string `json:"contract"`
	Auth     bool   `json:"auth"`
	Engine   struct {
		Kind    string   `json:"kind"`
		Stage   string   `json:"stage"`
		StageMS int64    `json:"stage_ms"`
		Version string   `json:"version"`
		Devices []string `json:"devices"`
		Reason  string   `json:"reason"`
		Log     []string `json:"log"`
	} `json:"engine"`
	Queue struct {
		Waiting int `json:"waiting"`
		Running int `json:"running"`
	} `json:"queue"`
}

// Event is one message of a job's stream.
type Event struct {
	ID   int64
	Type string // status progress preview output log warning done
	Data json.RawMessage
}

// Problem is how a runner says no.
type Problem struct {
	Status    int     `json:"status"`
	Code      string  `json:"code"`
	Title     string  `json:"title"`
	Message   string  `json:"message"`
	Hint      string  `json:"hint"`
	Errors    []Field `json:"errors"`
	Node      *Node   `json:"node"`
	Exception string  `json:"exception"`
	Retryable bool    `json:"retryable"`
	RequestID string  `json:"request_id"`
	// RetryAfter is the header of that name; 0 where there is none.
	RetryAfter time.Duration `json:"-"`
	body       []byte
}

// Field is one problem of a request.
type Field struct {
	Pointer    string          `json:"pointer"`
	Code       string          `json:"code"`
	Message    string          `json:"message"`
	Allowed    json.RawMessage `json:"allowed"`
	Suggestion string          `json:"suggestion"`
}

// Error says the runner's message.
func (p *Problem) Error() string { return p.Message }
