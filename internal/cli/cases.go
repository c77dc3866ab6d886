package cli

import (
	"encoding/json"
	"fmt"
	"math/big"
	"slices"
	"strings"

	"github.com/comfyctl/comfyctl/internal/client"
	"github.com/comfyctl/comfyctl/internal/diag"
	"github.com/comfyctl/comfyctl/pkg/contract"
	"github.com/comfyctl/comfyctl/pkg/service"
)

// maxCases bounds what one matrix may become.
const maxCases = 200

// testCase is one request and what it must give.
type testCase struct {
	Name  string
	Test  *service.Test
	Index int // in tests:
	Input map[string]json.RawMessage
}

// word values of a matrix; they stand for the input's own.
const (
	wordMin     = "min"
	wordMax     = "max"
	wordDefault = "default"
	wordSamples = "samples"
)

// choice is one value of one input in a case; a nil value leaves the input out.
type choice struct {
	input string
	value json.RawMessage
	label string
}

// expand turns a test into its cases. An explicit matrix gives every
// combination of its axes; `auto` varies one input at a time and leaves the
// others as the test has them.
func expand(t *service.Test, index int, w *client.Workflow) ([]testCase, error) {
	base := map[string]json.RawMessage{}
	for _, a := range t.Input {
		base[a.Name] = a.Value
	}
	var sets [][]choice
	switch {
	case t.Matrix.Auto:
		for _, name := range w.Inputs.Order {
			if _, fixed := base[name]; !fixed {
				for _, c := range own(name, w.Inputs.Properties[name]) {
					sets = append(sets, []choice{c})
				}
			}
		}
	case len(t.Matrix.Axes) > 0:
		sets = [][]choice{nil}
		for _, axis := range t.Matrix.Axes {
			values, err := axisChoices(t, axis, w)
			if err != nil {
				return nil, err
			}
			var next [][]choice
			for _, set := range sets {
				for _, v := range values {
					next = append(next, append(slices.Clone(set), v))
				}
			}
			if sets = next; len(sets) > maxCases {
				return nil, matrixError(t, fmt.Sprintf("its matrix has more than %d cases", maxCases), "name fewer values")
			}
		}
	}
	if len(sets) == 0 {
		return []testCase{{Name: t.Name, Test: t, Index: index, Input: base}}, nil
	}
	var list []testCase
	for _, set := range sets {
		c := testCase{Name: t.Name, Test: t, Index: index, Input: map[string]json.RawMessage{}}
		for k, v := range base {
			c.Input[k] = v
		}
		var labels []string
		for _, v := range set {
			labels = append(labels, v.input+"="+v.label)
			if delete(c.Input, v.input); v.value != nil {
				c.Input[v.input] = v.value
			}
		}
		c.Name += " [" + strings.Join(labels, " ") + "]"
		list = append(list, c)
	}
	return list, nil
}

func matrixError(t *service.Test, what, help string) error {
	return &diag.Error{Code: "bad_matrix", Class: diag.ClassCheck, Message: "test `" + t.Name + "`: " + what, Help: help}
}

// axisChoices settles the values of one axis.
func axisChoices(t *service.Test, axis service.Axis, w *client.Workflow) ([]choice, error) {
	p, ok := w.Inputs.Properties[axis.Name]
	if !ok {
		help := "its inputs are " + strings.Join(w.Inputs.Order, ", ")
		if near := diag.Suggest(axis.Name, w.Inputs.Order); near != "" {
			help = "did you mean `" + near + "`?"
		}
		return nil, matrixError(t, "its matrix names `"+axis.Name+"`, which is no input of "+w.Name, help)
	}
	var list []choice
	for _, raw := range axis.Values {
		var word string
		if json.Unmarshal(raw, &word) != nil || slices.ContainsFunc(p.Enum, func(e json.RawMessage) bool { return string(e) == string(raw) }) {
			list = append(list, choice{axis.Name, raw, label(raw)})
			continue
		}
		got, known := byWord(axis.Name, word, p)
		switch {
		case !known:
			list = append(list, choice{axis.Name, raw, label(raw)})
		case len(got) == 0:
			return nil, matrixError(t, fmt.Sprintf("its matrix asks for `%s` of `%s`, which has none", word, axis.Name), "declare it under inputs:, or write the value")
		default:
			list = append(list, got...)
		}
	}
	if len(list) == 0 {
		return nil, matrixError(t, "its matrix has no value for `"+axis.Name+"`", "")
	}
	return list, nil
}

