package catalog

import (
	"slices"
	"strconv"
)

// Value is what a graph gives for an input, as far as a schema can depend on it.
type Value struct {
	Given bool
	Text  string // of a string constant
}

// Expand lists the inputs that a node of this class has with the given values:
// dynamic combos bring those of the chosen option under dotted names, autogrow
// inputs become their items. A choice that is not known brings none.
func (cl *Class) Expand(value func(name string) Value) []InputSpec {
	plain := true
	for i := range cl.Inputs {
		if cl.Inputs[i].isDynamic() {
			plain = false
			break
		}
	}
	if plain {
		return cl.Inputs
	}
	return expand(nil, cl.Inputs, "", value)
}

// Chosen reports whether the value given for a dynamic combo is one of its
// options.
func (in *InputSpec) Chosen(value func(name string) Value) bool {
	v := value(in.Name)
	return v.Given && slices.ContainsFunc(in.Choices, func(c Choice) bool { return c.Key == v.Text })
}

func (in *InputSpec) isDynamic() bool { return in.Choices != nil || in.Grow != nil }

func expand(out, specs []InputSpec, prefix string, value func(string) Value) []InputSpec {
	for _, in := range specs {
		in.Name = prefix + in.Name
		switch {
		case in.Grow != nil:
			out = in.grow(out, value)
		case in.Choices != nil:
			out = append(out, in)
			chosen := value(in.Name).Text
			for _, c := range in.Choices {
				if c.Key == chosen {
					out = expand(out, c.Inputs, in.Name+".", value)
				}
			}
		default:
			out = append(out, in)
		}
	}
	return out
}

// grow lists the items of an autogrow input: those that must be there, and
// those given.
func (in *InputSpec) grow(out []InputSpec, value func(string) Value) []InputSpec {
	g := in.Grow
	count := g.Max
	if len(g.Names) > 0 {
		count = len(g.Names)
	} else if count <= 0 || count > maxGrow {
		count = maxGrow
	}
	for i := range count {
		item := g.Item
		if len(g.Names) > 0 {
			item.Name = in.Name + "." + g.Names[i]
		} else {
			item.Name = in.Name + "." + g.Prefix + strconv.Itoa(i)
		}
		item.Required = g.Item.Required && i < g.Min
		if item.Required || value(item.Name).Given {
			out = append(out, item)
		}
	}
	return out
}

// maxGrow is how many items ComfyUI lets an autogrow input have.
const maxGrow = 100
