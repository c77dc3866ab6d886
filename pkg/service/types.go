package service

import (
	"encoding/json"

	"github.com/comfyctl/comfyctl/internal/diag"
)

// Service is one service file, merged and decoded. The order of its fields is
// the reading order of the file.
type Service struct {
	Name        string `yaml:"name" check:"required,label" desc:"DNS label; names the image and every resource"`
	Description string `yaml:"description" desc:"one line about the service"`
	Requires    string `yaml:"requires" desc:"oldest comfyctl that may read this file, such as \">=0.4\""`

	Workflow       Workflow   `yaml:"workflow" desc:"path of the exported graph, or a mapping"`
	Workflows      []Workflow `yaml:"workflows" kind:"named" desc:"several workflows in one service, by name"`
	ComfyUI        ComfyUI    `yaml:"comfyui" desc:"ComfyUI's release, or a mapping"`
	Build          Build      `yaml:"build" desc:"how the environment is made"`
	Models         []Model    `yaml:"models" desc:"model files that the graph names"`
	Nodes          []NodePack `yaml:"nodes" desc:"node packs"`
	SystemPackages []string   `yaml:"system_packages" desc:"Debian packages"`
	PythonPackages []string   `yaml:"python_packages" desc:"Python requirements"`
	Env            []Pair     `yaml:"env" kind:"named" desc:"environment of the engine"`
	Secrets        []string   `yaml:"secrets" desc:"names of secrets; values come from the environment"`

	GPU    GPU  `yaml:"gpu" desc:"16GB, L4, L4:2, none, or a mapping"`
	Memory Size `yaml:"memory" desc:"of the machine"`
	Disk   Size `yaml:"disk" desc:"of the machine"`

	Inputs  Inputs   `yaml:"inputs" desc:"auto, or a mapping of parameters"`
	Outputs []Output `yaml:"outputs" kind:"named" desc:"named results"`

	Runner Runner       `yaml:"runner" desc:"settings of the runner"`
	Auth   *AuthList    `yaml:"auth" desc:"none, or a list of ways to be let in"`
	Limits CallerLimits `yaml:"limits" desc:"limits of callers, by tier"`
	Cost   Cost         `yaml:"cost" desc:"rate behind usage.cost_usd"`

	Scaling      Scaling       `yaml:"scaling" desc:"0..4, or a mapping"`
	Rollout      Rollout       `yaml:"rollout" desc:"how a release replaces another"`
	Budget       Budget        `yaml:"budget" desc:"money that a deploy may spend"`
	Targets      []Target      `yaml:"targets" kind:"named" desc:"where it goes"`
	Environments []Environment `yaml:"environments" kind:"named" desc:"merged over the file"`

	Tests  []Test  `yaml:"tests" desc:"cases for comfyctl test"`
	Checks []Level `yaml:"checks" kind:"named" desc:"levels of rules"`

	// File is the path that was parsed; Source its bytes.
	File   string `yaml:"-"`
	Source []byte `yaml:"-"`
	// Ignores are the `# comfyctl: ignore` comments, in order.
	Ignores []Ignore `yaml:"-"`

	places map[string]place
}

// Pair is one entry of a mapping of strings.
type Pair struct {
	Name  string `yaml:"-"`
	Value string `yaml:"value"`
}

// Level is one entry of checks: a rule and its level.
type Level struct {
	Name  string `yaml:"-"`
	Level string `yaml:"level" enum:"error|warning|note|off"`
}

// Ignore is a comment `# comfyctl: ignore CODE - reason`; it silences the rule
// on the line that it ends, or on the next one where it stands alone.
type Ignore struct {
	Code   string
	Reason string
	// Line is the line that is silenced.
	Line int
	Span diag.Span
}

// Workflow is a graph and what callers see of it.
type Workflow struct {
	Name        string            `yaml:"-"`
	File        string            `yaml:"file" desc:"path of the exported graph"`
	Version     string            `yaml:"version" desc:"left out: 12 hex digits of the graph's hash"`
	Aliases     Aliases           `yaml:"aliases" desc:"other names, or names with a version or weights"`
	Description string            `yaml:"description"`
	Inputs      Inputs            `yaml:"inputs"`
	Outputs     []Output          `yaml:"outputs" kind:"named"`
	Versions    []WorkflowVersion `yaml:"versions" kind:"named" desc:"older versions, still served"`
	Timeouts    Timeouts          `yaml:"timeouts"`
	Retries     Retries           `yaml:"retries"`
	OOM         OOM               `yaml:"oom"`
}

