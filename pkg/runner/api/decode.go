package api

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/comfyctl/comfyctl/internal/diag"
	"github.com/comfyctl/comfyctl/pkg/runner/jobs"
	"github.com/comfyctl/comfyctl/pkg/runner/problem"
	"github.com/comfyctl/comfyctl/pkg/runner/webhooks"
)

// decode reads the JSON of a request strictly: every field that is unknown or
// of the wrong kind is named. Depth is bound before anything is built from it.
func (a *API) decode(body []byte) (*request, *problem.Problem) {
	if p := checkDepth(body, a.depthLimit()); p != nil {
		return nil, p
	}
	sum := sha256.Sum256(body)
	req := &request{hash: hex.EncodeToString(sum[:])}
	if len(bytes.TrimSpace(body)) == 0 {
		return req, nil
	}
	// Into raw bytes, so that only the syntax is looked at.
	if err := json.Unmarshal(body, new(json.RawMessage)); err != nil {
		return nil, badJSON(err)
	}
	if p := strict(body); p != nil {
		return nil, p
	}
	d := &decoder{req: req}
	d.object(body, "", map[string]func(json.RawMessage, string){
		"input": d.input, "metadata": d.metadata, "webhook": d.webhook,
		"outputs": func(raw json.RawMessage, at string) {
			d.object(raw, at, map[string]func(json.RawMessage, string){
				"mode": d.mode, "format": d.absent("the service file sets the format of an output"), "metadata": d.absent("the service file sets it"),
			})
		},
		"queue": func(raw json.RawMessage, at string) {
			d.object(raw, at, map[string]func(json.RawMessage, string){
				"priority": d.priority, "max_wait_s": d.seconds(&req.MaxWait), "timeout_s": d.seconds(&req.Timeout),
			})
		},
	})
	req.faults = d.faults
	return req, nil
}

func badJSON(err error) *problem.Problem {
	var syn *json.SyntaxError
	if errors.As(err, &syn) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return problem.New("bad_request", fmt.Sprintf("the body is not JSON: %v at byte %d", syn, syn.Offset))
	}
	return problem.New("bad_request", "the body is not JSON: "+err.Error())
}

// decoder collects what is wrong with a request.
type decoder struct {
	req    *request
	faults []problem.Field
}

func (d *decoder) fail(at, code, message string, allowed any, suggestion string) {
	d.faults = append(d.faults, problem.Field{Pointer: at, Code: code, Message: message, Allowed: allowed, Suggestion: suggestion})
}

// object hands each field to its reader. A null field counts as absent.
func (d *decoder) object(raw json.RawMessage, at string, fields map[string]func(json.RawMessage, string)) {
	var m map[string]json.RawMessage
	if json.Unmarshal(raw, &m) != nil || m == nil {
		d.fail(at, "wrong_type", named(at)+" is an object", nil, "")
		return
	}
	names := slices.Sorted(maps.Keys(fields))
	for _, name := range slices.Sorted(maps.Keys(m)) {
		read, ok := fields[name]
		here := at + "/" + escaped(name)
		switch {
		case !ok:
			d.fail(here, "unknown_field", named(at)+" has no field `"+name+"`", names, diag.Suggest(name, names))
		case string(m[name]) != "null":
			read(m[name], here)
		}
	}
}

func named(at string) string {
	if at == "" {
		return "the request"
	}
	return "`" + at[1:] + "`"
}

func (d *decoder) input(raw json.RawMessage, at string) {
	if json.Unmarshal(raw, &d.req.Input) != nil {
		d.fail(at, "wrong_type", "`input` is an object of values by input name", nil, "")
	}
}

// maxURL bounds the bytes of a webhook's address.
const maxURL = 2048

func (d *decoder) webhook(raw json.RawMessage, at string) {
	hook := &jobs.Webhook{}
	d.object(raw, at, map[string]func(json.RawMessage, string){
		"url": func(raw json.RawMessage, at string) {
			if json.Unmarshal(raw, &hook.URL) != nil || len(hook.URL) > maxURL {
				d.fail(at, "wrong_type", "`webhook.url` is an https address", nil, "")
			} else if err := webhooks.CheckURL(hook.URL); err != nil {
				d.fail(at, "bad_url", "`webhook.url`: "+err.Error(), nil, "")
			}
		},
		"events": func(raw json.RawMessage, at string) {
			if json.Unmarshal(raw, &hook.Events) != nil {
				d.fail(at, "wrong_type", "`webhook.events` is a list of event types", jobs.HookEvents, "")
			}
			for i, e := range hook.Events {
				if !slices.Contains(jobs.HookEvents, e) {
					d.fail(fmt.Sprintf("%s/%d", at, i), "not_in_list", "there is no event `"+e+"`", jobs.HookEvents, diag.Suggest(e, jobs.HookEvents))
				}
			}
		},
	})
	if hook.URL == "" && len(d.faults) == 0 {
		d.fail(at+"/url", "required", "`webhook.url` is needed", nil, "")
	}
	d.req.Webhook = hook
}

// maxMetadata bounds the bytes of a job's metadata.
const maxMetadata = 16 << 10

func (d *decoder) metadata(raw json.RawMessage, at string) {
	var meta map[string]string
	if json.Unmarshal(raw, &meta) != nil || len(raw) > maxMetadata {
		d.fail(at, "wrong_type", "`metadata` maps names to text, 16 KiB at most", nil, "")
		return
	}
	d.req.Metadata = raw
}

func (d *decoder) mode(raw json.RawMessage, at string) {
	if json.Unmarshal(raw, &d.req.Mode) != nil || d.req.Mode != "url" && d.req.Mode != "data" {
		d.fail(at, "not_in_list", "`outputs.mode` is url or data", []string{"url", "data"}, diag.Suggest(d.req.Mode, []string{"url", "data"}))
	}
}

func (d *decoder) priority(raw json.RawMessage, at string) {
	if json.Unmarshal(raw, &d.req.Priority) != nil || d.req.Priority < -100 || d.req.Priority > 100 {
		d.fail(at, "out_of_range", "`queue.priority` is a whole number from -100 to 100", map[string]int{"min": -100, "max": 100}, "")
	}
}

// maxSeconds bounds what a caller may ask for, a week.
const maxSeconds = 7 * 24 * 3600

func (d *decoder) seconds(to *int64) func(json.RawMessage, string) {
	return func(raw json.RawMessage, at string) {
		var s float64
		if json.Unmarshal(raw, &s) != nil || s <= 0 || s > maxSeconds {
			d.fail(at, "out_of_range", named(at)+" is a number of seconds above 0", map[string]int{"max": maxSeconds}, "")
			return
		}
		*to = max(int64(s*1000), 1)
	}
}

// absent says of a field that this release does not serve it.
func (d *decoder) absent(hint string) func(json.RawMessage, string) {
	return func(_ json.RawMessage, at string) {
		d.fail(at, "not_supported", named(at)+" is not served by this runner; "+hint, nil, "")
	}
}

func escaped(name string) string { return pointer(name)[len("/input/"):] }
