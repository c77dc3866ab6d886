// Package infer guesses what callers of a graph will want to change and get:
// the prompt, seeds, sizes, images. The guesses are the ones that people make
// by hand; what cannot be told is left out. It is pure.
package infer

import (
	"encoding/json"
	"math/big"
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

// add appends an input with its default and range from graph and schema.
func (f *finder) add(in contract.Input, n *workflow.Node, input string) {
	key := n.ID + "." + input
	if f.taken[key] {
		return
	}
	f.taken[key] = true
	in.Name = f.name(in.Name)
	if len(in.To) == 0 {
		in.To = []contract.Target{at(n, input)}
	}
	if cl, ok := f.c.Class(n.Class); ok {
		if spec, ok := cl.Input(input); ok && (in.Type == contract.TypeInt || in.Type == contract.TypeFloat) {
			in.Min, in.Max = spec.Min, spec.Max
		}
	}
	if lit := literal(n, input); lit != nil && in.Default == nil && !in.Required {
		in.Default = lit.Value()
	}
	f.list = append(f.list, in)
}

// prompts follows the conditioning of samplers and guiders up to a text.
func (f *finder) prompts() {
	for _, want := range []struct {
		name, about string
		inputs      []string
	}{
		{"prompt", "What to draw", []string{"positive", "conditioning"}},
		{"negative", "What to keep out", []string{"negative"}},
	} {
		var to []contract.Target
		var first *workflow.Node
		key := ""
		for _, n := range f.g.Nodes {
			if !f.drives(n) {
				continue
			}
			for _, name := range want.inputs {
				in := n.Input(name)
				if in == nil || in.Link == nil {
					continue
				}
				text, input := f.text(f.g.Node(in.Link.Node), 0)
				if text == nil || f.taken[text.ID+"."+input] || slices.Contains(to, at(text, input)) {
					continue
				}
				if first == nil {
					first, key = text, input
				}
				if sameValue(first, key, text, input) {
					to = append(to, at(text, input))
				}
			}
		}
		if first == nil {
			continue
		}
		in := contract.Input{Name: want.name, Type: contract.TypeText, Description: want.about, To: to}
		in.Required = want.name == "prompt"
		if in.Required {
			in.Example = literal(first, key).Value()
		}
		for _, t := range to[1:] {
			f.taken[t.Node+"."+t.Input] = true
		}
		f.add(in, first, key)
	}
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
		return n.Input("positive") != nil && (n.Input("seed") != nil || n.Input("noise_seed") != nil)
	}
	return !slices.ContainsFunc(cl.Outputs, func(o catalog.OutputSpec) bool { return o.Type == "CONDITIONING" })
}

var textInputs = []string{"text", "prompt", "t5xxl", "text_g", "clip_l", "string", "value"}

// text finds the text behind a conditioning: the node's own, or that of the
// nodes before it.
func (f *finder) text(n *workflow.Node, depth int) (*workflow.Node, string) {
	if n == nil || depth > 32 {
		return nil, ""
	}
	for _, name := range textInputs {
		in := n.Input(name)
		if in == nil {
			continue
		}
		if in.Link != nil {
			if text, input := f.text(f.g.Node(in.Link.Node), depth+1); text != nil {
				return text, input
			}
			continue
		}
		var s string
		if json.Unmarshal(in.Value(), &s) == nil {
			return n, name
		}
	}
	for _, name := range []string{"conditioning", "positive", "conditioning_1", "conditioning_to", "guider"} {
		if in := n.Input(name); in != nil && in.Link != nil {
			if text, input := f.text(f.g.Node(in.Link.Node), depth+1); text != nil {
				return text, input
			}
		}
	}
	return nil, ""
}

// all makes one input of every node input of these names, where their values
// agree; seeds always belong together.
func (f *finder) all(name, typ string, inputs ...string) {
	var to []contract.Target
	var first *workflow.Node
	key := ""
	for _, n := range f.g.Nodes {
		for _, input := range inputs {
			lit := literal(n, input)
			if lit == nil || !number(lit.Value()) {
				continue
			}
			if first == nil {
				first, key = n, input
			} else if typ != contract.TypeSeed && !sameValue(first, key, n, input) {
				continue
			}
			to = append(to, at(n, input))
		}
	}
	if first == nil {
		return
	}
	in := contract.Input{Name: name, Type: typ, To: to}
	switch typ {
	case contract.TypeSeed:
		in.Random = true
		in.Description = "The same seed gives the same picture; left out, one is drawn"
	case contract.TypeInt:
		in.Description = "Sampling steps: more is slower"
	case contract.TypeFloat:
		in.Description = "How closely to follow the prompt"
	}
	for _, t := range to[1:] {
		f.taken[t.Node+"."+t.Input] = true
	}
	before := len(f.list)
	f.add(in, first, key)
	if len(f.list) == before {
		return
	}
	made := &f.list[before]
	switch name {
	case "seed":
		made.Default = nil
	case "steps":
		made.Max = narrowed(made.Default, 50)
		if v, err := strconv.ParseFloat(string(made.Default), 64); err != nil || v >= 1 {
			made.Min = "1" // packs take -1 for "as the model says"
		}
	case "cfg":
		made.Max = narrowed(made.Default, 30)
	}
}

func number(raw json.RawMessage) bool {
	_, ok := new(big.Float).SetString(string(raw))
	return ok
}

