package catalog

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
)

// pair is one member of a JSON object, in the order of the text.
type pair struct {
	key string
	raw json.RawMessage
}

// pairs reads an object without losing the order of its keys.
func pairs(raw json.RawMessage) ([]pair, error) {
	if len(raw) == 0 || bytes.Equal(bytes.TrimSpace(raw), []byte("null")) {
		return nil, nil
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	t, err := dec.Token()
	if err != nil {
		return nil, err
	}
	if t != json.Delim('{') {
		return nil, errors.New("not an object")
	}
	var list []pair
	for dec.More() {
		k, err := dec.Token()
		if err != nil {
			return nil, err
		}
		p := pair{key: k.(string)}
		if err := dec.Decode(&p.raw); err != nil {
			return nil, err
		}
		list = append(list, p)
	}
	return list, nil
}

type classJSON struct {
	Input        json.RawMessage   `json:"input"`
	Output       []json.RawMessage `json:"output"`
	OutputIsList []bool            `json:"output_is_list"`
	OutputName   json.RawMessage   `json:"output_name"`
	OutputNode   bool              `json:"output_node"`
	Module       string            `json:"python_module"`
	APINode      bool              `json:"api_node"`
	Deprecated   bool              `json:"deprecated"`
	Experimental bool              `json:"experimental"`
	DisplayName  string            `json:"display_name"`
}

func decodeClass(name string, raw json.RawMessage) (*Class, error) {
	var j classJSON
	if err := json.Unmarshal(raw, &j); err != nil {
		return nil, fmt.Errorf("decoding class: %w", err)
	}
	cl := &Class{Name: name, OutputNode: j.OutputNode, Module: j.Module, APINode: j.APINode, Deprecated: j.Deprecated, Experimental: j.Experimental,
		Title: j.DisplayName, Check: checks[name]}
	if cl.Title == "" {
		cl.Title = name
	}
	var err error
	if cl.Inputs, err = decodeGroups(name, j.Input); err != nil {
		return nil, err
	}
	var names []string
	_ = json.Unmarshal(j.OutputName, &names) // some packs give a bare string or nulls: the type then names the slot
	for i, t := range j.Output {
		out := OutputSpec{Type: typeText(t)}
		out.Name = out.Type
		if i < len(names) && names[i] != "" {
			out.Name = names[i]
		}
		out.List = i < len(j.OutputIsList) && j.OutputIsList[i]
		cl.Outputs = append(cl.Outputs, out)
	}
	return cl, nil
}

// typeText is the name of an output type; a list of options is a COMBO.
func typeText(raw json.RawMessage) string {
	var s string
	if json.Unmarshal(raw, &s) == nil {
		return s
	}
	return "COMBO"
}

// decodeGroups reads {"required": {…}, "optional": {…}}.
func decodeGroups(class string, raw json.RawMessage) ([]InputSpec, error) {
	groups, err := pairs(raw)
	if err != nil {
		return nil, fmt.Errorf("decoding inputs: %w", err)
	}
	var list []InputSpec
	for _, group := range []string{"required", "optional"} {
		for _, g := range groups {
			if g.key != group {
				continue
			}
			specs, err := pairs(g.raw)
			if err != nil {
				return nil, fmt.Errorf("decoding %s inputs: %w", group, err)
			}
			for _, s := range specs {
				in, err := decodeInput(class, s.key, s.raw)
				if err != nil {
					return nil, fmt.Errorf("decoding input %q: %w", s.key, err)
				}
				in.Required = group == "required"
				list = append(list, in)
			}
		}
	}
	return list, nil
}

type optionsJSON struct {
	Default     json.RawMessage   `json:"default"`
	Min         json.RawMessage   `json:"min"`
	Max         json.RawMessage   `json:"max"`
	Step        json.RawMessage   `json:"step"`
	Options     []json.RawMessage `json:"options"`
	Multiline   truthy            `json:"multiline"`
	Multiselect truthy            `json:"multiselect"`
	OldMulti    truthy            `json:"multi_select"`
	ForceInput  truthy            `json:"forceInput"`
	Lazy        truthy            `json:"lazy"`
	RawLink     truthy            `json:"rawLink"`
	Control     json.RawMessage   `json:"control_after_generate"`
	Round       json.RawMessage   `json:"round"`
	Dynamic     truthy            `json:"dynamicPrompts"`
	Socketless  truthy            `json:"socketless"`
	Widget      json.RawMessage   `json:"widgetType"`
	Remote      json.RawMessage   `json:"remote"`
	Image       truthy            `json:"image_upload"`
	Animated    truthy            `json:"animated_image_upload"`
	Video       truthy            `json:"video_upload"`
	Audio       truthy            `json:"audio_upload"`
	AnyFile     truthy            `json:"file_upload"`
	Template    *templateJSON     `json:"template"`
}

type templateJSON struct {
	Input  json.RawMessage `json:"input"`
	Prefix string          `json:"prefix"`
	Names  []string        `json:"names"`
	Min    int             `json:"min"`
	Max    int             `json:"max"`
}

// truthy reads a flag as Python would: packs write true, 1, "fixed" and {…}.
type truthy bool

func (t *truthy) UnmarshalJSON(b []byte) error {
	switch string(b) {
	case "null", "false", "0", "0.0", `""`, "[]", "{}":
		*t = false
	default:
		*t = true
	}
	return nil
}

func isTrue(raw json.RawMessage) bool {
	var t truthy
	return len(raw) > 0 && t.UnmarshalJSON(raw) == nil && bool(t)
}

func decodeInput(class, name string, raw json.RawMessage) (InputSpec, error) {
	in := InputSpec{Name: name}
	var parts []json.RawMessage
	if err := json.Unmarshal(raw, &parts); err != nil || len(parts) == 0 {
		// Some packs give the bare type.
		if json.Unmarshal(raw, &in.Type) == nil {
			return in, nil
		}
		return in, errors.New("neither a type nor a list")
	}
	if err := json.Unmarshal(parts[0], &in.Type); err != nil {
		if err := json.Unmarshal(parts[0], &in.Enum); err != nil {
			return in, errors.New("the type is neither text nor a list")
		}
		in.Type, in.Literal = "COMBO", true
	}
	in.Folder, _ = LoaderFolder(class, name)
	in.File = inputFiles[class][name]
	if len(parts) < 2 {
		return in, nil
	}
	var o optionsJSON
	if json.Unmarshal(parts[1], &o) != nil {
		return in, nil //nolint:nilerr // options that are not an object say nothing to us
	}
	in.Default, in.Min, in.Max, in.Step = notNull(o.Default), number(o.Min), number(o.Max), number(o.Step)
	in.Multiline, in.ForceInput, in.Lazy, in.RawLink = bool(o.Multiline), bool(o.ForceInput), bool(o.Lazy), bool(o.RawLink)
	in.Multiselect, in.Seed, in.Remote = bool(o.Multiselect || o.OldMulti), isTrue(o.Control), isTrue(o.Remote)
	in.Editor = EditorSpec{Socketless: bool(o.Socketless), DynamicPrompts: bool(o.Dynamic), Control: notNull(o.Control), Round: number(o.Round)}
	_ = json.Unmarshal(o.Widget, &in.Editor.Widget) // absent or not a name: the type says it
	var remote struct {
		Refresh truthy `json:"refresh_button"`
	}
	_ = json.Unmarshal(o.Remote, &remote) // absent, or a bare flag
	in.Editor.Refresh = bool(remote.Refresh)
	switch {
	case bool(o.Image || o.Animated || o.Video):
		in.Editor.Upload = "image"
	case bool(o.Audio) && name == "audio":
		in.Editor.Upload = "audio"
	}
	in.File = fileKind(in.File, &o)
	return in, in.dynamic(class, &o)
}

// dynamic reads options whose meaning depends on the type.
func (in *InputSpec) dynamic(class string, o *optionsJSON) error {
	switch {
	case in.Type == "COMFY_DYNAMICCOMBO_V3":
		for _, raw := range o.Options {
			var c struct {
				Key    string          `json:"key"`
				Inputs json.RawMessage `json:"inputs"`
			}
			if err := json.Unmarshal(raw, &c); err != nil {
				return fmt.Errorf("decoding option: %w", err)
			}
			inputs, err := decodeGroups(class, c.Inputs)
			if err != nil {
				return fmt.Errorf("decoding option %q: %w", c.Key, err)
			}
			in.Choices = append(in.Choices, Choice{Key: c.Key, Inputs: inputs})
		}
	case in.Type == "COMFY_AUTOGROW_V3" && o.Template != nil:
		items, err := decodeGroups(class, o.Template.Input)
		if err != nil {
			return fmt.Errorf("decoding template: %w", err)
		}
		if len(items) > 0 {
			in.Grow = &Grow{Item: items[0], Prefix: o.Template.Prefix, Names: o.Template.Names, Min: o.Template.Min, Max: o.Template.Max}
		}
	case !in.Literal && o.Options != nil:
		in.Enum = o.Options
	}
	return nil
}

func fileKind(known string, o *optionsJSON) string {
	switch {
	case known != "":
		return known
	case bool(o.Image):
		return "image"
	case bool(o.Video):
		return "video"
	case bool(o.Audio):
		return "audio"
	case bool(o.AnyFile):
		return "any"
	}
	return ""
}

func notNull(raw json.RawMessage) json.RawMessage {
	if string(raw) == "null" {
		return nil
	}
	return raw
}

func number(raw json.RawMessage) json.Number {
	var n json.Number
	if len(raw) == 0 || raw[0] == '"' || json.Unmarshal(raw, &n) != nil {
		return ""
	}
	return n
}
