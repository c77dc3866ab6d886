package lock

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/comfyctl/comfyctl/internal/diag"
	"github.com/comfyctl/comfyctl/pkg/lock/resolve"
)

// Suggestion is a pack that would answer questions, as lines for `nodes:`.
type Suggestion struct {
	Repo, Registry string
	Classes        []string
}

// Lines are the suggestion as an entry of `nodes:`.
func (s Suggestion) Lines() []string {
	first := "repo: " + s.Repo
	if s.Repo == "" {
		first = "registry: " + s.Registry
	}
	quoted := make([]string, len(s.Classes))
	for i, c := range s.Classes {
		quoted[i] = strconv.Quote(c)
	}
	return []string{first, "classes: [" + strings.Join(quoted, ", ") + "]"}
}

// Unresolved is the error for classes that nobody can place without asking.
type Unresolved struct {
	Problem   *diag.Error
	Questions []resolve.Question
	// Suggestions are the packs at the top of the questions that have candidates;
	// All is set where they would answer everything.
	Suggestions []Suggestion
	All         bool
}

// Error is the headline.
func (u *Unresolved) Error() string { return u.Problem.Error() }

// Unwrap gives the error for people.
func (u *Unresolved) Unwrap() error { return u.Problem }

// maxShown is how many candidates of a class an error shows.
const maxShown = 5

// ask makes the error for open questions: who claims each class, and what to
// write down.
func (m *maker) ask(list []resolve.Question) error {
	e := &diag.Error{Code: "packs_unresolved", Class: diag.ClassCheck}
	u := &Unresolved{Questions: list, All: true, Problem: e}
	several, none := 0, 0
	for _, q := range list {
		if len(q.Candidates) > 0 {
			several++
			u.suggest(q)
			e.Facts = append(e.Facts, [2]string{q.Class, table(q.Candidates)})
			continue
		}
		none++
		u.All = false
		e.Facts = append(e.Facts, [2]string{q.Class, m.why(q)})
	}
	switch {
	case none == 0:
		e.Message = fmt.Sprintf("several node packs could give %s", classes(several))
	case several == 0:
		e.Message = fmt.Sprintf("no node pack is known that gives %s", classes(none))
	default:
		e.Message = fmt.Sprintf("several node packs could give %s, and none is known for %d more", classes(several), none)
	}
	if len(u.Suggestions) > 0 {
		e.Help = "write the pack that you mean into comfyctl.yaml; the first of each would be:\nnodes:"
		for _, s := range u.Suggestions {
			e.Help += "\n  - " + strings.Join(s.Lines(), "\n    ")
		}
		e.Help += "\nor run `comfyctl lock --accept-suggested`, which writes that"
	} else {
		e.Help = "correct the class in the workflow, or list its pack under `nodes:` with repo:, registry: or path:"
	}
	e.Details = map[string]any{"questions": details(list)}
	return u
}

func classes(n int) string {
	if n == 1 {
		return "a class"
	}
	return fmt.Sprintf("%d classes", n)
}

func (u *Unresolved) suggest(q resolve.Question) {
	top := q.Candidates[0]
	for i := range u.Suggestions {
		s := &u.Suggestions[i]
		if (resolve.Pack{Repo: s.Repo, Registry: s.Registry}).Same(top.Pack) {
			s.Classes = append(s.Classes, q.Class)
			return
		}
	}
	u.Suggestions = append(u.Suggestions, Suggestion{Repo: top.Repo, Registry: top.Registry, Classes: []string{q.Class}})
}

// table lists candidates, one a line.
func table(list []resolve.Candidate) string {
	var b strings.Builder
	for i, c := range list {
		if i == maxShown {
			fmt.Fprintf(&b, "and %d more\n", len(list)-i)
			break
		}
		name := c.Repo
		if name == "" {
			name = "registry: " + c.Registry
		}
		fmt.Fprintf(&b, "%-60s", name)
		if c.Stars > 0 {
			fmt.Fprintf(&b, "  %5d stars", c.Stars)
		}
		if c.Updated != "" {
			fmt.Fprintf(&b, "  changed %s", c.Updated)
		}
		if c.Rule == resolve.RuleAux {
			b.WriteString("  only the workflow names it")
		}
		b.WriteString("\n")
	}
	return strings.TrimRight(b.String(), "\n")
}

func (m *maker) why(q resolve.Question) string {
	switch {
	case q.Subgraph:
		return "is the id of a subgraph that was never unpacked; export the workflow with Export (API)"
	case q.Core:
		if v := releaseWith(q.Class); v != "" {
			return "belongs to ComfyUI itself, which has it in " + v + "; the service file asks for " + m.plan.Core.Version
		}
		return "belongs to ComfyUI itself, of another release than " + m.plan.Core.Version
	}
	if v := releaseWith(q.Class); v != "" {
		return "ComfyUI " + v + " has it itself; the service file asks for " + m.plan.Core.Version
	}
	if len(q.Near) > 0 {
		return "is unknown; similar: " + strings.Join(q.Near, ", ")
	}
	return "is unknown"
}

func details(list []resolve.Question) []map[string]any {
	out := []map[string]any{}
	for _, q := range list {
		candidates := []map[string]any{}
		for _, c := range q.Candidates {
			candidates = append(candidates, map[string]any{"repo": c.Repo, "registry": c.Registry, "title": c.Title, "stars": c.Stars, "updated": c.Updated})
		}
		out = append(out, map[string]any{"class": q.Class, "candidates": candidates, "near": slices.Concat([]string{}, q.Near)})
	}
	return out
}
