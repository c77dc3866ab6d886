package validate

import (
	"encoding/json"
	"fmt"
	"math/big"
	"slices"
	"strings"

	"github.com/comfyctl/comfyctl/internal/diag"
	"github.com/comfyctl/comfyctl/pkg/catalog"
	"github.com/comfyctl/comfyctl/pkg/workflow"
)

// GraphOptions says what is known around a graph.
type GraphOptions struct {
	// ComfyUI names the release in messages; the catalog's own when empty.
	ComfyUI string
	// HasModel reports whether a model file, as folder/name, will be there. Nil
	// means that models are not checked.
	HasModel func(path string) bool
	// Models are the paths to suggest from when one is missing.
	Models []string
	// HasFile reports whether the value of a node input that names an uploaded
	// file will be there. Nil means that files are not checked.
	HasFile func(node, input, name string) bool
	// Written reports whether every job writes this node input, so that the
	// graph's own value never reaches ComfyUI. Nil means that none is.
	Written func(node, input string) bool
	// Unlocked is set where node packs are asked for whose classes are not known
	// yet: one note then stands for every unknown class.
	Unlocked bool
	// Packs names the node packs that are known to define a class. Nil means
	// that nothing is known.
	Packs func(class string) []Pack
	// addPack is the edit that lists a pack in the service file, if there is one.
	addPack func(Pack) *diag.Fix
	// Locked reports whether a node pack of the lock defines a class whose schema
	// is not known.
	Locked func(class string) bool
	// listed reports whether a pack is in the service file.
	listed func(Pack) bool
}

// Graph applies the rules that concern one graph against a catalog.
func Graph(g *workflow.Graph, cat *catalog.Catalog, o GraphOptions) []diag.Diagnostic {
	if o.ComfyUI == "" {
		o.ComfyUI = cat.Version
	}
	c := &checker{g: g, cat: cat, o: o, bad: map[string]bool{}, bounds: map[json.Number]*big.Float{}, release: release(cat.Version)}
	c.replace()
	c.lookUp()
	c.outputs()
	for _, n := range c.g.Nodes {
		if n.Class != "" && c.reached[n.ID] {
			c.node(n)
		}
	}
	c.idle()
	c.cycles()
	c.partial()
	return c.list
}

type checker struct {
	g       *workflow.Graph
	cat     *catalog.Catalog
	o       GraphOptions
	list    []diag.Diagnostic
	release [2]int
	// classes holds the schema of each node; nil where it is not known.
	classes map[string]*catalog.Class
	unknown bool
	// used are the links that take something from a node, by its id.
	used map[string][]workflow.Edge
	// bounds are the limits of inputs, read once.
	bounds map[json.Number]*big.Float
	// ends are the nodes that make the graph run, reached what they need.
	ends    []*workflow.Node
	reached map[string]bool
	// was holds the old classes of nodes that ComfyUI replaces.
	was map[string]string
	// bad are nodes with an error of their own.
	bad map[string]bool
	// whole is set where ComfyUI refuses the prompt before it looks at outputs.
	whole bool
	// guesses counts the names that were guessed; meantClasses are those of
	// classes.
	guesses      int
	meantClasses map[string]string
}

// add files a finding about a node.
func (c *checker) add(n *workflow.Node, d diag.Diagnostic) {
	d.Node = n.Ref()
	if d.Severity == "" {
		d.Severity = diag.SeverityError
	}
	if d.Pointer == "" {
		d.Pointer = n.Pointer
	}
	if d.Severity == diag.SeverityError {
		c.bad[n.ID] = true
	}
	c.list = append(c.list, d)
}

// lookUp finds the schema of every node and reports unknown classes.
func (c *checker) lookUp() {
	c.classes = make(map[string]*catalog.Class, len(c.g.Nodes))
	var missing []*workflow.Node
	for _, n := range c.g.Nodes {
		if n.Class == "" {
			c.bad[n.ID], c.whole, c.unknown = true, true, true
			continue
		}
		cl, ok := c.cat.Class(n.Class)
		if ok {
			c.classes[n.ID] = cl
			continue
		}
		c.unknown = true
		if c.o.Locked == nil || !c.o.Locked(n.Class) {
			missing = append(missing, n)
		}
	}
	missing = slices.DeleteFunc(missing, c.knownPack)
	if len(missing) == 0 {
		return
	}
	if c.o.Unlocked {
		c.unlocked(missing)
		return
	}
	c.whole = true
	for _, n := range missing {
		help := "if it comes from a node pack, list the pack under `nodes:` in the service file, or let `comfyctl lock` find it"
		var fix *diag.Fix
		if s := c.meantClass(n.Class); s != "" {
			help, fix = "did you mean `"+s+"`?", instead(n.ClassSpan, s)
		}
		c.add(n, diag.Diagnostic{Code: "CW101", Message: "ComfyUI has no node class `" + n.Class + "`",
			Span: n.ClassSpan, Label: "not a class of ComfyUI " + c.o.ComfyUI, Help: help,
			Pointer: n.Pointer + "/class_type", Server: c.atLeast(0, 12, "missing_node_type", "invalid_prompt"), Fix: fix})
	}
}

