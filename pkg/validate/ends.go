package validate

import (
	"slices"

	"github.com/comfyctl/comfyctl/internal/diag"
	"github.com/comfyctl/comfyctl/pkg/workflow"
)

// previews are output classes whose files go to ComfyUI's temp folder, which
// is emptied when it starts.
var previews = []string{"PreviewImage", "MaskPreview", "PreviewAudio", "ImageCompare", "Preview3D", "Preview3DAdvanced", "Preview3DAnimation",
	"PreviewGaussianSplat", "PreviewPointCloud", "SAM3_TrackPreview"}

// outputs finds the nodes that make the graph run. A node of unknown class that
// nothing uses may be one.
func (c *checker) outputs() {
	c.used = c.g.Consumers()
	var ids []string
	known := 0
	for _, n := range c.g.Nodes {
		cl := c.classes[n.ID]
		switch {
		case cl != nil && cl.OutputNode:
			known++
		case cl == nil && n.Class != "" && len(c.used[n.ID]) == 0:
		default:
			continue
		}
		c.ends = append(c.ends, n)
		ids = append(ids, n.ID)
	}
	c.reached = c.g.Ancestors(ids...)
	switch {
	case len(ids) == 0 && !c.unknown:
		c.noOutput()
	case known > 0 && known == len(ids) && !slices.ContainsFunc(c.ends, func(n *workflow.Node) bool { return !slices.Contains(previews, n.Class) }):
		n := c.ends[0]
		c.add(n, diag.Diagnostic{Code: "CW108", Severity: diag.SeverityWarning, Span: n.ClassSpan, Message: "the workflow only previews, it saves nothing",
			Label: "previews go to a folder that ComfyUI empties when it starts", Help: "use a save node such as `SaveImage`"})
	}
}

// idle reports nodes that feed no output. Where a link is missing or cannot be
// followed that is the cause, and it has been said.
func (c *checker) idle() {
	broken := func(d diag.Diagnostic) bool {
		return slices.Contains([]string{"CW004", "CW010", "CW011", "CW103"}, d.Code)
	}
	if len(c.ends) == 0 || slices.ContainsFunc(c.list, broken) {
		return
	}
	for _, n := range c.g.Nodes {
		if n.Class == "" || c.reached[n.ID] {
			continue
		}
		if len(c.used[n.ID]) == 0 || !slices.ContainsFunc(c.used[n.ID], func(e workflow.Edge) bool { return !c.reached[e.To.ID] && e.To.Class != "" }) {
			c.add(n, diag.Diagnostic{Code: "CW009", Severity: diag.SeverityWarning, Span: n.KeySpan,
				Message: "node `" + n.ID + "` (" + n.Class + ") feeds no output", Label: "neither it nor what it alone needs is run", Help: "remove it, or link it"})
		}
	}
}

func (c *checker) noOutput() {
	span := c.g.Span
	span.End = span.Start
	span.End.Offset++
	span.End.Column++
	c.whole = true
	c.list = append(c.list, diag.Diagnostic{Code: "CW008", Severity: diag.SeverityError, Message: "the workflow has no output node", Span: span, Pointer: c.g.Pointer,
		Label: "ComfyUI runs only what an output node needs", Help: "add a save node such as `SaveImage`", Server: "prompt_no_outputs"})
}

// partial reports outputs that ComfyUI would drop without a word while it runs
// the others.
func (c *checker) partial() {
	if c.whole {
		return
	}
	var dropped []*workflow.Node
	needs := map[string]map[string]bool{}
	for _, n := range c.ends {
		needs[n.ID] = c.g.Ancestors(n.ID)
		for id := range needs[n.ID] {
			if c.bad[id] {
				dropped = append(dropped, n)
				break
			}
		}
	}
	if len(dropped) == 0 || len(dropped) == len(c.ends) {
		return
	}
	causes := slices.Clone(c.list)
	for _, n := range dropped {
		d := diag.Diagnostic{Code: "CW109", Span: n.KeySpan, Message: "output node `" + n.ID + "` is invalid while others are fine",
			Label: "ComfyUI would leave this one out, run the rest and answer 200", Help: "mend the errors it depends on, or remove the node"}
		for _, cause := range causes {
			if cause.Severity == diag.SeverityError && cause.Node != nil && needs[n.ID][cause.Node.ID] && len(d.Related) < maxCauses {
				d.Related = append(d.Related, diag.Related{Span: cause.Span, Label: "because of this (" + cause.Code + ")"})
			}
		}
		c.add(n, d)
	}
}

// maxCauses is how many causes one finding shows; each has its own finding.
const maxCauses = 3
