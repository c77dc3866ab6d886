package ui

import (
	"slices"
	"strconv"
	"strings"

	"github.com/comfyctl/comfyctl/internal/jsonpos"
	"github.com/comfyctl/comfyctl/pkg/catalog"
)

// configure puts what was saved of a node into what its class has.
func (b *builder) configure(n *node) {
	saved := n.inputs
	outputs := n.outputs
	n.build()
	n.merge(saved)
	n.mergeOutputs(outputs)
	for i := 0; i < len(n.inputs); i++ {
		n.grown(n.inputs[i])
	}
	n.assign(b.values(n))
}

// merge takes the links over by name. Slots that the class does not have stay
// at the end, as packs add some by scripts of their own.
func (n *node) merge(saved []*slot) {
	byName := make(map[string]*slot, len(saved))
	for _, s := range saved {
		byName[s.name] = s
	}
	has := make(map[string]bool, len(n.inputs))
	for _, s := range n.inputs {
		has[s.name] = true
		if old := byName[s.name]; old != nil {
			s.link = old.link
		}
	}
	for _, s := range saved {
		if !has[s.name] {
			n.inputs = append(n.inputs, s)
		}
	}
}

// mergeOutputs keeps the links and takes the types of the class. More outputs
// than the class has stay as saved.
func (n *node) mergeOutputs(saved []*output) {
	n.outputs = nil
	for i, o := range n.class.Outputs {
		out := &output{typ: o.Type}
		if o.Type == matchType {
			out.typ = "*"
		}
		if i < len(saved) {
			out.links = saved[i].links
		}
		n.outputs = append(n.outputs, out)
	}
	if len(saved) > len(n.outputs) {
		n.outputs = append(n.outputs, saved[len(n.outputs):]...)
	}
}

// savedValues are the values of widgets: in order, or by name as some packs
// write them.
type savedValues struct {
	list   []value
	byName map[string]value
}

func (b *builder) values(n *node) savedValues {
	if n.over != nil {
		return savedValues{list: n.over}
	}
	v := n.saved.Get("widgets_values")
	if v == nil {
		return savedValues{}
	}
	var s savedValues
	switch v.Kind {
	case jsonpos.Array:
		s.list = make([]value, 0, len(v.Elems))
		for i := range v.Elems {
			x := b.value(&v.Elems[i])
			x.pointer = n.pointer + "/widgets_values/" + strconv.Itoa(i)
			s.list = append(s.list, x)
		}
		if n.class != nil {
			s.list = n.withoutSockets(s.list)
		}
	case jsonpos.Object:
		s.byName = make(map[string]value, len(v.Members))
		for i := range v.Members {
			x := b.value(&v.Members[i].Val)
			x.pointer = n.pointer + "/widgets_values/" + segment.Replace(v.Members[i].Key)
			s.byName[v.Members[i].Key] = x
		}
	}
	return s
}

// segment escapes one segment of a pointer.
var segment = strings.NewReplacer("~", "~0", "/", "~1")

// withoutSockets drops the values of inputs that are sockets now and were
// widgets when an older editor saved the file. The number of values tells.
func (n *node) withoutSockets(values []value) []value {
	var drop []bool
	for _, in := range groups(n.class) {
		if n.widget(in.Name) == nil && !in.ForceInput {
			continue
		}
		drop = append(drop, in.ForceInput)
		if in.Seed {
			drop = append(drop, false)
		}
	}
	if len(drop) != len(values) {
		return values
	}
	kept := make([]value, 0, len(values))
	for i, v := range values {
		if !drop[i] {
			kept = append(kept, v)
		}
	}
	return kept
}

// groups lists the inputs of a class with what the editor adds to the required
// ones before the optional ones.
func groups(cl *catalog.Class) []catalog.InputSpec {
	specs := declared(cl)
	slices.SortStableFunc(specs, func(a, b catalog.InputSpec) int {
		switch {
		case a.Required == b.Required:
			return 0
		case a.Required:
			return -1
		}
		return 1
	})
	return specs
}

// assign gives the widgets their saved values. A dynamic combo brings new
// widgets right behind it, which take the next values.
func (n *node) assign(s savedValues) {
	next := 0
	for i := 0; i < len(n.widgets); i++ {
		w := n.widgets[i]
		if w.unsaved {
			continue
		}
		if s.byName != nil {
			v, ok := s.byName[w.name]
			if !ok {
				continue
			}
			w.value = v
		} else {
			if next >= len(s.list) {
				return
			}
			w.value = s.list[next]
			next++
		}
		n.changed(w)
	}
}

// changed is what a new value does to the other widgets of a node.
func (n *node) changed(w *widget) {
	switch w.kind {
	case dynamicCombo:
		n.choose(w)
	case "OPTION":
		if t, _ := w.value.text(); t != "" && n.widgets[len(n.widgets)-1] == w {
			n.addOption()
		}
	}
}

// settle removes what refers to widgets that are gone and mends values that the
// editor mends on loading.
func (n *node) settle() {
	if n.kind == plain {
		n.inputs = slices.DeleteFunc(n.inputs, func(s *slot) bool { return s.widget != "" && n.widget(s.widget) == nil })
	}
	for _, w := range n.every() {
		switch {
		case w.kind == "COMBO" && w.value.null() && w.spec != nil && len(w.spec.Enum) > 0:
			w.value = w.value.with(w.spec.Enum[0])
		case w.kind == "STRING" && w.spec != nil && w.spec.Multiline && string(w.value.raw) == "null":
			w.value = w.value.with(quoted(""))
		case w.name == "sampler_name" && (n.typ == "KSampler" || n.typ == "KSamplerAdvanced"):
			if t, ok := w.value.text(); ok && len(t) >= 7 && t[:7] == "sample_" {
				w.value = w.value.with(quoted(t[7:]))
			}
		}
	}
}

// every lists the widgets of a node, those that a host stands for among them.
func (n *node) every() []*widget {
	if n.kind != host {
		return n.widgets
	}
	var all []*widget
	for _, s := range n.inputs {
		if s.value != nil {
			all = append(all, s.value)
		}
	}
	return all
}
