// Package engine is how the runner sees what runs its graphs. There are two
// engines behind one set of interfaces: ComfyUI (a child process, or a URL) and
// the stub, an HTTP server of our own that speaks ComfyUI's protocol. Both are
// driven by the same client, so the client is what is tested either way.
package engine

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"time"
)

// Process is something that speaks ComfyUI's HTTP protocol once started.
type Process interface {
	// Start launches it and returns when it is launched, not when it answers.
	// A Process may be started again after Done was closed.
	Start(ctx context.Context) error
	// URL is its base address, such as http://127.0.0.1:8188.
	URL() string
	// Done is closed when it has ended; Err then says why.
	Done() <-chan struct{}
	Err() error
	// Stop ends it: politely at first, by force when ctx is over.
	Stop(ctx context.Context) error
}

// Executor runs prompts. It is what the job queue drives.
type Executor interface {
	// Run submits the prompt, reports events in order and returns when the
	// prompt has ended in the engine. Cancelling ctx interrupts exactly this
	// prompt, waits until it has stopped and returns ctx's error.
	Run(ctx context.Context, p Prompt, on func(Event)) (*Result, error)
	// Put stores an input file and returns the value that a loader node takes
	// (subfolder/name).
	Put(ctx context.Context, subfolder, name string, r io.Reader) (string, error)
	// Open reads a file that a Result names.
	Open(ctx context.Context, f File) (io.ReadCloser, error)
	// Forget removes the engine's history entry of a prompt and, where the
	// engine's folders are reachable, its files.
	Forget(ctx context.Context, promptID string) error
	// Free has the engine unload its models and drop its cached results, once
	// the running prompt has ended.
	Free(ctx context.Context) error
	// Status says what the engine is doing; it never blocks.
	Status() Status
}

// Prompt is a graph ready to be sent.
type Prompt struct {
	// ID is a canonical lower-case UUID, chosen by us.
	ID    string
	Graph json.RawMessage
	// Preview asks for pictures while sampling.
	Preview bool
	// Stall is how long the engine may be silent; 0 means for ever.
	Stall time.Duration
	// Sent is true for a prompt that an earlier life of ours has sent: it is
	// taken up where it is, or is ErrLost where the engine does not know it. It
	// is not sent again.
	Sent bool
}

// EventKind tells events apart.
type EventKind string

// The events of a run.
const (
	EventStarted  EventKind = "started"  // the engine began the prompt
	EventCached   EventKind = "cached"   // Nodes were served from its cache
	EventNode     EventKind = "node"     // Node began
	EventProgress EventKind = "progress" // Node is at Value of Max
	EventPreview  EventKind = "preview"  // Data is a picture of ContentType
	EventOutput   EventKind = "output"   // Node has Outputs
	EventLog      EventKind = "log"      // Text from the engine
)

// Event is one thing that happened during a run. Only the fields of its kind
// are set. Node ids are those of the prompt.
type Event struct {
	Kind        EventKind
	Node        string
	Nodes       []string
	Value, Max  float64
	ContentType string
	Data        []byte
	Outputs     []Output
	Text        string
}

// Result is how a prompt ended.
type Result struct {
	Outputs []Output
	// Cached are the nodes served from the engine's cache; Reused is true when
	// every executed output came from it.
	Cached []string
	Reused bool
	// NodeTime is how long each node ran.
	NodeTime map[string]time.Duration
}

// File is a file in the engine's folders.
type File struct {
	Name      string `json:"filename"`
	Subfolder string `json:"subfolder"`
	// Type is output, temp or input.
	Type string `json:"type"`
}

// Output is one thing an output node reported: a file, or a text.
type Output struct {
	Node string
	// Key is the engine's own (images, audio, text, 3d, latents, gifs …).
	Key  string
	File *File
	Text string
	// Animated is set for picture files with more than one frame.
	Animated bool
}

// Stage is how far an engine has come.
type Stage string

// The stages. Unfit means that the engine answers and lacks what the workflows
// need; Failed that it is not tried again.
const (
	StageStopped  Stage = "stopped"
	StageStarting Stage = "starting"
	StageReady    Stage = "ready"
	StageBackoff  Stage = "backoff"
	StageUnfit    Stage = "unfit"
	StageFailed   Stage = "failed"
)

// Status is what an engine is doing.
type Status struct {
	Stage Stage
	// Since is when the stage began.
	Since time.Time
	// Reason explains a stage that is not ready, in one line.
	Reason string
	// Restarts counts how often it was started again.
	Restarts int
	// Version is ComfyUI's own, as /system_stats says it.
	Version string
	// Devices are the devices' names, such as "cpu" or "cuda:0 NVIDIA L4".
	Devices []string
	// LogTail are the last lines of its log.
	LogTail []string
}

// RefusedError is what the engine's own validation said of a prompt.
type RefusedError struct {
	// Type is the engine's error type, such as prompt_outputs_failed_validation.
	Type    string
	Message string
	// Nodes are the errors of each node.
	Nodes map[string]NodeErrors
}

// NodeErrors are the errors of one node.
type NodeErrors struct {
	ClassType string
	Errors    []NodeError
}

// NodeError is one error of one node.
type NodeError struct {
	Type    string // such as value_not_in_list
	Message string
	Details string
	Input   string
}

// Error says the engine's message.
func (e *RefusedError) Error() string { return "engine refused the prompt: " + e.Message }

// RunError is a failure inside a node.
type RunError struct {
	NodeID        string
	NodeType      string
	ExceptionType string
	Message       string
	// Traceback holds paths of the image; it is for the debug scope only.
	Traceback []string
	// OutOfMemory is true when the exception says that memory ran out.
	OutOfMemory bool
}

// Error says the exception and the node.
func (e *RunError) Error() string {
	return "node " + e.NodeID + " (" + e.NodeType + ") failed: " + e.ExceptionType + ": " + e.Message
}

// Errors of a run that are not the prompt's fault.
var (
	// ErrLost means that the engine died or forgot the prompt.
	ErrLost = errors.New("the engine lost the prompt")
	// ErrStalled means that the engine made no progress for Prompt.Stall.
	ErrStalled = errors.New("the engine made no progress")
	// ErrInterrupted means that somebody else interrupted the prompt.
	ErrInterrupted = errors.New("the prompt was interrupted")
	// ErrUnreachable means that a call to the engine failed on the way.
	ErrUnreachable = errors.New("the engine could not be reached")
	// ErrNotReady means that the engine does not answer.
	ErrNotReady = errors.New("the engine is not ready")
)
