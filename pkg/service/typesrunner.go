package service

// Runner holds the settings of the runner.
type Runner struct {
	Port       int       `yaml:"port" check:"min=1,max=65535" desc:"of the API"`
	Admin      string    `yaml:"admin" desc:"second listener: keys, drain, free, models"`
	Warmup     *bool     `yaml:"warmup" desc:"run the workflow once before it is ready"`
	Playground *bool     `yaml:"playground" desc:"the page at /"`
	Raw        bool      `yaml:"raw" desc:"POST /v1/jobs with a graph of the caller's own"`
	Compat     []string  `yaml:"compat" enum:"comfyui|comfy-v2|runpod|replicate|openai|baseten" desc:"other APIs to speak besides"`
	Durability string    `yaml:"durability" enum:"process|power" desc:"process: survives a kill; power: also a power cut, slower"`
	Queue      Queue     `yaml:"queue" desc:"bounds of the waiting jobs"`
	Timeouts   Timeouts  `yaml:"timeouts" desc:"how long each stage may take"`
	Retries    Retries   `yaml:"retries" desc:"what is tried again, with backoff"`
	OOM        OOM       `yaml:"oom" desc:"what to do when memory ran out"`
	Limits     ReqLimits `yaml:"limits" desc:"of one request"`
	URLs       URLs      `yaml:"urls" desc:"inputs by URL; private addresses never"`
	Cache      Cache     `yaml:"cache" desc:"of results and models"`
	Storage    Storage   `yaml:"storage" desc:"of outputs; left out: the volume"`
	Retention  Retention `yaml:"retention" desc:"how long finished work is kept"`
	Webhooks   Webhooks  `yaml:"webhooks" desc:"how callers are told"`
	Hooks      Hooks     `yaml:"hooks" desc:"code of your own around a job"`
	CORS       CORS      `yaml:"cors" desc:"pages that may call the API"`
}

// Queue bounds the waiting jobs.
type Queue struct {
	Max       int `yaml:"max" check:"min=1" desc:"waiting jobs"`
	PerCaller int `yaml:"per_caller" check:"min=1" desc:"waiting jobs of one caller"`
}

// Timeouts of the runner.
type Timeouts struct {
	Start Duration `yaml:"start" desc:"engine process to first answer"`
	Queue Duration `yaml:"queue" desc:"waiting"`
	Job   Duration `yaml:"job" desc:"running"`
	Stall Duration `yaml:"stall" desc:"no progress from the engine"`
	Drain Duration `yaml:"drain" desc:"SIGTERM to exit"`
}

// Retries says what is tried again.
type Retries struct {
	Max  *int     `yaml:"max" check:"min=0,max=10" desc:"how often"`
	When []string `yaml:"when" old:"on" enum:"crash|disconnect" desc:"what is transient"`
}

// OOM says what to do when memory ran out.
type OOM struct {
	Retry    *bool       `yaml:"retry" desc:"free memory and try again"`
	Fallback []Arguments `yaml:"fallback" desc:"then with these inputs in turn"`
}

// ReqLimits bound one request.
type ReqLimits struct {
	Body      Size `yaml:"body" desc:"of a JSON body"`
	File      Size `yaml:"file" desc:"of one uploaded file"`
	Pixels    int  `yaml:"pixels" check:"min=1" desc:"of a decoded picture"`
	JSONDepth int  `yaml:"json_depth" check:"min=4" desc:"nesting of a JSON body"`
}

// URLs says which inputs by URL are fetched.
type URLs struct {
	Hosts   []string `yaml:"hosts" desc:"patterns; left out: any public host"`
	MaxSize Size     `yaml:"max_size" desc:"of a fetched file"`
	Timeout Duration `yaml:"timeout" desc:"of a fetch"`
}

// Cache of results and models.
type Cache struct {
	Results Duration `yaml:"results" desc:"how long results are reused; left out: not at all"`
	Models  Size     `yaml:"models" desc:"disk for models fetched at start"`
}

// Storage of outputs.
type Storage struct {
	URL     string   `yaml:"url" desc:"bucket and prefix, such as s3://portraits/out"`
	LinkTTL Duration `yaml:"link_ttl" desc:"how long a link works"`
}

// Retention of finished work.
type Retention struct {
	Jobs     Duration `yaml:"jobs" desc:"finished jobs and their outputs"`
	Inputs   Duration `yaml:"inputs" desc:"uploaded files"`
	KeepFree Size     `yaml:"keep_free" desc:"disk that is always left"`
}

// Webhooks of a service.
type Webhooks struct {
	Secret      string   `yaml:"secret" check:"secret" desc:"name of the secret that signs"`
	Events      []string `yaml:"events" desc:"which events are sent"`
	GiveUpAfter Duration `yaml:"give_up_after" desc:"how long delivery is tried"`
}

// Hooks before and after a job.
type Hooks struct {
	Pre  Hook `yaml:"pre" desc:"before a job: may change or refuse it"`
	Post Hook `yaml:"post" desc:"after a job"`
}

// Hook is an executable or an HTTP endpoint.
type Hook struct {
	Run     string   `yaml:"run" desc:"executable, copied in: job JSON on stdin, changed JSON on stdout"`
	URL     string   `yaml:"url" desc:"HTTP endpoint that gets the same"`
	Timeout Duration `yaml:"timeout" desc:"of one call"`
}

// CORS of the API.
type CORS struct {
	Origins []string `yaml:"origins" desc:"such as https://app.example.com"`
}
