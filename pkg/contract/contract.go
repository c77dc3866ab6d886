// Package contract is the waist of comfyctl: the JSON document baked into
// every image at /opt/comfyctl/contract.json. It is all that the packer, the
// runner, the deployer and the clients must agree on. It has no behaviour
// beyond encoding, and imports nothing of comfyctl.
package contract

import "encoding/json"

// Schema names this version of the document. Fields may be added under the
// same name; readers ignore those they do not know.
const Schema = "comfyctl.contract/v1"

// Paths in the image (decision 1).
const (
	Path          = "/opt/comfyctl/contract.json"
	RunnerPath    = "/opt/comfyctl/bin/comfy-runner"
	ComfyUIPath   = "/opt/comfy"
	ModelsPath    = "/opt/comfy/models"
	PythonPath    = "/opt/python"
	WorkflowsPath = "/opt/comfyctl/workflows"
	StatePath     = "/var/lib/comfyctl"
	// Label is the image label that holds the document too.
	Label = "dev.comfyctl.contract"
)

// Engine kinds.
const (
	EngineComfyUI = "comfyui"
	EngineStub    = "stub"
)

// Contract describes one service.
type Contract struct {
	Schema      string     `json:"schema"`
	Name        string     `json:"name"`
	Description string     `json:"description,omitempty"`
	Engine      Engine     `json:"engine"`
	Workflows   []Workflow `json:"workflows"`
	Models      []Model    `json:"models"`
	GPU         GPU        `json:"gpu"`
	Runner      Runner     `json:"runner"`
	// Auth is nil where the service file says nothing: auth is then off on a
	// loopback address and api-key anywhere else. An empty list means none.
	Auth *[]Auth `json:"auth,omitempty"`
	// Secrets are names only, read from the environment at run time.
	Secrets []string `json:"secrets,omitempty"`
	// Env is set for the engine's process.
	Env map[string]string `json:"env,omitempty"`
	// Packer is the comfyctl version that wrote the document.
	Packer string `json:"packer"`
}

// Engine is what runs the graphs.
type Engine struct {
	// Kind is EngineComfyUI or EngineStub.
	Kind string `json:"kind"`
	// Version is ComfyUI's release, such as v0.3.64.
	Version string `json:"version"`
	// Args are added to ComfyUI's command line.
	Args []string `json:"args,omitempty"`
	// Python is the interpreter that runs ComfyUI in the image.
	Python string `json:"python,omitempty"`
	// Dir is ComfyUI's folder in the image.
	Dir string `json:"dir,omitempty"`
}

// Workflow is one callable graph.
type Workflow struct {
	Name        string   `json:"name"`
	Version     string   `json:"version"`
	Aliases     []string `json:"aliases,omitempty"`
	Description string   `json:"description,omitempty"`
	// Graph is the API-format prompt, as exported (numbers keep their digits).
	Graph   json.RawMessage `json:"graph"`
	Inputs  []Input         `json:"inputs"`
	Outputs []Output        `json:"outputs"`
	// Timeouts, Retries and OOM stand instead of the runner's where they are
	// set. Of Timeouts, queue, job and stall count.
	Timeouts *Timeouts `json:"timeouts,omitempty"`
	Retries  *Retries  `json:"retries,omitempty"`
	OOM      *OOM      `json:"oom,omitempty"`
}

// Values of Runner.Durability; empty means process.
const (
	DurabilityProcess = "process"
	DurabilityPower   = "power"
)

// Retries says what is tried again, with growing pauses.
type Retries struct {
	// Max is how often; nil means the runner's default.
	Max *int `json:"max,omitempty"`
	// When lists crash and disconnect; empty means both.
	When []string `json:"when,omitempty"`
}

// OOM says what to do when the engine ran out of memory.
type OOM struct {
	// Retry frees memory and tries once more; nil means yes.
	Retry *bool `json:"retry,omitempty"`
	// Fallback are inputs that are tried in turn after that.
	Fallback []map[string]json.RawMessage `json:"fallback,omitempty"`
}

// Input types: about people, not about Python.
const (
	TypeString = "string"
	TypeText   = "text"
	TypeInt    = "int"
	TypeFloat  = "float"
	TypeBool   = "bool"
	TypeEnum   = "enum"
	TypeSeed   = "seed"
	TypeImage  = "image"
	TypeMask   = "mask"
	TypeVideo  = "video"
	TypeAudio  = "audio"
	TypeFile   = "file"
	TypeModel3 = "3d"
	TypeLatent = "latent"
)

// MaxSafeSeed is the largest seed that JavaScript can send exactly, 2^53-1.
// Seeds that the runner draws are at most this.
const MaxSafeSeed = 1<<53 - 1

// Target is a node input that an Input writes.
type Target struct {
	Node  string `json:"node"`
	Input string `json:"input"`
}

