package infer

import (
	"encoding/json"
	"math/big"
	"regexp"
	"slices"
	"strconv"

	"github.com/comfyctl/comfyctl/pkg/contract"
	"github.com/comfyctl/comfyctl/pkg/workflow"
)

// all makes one input of every node input of these names, where their values
// agree; seeds always belong together.
func (f *finder) all(name, typ string, inputs ...string) {
	var to []contract.Target
	var first, user *workflow.Node
	key, used := "", ""
	for _, u := range f.g.Nodes {
		for _, name := range inputs {
			n, input := f.source(u, name)
			if n == nil || !number(literal(n, input).Value()) || f.taken[n.ID+"."+input] || slices.Contains(to, at(n, input)) {
				continue
			}
			if first == nil {
				first, key, user, used = n, input, u, name
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
	f.addFor(in, first, key, user, used)
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
			from, input := f.source(n, s.input)
			if from == nil || !number(literal(from, input).Value()) {
				continue
			}
			before := len(f.list)
			f.addFor(contract.Input{Name: s.name, Type: contract.TypeInt, Description: s.about}, from, input, n, s.input)
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
