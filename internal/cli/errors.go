package cli

import (
	"errors"
	"fmt"
	"strings"

	"github.com/comfyctl/comfyctl/internal/diag"
	"github.com/comfyctl/comfyctl/internal/term"
)

// showError writes an error for people: what, where, what to do.
func (a *App) showError(err error) {
	con := a.console()
	s := con.Err
	var d *diag.Error
	if !errors.As(err, &d) {
		con.Alert("%s%s", s.Paint(term.Bad, "error"), ": "+diag.Safe(err.Error()))
		return
	}
	var b strings.Builder
	head := "error"
	if d.Code != "" {
		head += "[" + d.Code + "]"
	}
	fmt.Fprintf(&b, "%s%s\n", s.Paint(term.Bad, head), s.Paint(term.Bold, ": "+diag.Safe(inContext(err, d))))
	facts := d.Facts
	if d.Help != "" {
		facts = append(facts[:len(facts):len(facts)], [2]string{"help", d.Help})
	}
	for _, f := range facts {
		lines := strings.Split(strings.TrimRight(diag.Safe(f[1]), "\n"), "\n")
		fmt.Fprintf(&b, "  %s %s %s\n", s.Paint(term.Dim, "="), s.Paint(term.Help, f[0]+":"), lines[0])
		for _, l := range lines[1:] {
			fmt.Fprintf(&b, "    %s%s\n", strings.Repeat(" ", len(f[0])+2), l)
		}
	}
	con.Alert("%s", b.String())
}

// inContext is the message with what wrappers added in front of it.
func inContext(err error, d *diag.Error) string {
	text := err.Error()
	if text == d.Error() {
		return text
	}
	return strings.TrimSuffix(text, ": "+d.Error()) + ": " + d.Error()
}

// showFindings writes findings as frames to stderr.
func (a *App) showFindings(list []diag.Diagnostic) error {
	con := a.console()
	if con.Quiet {
		var worst []diag.Diagnostic
		for _, d := range list {
			if d.Severity == diag.SeverityError {
				worst = append(worst, d)
			}
		}
		list = worst
	}
	var b strings.Builder
	if err := diag.Render(&b, list, a.sources, a.style(con.Err)); err != nil {
		return err
	}
	if b.Len() > 0 {
		con.Alert("%s", b.String())
	}
	return nil
}

func (a *App) style(s *term.Stream) diag.Style {
	return diag.Style{Paint: s.Paint, Width: 100}
}
