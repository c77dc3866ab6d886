package validate

import (
	"slices"

	"github.com/comfyctl/comfyctl/internal/diag"
)

// Later adds findings that were made after Load, such as those of the network,
// to those of Load: ignore comments, `checks:` and strictness apply to them
// too. The result is in reading order.
func (p *Plan) Later(list, more []diag.Diagnostic, strict bool) []diag.Diagnostic {
	l := &loader{o: Options{Strict: strict}, plan: p, list: slices.Clone(more)}
	l.silence(l.checks())
	l.list = slices.Concat(list, l.list)
	l.sort()
	return l.list
}
