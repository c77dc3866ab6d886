package ui

import (
	"encoding/json"
	"math"
	"strconv"

	"github.com/comfyctl/comfyctl/pkg/catalog"
)

// primitives writes the values of primitive nodes into the widgets that they
// feed. The links themselves are not exported.
func (b *builder) primitives() {
	all := append(append([]*graph(nil), b.order...), b.root)
	for _, g := range all {
		for _, n := range g.nodes {
			if v := b.values(n).list; n.kind == primitive && len(v) > 0 {
				n.widgets = []*widget{{name: "value", value: v[0]}}
			}
		}
	}
	for _, g := range all {
		for _, n := range g.nodes {
			switch {
			case n.kind == primitive && len(n.outputs) > 0:
				b.primitive(n)
			case n.kind == plain && n.class.Name == "CustomCombo" && len(n.outputs) > 0 && len(n.widgets) > 0:
				n.write(n.widgets[0].value)
			}
		}
	}
}

func (b *builder) primitive(n *node) {
	values := b.values(n).list
	if len(values) == 0 || len(n.outputs[0].links) == 0 {
		return
	}
	t, i := n.in.target(n.outputs[0].links[0])
	if t == nil || i < 0 {
		return
	}
	w := t.behind(t.inputs[i])
	if w == nil && !isWidget[t.inputs[i].typ] {
		return
	}
	v := values[0]
	if w != nil && w.spec != nil && (w.kind == "INT" || w.kind == "FLOAT") {
		v = n.limited(v, w)
	}
	if on := n.saved.Get("properties").Get("Run widget replace on values"); on != nil && text(b.src, on) == "" && string(b.src[on.Start:on.End]) == "true" {
		v = b.replaced(v)
	}
	n.write(v)
}

// limited holds a number to the range and step that all it feeds have in
// common.
func (n *node) limited(v value, first *widget) value {
	have := limitsOf(first.spec)
	var merged bool
	for _, id := range n.outputs[0].links {
		t, i := n.in.target(id)
		if t == nil || i < 0 {
			continue
		}
		w := t.behind(t.inputs[i])
		if w == nil || w.spec == nil || w.kind != first.kind {
			continue
		}
		if both, ok := have.merge(limitsOf(w.spec)); ok {
			have, merged = both, true
		}
	}
	if !merged {
		return v
	}
	x, ok := v.number()
	if !ok {
		return v
	}
	y := math.Min(math.Max(x, have.min), have.max)
	return v.numeric(x, have.round(y, first.kind))
}

// write puts a value into every widget that the first output feeds, with what
// the editor does to a number that is typed in.
func (n *node) write(v value) {
	for _, id := range n.outputs[0].links {
		t, i := n.in.target(id)
		if t == nil || i < 0 {
			continue
		}
		w := t.behind(t.inputs[i])
		if w == nil {
			continue
		}
		w.value = v
		if x, ok := v.number(); ok && w.spec != nil && (w.kind == "INT" || w.kind == "FLOAT") && t.kind == plain {
			w.value = v.numeric(x, limitsOf(w.spec).round(x, w.kind))
		}
		t.changed(w)
	}
}

func (v value) number() (float64, bool) {
	x, err := strconv.ParseFloat(string(v.raw), 64)
	return x, err == nil && !math.IsInf(x, 0) && !math.IsNaN(x)
}

// numeric keeps the digits of the file where the number did not change.
func (v value) numeric(before, after float64) value {
	if before == after {
		return v
	}
	b, err := json.Marshal(after)
	if err != nil {
		return v
	}
	return v.with(b)
}

// limits are the range and step of a number, as the editor has them.
type limits struct {
	min, max, step, rounding float64
}

func limitsOf(in *catalog.InputSpec) limits {
	l := limits{min: 0, max: 2048, step: 1}
	if in.Type == "FLOAT" || in.Editor.Widget == "FLOAT" {
		l.step = 0.5
	}
	set := func(to *float64, n json.Number) {
		if x, err := n.Float64(); err == nil {
			*to = x
		}
	}
	set(&l.min, in.Min)
	set(&l.max, in.Max)
	set(&l.step, in.Step)
	set(&l.rounding, in.Editor.Round)
	return l
}

// merge is what two inputs have in common; false where that is nothing.
func (l limits) merge(o limits) (limits, bool) {
	if l.min > o.max || l.max < o.min || l.rounding != o.rounding {
		return l, false
	}
	l.min, l.max = math.Max(l.min, o.min), math.Min(l.max, o.max)
	if l.step != o.step {
		l.step = l.step * o.step / gcd(l.step, o.step)
	}
	return l, true
}

func gcd(a, b float64) float64 {
	for range 100 {
		if b < 1e-9 {
			return a
		}
		a, b = b, math.Mod(a, b)
	}
	return a
}

// round is what the editor makes of a number that is put into the widget.
func (l limits) round(x float64, kind string) float64 {
	nearest := func(x float64) float64 { return math.Floor(x + 0.5) }
	if kind == "INT" {
		if l.step == 0 || l.step == 1 {
			return nearest(x)
		}
		offset := math.Mod(l.min, l.step)
		return nearest((x-offset)/l.step)*l.step + offset
	}
	precision := int(math.Max(0, -math.Floor(math.Log10(l.step))))
	round := l.rounding
	if round == 0 {
		if precision == 0 {
			return x
		}
		round = math.Pow(10, -float64(precision))
	}
	fixed, err := strconv.ParseFloat(strconv.FormatFloat(nearest(x/round)*round, 'f', precision, 64), 64)
	if err != nil {
		return x
	}
	return math.Min(math.Max(fixed, l.min), l.max)
}
