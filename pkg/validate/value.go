package validate

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"math/big"
	"strconv"
	"strings"

	"github.com/comfyctl/comfyctl/internal/diag"
	"github.com/comfyctl/comfyctl/internal/python"
	"github.com/comfyctl/comfyctl/pkg/catalog"
	"github.com/comfyctl/comfyctl/pkg/contract"
	"github.com/comfyctl/comfyctl/pkg/workflow"
)

// constant checks a value that is no link.
func (c *checker) constant(n *workflow.Node, in *workflow.Input, s *catalog.InputSpec) {
	if c.o.Written != nil && c.o.Written(n.ID, in.Name) {
		return
	}
	raw := in.Value()
	num, err := coerce(raw, s.Type)
	if err != nil {
		c.add(n, diag.Diagnostic{Code: "CW106", Message: fmt.Sprintf("value of `%s` cannot be read as %s", in.Name, s.Type), Span: in.ValueSpan, Label: err.Error(),
			Help: "give " + article(s.Type), Pointer: in.Pointer, Input: in.Name, Server: "invalid_input_type"})
		return
	}
	switch own := c.own(n); {
	case own != nil && own.Types == in.Name:
		c.add(n, diag.Diagnostic{Code: "CW012", Span: in.ValueSpan, Pointer: in.Pointer, Input: in.Name, Server: c.raised(n),
			Message: fmt.Sprintf("`%s` of node `%s` takes a link, not a value", in.Name, n.ID), Label: "no link", Help: "link a node that gives " + s.Type})
		return
	case own.Has(in.Name):
		c.ownFile(n, in, own, raw)
		return
	case s.Folder != "" || s.File != "":
		c.file(n, in, s, raw)
		return
	}
	if num == nil {
		num, _ = jsonNumber(raw)
	}
	if !c.comparable(n, in, s, raw) || num != nil && !c.inRange(n, in, s, num) {
		return
	}
	if s.Type == "COMBO" {
		c.option(n, in, s, raw)
	}
	if num != nil && (s.Seed || strings.HasSuffix(s.Name, "seed")) && num.Cmp(big.NewFloat(contract.MaxSafeSeed)) > 0 && s.Type == "INT" {
		c.add(n, diag.Diagnostic{Code: "CW110", Severity: diag.SeverityWarning, Span: in.ValueSpan, Pointer: in.Pointer, Input: in.Name,
			Message: "seed is above 2^53-1", Label: "JavaScript callers cannot send this number exactly",
			Help: fmt.Sprintf("use a seed of at most %d", int64(contract.MaxSafeSeed))})
	}
}

// comparable reports whether a value can be held against limits: where the type
// is none that ComfyUI converts, a text raises.
func (c *checker) comparable(n *workflow.Node, in *workflow.Input, s *catalog.InputSpec, raw json.RawMessage) bool {
	if s.Min == "" && s.Max == "" || s.Type == "INT" || s.Type == "FLOAT" || string(raw) == "NaN" {
		return true
	}
	if _, ok := jsonNumber(raw); ok {
		return true
	}
	c.add(n, diag.Diagnostic{Code: "CW106", Message: fmt.Sprintf("value of `%s` cannot be read as %s", in.Name, s.Type), Span: in.ValueSpan, Label: short(raw) + " is not a number",
		Help: "give a number " + rangeText(s), Pointer: in.Pointer, Input: in.Name, Server: c.raised(n)})
	return false
}

func article(t string) string {
	switch t {
	case "INT":
		return "a whole number"
	case "FLOAT":
		return "a number"
	}
	return "a " + t
}

