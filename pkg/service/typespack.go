package service

// Workflow is a graph and what callers see of it.
type Workflow struct {
	Name        string            `yaml:"-"`
	File        string            `yaml:"file" desc:"path of the exported graph"`
	Version     string            `yaml:"version" desc:"left out: 12 hex digits of the graph's hash" loose:"number"`
	Aliases     Aliases           `yaml:"aliases" desc:"other names, or names with a version or weights"`
	Description string            `yaml:"description" desc:"one line about the workflow"`
	Inputs      Inputs            `yaml:"inputs" desc:"auto, or a mapping of parameters"`
	Outputs     []Output          `yaml:"outputs" kind:"named" names:"input" desc:"named results"`
	Versions    []WorkflowVersion `yaml:"versions" kind:"named" names:"version" desc:"older versions, still served"`
	Timeouts    Timeouts          `yaml:"timeouts" desc:"instead of those of the runner"`
	Retries     Retries           `yaml:"retries" desc:"instead of those of the runner"`
	OOM         OOM               `yaml:"oom" desc:"instead of that of the runner"`
}

// WorkflowVersion is an older graph that is still served.
type WorkflowVersion struct {
	Name    string   `yaml:"-"`
	File    string   `yaml:"file" check:"required" desc:"path of the exported graph"`
	Inputs  Inputs   `yaml:"inputs" desc:"auto, or a mapping of parameters"`
	Outputs []Output `yaml:"outputs" kind:"named" names:"input" desc:"named results"`
}

// ComfyUI says which ComfyUI runs the graph.
type ComfyUI struct {
	Version string   `yaml:"version" desc:"tag, branch or commit" loose:"number"`
	Source  string   `yaml:"source" desc:"git URL or folder"`
	Args    []string `yaml:"args" desc:"added to ComfyUI's command line"`
}

// Build says how the environment is made.
type Build struct {
	Base    string   `yaml:"base" desc:"rootfs, or an image reference"`
	Profile []string `yaml:"profile" enum:"base|gl|video|git|jit" desc:"of rootfs only: base (always), gl (default), video, git, jit"`
	Python  string   `yaml:"python" desc:"release of Python, such as 3.12" loose:"number"`
	Torch   string   `yaml:"torch" desc:"cpu, cu126, cu128, rocm6.4 …, system"`
	CA      string   `yaml:"ca" desc:"file of an extra certificate authority, for fetching and in the image"`
	Proxy   string   `yaml:"proxy" desc:"proxy while building"`
	Secrets []string `yaml:"secrets" check:"secret" desc:"names; mounted while building, never baked"`
}

// Model is a model file that the graph names.
type Model struct {
	Path        string     `yaml:"path" check:"required,modelpath" desc:"under ComfyUI/models/"`
	Source      StringList `yaml:"source" desc:"where it comes from, or a list of mirrors"`
	SHA256      string     `yaml:"sha256" check:"sha256" desc:"of the file"`
	Auth        string     `yaml:"auth" check:"secret" desc:"name of a secret"`
	Load        string     `yaml:"load" enum:"bake|start|mount" desc:"bake (default), start or mount"`
	AllowPickle bool       `yaml:"allow_pickle" desc:"pickle formats can run code; this and a sha256 let one in"`
}

// NodePack is a set of custom nodes: one of repo, registry and path.
type NodePack struct {
	Repo     string   `yaml:"repo" desc:"git URL"`
	Ref      string   `yaml:"ref" desc:"commit, tag or branch" loose:"number"`
	Registry string   `yaml:"registry" desc:"id@version in the node registry"`
	Path     string   `yaml:"path" desc:"folder, copied in"`
	Auth     string   `yaml:"auth" check:"secret" desc:"name of a secret that holds a token for repo"`
	Install  string   `yaml:"install" enum:"skip|run" desc:"skip (default), or run its install script at build time"`
	Classes  []string `yaml:"classes" desc:"this pack owns these classes, where several define them"`
}

// GPU is what the service asks of a machine.
type GPU struct {
	Type  StringList `yaml:"type" desc:"any of these; left out: the cheapest that has the memory"`
	Count int        `yaml:"count" check:"min=0,max=64" desc:"one ComfyUI for each"`
	VRAM  Size       `yaml:"vram" desc:"memory of one GPU, such as 16GB"`
	// None is true for `gpu: none`; Set for any value at all.
	None bool `yaml:"-"`
	Set  bool `yaml:"-"`
}
