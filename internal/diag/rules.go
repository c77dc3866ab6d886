package diag

import "sort"

// Rule is one check: its id, its level, what it is about and why.
type Rule struct {
	ID    string
	Level Severity
	// Title is the rule in one line, lower case.
	Title string
	// Server is the ComfyUI error type that it foresees, if any.
	Server string
	// Why says what would happen otherwise.
	Why string
	// Bad and Good are examples.
	Bad, Good string
}

// Rules lists every rule, by id.
func Rules() []Rule {
	list := append([]Rule{}, rules...)
	sort.Slice(list, func(i, j int) bool { return list[i].ID < list[j].ID })
	return list
}

// Lookup finds a rule by its id.
func Lookup(id string) (Rule, bool) {
	for _, r := range rules {
		if r.ID == id {
			return r, true
		}
	}
	return Rule{}, false
}
