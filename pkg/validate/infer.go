package validate

import (
	"strings"

	"github.com/comfyctl/comfyctl/internal/diag"
	"github.com/comfyctl/comfyctl/pkg/contract"
	"github.com/comfyctl/comfyctl/pkg/infer"
)

// inferred is what callers may change where the service file does not say, with
// a note that shows what to write down.
func (x *resolver) inferred(r ref) []contract.Input {
	list := infer.Inputs(x.g, x.cat)
	lines := "inputs:"
	for _, in := range list {
		var to []string
		for _, t := range in.To {
			to = append(to, t.Node+"."+t.Input)
		}
		text := strings.Join(to, ", ")
		if len(to) > 1 {
			text = "[" + text + "]"
		}
		lines += "\n  " + in.Name + ": " + text
	}
	d := diag.Diagnostic{Code: "CY110", Severity: diag.SeverityNote, Message: plural(len(list), "input is", "inputs are") + " inferred from `" + r.w.File + "`",
		Help: "write them down to fix the API:\n" + lines}
	if len(list) == 0 {
		list = []contract.Input{}
		d.Help = "nothing in the graph looks like an input; write them down under `inputs:`"
	}
	at := r.in
	if !x.l.plan.Service.Has(at) {
		at = r.at
	}
	x.l.key(at, d)
	return list
}
