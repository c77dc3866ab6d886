package validate

import (
	"fmt"
	"slices"
	"strings"

	"github.com/comfyctl/comfyctl/internal/diag"
	"github.com/comfyctl/comfyctl/pkg/catalog"
	"github.com/comfyctl/comfyctl/pkg/workflow"
)

// link checks an array value; s is nil where the input's type is not known.
func (c *checker) link(n *workflow.Node, in *workflow.Input, s *catalog.InputSpec) {
	if in.Malformed != workflow.NotMalformed {
		c.malformed(n, in)
		return
	}
	if in.Link == nil {
		return
	}
	from := c.g.Node(in.Link.Node)
	if from == nil {
		c.dangling(n, in, s, c.raised(n))
		return
	}
	cl := c.classes[from.ID]
	if cl == nil {
		return
	}
	slot := in.Link.Slot
	if slot < 0 {
		slot += len(cl.Outputs)
	}
	if slot < 0 || slot >= len(cl.Outputs) {
		c.add(n, diag.Diagnostic{Code: "CW011", Message: fmt.Sprintf("node `%s` has no output slot %d", from.ID, in.Link.Slot), Span: in.ValueSpan,
			Label: slots(cl), Help: slotHelp(cl, s), Pointer: in.Pointer, Input: in.Name, Server: c.raised(n)})
		return
	}
	own := c.own(n)
	switch {
	case s == nil:
	case own != nil && own.Types != "":
		if own.Types == in.Name && !fits(cl.Outputs[slot].Type, s) {
			c.mismatch(n, in, s, from, cl, slot)
		}
	case !fits(cl.Outputs[slot].Type, s):
		c.mismatch(n, in, s, from, cl, slot)
	case own != nil && own.File == in.Name && !own.OrNone:
		c.mismatch(n, in, s, from, cl, slot)
	}
}

// dangling reports a link to a node that is not there. A link of an input that
// the class does not have is only met when the graph runs, and kills ComfyUI's
// worker.
func (c *checker) dangling(n *workflow.Node, in *workflow.Input, s *catalog.InputSpec, server string) {
	help := "remove the link, or give the node that it came from"
	if id := c.meantNode(n, in, s); id != "" {
		help = "did you mean node `" + id + "`?"
	}
	c.add(n, diag.Diagnostic{Code: "CW004", Message: "`" + in.Name + "` of node `" + n.ID + "` is linked to a node that is not there",
		Span: in.ValueSpan, Label: "no node has the id `" + in.Link.Node + "`", Help: help, Pointer: in.Pointer, Input: in.Name, Server: server})
}

// refusal is the error type of a link that ComfyUI refuses: a class that looks
// at a file name itself raises where there is none.
func (c *checker) refusal(n *workflow.Node, in *workflow.Input, typ string) string {
	own := c.own(n)
	switch {
	case own == nil:
	case own.File == in.Name && (!own.OrNone || typ == "bad_linked_input" && !falsy(in.Raw)):
		return c.raised(n)
	case own.Types == in.Name && typ == "return_type_mismatch":
		return "custom_validation_failed"
	}
	return typ
}

func (c *checker) malformed(n *workflow.Node, in *workflow.Input) {
	label, server := "a link is [\"node id\", slot]", c.raised(n)
	switch in.Malformed {
	case workflow.WrongLength:
		label, server = "ComfyUI takes every list for a link: [\"node id\", slot]", c.refusal(n, in, "bad_linked_input")
	case workflow.WrongNode:
		label = "the node id of a link is a string"
	case workflow.WrongSlot:
		label = "the slot of a link is a whole number"
	}
	c.add(n, diag.Diagnostic{Code: "CW010", Message: "`" + in.Name + "` of node `" + n.ID + "` is not a proper link", Span: in.ValueSpan, Label: label,
		Help: "for a list that is a value write {\"__value__\": [...]}", Pointer: in.Pointer, Input: in.Name, Server: server})
}

