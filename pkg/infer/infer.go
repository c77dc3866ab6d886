// Package infer guesses what callers of a graph will want to change and get:
// the prompt, seeds, sizes, images. The guesses are the ones that people make
// by hand; what cannot be told is left out. It is pure.
package infer

import (
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/comfyctl/comfyctl/pkg/catalog"
	"github.com/comfyctl/comfyctl/pkg/contract"
	"github.com/comfyctl/comfyctl/pkg/workflow"
)

// Inputs guesses a graph's parameters, in the order in which a person would
// list them: texts, seed, sampling, size, files, then named constants.
func Inputs(g *workflow.Graph, c *catalog.Catalog) []contract.Input {
	f := &finder{g: g, c: c, taken: map[string]bool{}}
	f.prompts()
	f.all("seed", contract.TypeSeed, "seed", "noise_seed")
	f.all("steps", contract.TypeInt, "steps")
	f.all("cfg", contract.TypeFloat, "cfg")
	f.denoise()
	f.size()
	f.files()
	f.constants()
	return f.list
}

type finder struct {
	g     *workflow.Graph
	c     *catalog.Catalog
	list  []contract.Input
	taken map[string]bool // node.input
}

func at(n *workflow.Node, input string) contract.Target {
	return contract.Target{Node: n.ID, Input: input}
}

// literal is a node input that holds a value and not a link.
func literal(n *workflow.Node, name string) *workflow.Input {
	if in := n.Input(name); in != nil && in.Link == nil && in.Malformed == "" {
		return in
	}
	return nil
}

func (f *finder) name(want string) string {
	name := want
	for i := 2; slices.ContainsFunc(f.list, func(in contract.Input) bool { return in.Name == name }); i++ {
		name = want + "_" + strconv.Itoa(i)
	}
	return name
}

// source is where the value of a node input stands: there, or in the constant
// that is wired to it. nil where it is neither.
func (f *finder) source(n *workflow.Node, name string) (*workflow.Node, string) {
	in := n.Input(name)
	if in == nil || in.Link == nil {
		if literal(n, name) == nil {
			return nil, ""
		}
		return n, name
	}
	from := f.g.Node(in.Link.Node)
	if from == nil || slices.ContainsFunc(from.Inputs, func(i *workflow.Input) bool { return i.Link != nil }) {
		return nil, ""
	}
	for _, held := range []string{"value", "int", "float", "number", "Number", "seed"} {
		if literal(from, held) != nil && (len(from.Inputs) == 1 || held == "seed") {
			return from, held
		}
	}
	return nil, ""
}

// add appends an input with its default from the graph and its range from the
// schema of the node that it is for.
func (f *finder) add(in contract.Input, n *workflow.Node, input string) {
	f.addFor(in, n, input, n, input)
}

func (f *finder) addFor(in contract.Input, n *workflow.Node, input string, user *workflow.Node, used string) {
	key := n.ID + "." + input
	if f.taken[key] {
		return
	}
	f.taken[key] = true
	in.Name = f.name(in.Name)
	if len(in.To) == 0 {
		in.To = []contract.Target{at(n, input)}
	}
	if cl, ok := f.c.Class(user.Class); ok {
		if spec, ok := cl.Input(used); ok && (in.Type == contract.TypeInt || in.Type == contract.TypeFloat) {
			in.Min, in.Max = spec.Min, spec.Max
		}
	}
	if lit := literal(n, input); lit != nil && in.Default == nil && !in.Required {
		in.Default = lit.Value()
	}
	f.list = append(f.list, in)
}

var notName = regexp.MustCompile(`[^a-z0-9]+`)

// Slug makes a name out of a title: lower-case letters, digits and _, a letter
// first. fallback is used where nothing is left.
func Slug(title, fallback string) string {
	s := strings.Trim(notName.ReplaceAllString(strings.ToLower(title), "_"), "_")
	if s == "" || s[0] >= '0' && s[0] <= '9' || strings.HasPrefix(s, "primitive") {
		return fallback
	}
	return s
}
