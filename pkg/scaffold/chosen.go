package scaffold

import (
	"encoding/json"
	"math"
	"slices"
	"strconv"

	"github.com/comfyctl/comfyctl/pkg/contract"
	"github.com/comfyctl/comfyctl/pkg/infer"
)

// chosen are the inputs of the service: those that came along, filled up with
// what is inferred about the same node inputs, else all inferred ones. A seed is
// always among them, or each call would give the same picture.
func (w *writer) chosen() []contract.Input {
	guesses := infer.Inputs(w.g, w.c)
	var list []contract.Input
	for _, in := range w.from.Inputs {
		in.To = w.there(in)
		if len(in.To) == 0 {
			w.lose("the workflow has no such value", "input "+in.Name)
			continue
		}
		if i := slices.IndexFunc(guesses, func(g contract.Input) bool { return slices.Contains(g.To, in.To[0]) }); i >= 0 {
			in = filled(in, guesses[i])
		}
		in.Name = w.unused(in.Name, list)
		list = append(list, w.sane(in))
	}
	if len(list) == 0 {
		return guesses
	}
	for _, g := range guesses {
		if g.Type == contract.TypeSeed && !slices.ContainsFunc(list, func(in contract.Input) bool { return overlap(in.To, g.To) }) {
			g.Name = w.unused(g.Name, list)
			list = append(list, g)
		}
	}
	return list
}

// there keeps the targets that are values in the graph.
func (w *writer) there(in contract.Input) (to []contract.Target) {
	for _, t := range in.To {
		n := w.g.Node(t.Node)
		if n == nil {
			continue
		}
		if f := n.Input(t.Input); f != nil && f.Link == nil && f.Malformed == "" {
			to = append(to, t)
		}
	}
	return to
}

// filled takes from a guess what the input's author left open. A name that is
// only the node's own gives way to one that says more.
func filled(in, guess contract.Input) contract.Input {
	if in.Name == in.To[0].Input {
		in.Name = guess.Name
	}
	if in.Type == "" {
		in.Type = guess.Type
	}
	if in.Description == "" {
		in.Description = guess.Description
	}
	if in.Min == "" && in.Max == "" && len(in.Enum) == 0 && in.Type == guess.Type {
		in.Min, in.Max, in.Step = guess.Min, guess.Max, orElse(in.Step, guess.Step)
	}
	if in.Default == nil && !in.Random && !in.Required && in.Type == guess.Type {
		in.Required, in.Default, in.Example, in.Random = guess.Required, guess.Default, guess.Example, guess.Random
	}
	if in.Required && in.Example == nil && in.Type == guess.Type {
		in.Example = guess.Example
	}
	return in
}

// sane drops what another tool wrote and the rules of a service file refuse: a
// default of the wrong kind or out of range, a default of a file.
func (w *writer) sane(in contract.Input) contract.Input {
	typ := in.Type
	if typ == "" {
		typ = w.declared(in.To[0])
	}
	if in.Required || slices.Contains([]string{contract.TypeImage, contract.TypeMask, contract.TypeVideo, contract.TypeAudio, contract.TypeFile}, typ) {
		in.Default = nil
	}
	if in.Default == nil || fits(in, typ) {
		return in
	}
	w.lose("that is no value for it", "default "+string(in.Default)+" of input "+in.Name)
	in.Default = nil
	return in
}

// declared is the type that a node's definition gives to one of its inputs.
func (w *writer) declared(t contract.Target) string {
	cl, ok := w.c.Class(w.g.Node(t.Node).Class)
	if !ok {
		return ""
	}
	spec, _ := cl.Input(t.Input)
	return map[string]string{"INT": contract.TypeInt, "FLOAT": contract.TypeFloat, "BOOLEAN": contract.TypeBool, "STRING": contract.TypeString}[spec.Type]
}

func fits(in contract.Input, typ string) bool {
	raw := string(in.Default)
	v, err := strconv.ParseFloat(raw, 64)
	switch typ {
	case contract.TypeInt, contract.TypeFloat:
		lo, loErr := in.Min.Float64()
		hi, hiErr := in.Max.Float64()
		return err == nil && (typ == contract.TypeFloat || v == math.Trunc(v)) && (loErr != nil || v >= lo) && (hiErr != nil || v <= hi)
	case contract.TypeBool:
		return raw == "true" || raw == "false"
	case contract.TypeString, contract.TypeText:
		return raw[0] == '"'
	case contract.TypeEnum:
		return slices.ContainsFunc(in.Enum, func(e json.RawMessage) bool { return string(e) == raw })
	}
	return true
}

func orElse[T ~string](a, b T) T {
	if a == "" {
		return b
	}
	return a
}

func (w *writer) unused(name string, list []contract.Input) string {
	has := func(n string) bool {
		return slices.ContainsFunc(list, func(in contract.Input) bool { return in.Name == n })
	}
	free := name
	for i := 2; has(free); i++ {
		free = name[:min(len(name), 58)] + "_" + strconv.Itoa(i)
	}
	return free
}

func overlap(a, b []contract.Target) bool {
	return slices.ContainsFunc(a, func(t contract.Target) bool { return slices.Contains(b, t) })
}