func (c *checker) mismatch(n *workflow.Node, in *workflow.Input, s *catalog.InputSpec, from *workflow.Node, cl *catalog.Class, slot int) {
	help := ""
	for i, out := range cl.Outputs {
		if fits(out.Type, s) {
			help = fmt.Sprintf("slot %d of node `%s` gives %s", i, from.ID, out.Type)
			break
		}
	}
	if help == "" {
		help = "link a node that gives " + s.Type
	}
	severity := diag.SeverityError
	if custom(cl) || custom(c.classes[n.ID]) {
		severity = diag.SeverityWarning // packs compare types in their own way
	}
	c.add(n, diag.Diagnostic{Code: "CW012", Severity: severity, Span: in.ValueSpan, Pointer: in.Pointer, Input: in.Name, Server: c.refusal(n, in, "return_type_mismatch"),
		Message: fmt.Sprintf("`%s` of node `%s` takes %s, not %s", in.Name, n.ID, s.Type, cl.Outputs[slot].Type),
		Label:   fmt.Sprintf("slot %d of node `%s` (%s) gives %s", in.Link.Slot, from.ID, from.Class, cl.Outputs[slot].Type), Help: help})
}

// raised is the error type that ComfyUI gives where its own validation raises
// on this node.
func (c *checker) raised(n *workflow.Node) string {
	if cl := c.classes[n.ID]; cl != nil && cl.OutputNode {
		return "exception_during_validation"
	}
	return "exception_during_inner_validation"
}

// fits reports whether an output type may be linked to an input, by ComfyUI's
// rules: equal, a wildcard on either side, or a common member of two comma
// lists. INT does not fit FLOAT.
func fits(out string, s *catalog.InputSpec) bool {
	in := s.Type
	if out == in || strings.HasPrefix(in, "COMFY_") || strings.HasPrefix(out, "COMFY_") {
		return true
	}
	outs, ins := strings.Split(out, ","), strings.Split(in, ",")
	for i := range outs {
		outs[i] = strings.TrimSpace(outs[i])
	}
	if slices.Contains(outs, "*") {
		return true
	}
	for _, t := range ins {
		if t = strings.TrimSpace(t); t == "*" || slices.Contains(outs, t) {
			return true
		}
	}
	return false
}

func custom(cl *catalog.Class) bool {
	return cl != nil && strings.HasPrefix(cl.Module, "custom_nodes")
}

// slots says which output slots a class has.
func slots(cl *catalog.Class) string {
	if len(cl.Outputs) == 0 {
		return "`" + cl.Name + "` has no outputs"
	}
	var list []string
	for i, o := range cl.Outputs {
		list = append(list, fmt.Sprintf("%d %s", i, o.Type))
	}
	return "`" + cl.Name + "` has " + strings.Join(list, ", ")
}

func slotHelp(cl *catalog.Class, s *catalog.InputSpec) string {
	if s != nil {
		for i, o := range cl.Outputs {
			if fits(o.Type, s) {
				return fmt.Sprintf("slot %d gives %s", i, o.Type)
			}
		}
	}
	return "link one of the slots that it has"
}

// cycles reports every group of nodes that wait for each other.
func (c *checker) cycles() {
	for _, walk := range c.g.Cycles() {
		first := walk[0].From
		if !c.reached[first.ID] {
			continue
		}
		path := first.ID
		for _, e := range walk {
			path += " → " + e.To.ID
			c.bad[e.To.ID] = true
		}
		last := walk[len(walk)-1]
		server := c.atLeast(0, 20, "dependency_cycle", "prompt_outputs_failed_validation")
		if slices.ContainsFunc(walk, func(e workflow.Edge) bool { return !c.declared(e) }) {
			server = "" // only met when the graph runs
		}
		d := diag.Diagnostic{Code: "CW005", Message: "nodes wait for each other: " + path, Span: walk[0].Input.ValueSpan,
			Label: "this link closes the circle", Help: "remove one of these links", Pointer: walk[0].Input.Pointer, Input: walk[0].Input.Name,
			Server: server}
		if last.Input != walk[0].Input {
			d.Related = []diag.Related{{Span: last.Input.ValueSpan, Label: "and this one"}}
		}
		c.add(walk[0].To, d)
	}
}

// declared reports whether the class has the input of a link.
func (c *checker) declared(e workflow.Edge) bool {
	cl := c.classes[e.To.ID]
	return cl == nil || slices.ContainsFunc(cl.Expand(values(e.To)), func(s catalog.InputSpec) bool { return s.Name == e.Input.Name && s.Choices == nil })
}