// WorkflowVersion is an older graph that is still served.
type WorkflowVersion struct {
	Name    string   `yaml:"-"`
	File    string   `yaml:"file" check:"required"`
	Inputs  Inputs   `yaml:"inputs"`
	Outputs []Output `yaml:"outputs" kind:"named"`
}

// ComfyUI says which ComfyUI runs the graph.
type ComfyUI struct {
	Version string   `yaml:"version" desc:"tag, branch or commit"`
	Source  string   `yaml:"source" desc:"git URL or folder"`
	Args    []string `yaml:"args" desc:"added to ComfyUI's command line"`
}

// Build says how the environment is made.
type Build struct {
	Base    string   `yaml:"base" desc:"rootfs, or an image reference"`
	Profile []string `yaml:"profile" enum:"base|gl|video|git|jit"`
	Python  string   `yaml:"python"`
	Torch   string   `yaml:"torch" desc:"cpu, cu126, cu128, rocm6.4 …, system"`
	CA      string   `yaml:"ca"`
	Proxy   string   `yaml:"proxy"`
	Secrets []string `yaml:"secrets"`
}

// Model is a model file that the graph names.
type Model struct {
	Path        string     `yaml:"path" check:"required,modelpath" desc:"under ComfyUI/models/"`
	Source      StringList `yaml:"source" desc:"where it comes from, or a list of mirrors"`
	SHA256      string     `yaml:"sha256" check:"sha256"`
	Auth        string     `yaml:"auth" check:"secret" desc:"name of a secret"`
	Load        string     `yaml:"load" enum:"bake|start|mount" desc:"bake (default), start or mount"`
	AllowPickle bool       `yaml:"allow_pickle"`
}

// NodePack is a set of custom nodes: one of repo, registry and path.
type NodePack struct {
	Repo     string   `yaml:"repo" desc:"git URL"`
	Ref      string   `yaml:"ref" desc:"commit, tag or branch"`
	Registry string   `yaml:"registry" desc:"id@version in the node registry"`
	Path     string   `yaml:"path" desc:"folder, copied in"`
	Install  string   `yaml:"install" enum:"skip|run"`
	Classes  []string `yaml:"classes"`
}

// GPU is what the service asks of a machine.
type GPU struct {
	Type  StringList `yaml:"type"`
	Count int        `yaml:"count" check:"min=0,max=64"`
	VRAM  Size       `yaml:"vram"`
	// None is true for `gpu: none`; Set for any value at all.
	None bool `yaml:"-"`
	Set  bool `yaml:"-"`
}

// Inputs are a service's parameters; Auto stands for `inputs: auto` and for no
// key at all.
type Inputs struct {
	Auto bool
	List []Input
}

// Input is one parameter.
type Input struct {
	Name        string     `yaml:"-"`
	To          StringList `yaml:"to" check:"required" desc:"NODE.INPUT or @Title.INPUT, or a list"`
	Type        string     `yaml:"type" enum:"string|text|int|float|bool|enum|seed|image|mask|video|audio|file"`
	Required    bool       `yaml:"required"`
	Default     *Literal   `yaml:"default"`
	Example     *Literal   `yaml:"example"`
	Min         *Number    `yaml:"min"`
	Max         *Number    `yaml:"max"`
	Step        *Number    `yaml:"step"`
	Enum        []Literal  `yaml:"enum"`
	MaxLength   int        `yaml:"max_length" check:"min=1"`
	MaxSize     Size       `yaml:"max_size"`
	Description string     `yaml:"description"`
}

// Output is one named result.
type Output struct {
	Name        string `yaml:"-"`
	From        string `yaml:"from" check:"required"`
	Type        string `yaml:"type" enum:"string|text|int|float|bool|image|mask|video|audio|file|3d|latent"`
	Format      string `yaml:"format" enum:"png|jpeg|webp"`
	Quality     int    `yaml:"quality" check:"min=1,max=100"`
	Metadata    string `yaml:"metadata" enum:"keep|strip"`
	Description string `yaml:"description"`
}

// Literal is a value of any type, as JSON with its digits kept.
type Literal struct{ json.RawMessage }

// Number is a number with its digits kept.
type Number struct{ json.Number }

