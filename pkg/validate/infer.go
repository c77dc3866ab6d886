package validate

import (
	"fmt"
	"strings"

	"github.com/comfyctl/comfyctl/internal/diag"
	"github.com/comfyctl/comfyctl/pkg/contract"
	"github.com/comfyctl/comfyctl/pkg/infer"
)

// inferred proposes inputs for a graph whose service file lists none: what
// people change between runs.
func (x *resolver) inferred(r ref) []contract.Input {
	list := append([]contract.Input{}, infer.Inputs(x.g, x.cat)...)
	var lines []string
	for _, in := range list {
		var to []string
		for _, t := range in.To {
			to = append(to, t.Node+"."+t.Input)
		}
		target := strings.Join(to, ", ")
		if len(to) > 1 {
			target = "[" + target + "]"
		}
		lines = append(lines, fmt.Sprintf("  %s: %s", in.Name, target))
	}
	d := diag.Diagnostic{Code: "CY110", Severity: diag.SeverityNote, Message: fmt.Sprintf("%s inferred from %s", plural(len(list), "input is", "inputs are"), r.w.File),
		Help: "write them down to fix the API:\ninputs:\n" + strings.Join(lines, "\n")}
	if len(lines) == 0 {
		d.Help = "nothing in the graph looks like an input; write them down under `inputs:`"
	}
	at := r.in
	if !x.l.plan.Service.Has(at) {
		at = r.at
	}
	x.l.key(at, d)
	return list
}
