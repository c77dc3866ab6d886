package service

// Scaling of replicas.
type Scaling struct {
	Min              *int     `yaml:"min" check:"min=0" desc:"fewest replicas"`
	Max              *int     `yaml:"max" check:"min=1" desc:"most replicas"`
	Target           int      `yaml:"target" check:"min=1" desc:"waiting jobs per replica"`
	Cooldown         Duration `yaml:"cooldown" desc:"between two changes"`
	ScaleToZeroAfter Duration `yaml:"scale_to_zero_after" desc:"without a job"`
}

// Rollout says how a release replaces another.
type Rollout struct {
	Strategy   string     `yaml:"strategy" enum:"auto|overlap|swap|replace" desc:"auto, overlap, swap or replace"`
	Canary     Canary     `yaml:"canary" desc:"a trial with a part of the calls"`
	Thresholds Thresholds `yaml:"thresholds" desc:"past these a canary goes back"`
}

// Canary is a trial of a release.
type Canary struct {
	Weight Share    `yaml:"weight" desc:"its share of the calls"`
	For    Duration `yaml:"for" desc:"how long"`
}

// Thresholds past which a canary goes back.
type Thresholds struct {
	P50    Duration `yaml:"p50" desc:"median time of a job"`
	P99    Duration `yaml:"p99" desc:"99th percentile"`
	Errors Share    `yaml:"errors" desc:"share of failed jobs"`
}

// Budget is money that a deploy may spend.
type Budget struct {
	Monthly Money `yaml:"monthly" desc:"warn above it"`
	StopAt  Money `yaml:"stop_at" desc:"refuse to deploy above it"`
}

// Target is a place to deploy to.
type Target struct {
	Name      string     `yaml:"-"`
	Type      string     `yaml:"type" check:"required" enum:"docker|ssh|aws|gcp|azure|kubernetes" desc:"what kind of place"`
	Host      string     `yaml:"host" desc:"USER@HOST of ssh"`
	Port      int        `yaml:"port" check:"min=0,max=65535" desc:"of the service there"`
	Domain    string     `yaml:"domain" desc:"public name, with TLS"`
	Models    string     `yaml:"models" desc:"folder or volume for load: mount"`
	Region    string     `yaml:"region" desc:"of the cloud"`
	Regions   []string   `yaml:"regions" desc:"tried in order when there is no capacity"`
	Instance  StringList `yaml:"instance" desc:"machine types; left out: cheapest that fits gpu"`
	Spot      bool       `yaml:"spot" desc:"interruptible machines, falling back to on-demand"`
	Image     string     `yaml:"image" desc:"where push and deploy put the image"`
	Allow     []string   `yaml:"allow" desc:"networks that may reach the service port"`
	TTL       Duration   `yaml:"ttl" desc:"the machine ends itself after this"`
	IdleStop  Duration   `yaml:"idle_stop" desc:"without a job or a request"`
	MaxSpend  Money      `yaml:"max_spend" desc:"shortens ttl"`
	Context   string     `yaml:"context" desc:"of kubectl"`
	Namespace string     `yaml:"namespace" desc:"of Kubernetes"`
}

// Environment is an overlay; its other keys are those of the file.
type Environment struct {
	Name      string `yaml:"-"`
	Target    string `yaml:"target" desc:"one of targets"`
	Protected bool   `yaml:"protected" desc:"deploying asks for the name of the environment"`
}
