package report

import (
	"fmt"
	"io"
	"strings"

	"github.com/comfyctl/comfyctl/internal/diag"
)

// cell escapes what would end a table's cell or start markup.
var cell = strings.NewReplacer("|", "\\|", "\n", " ", "<", "&lt;")

// Markdown writes findings as a table under a heading.
func Markdown(w io.Writer, f Findings) error {
	var b strings.Builder
	fmt.Fprintf(&b, "### Check\n\n%s\n\n", cell.Replace(f.Line))
	if len(f.List) > 0 {
		b.WriteString("| | Rule | Where | What | Help |\n|---|---|---|---|---|\n")
	}
	for _, d := range f.List {
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s |\n", d.Severity, d.Code, cell.Replace(diag.Safe(f.place(d.Span))), cell.Replace(diag.Safe(d.Message)), cell.Replace(diag.Safe(d.Help)))
	}
	b.WriteString("\n")
	_, err := io.WriteString(w, b.String())
	return err
}
