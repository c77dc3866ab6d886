package infer

import (
	"encoding/json"
	"slices"

	"github.com/comfyctl/comfyctl/pkg/catalog"
	"github.com/comfyctl/comfyctl/pkg/contract"
	"github.com/comfyctl/comfyctl/pkg/workflow"
)

// wish is a text that people change, and how to find it.
type wish struct {
	name, about string
	links       []string // inputs of what draws, wired to the text
	texts       []string // inputs that hold it, where the wire ends
	own         []string // inputs of what draws that hold it themselves
}

var wishes = []wish{
	{"prompt", "What to draw", []string{"positive", "conditioning", "text_embeds"}, append([]string{"positive_prompt"}, textInputs...), []string{"prompt", "positive_prompt"}},
	{"negative", "What to keep out", []string{"negative", "text_embeds"}, append([]string{"negative_prompt"}, textInputs...), []string{"negative_prompt"}},
}

// prompts follows the conditioning of samplers and guiders up to a text; where
// there is none, it takes that of a node that draws by itself.
func (f *finder) prompts() {
	for _, w := range wishes {
		to := f.wired(w)
		if len(to) == 0 {
			to = f.owned(w)
		}
		if len(to) == 0 {
			continue
		}
		first, key := f.g.Node(to[0].Node), to[0].Input
		for _, name := range textInputs { // one node may hold it once for each text encoder
			if t := at(first, name); sameValue(first, key, first, name) && !slices.Contains(to, t) && string(literal(first, key).Value()) != `""` {
				to = append(to, t)
			}
		}
		in := contract.Input{Name: w.name, Type: contract.TypeText, Description: w.about, To: to}
		in.Required = w.name == "prompt"
		if in.Required {
			in.Example = literal(first, key).Value()
		}
		for _, t := range to[1:] {
			f.taken[t.Node+"."+t.Input] = true
		}
		f.add(in, first, key)
	}
}

// wired finds the texts at the other end of what draws, where they agree.
func (f *finder) wired(w wish) (to []contract.Target) {
	for _, n := range f.g.Nodes {
		if !f.drives(n) {
			continue
		}
		for _, name := range w.links {
			in := n.Input(name)
			if in == nil || in.Link == nil {
				continue
			}
			text, input := f.text(f.g.Node(in.Link.Node), w.texts, 0)
			if text == nil || f.taken[text.ID+"."+input] || slices.Contains(to, at(text, input)) {
				continue
			}
			if len(to) == 0 || sameValue(f.g.Node(to[0].Node), to[0].Input, text, input) {
				to = append(to, at(text, input))
			}
		}
	}
	return to
}

// owned finds the first node that holds the text itself, or is wired to it.
func (f *finder) owned(w wish) []contract.Target {
	for _, n := range f.g.Nodes {
		for _, name := range w.own {
			in := n.Input(name)
			if in == nil {
				continue
			}
			text, input := n, name
			if in.Link != nil {
				text, input = f.text(f.g.Node(in.Link.Node), w.texts, 0)
			}
			if text == nil || f.taken[text.ID+"."+input] || !isText(literal(text, input)) {
				continue
			}
			return []contract.Target{at(text, input)}
		}
	}
	return nil
}

func isText(in *workflow.Input) bool {
	var s string
	return in != nil && json.Unmarshal(in.Value(), &s) == nil
}

func sameValue(a *workflow.Node, ai string, b *workflow.Node, bi string) bool {
	x, y := literal(a, ai), literal(b, bi)
	return x != nil && y != nil && string(x.Value()) == string(y.Value())
}

// drives says whether a node turns conditioning into pictures: it gives no
// conditioning itself.
func (f *finder) drives(n *workflow.Node) bool {
	cl, ok := f.c.Class(n.Class)
	if !ok {
		return (n.Input("positive") != nil || n.Input("text_embeds") != nil) && (n.Input("seed") != nil || n.Input("noise_seed") != nil)
	}
	return !slices.ContainsFunc(cl.Outputs, func(o catalog.OutputSpec) bool { return o.Type == "CONDITIONING" })
}

var textInputs = []string{"text", "prompt", "t5xxl", "text_g", "text_l", "clip_g", "clip_l", "tags", "string", "value"}

// text finds the text behind a conditioning: the node's own, or that of the
// nodes before it.
func (f *finder) text(n *workflow.Node, names []string, depth int) (*workflow.Node, string) {
	if n == nil || depth > 32 {
		return nil, ""
	}
	for _, name := range names {
		in := n.Input(name)
		if in == nil {
			continue
		}
		if in.Link != nil {
			if text, input := f.text(f.g.Node(in.Link.Node), names, depth+1); text != nil {
				return text, input
			}
			continue
		}
		if isText(in) {
			return n, name
		}
	}
	for _, name := range []string{"conditioning", "positive", "conditioning_1", "conditioning_to", "guider"} {
		if in := n.Input(name); in != nil && in.Link != nil {
			if text, input := f.text(f.g.Node(in.Link.Node), names, depth+1); text != nil {
				return text, input
			}
		}
	}
	return nil, ""
}
