package from

import (
	"encoding/json"
	"strconv"
	"strings"

	"github.com/comfyctl/comfyctl/pkg/contract"
	"github.com/comfyctl/comfyctl/pkg/workflow"
)

// ranges reads the bounds that the mark sets.
func (u *unmarker) ranges(in *contract.Input, n *node) {
	switch {
	case n.class == "CPackInputInt":
		in.Min, in.Max = bounded(n.number("min")), bounded(n.number("max"))
	case n.class == "CPackInputAny":
		in.Min, in.Max, in.Step = bounded(n.extra.Min), bounded(n.extra.Max), n.extra.Step
		for _, v := range n.extra.Values {
			if scalarJSON(v) {
				in.Enum = append(in.Enum, v)
			}
		}
		if len(in.Enum) > 0 {
			in.Type = contract.TypeEnum
		}
	case in.Type == contract.TypeEnum:
		in.Enum = options(n.say("options"))
		if len(in.Enum) == 0 {
			in.Type = ""
		}
	case in.Type == contract.TypeInt || in.Type == contract.TypeFloat:
		in.Min, in.Max = n.number("min_value"), n.number("max_value")
	}
	if min, err := in.Min.Float64(); err == nil {
		if max, err := in.Max.Float64(); err == nil && min > max {
			in.Min, in.Max = "", ""
		}
	}
}

// bounded drops the bounds of 64-bit numbers, which say nothing.
func bounded(n json.Number) json.Number {
	if f, err := n.Float64(); err != nil || f <= -(1<<53) || f >= 1<<53 {
		return ""
	}
	return n
}

// options reads a JSON list, or one option a line.
func options(text string) (list []json.RawMessage) {
	var values []json.RawMessage
	if json.Unmarshal([]byte(text), &values) == nil {
		for _, v := range values {
			if scalarJSON(v) {
				list = append(list, v)
			}
		}
		return list
	}
	for _, l := range strings.Split(text, "\n") {
		if l = strings.Trim(strings.TrimSpace(l), ","); l != "" {
			list = append(list, json.RawMessage(quote(strings.Trim(l, `"'`))))
		}
	}
	return list
}

// constant is a value that may be a default.
func constant(f *field) json.RawMessage {
	if f == nil || !scalarJSON(f.raw) || f.kind == workflow.NonFinite {
		return nil
	}
	return f.raw
}

// literalOf is a value as a graph holds it: a list would be taken for a link.
func literalOf(f *field) json.RawMessage {
	switch f.kind {
	case workflow.Array:
		return json.RawMessage(`{"__value__":` + string(f.raw) + `}`)
	case workflow.NonFinite:
		return json.RawMessage("null")
	}
	return f.raw
}

// inside reports whether a number lies within an input's bounds.
func inside(in *contract.Input) bool {
	v, err := strconv.ParseFloat(string(in.Default), 64)
	if err != nil {
		return in.Min == "" && in.Max == ""
	}
	if lo, err := in.Min.Float64(); err == nil && v < lo {
		return false
	}
	hi, err := in.Max.Float64()
	return err != nil || v <= hi
}

func among(v json.RawMessage, list []json.RawMessage) bool {
	for _, e := range list {
		if string(e) == string(v) {
			return true
		}
	}
	return v == nil
}
