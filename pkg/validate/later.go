package validate

import "github.com/comfyctl/comfyctl/internal/diag"

// Later applies ignore comments, `checks:` and strictness to findings that were
// made after Load, such as those of the network.
func (p *Plan) Later(list []diag.Diagnostic, strict bool) []diag.Diagnostic {
	l := &loader{o: Options{Strict: strict}, plan: p, list: list}
	l.silence(l.checks())
	return l.list
}