// Input is one typed parameter of a workflow. Numbers are json.Number so that
// 64-bit seeds keep every digit.
type Input struct {
	Name        string   `json:"name"`
	Type        string   `json:"type"`
	To          []Target `json:"to"`
	Required    bool     `json:"required,omitempty"`
	Description string   `json:"description,omitempty"`
	// Default is the JSON value used when the caller sends none; nil means the
	// value in the graph stays. For a seed, Random says to draw one.
	Default json.RawMessage   `json:"default,omitempty"`
	Random  bool              `json:"random,omitempty"`
	Example json.RawMessage   `json:"example,omitempty"`
	Min     json.Number       `json:"min,omitempty"`
	Max     json.Number       `json:"max,omitempty"`
	Step    json.Number       `json:"step,omitempty"`
	Enum    []json.RawMessage `json:"enum,omitempty"`
	// MaxLength counts characters.
	MaxLength int `json:"max_length,omitempty"`
	// MaxSize counts bytes of an uploaded file; 0 means runner.limits.file.
	MaxSize int64 `json:"max_size,omitempty"`
}

// Output is one named result of a workflow.
type Output struct {
	Name        string `json:"name"`
	Node        string `json:"node"`
	Type        string `json:"type,omitempty"`
	Description string `json:"description,omitempty"`
	// Format, Quality and Metadata ask for a conversion; empty keeps the bytes.
	Format   string `json:"format,omitempty"`
	Quality  int    `json:"quality,omitempty"`
	Metadata string `json:"metadata,omitempty"`
}

// Model delivery modes.
const (
	LoadBake  = "bake"
	LoadStart = "start"
	LoadMount = "mount"
)

// Model is a model file that the graph needs.
type Model struct {
	// Path is under ComfyUI's models folder, such as checkpoints/x.safetensors.
	Path   string `json:"path"`
	SHA256 string `json:"sha256,omitempty"`
	Size   int64  `json:"size,omitempty"` // bytes
	Load   string `json:"load"`
}

// GPU is what the service asks of a machine. Count 0 means CPU.
type GPU struct {
	Types []string `json:"types,omitempty"`
	Count int      `json:"count"`
	VRAM  int64    `json:"vram,omitempty"` // bytes
}

// Runner holds the settings of the runner. Durations are in milliseconds,
// sizes in bytes, so that any language reads them; zero means the default.
type Runner struct {
	Port       int      `json:"port"`
	Warmup     bool     `json:"warmup,omitempty"`
	Playground bool     `json:"playground"`
	Queue      Queue    `json:"queue"`
	Timeouts   Timeouts `json:"timeouts"`
	Limits     Limits   `json:"limits"`
	URLs       URLs     `json:"urls"`
	// RetentionMS is how long finished jobs and their files are kept.
	RetentionMS int64 `json:"retention_ms,omitempty"`
	// KeepFree is how many bytes of the state's disk are left free: below that,
	// new jobs are refused.
	KeepFree   int64    `json:"keep_free,omitempty"`
	Durability string   `json:"durability,omitempty"`
	Retries    *Retries `json:"retries,omitempty"`
	OOM        *OOM     `json:"oom,omitempty"`
	Webhooks   *Hooks   `json:"webhooks,omitempty"`
	// ResultsMS is how long a result is given again to the same input; 0 means
	// not at all.
	ResultsMS   int64    `json:"results_ms,omitempty"`
	CORSOrigins []string `json:"cors_origins,omitempty"`
}

// Hooks say how callers' webhooks are told.
type Hooks struct {
	// Secret is the name of the secret that signs; it may hold several, of
	// which each signs. Empty means one that the runner makes and keeps.
	Secret string `json:"secret,omitempty"`
	// Events are sent where a request names none; empty means the ends of jobs.
	Events []string `json:"events,omitempty"`
	// GiveUpMS is how long a delivery is tried; 0 means a day.
	GiveUpMS int64 `json:"give_up_ms,omitempty"`
}

// Queue bounds the waiting jobs.
type Queue struct {
	Max int `json:"max"`
}

// Timeouts are in milliseconds.
type Timeouts struct {
	StartMS int64 `json:"start_ms"` // engine process to first answer
	QueueMS int64 `json:"queue_ms"` // waiting in our queue
	JobMS   int64 `json:"job_ms"`   // running
	StallMS int64 `json:"stall_ms"` // no progress from the engine
	DrainMS int64 `json:"drain_ms"` // SIGTERM to exit
}

// Limits bound one request.
type Limits struct {
	Body      int64 `json:"body"`   // bytes of a JSON body
	File      int64 `json:"file"`   // bytes of one uploaded file
	Pixels    int64 `json:"pixels"` // of a decoded image
	JSONDepth int   `json:"json_depth"`
}

// URLs says which inputs by URL are fetched; private addresses never are.
type URLs struct {
	Hosts     []string `json:"hosts,omitempty"` // patterns; empty means any public host
	MaxSize   int64    `json:"max_size"`        // bytes
	TimeoutMS int64    `json:"timeout_ms"`
}

// Auth is one way to be let in.
type Auth struct {
	Type string `json:"type"` // api-key
	// Keys is the name of the secret that holds the keys.
	Keys string `json:"keys,omitempty"`
}
