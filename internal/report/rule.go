package report

import (
	"fmt"
	"strings"

	"github.com/comfyctl/comfyctl/internal/diag"
)

// ruleText is a rule's page as plain text.
func ruleText(r diag.Rule) string {
	var b strings.Builder
	b.WriteString(r.Why)
	if len(r.Server) > 0 {
		b.WriteString("\nComfyUI's own answer would be: " + strings.Join(r.Server, ", or "))
	}
	if r.Bad != "" {
		b.WriteString("\nBad: " + r.Bad)
	}
	if r.Good != "" {
		b.WriteString("\nGood: " + r.Good)
	}
	b.WriteString("\nMend it: " + r.Mend)
	fmt.Fprintf(&b, "\nTurn it off: checks: { %s: off }", r.ID)
	return b.String()
}

// ruleMarkdown is a rule's page as Markdown.
func ruleMarkdown(r diag.Rule) string {
	var b strings.Builder
	b.WriteString(r.Why + "\n")
	if len(r.Server) > 0 {
		b.WriteString("\nComfyUI's own answer would be `" + strings.Join(r.Server, "`, or `") + "`.\n")
	}
	for _, e := range [][2]string{{"Bad", r.Bad}, {"Good", r.Good}} {
		if e[1] != "" {
			fmt.Fprintf(&b, "\n**%s**\n\n```\n%s\n```\n", e[0], e[1])
		}
	}
	b.WriteString("\n" + r.Mend + "\n")
	fmt.Fprintf(&b, "\nTurn it off with `checks: { %s: off }`.\n", r.ID)
	return b.String()
}