// Runner holds the settings of the runner.
type Runner struct {
	Port       int       `yaml:"port" check:"min=1,max=65535"`
	Admin      string    `yaml:"admin"`
	Warmup     *bool     `yaml:"warmup"`
	Playground *bool     `yaml:"playground"`
	Raw        bool      `yaml:"raw"`
	Compat     []string  `yaml:"compat" enum:"comfyui|comfy-v2|runpod|replicate|openai|baseten"`
	Durability string    `yaml:"durability" enum:"process|power"`
	Queue      Queue     `yaml:"queue"`
	Timeouts   Timeouts  `yaml:"timeouts"`
	Retries    Retries   `yaml:"retries"`
	OOM        OOM       `yaml:"oom"`
	Limits     ReqLimits `yaml:"limits"`
	URLs       URLs      `yaml:"urls"`
	Cache      Cache     `yaml:"cache"`
	Storage    Storage   `yaml:"storage"`
	Retention  Retention `yaml:"retention"`
	Webhooks   Webhooks  `yaml:"webhooks"`
	Hooks      Hooks     `yaml:"hooks"`
	CORS       CORS      `yaml:"cors"`
}

// Queue bounds the waiting jobs.
type Queue struct {
	Max       int `yaml:"max" check:"min=1"`
	PerCaller int `yaml:"per_caller" check:"min=1"`
}

// Timeouts of the runner.
type Timeouts struct {
	Start Duration `yaml:"start"`
	Queue Duration `yaml:"queue"`
	Job   Duration `yaml:"job"`
	Stall Duration `yaml:"stall"`
	Drain Duration `yaml:"drain"`
}

// Retries says what is tried again.
type Retries struct {
	Max  *int     `yaml:"max" check:"min=0,max=10"`
	When []string `yaml:"when" enum:"crash|disconnect"`
}

// OOM says what to do when memory ran out.
type OOM struct {
	Retry    *bool       `yaml:"retry"`
	Fallback []Arguments `yaml:"fallback"`
}

// ReqLimits bound one request.
type ReqLimits struct {
	Body      Size `yaml:"body"`
	File      Size `yaml:"file"`
	Pixels    int  `yaml:"pixels" check:"min=1"`
	JSONDepth int  `yaml:"json_depth" check:"min=4"`
}

// URLs says which inputs by URL are fetched.
type URLs struct {
	Hosts   []string `yaml:"hosts"`
	MaxSize Size     `yaml:"max_size"`
	Timeout Duration `yaml:"timeout"`
}

// Cache of results and models.
type Cache struct {
	Results Duration `yaml:"results"`
	Models  Size     `yaml:"models"`
}

// Storage of outputs.
type Storage struct {
	URL     string   `yaml:"url"`
	LinkTTL Duration `yaml:"link_ttl"`
}

// Retention of finished work.
type Retention struct {
	Jobs     Duration `yaml:"jobs"`
	Inputs   Duration `yaml:"inputs"`
	KeepFree Size     `yaml:"keep_free"`
}

// Webhooks of a service.
type Webhooks struct {
	Secret      string   `yaml:"secret" check:"secret"`
	Events      []string `yaml:"events"`
	GiveUpAfter Duration `yaml:"give_up_after"`
}

// Hooks before and after a job.
type Hooks struct {
	Pre  Hook `yaml:"pre"`
	Post Hook `yaml:"post"`
}

// Hook is an executable or an HTTP endpoint.
type Hook struct {
	Run     string   `yaml:"run"`
	URL     string   `yaml:"url"`
	Timeout Duration `yaml:"timeout"`
}

// CORS of the API.
type CORS struct {
	Origins []string `yaml:"origins"`
}

// AuthList is `auth:`; None stands for `auth: none`.
type AuthList struct {
	None bool
	List []Auth
}

// Auth is one way to be let in.
type Auth struct {
	Type           string   `yaml:"type" check:"required" enum:"api-key|jwt|oidc|ip"`
	Keys           string   `yaml:"keys" check:"secret"`
	Algorithms     []string `yaml:"algorithms"`
	JWKS           string   `yaml:"jwks"`
	Issuer         string   `yaml:"issuer"`
	Audience       string   `yaml:"audience"`
	TierClaim      string   `yaml:"tier_claim"`
	Allow          []string `yaml:"allow"`
	TrustedProxies []string `yaml:"trusted_proxies"`
}

// CallerLimits are the limits of callers.
type CallerLimits struct {
	Default string `yaml:"default"`
	Tiers   []Tier `yaml:"tiers" kind:"named"`
}

// Tier is a class of callers.
type Tier struct {
	Name       string    `yaml:"-"`
	Rate       Rate      `yaml:"rate"`
	PerIP      Rate      `yaml:"per_ip"`
	Concurrent int       `yaml:"concurrent" check:"min=1"`
	Quota      Rate      `yaml:"quota"`
	Queue      int       `yaml:"queue" check:"min=0"`
	Priority   int       `yaml:"priority"`
	Max        Arguments `yaml:"max"`
}