// narrowed is a maximum that leaves room above the value in the graph without
// letting a caller ask for hours.
func narrowed(value json.RawMessage, usual float64) json.Number {
	v, err := strconv.ParseFloat(string(value), 64)
	if err != nil {
		v = 0
	}
	m := usual
	if 2*v > m {
		m = 2 * v
	}
	return json.Number(strconv.FormatFloat(m, 'f', -1, 64))
}

func (f *finder) denoise() {
	for _, n := range f.g.Nodes {
		if lit := literal(n, "denoise"); lit != nil && number(lit.Value()) {
			if v, _ := strconv.ParseFloat(string(lit.Value()), 64); v < 1 {
				f.add(contract.Input{Name: "strength", Type: contract.TypeFloat, Description: "How much of the given picture to change, from 0 to 1"}, n, "denoise")
				made := &f.list[len(f.list)-1]
				made.Min, made.Max = "0", "1"
				return
			}
		}
	}
}

var emptyClass = regexp.MustCompile(`^Empty.*(Latent|Image|Video)`)

func (f *finder) size() {
	for _, n := range f.g.Nodes {
		if !emptyClass.MatchString(n.Class) {
			continue
		}
		for _, s := range []struct {
			input, name, max, about string
		}{{"width", "width", "2048", "Pixels"}, {"height", "height", "2048", "Pixels"}, {"batch_size", "batch", "4", "How many at once"}} {
			lit := literal(n, s.input)
			if lit == nil || !number(lit.Value()) {
				continue
			}
			before := len(f.list)
			f.add(contract.Input{Name: s.name, Type: contract.TypeInt, Description: s.about}, n, s.input)
			if len(f.list) > before {
				made := &f.list[before]
				made.Max = narrowed(made.Default, mustFloat(s.max))
				if made.Min == "" {
					made.Min = "1"
				}
			}
		}
		return // the first decides the size
	}
}

func mustFloat(s string) float64 { v, _ := strconv.ParseFloat(s, 64); return v }

func (f *finder) files() {
	types := map[string]string{"image": contract.TypeImage, "video": contract.TypeVideo, "audio": contract.TypeAudio}
	for _, n := range f.g.Nodes {
		cl, ok := f.c.Class(n.Class)
		if !ok {
			continue
		}
		for _, spec := range cl.Inputs {
			typ := types[spec.File]
			if typ == "" || literal(n, spec.Name) == nil {
				continue
			}
			name := typ
			if n.Class == "LoadImageMask" {
				typ, name = contract.TypeMask, "mask"
			}
			f.add(contract.Input{Name: name, Type: typ, Required: true, Description: "The file that the graph loads"}, n, spec.Name)
		}
	}
}

// constants are primitive nodes: whoever put one into a graph wanted a knob.
func (f *finder) constants() {
	types := map[string]string{"PrimitiveString": contract.TypeString, "PrimitiveStringMultiline": contract.TypeText, "PrimitiveInt": contract.TypeInt,
		"PrimitiveFloat": contract.TypeFloat, "PrimitiveBoolean": contract.TypeBool}
	for _, n := range f.g.Nodes {
		typ := types[n.Class]
		if typ == "" || literal(n, "value") == nil {
			continue
		}
		before := len(f.list)
		f.add(contract.Input{Name: Slug(n.Title, "value"), Type: typ}, n, "value")
		if len(f.list) > before {
			f.list[before].Min, f.list[before].Max = "", "" // ±2^63 says nothing
		}
	}
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

// Outputs lists what a graph gives: every output node that is no preview, or
// the previews where there is nothing else.
func Outputs(g *workflow.Graph, c *catalog.Catalog) []contract.Output {
	var saved, previews []*workflow.Node
	for _, n := range g.Nodes {
		cl, ok := c.Class(n.Class)
		if !ok || !cl.OutputNode {
			continue
		}
		if Preview(n.Class) {
			previews = append(previews, n)
		} else {
			saved = append(saved, n)
		}
	}
	if len(saved) == 0 {
		saved = previews
	}
	var list []contract.Output
	used := map[string]int{}
	for _, n := range saved {
		name, typ := outputType(n.Class)
		if len(saved) > 1 && n.Title != "" && n.Title != n.Class && !strings.EqualFold(strings.ReplaceAll(n.Title, " ", ""), n.Class) {
			name = Slug(n.Title, name)
		}
		used[name]++
		if k := used[name]; k > 1 {
			name += "_" + strconv.Itoa(k)
		}
		list = append(list, contract.Output{Name: name, Node: n.ID, Type: typ})
	}
	return list
}

// Preview says whether a class only shows: its files go to a folder that
// ComfyUI empties.
func Preview(class string) bool { return strings.HasPrefix(class, "Preview") || class == "MaskPreview" }

func outputType(class string) (name, typ string) {
	switch {
	case strings.Contains(class, "Video"), strings.Contains(class, "WEBM"):
		return "video", contract.TypeVideo
	case strings.Contains(class, "Audio"):
		return "audio", contract.TypeAudio
	case strings.Contains(class, "Text"), strings.Contains(class, "Any"):
		return "text", contract.TypeText
	case strings.Contains(class, "GLB"), strings.Contains(class, "3D"):
		return "model", contract.TypeModel3
	case strings.Contains(class, "Latent"):
		return "latent", contract.TypeLatent
	case strings.Contains(class, "Image"), strings.Contains(class, "PNG"), strings.Contains(class, "WEBP"), strings.Contains(class, "Mask"), strings.Contains(class, "SVG"):
		return "image", contract.TypeImage
	}
	return "file", contract.TypeFile
}
