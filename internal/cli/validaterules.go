package cli

import (
	"path"
	"slices"
	"strings"

	"github.com/comfyctl/comfyctl/internal/diag"
)

// chooseRules settles the patterns of --rule; nil means all rules. A pattern
// that no rule fits is an error: it would silence everything.
func chooseRules(patterns []string) (map[string]bool, error) {
	if len(patterns) == 0 {
		return nil, nil
	}
	chosen := map[string]bool{}
	var ids []string
	for _, r := range diag.Rules() {
		ids = append(ids, r.ID)
	}
	for _, p := range patterns {
		fits := 0
		for _, id := range ids {
			ok, err := path.Match(strings.ToUpper(p), id)
			if err != nil {
				return nil, usageError("bad_rule", "--rule "+p+" is no pattern", "write an id, or a pattern such as CW1*")
			}
			if ok {
				chosen[id] = true
				fits++
			}
		}
		if fits > 0 {
			continue
		}
		help := "write an id, or a pattern such as CW1*; `comfyctl help rules` lists them"
		if near := diag.Suggest(p, ids); near != "" {
			help = "did you mean `" + near + "`?"
		}
		return nil, usageError("bad_rule", "there is no rule `"+p+"`", help)
	}
	return chosen, nil
}

// onlyRules keeps the findings of the chosen rules.
func onlyRules(list []diag.Diagnostic, chosen map[string]bool) []diag.Diagnostic {
	if chosen == nil {
		return list
	}
	return slices.DeleteFunc(list, func(d diag.Diagnostic) bool { return !chosen[d.Code] })
}
