package ui

import (
	"slices"
	"strconv"
	"strings"

	"github.com/comfyctl/comfyctl/pkg/catalog"
)

// choose gives a node the inputs of the option that a dynamic combo stands at.
// Links of inputs that the option has too stay.
func (n *node) choose(w *widget) {
	prefix := w.name + "."
	var gone []*slot
	n.inputs = slices.DeleteFunc(n.inputs, func(s *slot) bool {
		if strings.HasPrefix(s.name, prefix) {
			gone = append(gone, s)
			return true
		}
		return false
	})
	n.widgets = slices.DeleteFunc(n.widgets, func(x *widget) bool { return strings.HasPrefix(x.name, prefix) })
	for name := range n.grow {
		if strings.HasPrefix(name, prefix) {
			delete(n.grow, name)
		}
	}
	key, _ := w.value.text()
	for i := range w.spec.Choices {
		if c := &w.spec.Choices[i]; c.Key == key && key != "" {
			n.adopt(w, c)
			break
		}
	}
	for _, s := range gone {
		if now := n.input(s.name); now != nil && s.link != "" {
			now.link = s.link
			n.grown(now)
		}
	}
	n.renumber(slices.IndexFunc(n.inputs, func(s *slot) bool { return s.name == w.name }) + 1)
}

// renumber writes the places of slots into the links that end at them.
func (n *node) renumber(from int) {
	for i := from; i < len(n.inputs); i++ {
		if l := n.in.links[n.inputs[i].link]; l != nil {
			l.toSlot = i
		}
	}
}

// adopt adds the inputs of an option behind the widget and its slot.
func (n *node) adopt(w *widget, c *catalog.Choice) {
	slots, widgets := n.inputs, n.widgets
	n.inputs, n.widgets = nil, nil
	for i := range c.Inputs {
		in := c.Inputs[i]
		in.Name = w.name + "." + in.Name
		n.addSocket(&in)
		n.addWidget(&in)
	}
	n.inputs, n.widgets = behind(slots, n.inputs, func(s *slot) bool { return s.name == w.name }),
		behind(widgets, n.widgets, func(x *widget) bool { return x == w })
}

// behind inserts more after the element that is meant, or at the end.
func behind[T any](all, more []T, is func(T) bool) []T {
	at := slices.IndexFunc(all, is)
	if at < 0 {
		at = len(all) - 1
	}
	return slices.Insert(all, at+1, more...)
}

// addGrow adds the first items of an autogrow input.
func (n *node) addGrow(in *catalog.InputSpec) {
	if in.Grow == nil {
		return
	}
	n.grow[in.Name] = in.Grow
	for i := 0; i == 0 || i <= in.Grow.Min; i++ {
		n.addItem(in.Name, in.Grow, i)
	}
}

// addItem adds one item of an autogrow input, where there is room and it is not
// there yet.
func (n *node) addItem(group string, g *catalog.Grow, i int) {
	name, ok := itemName(group, g, i)
	if !ok {
		return
	}
	item := g.Item
	item.Name = name
	old := n.input(name)
	if old != nil && (old.widget == "" || n.widget(old.widget) != nil) {
		return
	}
	slots := n.inputs
	n.inputs = nil
	n.addSocket(&item)
	n.addWidget(&item)
	added := n.inputs
	if old != nil && len(added) > 0 {
		added[0].link = old.link
		slots = slices.DeleteFunc(slots, func(s *slot) bool { return s == old })
	}
	before, _ := itemName(group, g, i-1)
	n.inputs = behind(slots, added, func(s *slot) bool { return s.name == before })
	if len(added) > 0 {
		n.renumber(slices.Index(n.inputs, added[0]))
	}
}

// itemName is the name of an item of an autogrow input, false past its end.
func itemName(group string, g *catalog.Grow, i int) (string, bool) {
	switch {
	case i < 0:
		return "", false
	case len(g.Names) > 0:
		if i >= len(g.Names) {
			return "", false
		}
		return group + "." + g.Names[i], true
	case i >= g.Max && g.Max > 0 || i >= 100:
		return "", false
	}
	return group + "." + g.Prefix + strconv.Itoa(i), true
}

// grown adds the next item once an item is connected.
func (n *node) grown(s *slot) {
	dot := strings.LastIndexByte(s.name, '.')
	if dot < 0 || s.link == "" {
		return
	}
	group := s.name[:dot]
	g := n.grow[group]
	if g == nil {
		return
	}
	for i := 0; ; i++ {
		name, ok := itemName(group, g, i)
		if !ok {
			return
		}
		if name == s.name {
			n.addItem(group, g, i+1)
			return
		}
	}
}

// addOption adds an empty option to a combo that people write themselves.
func (n *node) addOption() {
	name := "option" + strconv.Itoa(len(n.widgets)-1)
	n.widgets = append(n.widgets, &widget{name: name, kind: "OPTION", value: value{raw: quoted(""), made: true}})
}
