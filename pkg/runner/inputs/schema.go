package inputs

import (
	"encoding/json"

	"github.com/comfyctl/comfyctl/pkg/contract"
)

// Schema is the JSON Schema (2020-12) of a workflow's inputs, in their order
// under x-order.
func Schema(wf *contract.Workflow) map[string]any {
	props := map[string]any{}
	order := []string{}
	required := []string{}
	for _, in := range wf.Inputs {
		props[in.Name] = property(in)
		order = append(order, in.Name)
		if in.Required && in.Default == nil {
			required = append(required, in.Name)
		}
	}
	return map[string]any{"type": "object", "properties": props, "required": required, "additionalProperties": false, "x-order": order}
}

func property(in contract.Input) map[string]any {
	p := map[string]any{"x-type": in.Type}
	if in.Description != "" {
		p["description"] = in.Description
	}
	if in.Default != nil {
		p["default"] = in.Default
	}
	if in.Example != nil {
		p["examples"] = []json.RawMessage{in.Example}
	}
	for key, n := range map[string]json.Number{"minimum": in.Min, "maximum": in.Max} {
		if n != "" {
			p[key] = n
		}
	}
	if in.Step != "" {
		p["x-step"] = in.Step
	}
	if len(in.Enum) > 0 {
		p["enum"] = in.Enum
	}
	if in.MaxLength > 0 {
		p["maxLength"] = in.MaxLength
	}
	switch in.Type {
	case contract.TypeInt:
		p["type"] = "integer"
	case contract.TypeSeed:
		// Text carries what JavaScript would round.
		p["type"] = []string{"integer", "string"}
		p["pattern"] = "^[0-9]{1,20}$"
		p["x-random"] = in.Random || in.Default == nil
		if in.Min == "" {
			p["minimum"] = 0
		}
	case contract.TypeFloat:
		p["type"] = "number"
	case contract.TypeBool:
		p["type"] = "boolean"
	case contract.TypeEnum:
	default:
		p["type"] = "string"
		if IsFile(in.Type) {
			p["x-file"] = true
			if in.MaxSize > 0 {
				p["x-max-size"] = in.MaxSize
			}
		}
	}
	return p
}
