package validate

import (
	"strings"

	"github.com/comfyctl/comfyctl/internal/diag"
	"github.com/comfyctl/comfyctl/pkg/catalog"
	"github.com/comfyctl/comfyctl/pkg/workflow"
)

// maxGuesses bounds how often names are guessed in one graph: each compares one
// name with hundreds, and nobody reads more.
const maxGuesses = 100

// meant is the name that somebody most likely meant, or "".
func (c *checker) meant(got string, candidates []string) string {
	if c.guesses++; c.guesses > maxGuesses {
		return ""
	}
	return diag.Suggest(got, candidates)
}

// meantClass is the class that somebody most likely meant: one with that title
// in the editor, or one that is spelt alike.
func (c *checker) meantClass(class string) string {
	if s, ok := c.meantClasses[class]; ok {
		return s
	}
	names := c.cat.Names()
	best := ""
	if c.guesses < maxGuesses && strings.Contains(class, " ") { // titles have spaces; to look through them decodes every class
		for _, n := range names {
			if cl, ok := c.cat.Class(n); ok && cl.Title == class && !cl.Deprecated {
				best = n
				break
			}
		}
	}
	if best == "" {
		best = c.meant(class, names)
	}
	if c.meantClasses == nil {
		c.meantClasses = map[string]string{}
	}
	c.meantClasses[class] = best
	return best
}

// meantNode is the node that a broken link was most likely to: one whose output
// fits, and the one with the most alike id where several do.
func (c *checker) meantNode(n *workflow.Node, in *workflow.Input, s *catalog.InputSpec) string {
	if c.guesses > maxGuesses {
		return ""
	}
	var ids []string
	for _, from := range c.g.Nodes {
		cl := c.classes[from.ID]
		if from == n || s != nil && cl != nil && (in.Link.Slot < 0 || in.Link.Slot >= len(cl.Outputs) || !fits(cl.Outputs[in.Link.Slot].Type, s)) {
			continue
		}
		ids = append(ids, from.ID)
	}
	if len(ids) == 1 && s != nil && s.Type != "*" {
		return ids[0]
	}
	return c.meant(in.Link.Node, ids)
}
