package stub

import (
	"math/big"
	"os"
	"strings"

	"github.com/comfyctl/comfyctl/pkg/catalog"
)

// replace rewrites nodes of classes that the release has no more, as newer
// releases do before they validate.
func (c *core) replace(p *object) error {
	if !c.since(14) {
		return nil
	}
	for _, id := range p.keys {
		n, ok := p.values[id].(*object)
		if !ok {
			return errBroken
		}
		class, hasClass := n.get("class_type")
		iv, hasInputs := n.get("inputs")
		if !hasClass || !hasInputs {
			continue
		}
		inputs, isObject := iv.(*object)
		if !isObject {
			return errBroken
		}
		name, _ := class.(string)
		r, ok := c.cat.Replaced(name)
		if !ok {
			continue
		}
		meta, _ := n.get("_meta")
		if _, ok := meta.(*object); !ok {
			return errBroken
		}
		now := obj()
		for _, m := range r.Inputs {
			v, there := inputs.get(m.From)
			if m.Value != nil {
				v, there = parsed(m.Value), true
			}
			if !there {
				return errBroken
			}
			now.set(m.To, v)
		}
		n.set("class_type", r.Class)
		n.set("inputs", now)
	}
	return nil
}

func parsed(raw []byte) any {
	v, err := parseJSON(raw)
	if err != nil {
		return nil
	}
	return v
}

// ownOf is what a class checks itself in this release.
func (ch *checker) ownOf(cl *catalog.Class) *catalog.Check {
	if cl.Check == nil || !ch.c.since(cl.Check.Since[1]) {
		return nil
	}
	return cl.Check
}

// own is the check that a class does itself, after that of its inputs.
func (ch *checker) own(cl *catalog.Class, inputs *object) ([]any, *exception) {
	own := ch.ownOf(cl)
	if own == nil {
		return nil, nil
	}
	for _, name := range own.Needs {
		if _, ok := inputs.get(name); !ok {
			return nil, raise("TypeError", "validation is missing 1 required positional argument: '"+name+"'")
		}
	}
	if own.Types != "" {
		return ch.types(cl, own, inputs)
	}
	if own.File == "" {
		return nil, nil
	}
	v, _ := inputs.get(own.File)
	if l, ok := v.([]any); ok && len(l) == 2 {
		v = nil // a link has no value yet
	}
	if own.OrNone && (!pyBool(v) || pyEqual(v, "none")) {
		return nil, nil
	}
	name, ok := v.(string)
	if !ok {
		return nil, raise("AttributeError", "'"+pyType(v)+"' object has no attribute 'endswith'")
	}
	if _, err := os.Stat(ch.c.annotated(name)); err == nil {
		return nil, nil
	}
	var errs []any
	for _, s := range specsOf(cl, inputs) {
		if _, ok := inputs.get(s.Name); ok && own.Has(s.Name) {
			errs = append(errs, failure("custom_validation_failed", "The class refuses a value", s.Name+" - Invalid "+s.File+" file: "+name, obj("input_name", s.Name)))
		}
	}
	return errs, nil
}

// types is the check of a class that compares the type of a link itself.
func (ch *checker) types(cl *catalog.Class, own *catalog.Check, inputs *object) ([]any, *exception) {
	v, _ := inputs.get(own.Types)
	link, ok := v.([]any)
	if !ok || len(link) != 2 {
		return nil, raise("KeyError", "'"+own.Types+"'")
	}
	from, _ := link[0].(string)
	n, _ := ch.p.values[from].(*object)
	slot, isInt := link[1].(*big.Int)
	if n == nil || !isInt {
		return nil, nil // said before
	}
	class, _ := n.get("class_type")
	source, ok := ch.c.cat.Class(pyStr(class))
	in, _ := cl.Input(own.Types)
	at := int(slot.Int64())
	if at < 0 && ok {
		at += len(source.Outputs)
	}
	if !ok || at < 0 || at >= len(source.Outputs) {
		return nil, nil
	}
	for _, t := range strings.Split(in.Type, ",") {
		if t == source.Outputs[at].Type {
			return nil, nil
		}
	}
	return []any{failure("custom_validation_failed", "The class refuses a value", "input_types - "+own.Types+" must be "+in.Type, obj("input_name", "input_types"))}, nil
}
