package service

// Inputs are a service's parameters; Auto stands for `inputs: auto` and for no
// key at all.
type Inputs struct {
	Auto bool
	List []Input
}

// Input is one parameter.
type Input struct {
	Name        string     `yaml:"-"`
	To          StringList `yaml:"to" old:"target" check:"required" desc:"NODE.INPUT or @Title.INPUT, or a list"`
	Type        string     `yaml:"type" enum:"string|text|int|float|bool|enum|seed|image|mask|video|audio|file" desc:"left out: from the node definition"`
	Required    bool       `yaml:"required" desc:"callers must send it"`
	Default     *Literal   `yaml:"default" desc:"used when the caller sends none; random for a seed"`
	Example     *Literal   `yaml:"example" desc:"shown in the page and the docs"`
	Min         *Number    `yaml:"min" desc:"least number"`
	Max         *Number    `yaml:"max" desc:"greatest number"`
	Step        *Number    `yaml:"step" desc:"step of the slider in the page"`
	Enum        []Literal  `yaml:"enum" desc:"the values that are taken"`
	MaxLength   int        `yaml:"max_length" check:"min=1" desc:"characters"`
	MaxSize     Size       `yaml:"max_size" desc:"of an uploaded file"`
	Description string     `yaml:"description" desc:"one line for callers"`
}

// Output is one named result.
type Output struct {
	Name        string `yaml:"-"`
	From        string `yaml:"from" check:"required" desc:"id of an output node, or @Title" loose:"number"`
	Type        string `yaml:"type" enum:"string|text|int|float|bool|image|mask|video|audio|file|3d|latent" desc:"left out: told by the content"`
	Format      string `yaml:"format" enum:"png|jpeg|webp" desc:"what pictures are converted to; left out: bytes as ComfyUI wrote them"`
	Quality     int    `yaml:"quality" check:"min=1,max=100" desc:"of jpeg and webp"`
	Metadata    string `yaml:"metadata" enum:"keep|strip" desc:"keep (default) or strip the workflow inside"`
	Description string `yaml:"description" desc:"one line for callers"`
}

// AuthList is `auth:`; None stands for `auth: none`.
type AuthList struct {
	None bool
	List []Auth
}

// Auth is one way to be let in.
type Auth struct {
	Type           string   `yaml:"type" check:"required" enum:"api-key|jwt|oidc|ip" desc:"how callers prove who they are"`
	Keys           string   `yaml:"keys" check:"secret" desc:"name of the secret that holds API keys; left out: only those made by 'comfyctl keys'"`
	Algorithms     []string `yaml:"algorithms" desc:"signature algorithms, such as ES256"`
	JWKS           string   `yaml:"jwks" desc:"file or URL of the public keys"`
	Issuer         string   `yaml:"issuer" desc:"of the tokens"`
	Audience       string   `yaml:"audience" desc:"that the tokens are for"`
	TierClaim      string   `yaml:"tier_claim" desc:"claim that names the tier"`
	Allow          []string `yaml:"allow" desc:"networks that may call, such as 10.0.0.0/8"`
	TrustedProxies []string `yaml:"trusted_proxies" desc:"networks whose X-Forwarded-For counts"`
}

// CallerLimits are the limits of callers.
type CallerLimits struct {
	Default string `yaml:"default" desc:"tier of callers without one"`
	Tiers   []Tier `yaml:"tiers" kind:"named" names:"slug" desc:"classes of callers"`
}

// Tier is a class of callers.
type Tier struct {
	Name       string    `yaml:"-"`
	Rate       Rate      `yaml:"rate" desc:"requests of one key"`
	PerIP      Rate      `yaml:"per_ip" desc:"requests of one address"`
	Concurrent int       `yaml:"concurrent" check:"min=1" desc:"running jobs of one key"`
	Quota      Rate      `yaml:"quota" desc:"jobs of one key"`
	Queue      int       `yaml:"queue" check:"min=0" desc:"waiting jobs of one key"`
	Priority   int       `yaml:"priority" desc:"greater goes first"`
	Max        Arguments `yaml:"max" desc:"greatest values of inputs"`
}

// Cost is the rate behind usage.
type Cost struct {
	GPUHour Money `yaml:"gpu_hour" desc:"price of an hour"`
}
