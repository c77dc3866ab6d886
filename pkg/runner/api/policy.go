package api

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/comfyctl/comfyctl/pkg/contract"
	"github.com/comfyctl/comfyctl/pkg/runner/inputs"
	"github.com/comfyctl/comfyctl/pkg/runner/jobs"
)

// policies say for each workflow what is tried again: what it says itself,
// else what the runner says.
func policies(c *contract.Contract) (map[*contract.Workflow]jobs.Policy, error) {
	all := map[*contract.Workflow]jobs.Policy{}
	for i := range c.Workflows {
		wf := &c.Workflows[i]
		var p jobs.Policy
		if r := first(wf.Retries, c.Runner.Retries); r != nil {
			p.Retries = r.Max
			p.OnCrash, p.OnDisconnect = slices.Contains(r.When, "crash"), slices.Contains(r.When, "disconnect")
		}
		if o := first(wf.OOM, c.Runner.OOM); o != nil {
			p.KeepMemory = o.Retry != nil && !*o.Retry
			for _, set := range o.Fallback {
				if wf.OOM == nil {
					// The runner's fallbacks are for every workflow that has the inputs.
					set = having(wf, set)
				}
				if len(set) == 0 {
					continue
				}
				f, err := fallback(wf, set)
				if err != nil {
					return nil, err
				}
				p.Fallbacks = append(p.Fallbacks, f)
			}
		}
		all[wf] = p
	}
	return all, nil
}

// having are the values whose inputs a workflow has.
func having(wf *contract.Workflow, set map[string]json.RawMessage) map[string]json.RawMessage {
	out := map[string]json.RawMessage{}
	for _, in := range wf.Inputs {
		if v, ok := set[in.Name]; ok {
			out[in.Name] = v
		}
	}
	return out
}

func first[T any](own, runner *T) *T {
	if own != nil {
		return own
	}
	return runner
}

func fallback(wf *contract.Workflow, set map[string]json.RawMessage) (jobs.Fallback, error) {
	settings, err := inputs.Settings(wf, set)
	if err != nil {
		return jobs.Fallback{}, fmt.Errorf("reading the fallback for a lack of memory: %w", err)
	}
	shown, err := json.Marshal(set)
	if err != nil {
		return jobs.Fallback{}, fmt.Errorf("reading the fallback for a lack of memory: %w", err)
	}
	return jobs.Fallback{Input: shown, Set: settings}, nil
}

// bind gives a job the policy and the bounds of its workflow. What the caller
// asked for holds where it is less.
func (s *state) bind(w *jobs.Work, wf *contract.Workflow) {
	w.Policy = s.policies[wf]
	r := s.contract.Runner.Timeouts
	own := contract.Timeouts{}
	if wf.Timeouts != nil {
		own = *wf.Timeouts
	}
	w.TimeoutMS = least(w.TimeoutMS, either(own.JobMS, r.JobMS))
	w.MaxWaitMS = least(w.MaxWaitMS, either(own.QueueMS, r.QueueMS))
	w.StallMS = own.StallMS
	if h := s.contract.Runner.Webhooks; h != nil && w.Webhook != nil && len(w.Webhook.Events) == 0 {
		w.Webhook.Events = h.Events
	}
}

// either is a if it is set, else b.
func either(a, b int64) int64 {
	if a > 0 {
		return a
	}
	return b
}

// least is the smaller of two bounds; 0 is none.
func least(a, b int64) int64 {
	if a == 0 || b > 0 && b < a {
		return b
	}
	return a
}
