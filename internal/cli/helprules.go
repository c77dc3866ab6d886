package cli

import (
	"fmt"
	"path"
	"strings"

	"github.com/comfyctl/comfyctl/internal/diag"
	"github.com/comfyctl/comfyctl/internal/term"
)

// rulePage is a rule for tools.
type rulePage struct {
	ID     string        `json:"id"`
	Title  string        `json:"title"`
	Level  diag.Severity `json:"level"`
	CI     diag.Severity `json:"level_in_ci,omitempty"`
	Online bool          `json:"online"`
	Server []string      `json:"server"`
	Why    string        `json:"why"`
	Bad    string        `json:"bad"`
	Good   string        `json:"good"`
	Mend   string        `json:"mend"`
}

func pageOf(r diag.Rule) rulePage {
	return rulePage{r.ID, r.Title, r.Level, r.CI, r.Online, append([]string{}, r.Server...), r.Why, r.Bad, r.Good, r.Mend}
}

// rulesNamed are the rules that a topic of help names: all of them, those that
// begin so, those of a pattern. One whole id is a page and not a list.
func rulesNamed(topic string) []diag.Rule {
	topic = strings.ToUpper(topic)
	var list []diag.Rule
	for _, r := range diag.Rules() {
		ok, err := path.Match(topic, r.ID)
		if topic == "RULES" || err == nil && ok || len(topic) >= 2 && strings.HasPrefix(r.ID, topic) {
			list = append(list, r)
		}
	}
	return list
}

// helpRules lists rules, a line each.
func (a *App) helpRules(list []diag.Rule) string {
	s := a.console().Out
	var b strings.Builder
	for i, r := range list {
		if i > 0 && r.ID[:2] != list[i-1].ID[:2] {
			b.WriteByte('\n')
		}
		level := string(r.Level)
		if r.CI != "" {
			level += ", " + string(r.CI) + " in CI"
		}
		if r.Online {
			level += ", --online"
		}
		fmt.Fprintf(&b, "%s  %-24s %s\n", s.Paint(term.Bold, r.ID), level, r.Title)
	}
	b.WriteString("\n`comfyctl help RULE` explains one; `checks: { RULE: off }` turns it off.\n")
	return b.String()
}
