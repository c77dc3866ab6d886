package service

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"
	"strings"
)

// SchemaURL is where editors find the schema; `init` writes it on the first
// line of a service file.
const SchemaURL = "https://comfyctl.github.io/comfyctl/schema/v1.json"

// Schema is the JSON Schema (draft-07) of the service file, made from the Go
// types. It is for editors: the findings of Parse say more.
func Schema() []byte {
	g := &schemaMaker{defs: object{}}
	root := g.mapping(reflect.TypeFor[Service](), false)
	root["$schema"] = "http://json-schema.org/draft-07/schema#"
	root["$id"] = SchemaURL
	root["title"] = "comfyctl.yaml"
	root["description"] = "The service file of comfyctl: a ComfyUI workflow as an HTTP service."
	root["patternProperties"] = object{"^x-": object{}}
	root["anyOf"] = []any{object{"required": []string{"workflow"}}, object{"required": []string{"workflows"}}}
	root["definitions"] = g.defs
	b, err := json.MarshalIndent(root, "", "  ")
	if err != nil { // maps of texts and numbers only
		panic(fmt.Sprintf("service: the schema does not encode: %v", err))
	}
	return append(b, '\n')
}

type object = map[string]any

// schemaMaker turns types into schemas; structs become definitions. A partial
// schema is that of an overlay: nothing is required and null removes a key.
type schemaMaker struct{ defs object }

// ref gives the definition of a struct, making it when first asked.
func (g *schemaMaker) ref(t reflect.Type, partial bool) object {
	name := t.Name()
	if partial {
		name += ".overlay"
	}
	if g.defs[name] == nil {
		g.defs[name] = object{} // holds the place while the fields are made
		g.defs[name] = g.mapping(t, partial)
	}
	return object{"$ref": "#/definitions/" + name}
}

func (g *schemaMaker) mapping(t reflect.Type, partial bool) object {
	props := object{}
	var needed []string
	var either []any
	for _, f := range fields(t) {
		s := g.field(t.Field(f.index).Type, f, partial)
		if d := t.Field(f.index).Tag.Get("desc"); d != "" {
			if s["$ref"] != nil { // draft-07 reads nothing beside $ref
				s = object{"allOf": []any{s}}
			}
			s["description"] = d
		}
		if partial {
			s = object{"anyOf": []any{s, object{"type": "null"}}}
		}
		props[f.key] = s
		if f.old != "" {
			old := object{"deprecationMessage": "now called " + f.key}
			for k, v := range s {
				old[k] = v
			}
			props[f.old] = old
		}
		switch {
		case !required(f.check) || partial:
		case f.old != "":
			either = append(either, object{"anyOf": []any{object{"required": []string{f.key}}, object{"required": []string{f.old}}}})
		default:
			needed = append(needed, f.key)
		}
	}
	out := object{"type": "object", "properties": props, "additionalProperties": false}
	if either != nil {
		out["allOf"] = either
	}
	if needed != nil {
		out["required"] = needed
	}
	return out
}

func (g *schemaMaker) field(t reflect.Type, f field, partial bool) object {
	if f.kind == "named" {
		item := g.of(t.Elem(), partial)
		if short := g.shortItem(t.Elem()); short != nil {
			item = object{"anyOf": []any{short, item}}
		}
		if partial {
			item = object{"anyOf": []any{item, object{"type": "null"}}}
		}
		return object{"type": "object", "additionalProperties": item}
	}
	s := g.of(t, partial)
	at := s
	if items, ok := s["items"].(object); ok && t.Kind() == reflect.Slice {
		at = items
	}
	if f.enum != "" {
		at["enum"] = strings.Split(f.enum, "|")
	}
	if f.loose != "" {
		at["type"] = []string{"string", f.loose}
	}
	for _, c := range strings.Split(f.check, ",") {
		name, arg, _ := strings.Cut(c, "=")
		switch form, ok := forms[name]; {
		case name == "min" || name == "max":
			n, _ := strconv.ParseInt(arg, 10, 64)
			at[name+"imum"] = n
		case ok:
			at["pattern"] = form.re.String()
		}
	}
	return s
}

// shortItem is the bare value that may stand for a named entry.
func (g *schemaMaker) shortItem(t reflect.Type) object {
	if !shortItems[t] {
		return nil
	}
	f := fields(t)[0]
	return g.field(t.Field(f.index).Type, f, false)
}

// of gives the schema of a type by itself.
func (g *schemaMaker) of(t reflect.Type, partial bool) object {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if s := g.shape(t, partial); s != nil {
		return s
	}
	switch t.Kind() {
	case reflect.Struct:
		return g.ref(t, partial)
	case reflect.Slice:
		return object{"type": "array", "items": g.of(t.Elem(), false)}
	case reflect.String:
		return object{"type": "string"}
	case reflect.Bool:
		return object{"type": "boolean"}
	case reflect.Int:
		return object{"type": "integer"}
	}
	panic("service: no schema for " + t.String())
}
