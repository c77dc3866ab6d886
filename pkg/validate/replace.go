package validate

import (
	"slices"

	"github.com/comfyctl/comfyctl/internal/diag"
	"github.com/comfyctl/comfyctl/pkg/catalog"
	"github.com/comfyctl/comfyctl/pkg/workflow"
)

// replace rewrites nodes of classes that the release has no more, as ComfyUI
// does before it validates.
func (c *checker) replace() {
	if !c.since(0, 14) {
		return
	}
	nodes := slices.Clone(c.g.Nodes)
	for i, n := range nodes {
		if r, ok := c.cat.Replaced(n.Class); ok && n.HasInputs {
			if c.was == nil {
				c.was = map[string]string{}
			}
			c.was[n.ID] = n.Class
			nodes[i] = c.replaced(n, r)
		}
	}
	if c.was != nil {
		c.g = workflow.New(c.g.File, c.g.Source, c.g.Pointer, c.g.Span, nodes)
	}
}

func (c *checker) replaced(n *workflow.Node, r catalog.Replacement) *workflow.Node {
	now := *n
	now.Class, now.Inputs = r.Class, nil
	for _, m := range r.Inputs {
		in := workflow.Input{Name: m.To, Raw: m.Value, Kind: workflow.String, Text: text(m.Value), Pointer: n.Pointer, KeySpan: n.KeySpan, ValueSpan: n.ClassSpan}
		if m.From != "" {
			old := n.Input(m.From)
			if old == nil {
				c.unreplaceable(n, m.From)
				continue
			}
			in = *old
			in.Name = m.To
		}
		now.Inputs = append(now.Inputs, &in)
	}
	return &now
}

// unreplaceable reports an input that ComfyUI needs for the replacement; it
// answers 500 without it.
func (c *checker) unreplaceable(n *workflow.Node, input string) {
	c.add(n, diag.Diagnostic{Code: "CW103", Message: "required input `" + input + "` of node `" + n.ID + "` is missing", Span: n.ClassSpan,
		Label: "ComfyUI replaces this class and fails without the input", Help: "add it, or use a class that ComfyUI " + c.o.ComfyUI + " has", Pointer: n.Pointer + "/inputs", Input: input})
}