// own are the values of an input that `matrix: auto` tries.
func own(name string, p client.Property) []choice {
	var list []choice
	for _, word := range []string{wordDefault, wordMin, wordMax, wordSamples} {
		got, _ := byWord(name, word, p)
		for _, c := range got {
			if !slices.ContainsFunc(list, func(o choice) bool { return string(o.value) == string(c.value) }) {
				list = append(list, c)
			}
		}
	}
	return list
}

// byWord gives the values that a word stands for; known is false where it is
// no such word.
func byWord(name, word string, p client.Property) (list []choice, known bool) {
	add := func(v json.RawMessage, text string) { list = append(list, choice{name, v, text}) }
	switch word {
	case wordDefault:
		if p.Default != nil || p.Random {
			add(nil, wordDefault)
		}
	case wordMin:
		switch {
		case p.Minimum != "":
			add(json.RawMessage(p.Minimum), p.Minimum.String())
		case p.Kind == contract.TypeText || p.Kind == contract.TypeString:
			add(json.RawMessage(`"a"`), "1 character")
		}
	case wordMax:
		switch {
		case p.Kind == contract.TypeSeed && p.Maximum == "":
			add(json.RawMessage(fmt.Sprint(contract.MaxSafeSeed)), fmt.Sprint(contract.MaxSafeSeed))
		case p.Maximum != "":
			add(json.RawMessage(p.Maximum), p.Maximum.String())
		case p.MaxLength > 0:
			add(quote(strings.Repeat("a", p.MaxLength)), count(p.MaxLength, "character"))
		}
	case wordSamples:
		for _, v := range samples(p) {
			add(v, label(v))
		}
	default:
		return nil, false
	}
	return list, true
}

// samples are typical values: all of an enumeration, both booleans, the
// quarters of a range, the examples of anything else.
func samples(p client.Property) []json.RawMessage {
	switch {
	case len(p.Enum) > 0:
		return p.Enum
	case p.Kind == contract.TypeBool:
		return []json.RawMessage{json.RawMessage("false"), json.RawMessage("true")}
	case p.Minimum != "" && p.Maximum != "":
		return quarters(p)
	}
	return p.Examples
}

func quarters(p client.Property) []json.RawMessage {
	low, ok1 := new(big.Rat).SetString(p.Minimum.String())
	high, ok2 := new(big.Rat).SetString(p.Maximum.String())
	if !ok1 || !ok2 {
		return nil
	}
	span := new(big.Rat).Sub(high, low)
	step, stepped := new(big.Rat).SetString(p.Step.String())
	if p.Kind != contract.TypeFloat && (!stepped || step.Sign() <= 0) {
		step, stepped = big.NewRat(1, 1), true
	}
	var list []json.RawMessage
	for i := int64(1); i < 4; i++ {
		off := new(big.Rat).Mul(span, big.NewRat(i, 4))
		if stepped && step.Sign() > 0 {
			// Down to the grid of steps, so that the value is allowed.
			n := new(big.Rat).Quo(off, step)
			whole := new(big.Int).Quo(n.Num(), n.Denom())
			off = new(big.Rat).Mul(new(big.Rat).SetInt(whole), step)
		}
		v := new(big.Rat).Add(low, off)
		text := strings.TrimRight(strings.TrimRight(v.FloatString(6), "0"), ".")
		list = append(list, json.RawMessage(text))
	}
	return list
}

// label is a value in a case's name.
func label(raw json.RawMessage) string {
	text := strings.Trim(string(raw), `"`)
	if r := []rune(text); len(r) > 24 {
		text = string(r[:23]) + "…"
	}
	return text
}
