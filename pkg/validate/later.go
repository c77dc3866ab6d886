package validate

import "github.com/comfyctl/comfyctl/internal/diag"

// Later applies ignore comments, `checks:` and strictness to findings that were
// made after Load, such as those of the network.
func (p *Plan) Later(list []diag.Diagnostic, strict bool) []diag.Diagnostic {
	l := &loader{o: Options{Strict: strict}, plan: p, list: list}
	if p.Service != nil {
		level := map[string]diag.Severity{}
		for _, c := range p.Service.Checks {
			level[c.Name] = diag.Severity(c.Level)
		}
		l.silence(level)
	}
	l.strict()
	return l.list
}