// knownPack reports a class whose pack is known and not part of the service.
func (c *checker) knownPack(n *workflow.Node) bool {
	if c.o.Packs == nil {
		return false
	}
	packs := c.o.Packs(n.Class)
	if len(packs) == 0 || c.o.listed != nil && slices.ContainsFunc(packs, c.o.listed) {
		return false
	}
	c.whole = true
	d := diag.Diagnostic{Code: "CW102", Message: "the node pack of class `" + n.Class + "` is not part of the service", Span: n.ClassSpan,
		Label: "neither in `nodes:` nor in the lock", Pointer: n.Pointer + "/class_type", Server: c.atLeast(0, 12, "missing_node_type", "invalid_prompt")}
	d.Help = "add under `nodes:`"
	if len(packs) > 1 {
		d.Help = fmt.Sprintf("%d packs define it; add one of them under `nodes:`", len(packs))
	}
	for _, p := range packs {
		d.Help += "\n- " + strings.Join(p.lines(), "\n  ")
	}
	if len(packs) == 1 && c.o.addPack != nil {
		d.Fix = c.o.addPack(packs[0])
	}
	c.add(n, d)
	return true
}

// unlocked is the one note for the classes of packs that no lock describes.
func (c *checker) unlocked(missing []*workflow.Node) {
	names := map[string]bool{}
	var list []string
	for _, n := range missing {
		if !names[n.Class] {
			names[n.Class] = true
			list = append(list, "`"+n.Class+"`")
		}
	}
	n := missing[0]
	c.add(n, diag.Diagnostic{Code: "CW101", Severity: diag.SeverityNote, Span: n.ClassSpan,
		Message: fmt.Sprintf("%s not checked: the node packs under `nodes:` are not locked", plural(len(list), "node class is", "node classes are")),
		Label:   "not a class of ComfyUI " + c.o.ComfyUI,
		Help:    "run `comfyctl lock`, or give --object-info from a ComfyUI that has the packs\nclasses: " + strings.Join(list, ", ")})
}

// node checks one node against its class.
func (c *checker) node(n *workflow.Node) {
	cl := c.classes[n.ID]
	if cl == nil {
		for _, in := range n.Inputs {
			c.link(n, in, nil)
			c.here(n, in, nil)
		}
		return
	}
	if cl.APINode {
		c.add(n, diag.Diagnostic{Code: "CW111", Severity: diag.SeverityWarning, Span: n.ClassSpan,
			Message: "node `" + n.ID + "` calls a paid service", Label: "sends data out and needs an account with credit",
			Help: "the image needs a way out to the network and an API key of Comfy.org"})
	}
	specs := cl.Expand(values(n))
	known := make(map[string]bool, len(specs))
	for i := range specs {
		s := &specs[i]
		known[s.Name] = true
		in := n.Input(s.Name)
		switch {
		case in == nil && s.Required:
			c.missing(n, s)
		case in == nil:
		case s.Choices != nil && !s.Chosen(values(n)):
			c.choice(n, in, s)
		case in.Kind == workflow.Array:
			c.link(n, in, s)
		default:
			c.constant(n, in, s)
			c.here(n, in, s)
		}
	}
	for _, in := range n.Inputs {
		if !known[in.Name] {
			c.undeclared(n, in, specs)
		}
	}
}