func (c *checker) inRange(n *workflow.Node, in *workflow.Input, s *catalog.InputSpec, num *big.Float) bool {
	lo, hi := c.bound(s.Min), c.bound(s.Max)
	d := diag.Diagnostic{Code: "CW104", Span: in.ValueSpan, Pointer: in.Pointer, Input: in.Name}
	switch {
	case lo != nil && num.Cmp(lo) < 0:
		d.Message, d.Server = fmt.Sprintf("`%s` of node `%s` is below its minimum", in.Name, n.ID), "value_smaller_than_min"
		d.Label = fmt.Sprintf("`%s` takes at least %s", n.Class, s.Min)
	case hi != nil && num.Cmp(hi) > 0:
		d.Message, d.Server = fmt.Sprintf("`%s` of node `%s` is above its maximum", in.Name, n.ID), "value_bigger_than_max"
		d.Label = fmt.Sprintf("`%s` takes at most %s", n.Class, s.Max)
	default:
		return true
	}
	d.Help = "give a value " + rangeText(s)
	c.add(n, d)
	return false
}

func rangeText(s *catalog.InputSpec) string {
	switch {
	case s.Min != "" && s.Max != "":
		return fmt.Sprintf("from %s to %s", s.Min, s.Max)
	case s.Min != "":
		return fmt.Sprintf("of at least %s", s.Min)
	}
	return fmt.Sprintf("of at most %s", s.Max)
}

// option checks a value against the options of a combo. Before 0.8.0 ComfyUI
// checked only enumerations that stand in place of a type; a value outside the
// others fails when the node runs.
func (c *checker) option(n *workflow.Node, in *workflow.Input, s *catalog.InputSpec, raw json.RawMessage) {
	if len(s.Enum) == 0 || s.Remote {
		return
	}
	values := []json.RawMessage{raw}
	if s.Multiselect {
		var list []json.RawMessage
		if json.Unmarshal(raw, &list) == nil && list != nil {
			values = list
		}
	}
	for _, v := range values {
		if contains(s.Enum, v) {
			continue
		}
		d := diag.Diagnostic{Code: "CW105", Message: "value is not one ComfyUI offers for `" + in.Name + "`", Span: in.ValueSpan,
			Label: "not an option of `" + n.Class + "` in ComfyUI " + c.o.ComfyUI, Pointer: in.Pointer, Input: in.Name, Server: "value_not_in_list"}
		if !s.Literal && !c.since(0, 8) {
			d.Severity, d.Server = diag.SeverityWarning, ""
		}
		d.Help, d.Fix = optionHelp(s, v, in)
		c.add(n, d)
		return
	}
}

func optionHelp(s *catalog.InputSpec, v json.RawMessage, in *workflow.Input) (string, *diag.Fix) {
	var texts []string
	for _, e := range s.Enum {
		var t string
		if json.Unmarshal(e, &t) == nil {
			texts = append(texts, t)
		}
	}
	if best := diag.Suggest(text(v), texts); best != "" {
		quoted, _ := json.Marshal(best) // a string always encodes
		help := "did you mean " + string(quoted) + "?"
		if !bytes.Equal(v, in.Raw) {
			return help, nil
		}
		return help, &diag.Fix{Title: "replace with " + string(quoted),
			Edits: []diag.Edit{{Start: in.ValueSpan.Start.Offset, End: in.ValueSpan.End.Offset, Text: string(quoted)}}}
	}
	var list []string
	for i, e := range s.Enum {
		if i == 12 {
			list = append(list, fmt.Sprintf("… and %d more", len(s.Enum)-i))
			break
		}
		list = append(list, string(e))
	}
	return "one of " + strings.Join(list, ", "), nil
}

// text is the text of a JSON string, or the JSON itself.
func text(raw json.RawMessage) string {
	var s string
	if json.Unmarshal(raw, &s) == nil {
		return s
	}
	return string(raw)
}

// contains compares as Python does: strings by their text, numbers and
// booleans by value, never one with the other.
func contains(list []json.RawMessage, v json.RawMessage) bool {
	for _, e := range list {
		if bytes.Equal(e, v) {
			return true
		}
	}
	num, _ := jsonNumber(v)
	for _, e := range list {
		switch {
		case num != nil:
			if other, _ := jsonNumber(e); other != nil && other.Cmp(num) == 0 {
				return true
			}
		case len(v) > 0 && v[0] == '"' && len(e) > 0 && e[0] == '"':
			if text(e) == text(v) {
				return true
			}
		}
	}
	return false
}