// Cost is the rate behind usage.
type Cost struct {
	GPUHour Money `yaml:"gpu_hour"`
}

// Scaling of replicas.
type Scaling struct {
	Min              *int     `yaml:"min" check:"min=0"`
	Max              *int     `yaml:"max" check:"min=1"`
	Target           int      `yaml:"target" check:"min=1"`
	Cooldown         Duration `yaml:"cooldown"`
	ScaleToZeroAfter Duration `yaml:"scale_to_zero_after"`
}

// Rollout says how a release replaces another.
type Rollout struct {
	Strategy   string     `yaml:"strategy" enum:"auto|overlap|swap|replace"`
	Canary     Canary     `yaml:"canary"`
	Thresholds Thresholds `yaml:"thresholds"`
}

// Canary is a trial of a release.
type Canary struct {
	Weight Share    `yaml:"weight"`
	For    Duration `yaml:"for"`
}

// Thresholds past which a canary goes back.
type Thresholds struct {
	P50    Duration `yaml:"p50"`
	P99    Duration `yaml:"p99"`
	Errors Share    `yaml:"errors"`
}

// Budget is money that a deploy may spend.
type Budget struct {
	Monthly Money `yaml:"monthly"`
	StopAt  Money `yaml:"stop_at"`
}

// Target is a place to deploy to.
type Target struct {
	Name      string     `yaml:"-"`
	Type      string     `yaml:"type" check:"required" enum:"docker|ssh|aws|gcp|azure|kubernetes"`
	Host      string     `yaml:"host"`
	Port      int        `yaml:"port" check:"min=0,max=65535"`
	Domain    string     `yaml:"domain"`
	Models    string     `yaml:"models" desc:"folder or volume for load: mount"`
	Region    string     `yaml:"region"`
	Regions   []string   `yaml:"regions"`
	Instance  StringList `yaml:"instance"`
	Spot      bool       `yaml:"spot"`
	Image     string     `yaml:"image"`
	Allow     []string   `yaml:"allow"`
	TTL       Duration   `yaml:"ttl"`
	IdleStop  Duration   `yaml:"idle_stop"`
	MaxSpend  Money      `yaml:"max_spend"`
	Context   string     `yaml:"context"`
	Namespace string     `yaml:"namespace"`
}

// Environment is an overlay; its other keys are those of the file.
type Environment struct {
	Name      string `yaml:"-"`
	Target    string `yaml:"target"`
	Protected bool   `yaml:"protected"`
}

// Test is one case, or a matrix of cases.
type Test struct {
	Name     string    `yaml:"name" check:"required"`
	Tags     []string  `yaml:"tags"`
	Workflow string    `yaml:"workflow" desc:"which of workflows; left out: the only one"`
	Input    Arguments `yaml:"input"`
	Matrix   Matrix    `yaml:"matrix" desc:"auto, or a mapping from an input to values; min, max, default and samples stand for the input's own"`
	Expect   Expect    `yaml:"expect"`
}

// Arguments are values by input name.
type Arguments []Argument

// Argument is the value of one input.
type Argument struct {
	Name  string
	Value json.RawMessage
}

// Matrix asks for a case for each value of each input.
type Matrix struct {
	Auto bool
	Axes []Axis
}

// Axis is one input and its values.
type Axis struct {
	Name   string
	Values []json.RawMessage
}

// Expect is what a case must give.
type Expect struct {
	Status  int            `yaml:"status" check:"min=100,max=599" desc:"HTTP status; left out: a succeeded job"`
	Job     string         `yaml:"job" enum:"succeeded|failed|canceled|expired"`
	Error   string         `yaml:"error" desc:"code of the error"`
	Within  Duration       `yaml:"within"`
	Outputs []ExpectOutput `yaml:"outputs" kind:"named"`
}

// ExpectOutput is what one output must be.
type ExpectOutput struct {
	Name      string `yaml:"-"`
	Type      string `yaml:"type" desc:"media type, such as image/png"`
	Width     int    `yaml:"width"`
	Height    int    `yaml:"height"`
	MinWidth  int    `yaml:"min_width"`
	MinHeight int    `yaml:"min_height"`
	MinSize   Size   `yaml:"min_size"`
	Count     int    `yaml:"count"`
	Text      string `yaml:"text" desc:"what a text output must be"`
	Like      string `yaml:"like" desc:"a picture that it must resemble"`
}