func (c *checker) missing(n *workflow.Node, s *catalog.InputSpec) {
	span := n.InputsSpan
	if !n.HasInputs {
		span = n.KeySpan
	}
	span.End = span.Start
	span.End.Offset++
	span.End.Column++
	help := "link a node that gives " + s.Type
	if s.Default != nil {
		help = fmt.Sprintf("add \"%s\": %s, the default; ComfyUI fills in none itself", s.Name, s.Default)
	} else if s.Type == "COMBO" || s.Type == "INT" || s.Type == "FLOAT" || s.Type == "STRING" || s.Type == "BOOLEAN" {
		help = "add a value for it; ComfyUI fills in no default"
	}
	if old := c.was[n.ID]; old != "" {
		help = "ComfyUI replaces class `" + old + "` by `" + n.Class + "` and drops this input: write `" + n.Class + "` yourself"
	}
	c.add(n, diag.Diagnostic{Code: "CW103", Message: "required input `" + s.Name + "` of node `" + n.ID + "` is missing", Span: span,
		Label: "`" + s.Name + "` is not here", Help: help, Pointer: n.Pointer + "/inputs", Server: c.missed(n, s), Input: s.Name})
}

// missed is the error type of a required input that is not there. ComfyUI does
// not look for dynamic combos; the node fails when it runs.
func (c *checker) missed(n *workflow.Node, s *catalog.InputSpec) string {
	own := c.own(n)
	switch {
	case s.Choices != nil:
		return ""
	case own != nil && (own.Types == s.Name || slices.Contains(own.Needs, s.Name)):
		return c.raised(n)
	}
	return "required_input_missing"
}

// own is what the class of a node checks itself.
func (c *checker) own(n *workflow.Node) *catalog.Check {
	cl := c.classes[n.ID]
	if cl == nil || cl.Check == nil || !c.since(cl.Check.Since[0], cl.Check.Since[1]) {
		return nil
	}
	return cl.Check
}

// choice reports a dynamic combo without a known option, which ComfyUI takes
// for an input that the class does not have.
func (c *checker) choice(n *workflow.Node, in *workflow.Input, s *catalog.InputSpec) {
	list := make([]json.RawMessage, len(s.Choices))
	for i, o := range s.Choices {
		list[i], _ = json.Marshal(o.Key) // a string always encodes
	}
	d := diag.Diagnostic{Code: "CW105", Message: "value is not one ComfyUI offers for `" + in.Name + "`", Span: in.ValueSpan,
		Label: "ComfyUI takes it, and the node fails when it runs", Pointer: in.Pointer, Input: in.Name}
	d.Help, d.Fix = optionHelp(&catalog.InputSpec{Enum: list}, in.Value(), in)
	c.add(n, d)
}

// undeclared reports an input that the class does not have.
func (c *checker) undeclared(n *workflow.Node, in *workflow.Input, specs []catalog.InputSpec) {
	label := "ComfyUI ignores it"
	if in.Link != nil {
		label = "ComfyUI passes the link to the node, which then fails when it runs"
		if c.g.Node(in.Link.Node) == nil {
			c.dangling(n, in, nil, "")
		}
	}
	var names []string
	for _, s := range specs {
		if n.Input(s.Name) == nil {
			names = append(names, s.Name)
		}
	}
	help, fix := "remove it", (*diag.Fix)(nil)
	if s := c.meant(in.Name, names); s != "" {
		help, fix = "did you mean `"+s+"`?", instead(in.KeySpan, s)
	}
	c.add(n, diag.Diagnostic{Code: "CW107", Severity: diag.SeverityWarning, Span: in.KeySpan, Pointer: in.Pointer, Input: in.Name,
		Message: "`" + n.Class + "` has no input `" + in.Name + "`", Label: label, Help: help, Fix: fix})
}

// release is the major and minor version of a catalog; the newest rules hold
// where it is not known.
func release(version string) [2]int {
	var v [2]int
	if n, _ := fmt.Sscanf(strings.TrimPrefix(version, "v"), "%d.%d", &v[0], &v[1]); n != 2 {
		return [2]int{1 << 20, 0}
	}
	return v
}

func (c *checker) since(major, minor int) bool {
	return c.release[0] > major || c.release[0] == major && c.release[1] >= minor
}

//nolint:unparam // a release has two numbers, and major 1 may come
func (c *checker) atLeast(major, minor int, then, otherwise string) string {
	if c.since(major, minor) {
		return then
	}
	return otherwise
}

func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// named gives the findings of the parser the error types of the release: it
// does not know which one will run the graph.
func named(list []diag.Diagnostic, cat *catalog.Catalog) []diag.Diagnostic {
	c := checker{release: release(cat.Version)}
	for i := range list {
		if list[i].Server == "invalid_prompt" {
			list[i].Server = c.atLeast(0, 12, "missing_node_type", "invalid_prompt")
		}
	}
	return list
}