// precision holds 64-bit integers and float64 exactly.
const precision = 256

// bound is a limit, read once for all nodes.
func (c *checker) bound(n json.Number) *big.Float {
	f, ok := c.bounds[n]
	if !ok {
		f = bound(n)
		c.bounds[n] = f
	}
	return f
}

func bound(n json.Number) *big.Float {
	if n == "" {
		return nil
	}
	f, _, err := big.ParseFloat(n.String(), 10, precision, big.ToNearestEven)
	if err != nil {
		return nil
	}
	return f
}

// jsonNumber reads a JSON number or boolean as Python would; nil for anything
// else, and for NaN.
func jsonNumber(raw json.RawMessage) (*big.Float, bool) {
	switch s := string(raw); {
	case s == "true":
		return newFloat().SetInt64(1), true
	case s == "false":
		return newFloat().SetInt64(0), true
	case s == "Infinity":
		return newFloat().SetInf(false), true
	case s == "-Infinity":
		return newFloat().SetInf(true), true
	case s == "" || s[0] != '-' && (s[0] < '0' || s[0] > '9'):
		return nil, false
	case strings.ContainsAny(s, ".eE"):
		f, err := strconv.ParseFloat(s, 64)
		if err != nil && !math.IsInf(f, 0) {
			return nil, false
		}
		return newFloat().SetFloat64(f), true
	default:
		if n, err := strconv.ParseInt(s, 10, 64); err == nil { // nearly all are
			return newFloat().SetInt64(n), true
		}
		f, ok := newFloat().SetString(s)
		return f, ok
	}
}

func newFloat() *big.Float { return new(big.Float).SetPrec(precision) }

// coerce converts a JSON constant as ComfyUI does for a schema type, before it
// looks at limits. The number is nil for types that are not numbers, and for NaN.
func coerce(raw json.RawMessage, schemaType string) (*big.Float, error) {
	switch schemaType {
	case "INT":
		return toInt(raw)
	case "FLOAT":
		return toFloat(raw)
	}
	return nil, nil
}

func toInt(raw json.RawMessage) (*big.Float, error) {
	if len(raw) > 0 && raw[0] == '"' {
		n, ok := python.Int(text(raw))
		if !ok {
			return nil, fmt.Errorf("the text %s is not a whole number", short(raw))
		}
		return newFloat().SetInt(n), nil
	}
	f, ok := jsonNumber(raw)
	if !ok || f.IsInf() {
		return nil, fmt.Errorf("%s is not a number", short(raw))
	}
	if whole, accuracy := f.Int(nil); accuracy != big.Exact {
		f = newFloat().SetInt(whole)
	}
	return f, nil
}

func toFloat(raw json.RawMessage) (*big.Float, error) {
	if string(raw) == "NaN" {
		return nil, nil
	}
	if len(raw) > 0 && raw[0] == '"' {
		f, ok := python.Float(text(raw))
		switch {
		case !ok:
			return nil, fmt.Errorf("the text %s is not a number", short(raw))
		case math.IsNaN(f):
			return nil, nil
		}
		return newFloat().SetFloat64(f), nil
	}
	f, ok := jsonNumber(raw)
	if !ok {
		return nil, fmt.Errorf("%s is not a number", short(raw))
	}
	rounded, _ := f.Float64()
	if math.IsInf(rounded, 0) && !f.IsInf() {
		return nil, fmt.Errorf("%s is too large", short(raw))
	}
	return newFloat().SetFloat64(rounded), nil
}

func short(raw json.RawMessage) string {
	if len(raw) > 40 {
		return string(raw[:37]) + "…"
	}
	return string(raw)
}
