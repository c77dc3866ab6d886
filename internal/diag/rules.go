package diag

import (
	"slices"
	"strings"
	"sync"
)

// Rule is one check: its id, its level, what it is about and why.
type Rule struct {
	ID    string
	Level Severity
	// CI is the level in a pipeline, where it differs.
	CI Severity
	// Online is set for rules that only the network decides: `validate --online`.
	Online bool
	// Title is the rule in one line, lower case.
	Title string
	// Server lists the ComfyUI error types that it foresees, if any.
	Server []string
	// Why says what would happen otherwise.
	Why string
	// Bad and Good are examples, Mend says how to get from one to the other.
	Bad, Good, Mend string
}

// Rules lists every rule, by id.
func Rules() []Rule { return slices.Clone(catalogue().list) }

// Lookup finds a rule by its id.
func Lookup(id string) (Rule, bool) {
	c := catalogue()
	at, ok := c.at[id]
	if !ok {
		return Rule{}, false
	}
	return c.list[at], true
}

type index struct {
	list []Rule
	at   map[string]int
}

var catalogue = sync.OnceValue(func() index {
	list := slices.Concat(serviceRules, graphRules, modelRules, packRules, onlineRules)
	slices.SortFunc(list, func(a, b Rule) int { return strings.Compare(a.ID, b.ID) })
	at := make(map[string]int, len(list))
	for i, r := range list {
		at[r.ID] = i
	}
	return index{list, at}
})
