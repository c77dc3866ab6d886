package cli

import (
	"strings"

	"github.com/mattn/go-runewidth"

	"github.com/comfyctl/comfyctl/internal/diag"
	"github.com/comfyctl/comfyctl/internal/term"
	"github.com/comfyctl/comfyctl/pkg/service"
)

// merged is a service file with its environment and defaults.
type merged struct {
	File  string         `json:"file"`
	Lines []service.Line `json:"lines"`
}

// originColumn is where origins begin, unless the value is longer.
const originColumn = 38

// printMerged writes the merged file to stdout; findings go to stderr.
func (a *App) printMerged(p *project, list []diag.Diagnostic) error {
	if a.flags.Output != formatText || p.Service == nil {
		return nil
	}
	if err := a.showFindings(list); err != nil {
		return err
	}
	out := a.console().Out
	var b strings.Builder
	for _, l := range p.Service.Merged(p.Defaults()) {
		text := diag.Safe(l.Text)
		b.WriteString(text)
		if l.Origin != "" {
			pad := max(2, originColumn-runewidth.StringWidth(text))
			b.WriteString(strings.Repeat(" ", pad) + out.Paint(term.Dim, "# "+diag.Safe(l.Origin)))
		}
		b.WriteByte('\n')
	}
	return a.print(b.String())
}
