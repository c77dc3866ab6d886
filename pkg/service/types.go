package service

import (
	"encoding/json"

	"gopkg.in/yaml.v3"

	"github.com/comfyctl/comfyctl/internal/diag"
)

// Service is one service file, merged and decoded. The order of its fields is
// the reading order of the file.
type Service struct {
	Name        string `yaml:"name" check:"required,label" desc:"DNS label; names the image and every resource"`
	Description string `yaml:"description" desc:"one line about the service"`
	Requires    string `yaml:"requires" check:"requires" desc:"oldest comfyctl that may read this file, such as \">=0.4\""`

	Workflow       Workflow   `yaml:"workflow" desc:"path of the exported graph, or a mapping"`
	Workflows      []Workflow `yaml:"workflows" kind:"named" names:"label" desc:"several workflows in one service, by name"`
	ComfyUI        ComfyUI    `yaml:"comfyui" desc:"ComfyUI's release, or a mapping"`
	Build          Build      `yaml:"build" desc:"how the environment is made"`
	Models         []Model    `yaml:"models" desc:"model files that the graph names"`
	Nodes          []NodePack `yaml:"nodes" desc:"node packs"`
	SystemPackages []string   `yaml:"system_packages" desc:"Debian packages"`
	PythonPackages []string   `yaml:"python_packages" desc:"Python requirements"`
	Env            []Pair     `yaml:"env" kind:"named" names:"variable" desc:"environment of the engine"`
	Secrets        []string   `yaml:"secrets" check:"secret" desc:"names of secrets; values come from the environment"`

	GPU    GPU  `yaml:"gpu" desc:"16GB, L4, L4:2, none, or a mapping"`
	Memory Size `yaml:"memory" desc:"of the machine"`
	Disk   Size `yaml:"disk" desc:"of the machine"`

	Inputs  Inputs   `yaml:"inputs" desc:"auto, or a mapping of parameters"`
	Outputs []Output `yaml:"outputs" kind:"named" names:"input" desc:"named results"`

	Runner Runner       `yaml:"runner" desc:"settings of the runner"`
	Auth   *AuthList    `yaml:"auth" desc:"none, or a list of ways to be let in"`
	Limits CallerLimits `yaml:"limits" desc:"limits of callers, by tier"`
	Cost   Cost         `yaml:"cost" desc:"rate behind usage.cost_usd"`

	Scaling      Scaling       `yaml:"scaling" desc:"0..4, or a mapping"`
	Rollout      Rollout       `yaml:"rollout" desc:"how a release replaces another"`
	Budget       Budget        `yaml:"budget" desc:"money that a deploy may spend"`
	Targets      []Target      `yaml:"targets" kind:"named" names:"slug" desc:"where it goes"`
	Environments []Environment `yaml:"environments" kind:"named" names:"slug" desc:"merged over the file"`

	Tests  []Test  `yaml:"tests" desc:"cases for comfyctl test"`
	Checks []Level `yaml:"checks" kind:"named" desc:"levels of rules"`

	// File is the path that was parsed; Source its bytes.
	File   string `yaml:"-"`
	Source []byte `yaml:"-"`
	// Ignores are the `# comfyctl: ignore` comments, in order.
	Ignores []Ignore `yaml:"-"`

	places map[string]place
	// doc and root are the merged YAML, env the environment merged into it.
	doc  *document
	root *yaml.Node
	env  string
	// sources are the bytes of the file and of an overlay beside it.
	sources map[string][]byte
}

// Pair is one entry of a mapping of strings.
type Pair struct {
	Name  string `yaml:"-"`
	Value string `yaml:"value" desc:"value" loose:"number"`
}

// Level is one entry of checks: a rule and its level.
type Level struct {
	Name  string `yaml:"-"`
	Level string `yaml:"level" enum:"error|warning|note|off" desc:"error, warning, note or off"`
}

// Ignore is a comment `# comfyctl: ignore CODE, CODE - reason`; it silences the
// rules on the line that it ends, or on the next one that is no comment where it
// stands alone. Each code is an Ignore of its own.
type Ignore struct {
	// Code is as written, in upper case; empty where the comment has none.
	Code   string
	Reason string
	// Line is the line that is silenced, in Span.File.
	Line int
	// Span is the comment, File included.
	Span diag.Span
}

// Literal is a value of any type, as JSON with its digits kept.
type Literal struct{ json.RawMessage }

// Number is a number with its digits kept.
type Number struct{ json.Number }

// Arguments are values by input name.
type Arguments []Argument

// Argument is the value of one input.
type Argument struct {
	Name  string
	Value json.RawMessage
}
