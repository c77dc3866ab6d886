package validate

import (
	"encoding/json"
	"time"

	"github.com/comfyctl/comfyctl/pkg/contract"
	"github.com/comfyctl/comfyctl/pkg/service"
)

// Contract is the document that goes into the image, with every default of the
// runner filled in. engineKind is contract.EngineComfyUI or EngineStub, packer
// the version of comfyctl.
func (p *Plan) Contract(engineKind, packer string) *contract.Contract {
	s := p.Service
	c := &contract.Contract{
		Schema: contract.Schema, Name: s.Name, Description: s.Description, Packer: packer,
		Engine:    contract.Engine{Kind: engineKind, Version: s.ComfyUI.Version, Args: s.ComfyUI.Args},
		Workflows: []contract.Workflow{}, Models: []contract.Model{}, Secrets: s.Secrets,
		GPU: gpu(s.GPU), Runner: runner(s.Runner),
	}
	if c.Engine.Version == "" {
		c.Engine.Version = p.Catalog.Version
	}
	if engineKind == contract.EngineComfyUI {
		c.Engine.Dir = contract.ComfyUIPath
	}
	for _, w := range p.Workflows {
		c.Workflows = append(c.Workflows, contract.Workflow{Name: w.Name, Version: w.Version, Aliases: w.Aliases, Description: w.Description,
			Graph: w.Graph.JSON(), Inputs: w.Inputs, Outputs: w.Outputs, Timeouts: timeouts(w.own.Timeouts), Retries: retries(w.own.Retries), OOM: oom(w.own.OOM)})
	}
	for _, m := range p.Models {
		c.Models = append(c.Models, contract.Model{Path: m.Path, SHA256: m.SHA256, Load: m.Load})
	}
	for _, e := range s.Env {
		if c.Env == nil {
			c.Env = map[string]string{}
		}
		c.Env[e.Name] = e.Value
	}
	if s.Auth != nil {
		auth := []contract.Auth{}
		for _, a := range s.Auth.List {
			auth = append(auth, contract.Auth{Type: a.Type, Keys: a.Keys})
		}
		c.Auth = &auth
	}
	return c
}

func gpu(g service.GPU) contract.GPU {
	out := contract.GPU{Types: g.Type, Count: g.Count, VRAM: g.VRAM.Bytes}
	if g.None {
		out.Count = 0
	}
	return out
}

// Defaults of the runner.
const (
	defaultPort      = 8080
	defaultQueue     = 100
	defaultBody      = 1_000_000
	defaultFile      = 100_000_000
	defaultPixels    = 100_000_000
	defaultJSONDepth = 64
	defaultURLSize   = 50_000_000
)

func runner(r service.Runner) contract.Runner {
	return contract.Runner{
		Port: or(r.Port, defaultPort), Warmup: r.Warmup != nil && *r.Warmup, Playground: r.Playground == nil || *r.Playground,
		Queue: contract.Queue{Max: or(r.Queue.Max, defaultQueue)},
		Timeouts: contract.Timeouts{
			StartMS: ms(r.Timeouts.Start, 10*time.Minute), QueueMS: ms(r.Timeouts.Queue, 10*time.Minute), JobMS: ms(r.Timeouts.Job, 5*time.Minute),
			StallMS: ms(r.Timeouts.Stall, 5*time.Minute), DrainMS: ms(r.Timeouts.Drain, 2*time.Minute),
		},
		Limits: contract.Limits{
			Body: or(r.Limits.Body.Bytes, defaultBody), File: or(r.Limits.File.Bytes, defaultFile),
			Pixels: or(int64(r.Limits.Pixels), defaultPixels), JSONDepth: or(r.Limits.JSONDepth, defaultJSONDepth),
		},
		URLs:        contract.URLs{Hosts: r.URLs.Hosts, MaxSize: or(r.URLs.MaxSize.Bytes, defaultURLSize), TimeoutMS: ms(r.URLs.Timeout, 30*time.Second)},
		RetentionMS: ms(r.Retention.Jobs, 24*time.Hour), CORSOrigins: r.CORS.Origins,
		KeepFree: r.Retention.KeepFree.Bytes, Durability: r.Durability, Retries: retries(r.Retries), OOM: oom(r.OOM),
		Webhooks: hooks(r.Webhooks), ResultsMS: ms(r.Cache.Results, 0),
	}
}

func hooks(w service.Webhooks) *contract.Hooks {
	if w.Secret == "" && len(w.Events) == 0 && !w.GiveUpAfter.Set {
		return nil
	}
	return &contract.Hooks{Secret: w.Secret, Events: w.Events, GiveUpMS: ms(w.GiveUpAfter, 0)}
}

// timeouts are those of one workflow; nil where the runner's hold.
func timeouts(t service.Timeouts) *contract.Timeouts {
	if !t.Queue.Set && !t.Job.Set && !t.Stall.Set {
		return nil
	}
	return &contract.Timeouts{QueueMS: ms(t.Queue, 0), JobMS: ms(t.Job, 0), StallMS: ms(t.Stall, 0)}
}

func retries(r service.Retries) *contract.Retries {
	if r.Max == nil && len(r.When) == 0 {
		return nil
	}
	return &contract.Retries{Max: r.Max, When: r.When}
}

func oom(o service.OOM) *contract.OOM {
	if o.Retry == nil && len(o.Fallback) == 0 {
		return nil
	}
	out := &contract.OOM{Retry: o.Retry}
	for _, args := range o.Fallback {
		set := map[string]json.RawMessage{}
		for _, a := range args {
			set[a.Name] = a.Value
		}
		out.Fallback = append(out.Fallback, set)
	}
	return out
}

func or[T int | int64](v, fallback T) T {
	if v == 0 {
		return fallback
	}
	return v
}

func ms(d service.Duration, fallback time.Duration) int64 {
	if !d.Set {
		return fallback.Milliseconds()
	}
	return d.Milliseconds()
}
