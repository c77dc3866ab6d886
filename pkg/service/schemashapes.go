package service

import "reflect"

func oneOf(list ...any) object { return object{"anyOf": list} }

func pattern(re string) object { return object{"type": "string", "pattern": re} }

// anyValue is a value without a mapping in it.
func anyValue() object {
	plain := []string{"string", "number", "boolean", "null"}
	return object{"type": append([]string{"array"}, plain...), "items": object{"type": plain}}
}

// shape gives the schema of a type that has short forms or a spelling of its
// own; nil for all others. It mirrors the types' decodeYAML.
func (g *schemaMaker) shape(t reflect.Type, partial bool) object {
	text := object{"type": "string"}
	whole := object{"type": "integer", "minimum": 0}
	switch t {
	case reflect.TypeFor[Duration]():
		return pattern(durationForm.String())
	case reflect.TypeFor[Size]():
		return pattern(sizeForm.String())
	case reflect.TypeFor[Rate]():
		return pattern(rateForm.String())
	case reflect.TypeFor[Share]():
		return oneOf(pattern(`^\d+(\.\d+)?%$`), object{"type": "number", "minimum": 0, "maximum": 1})
	case reflect.TypeFor[Money]():
		return oneOf(pattern(`^\$?\d+(\.\d+)?$`), object{"type": "number", "minimum": 0})
	case reflect.TypeFor[StringList]():
		return oneOf(text, object{"type": "array", "items": text})
	case reflect.TypeFor[Literal]():
		return anyValue()
	case reflect.TypeFor[Number]():
		return object{"type": "number"}
	case reflect.TypeFor[Arguments]():
		return object{"type": "object", "additionalProperties": anyValue()}
	case reflect.TypeFor[Matrix]():
		return oneOf(object{"const": "auto"}, object{"type": "object", "additionalProperties": anyValue()})
	case reflect.TypeFor[Aliases]():
		weights := object{"type": "object", "additionalProperties": whole}
		return oneOf(text, object{"type": "array", "items": text},
			object{"type": "object", "additionalProperties": oneOf(object{"type": []string{"string", "number"}}, weights)})
	case reflect.TypeFor[Inputs]():
		one := g.of(reflect.TypeFor[Input](), partial)
		if partial {
			one = oneOf(one, object{"type": "null"})
		}
		return oneOf(object{"const": "auto"}, object{"type": "object", "additionalProperties": one})
	case reflect.TypeFor[AuthList]():
		return oneOf(object{"const": "none"}, object{"type": "array", "items": g.ref(reflect.TypeFor[Auth](), false)})
	case reflect.TypeFor[Environment]():
		return g.environment()
	}
	return g.shortForm(t, partial)
}

// shortForm is the schema of a struct that a plain value may stand for.
func (g *schemaMaker) shortForm(t reflect.Type, partial bool) object {
	whole := object{"type": "integer", "minimum": 0}
	long := func() object { return g.ref(t, partial) }
	switch t {
	case reflect.TypeFor[Workflow]():
		file := long()
		if !partial {
			file = object{"allOf": []any{file, object{"required": []string{"file"}}}}
		}
		return oneOf(object{"type": "string"}, file)
	case reflect.TypeFor[ComfyUI]():
		return oneOf(object{"type": []string{"string", "number"}}, long())
	case reflect.TypeFor[GPU]():
		return oneOf(pattern(gpuShort.String()), pattern(sizeForm.String()), long())
	case reflect.TypeFor[Scaling]():
		return oneOf(pattern(scaleShort.String()), whole, long())
	case reflect.TypeFor[Input]():
		return oneOf(g.shape(reflect.TypeFor[StringList](), false), long())
	case reflect.TypeFor[Model]():
		return oneOf(long(), object{"type": "object", "patternProperties": object{"/": object{"type": "string"}},
			"additionalProperties": false, "minProperties": 1, "maxProperties": 1})
	case reflect.TypeFor[NodePack]():
		return object{"allOf": []any{long()}, "oneOf": []any{
			object{"required": []string{"repo"}}, object{"required": []string{"registry"}}, object{"required": []string{"path"}}}}
	case reflect.TypeFor[Target]():
		s := long()
		for _, name := range []string{"Target", "Target.overlay"} {
			if def, ok := g.defs[name].(object); ok {
				def["patternProperties"] = object{"^x-": object{}}
			}
		}
		return s
	}
	return nil
}

// environment has its own two keys and, as an overlay, all of the file's.
func (g *schemaMaker) environment() object {
	if g.defs["Environment"] == nil {
		g.defs["Environment"] = object{} // the overlay of an overlay ends here
		all := g.mapping(reflect.TypeFor[Service](), true)
		own := g.mapping(reflect.TypeFor[Environment](), true)
		props := all["properties"].(object)
		delete(props, "environments")
		for k, v := range own["properties"].(object) {
			props[k] = v
		}
		all["patternProperties"] = object{"^x-": object{}}
		g.defs["Environment"] = all
	}
	return object{"$ref": "#/definitions/Environment"}
}
