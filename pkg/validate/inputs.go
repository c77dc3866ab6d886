package validate

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/comfyctl/comfyctl/internal/diag"
	"github.com/comfyctl/comfyctl/pkg/catalog"
	"github.com/comfyctl/comfyctl/pkg/contract"
	"github.com/comfyctl/comfyctl/pkg/service"
	"github.com/comfyctl/comfyctl/pkg/workflow"
)

// place is a node input that an input of the service writes.
type place struct {
	node *workflow.Node
	in   *workflow.Input    // nil where the graph does not set it
	spec *catalog.InputSpec // nil where the class is not known
}

// writes says which input of the service writes a node input, and where it says so.
type writes struct{ input, at string }

// inputs resolves the parameters of one workflow.
func (x *resolver) inputs(r ref) []contract.Input {
	if r.inputs.Auto {
		return x.inferred(r)
	}
	list := make([]contract.Input, 0, len(r.inputs.List))
	writer := map[contract.Target]writes{}
	for _, in := range r.inputs.List {
		list = append(list, x.input(in, r.in+"/"+escape(in.Name), writer))
	}
	return list
}

func (x *resolver) input(in service.Input, at string, writer map[contract.Target]writes) contract.Input {
	out := contract.Input{Name: in.Name, Type: in.Type, Required: in.Required, Description: in.Description, To: []contract.Target{},
		MaxLength: in.MaxLength, MaxSize: in.MaxSize.Bytes}
	var places []place
	for i, to := range in.To {
		where := at + "/to/" + itoa(i)
		if !x.l.plan.Service.Has(where) {
			where = at + "/to"
		}
		p, ok := x.place(to, where)
		if !ok {
			continue
		}
		t := contract.Target{Node: p.node.ID, Input: inputName(p, to)}
		if other, twice := writer[t]; twice {
			x.l.at(where, diag.Diagnostic{Code: "CY103", Node: p.node.Ref(), Input: t.Input,
				Message: fmt.Sprintf("inputs `%s` and `%s` write the same node input", other.input, in.Name), Label: "`" + t.Node + "." + t.Input + "` is taken",
				Help: "keep one of the two", Related: []diag.Related{{Span: x.l.plan.Service.At(other.at), Label: "written here too"}}})
		}
		writer[t] = writes{in.Name, where}
		out.To = append(out.To, t)
		places = append(places, p)
	}
	if len(places) == 0 {
		if out.Type == "" {
			out.Type = contract.TypeString
		}
		return out
	}
	x.typed(&out, in, places)
	x.limits(&out, in, places, at)
	x.values(&out, in, places[0], at)
	return out
}

func inputName(p place, to string) string {
	switch {
	case p.in != nil:
		return p.in.Name
	case p.spec != nil:
		return p.spec.Name
	}
	_, name, _ := strings.Cut(to, ".")
	return name
}

// place finds the node input that a `to` names.
func (x *resolver) place(to, at string) (place, bool) {
	n, name, wanted, many := x.target(to)
	if n == nil {
		if !strings.Contains(to, ".") {
			x.l.at(at, diag.Diagnostic{Code: "CY101", Message: "`to` is `" + to + "`, NODE.INPUT is wanted", Label: "names no input of a node",
				Help: "write the node's id, a dot and the input, such as 6.text"})
			return place{}, false
		}
		x.l.at(at, x.noNode("CY101", "`to`", to, wanted, many))
		return place{}, false
	}
	p := place{node: n, in: n.Input(name)}
	specs := x.specs(n)
	for i := range specs {
		if specs[i].Name == name {
			p.spec = &specs[i]
		}
	}
	if p.in != nil && p.in.Link != nil {
		x.l.at(at, diag.Diagnostic{Code: "CY105", Message: "`" + to + "` is a link, not a value", Node: n.Ref(), Input: name,
			Label: fmt.Sprintf("node `%s` feeds it", p.in.Link.Node), Help: "name a value of that node in its place",
			Related: []diag.Related{{Span: p.in.ValueSpan, Label: "linked here"}}})
		return place{}, false
	}
	if p.in == nil && p.spec == nil && specs != nil || p.in == nil && specs == nil && x.known(n) {
		var names []string
		for _, s := range specs {
			if in := n.Input(s.Name); in == nil || in.Link == nil {
				names = append(names, s.Name)
			}
		}
		d := diag.Diagnostic{Code: "CY102", Message: fmt.Sprintf("node `%s` (%s) has no input `%s`", n.ID, n.Class, name), Node: n.Ref(), Input: name, Label: "no such input"}
		if best := diag.Suggest(name, names); best != "" {
			d.Help = "did you mean `" + n.ID + "." + best + "`?"
			x.l.offer(&d, x.l.plan.Service.At(at), to, strings.TrimSuffix(to, name)+best)
		} else if len(names) > 0 {
			d.Help = "it has " + strings.Join(names, ", ")
		}
		x.l.at(at, d)
		return place{}, false
	}
	if p.in == nil && p.spec == nil {
		p.spec = &catalog.InputSpec{Name: name, Type: "*"}
	}
	return p, true
}

func (x *resolver) known(n *workflow.Node) bool {
	_, ok := x.cat.Class(n.Class)
	return ok
}

// typed settles the type: the file's word, else the first place that tells.
func (x *resolver) typed(out *contract.Input, in service.Input, places []place) {
	if out.Type == "" && len(in.Enum) > 0 {
		out.Type = contract.TypeEnum
	}
	for _, p := range places {
		if out.Type == "" {
			out.Type = typeOf(p)
		}
	}
	if in.Default != nil && string(in.Default.RawMessage) == `"random"` && out.Type == contract.TypeInt {
		out.Type = contract.TypeSeed
	}
}

// limits settles min, max, step and options, from the file or the nodes.
func (x *resolver) limits(out *contract.Input, in service.Input, places []place, at string) {
	if isNumber(out.Type) {
		out.Min, out.Max, out.Step = given(in.Min), given(in.Max), given(in.Step)
		for _, p := range places {
			if p.spec != nil && (p.spec.Type == "INT" || p.spec.Type == "FLOAT") {
				x.narrow(out, in, p, at)
			}
		}
		if out.Min != "" && out.Max != "" && bound(out.Min).Cmp(bound(out.Max)) > 0 {
			x.l.key(at, diag.Diagnostic{Code: "CY104", Message: fmt.Sprintf("`min` of input `%s` is above its `max`", in.Name),
				Label: fmt.Sprintf("no number is from %s to %s", out.Min, out.Max), Help: "swap them"})
		}
	}
	for _, e := range in.Enum {
		out.Enum = append(out.Enum, e.RawMessage)
	}
	if out.Type != contract.TypeEnum {
		return
	}
	offered := x.options(places[0])
	if out.Enum == nil {
		out.Enum = offered
	}
	if offered == nil || in.Enum == nil {
		return
	}
	for i, e := range out.Enum {
		if !contains(offered, e) {
			d := diag.Diagnostic{Code: "CY104", Message: fmt.Sprintf("%s is not an option of `%s`", e, places[0].node.Class), Node: places[0].node.Ref(),
				Label: "ComfyUI would refuse it", Server: "value_not_in_list", Input: places[0].spec.Name}
			if best := diag.Suggest(text(e), texts(offered)); best != "" {
				d.Help = "did you mean `" + best + "`?"
			}
			x.l.at(at+"/enum/"+itoa(i), d)
		}
	}
}

func texts(list []json.RawMessage) []string {
	var out []string
	for _, e := range list {
		out = append(out, text(e))
	}
	return out
}

// options are the values that a node offers; for models, those of the service.
func (x *resolver) options(p place) []json.RawMessage {
	if p.spec == nil {
		return nil
	}
	if p.spec.Folder != "" {
		var list []json.RawMessage
		for _, m := range x.l.plan.Models {
			dir, name, _ := strings.Cut(m.Path, "/")
			if catalog.SameFile(m.Path, p.spec.Folder+"/"+name) && dir != "" {
				raw, _ := json.Marshal(name) // a string always encodes
				list = append(list, raw)
			}
		}
		return append(list, p.spec.Enum...)
	}
	if p.spec.Choices != nil {
		var list []json.RawMessage
		for _, c := range p.spec.Choices {
			raw, _ := json.Marshal(c.Key) // a string always encodes
			list = append(list, raw)
		}
		return list
	}
	return p.spec.Enum
}

// narrow takes the node's limits where the file gives none, and says where the
// file's are wider.
func (x *resolver) narrow(out *contract.Input, in service.Input, p place, at string) {
	wider := func(key string, ours, theirs json.Number, sign int) json.Number {
		if theirs == "" {
			return ours
		}
		if ours == "" {
			return theirs
		}
		if bound(ours).Cmp(bound(theirs))*sign <= 0 {
			return ours
		}
		if (key == "min" && in.Min == nil) || (key == "max" && in.Max == nil) {
			return theirs
		}
		server, word := "value_bigger_than_max", "most"
		if key == "min" {
			server, word = "value_smaller_than_min", "least"
		}
		x.l.at(at+"/"+key, diag.Diagnostic{Code: "CY106", Severity: diag.SeverityWarning, Node: p.node.Ref(), Input: p.spec.Name, Server: server,
			Message: fmt.Sprintf("`%s` of input `%s` is wider than the node's own", key, in.Name), Label: fmt.Sprintf("`%s` takes at %s %s", p.node.Class, word, theirs),
			Help: fmt.Sprintf("write %s", theirs)})
		return ours
	}
	out.Min = wider("min", out.Min, p.spec.Min, -1)
	out.Max = wider("max", out.Max, p.spec.Max, 1)
}

func given(n *service.Number) json.Number {
	if n == nil {
		return ""
	}
	return n.Number
}

func isNumber(t string) bool {
	return t == contract.TypeInt || t == contract.TypeFloat || t == contract.TypeSeed
}

// values settles default and example and holds them against the input's rules.
func (x *resolver) values(out *contract.Input, in service.Input, p place, at string) {
	if in.Example != nil {
		out.Example = in.Example.RawMessage
		x.fits(out, at+"/example", "example", out.Example)
	}
	if in.Default != nil {
		if string(in.Default.RawMessage) == `"random"` && out.Type == contract.TypeSeed {
			out.Random = true
		} else {
			out.Default = in.Default.RawMessage
			x.fits(out, at+"/default", "default", out.Default)
		}
	} else if !in.Required && p.in != nil && !isFile(out.Type) {
		if p.spec != nil {
			if _, err := coerce(p.in.Value(), p.spec.Type); err != nil {
				return // said of the graph; it is no default
			}
		}
		out.Default = fromGraph(p.in, out.Type)
		if reason := refuse(out, out.Default); reason != "" {
			x.l.key(at, diag.Diagnostic{Code: "CY104", Message: fmt.Sprintf("the graph's own value of input `%s` is outside its rules", in.Name),
				Label: short(out.Default) + " " + reason, Help: "give a `default:`, or make it `required: true`",
				Related: []diag.Related{{Span: p.in.ValueSpan, Label: "the graph's value"}}})
		}
	}
}

func (x *resolver) fits(out *contract.Input, at, what string, v json.RawMessage) {
	if reason := refuse(out, v); reason != "" {
		x.l.at(at, diag.Diagnostic{Code: "CY104", Message: fmt.Sprintf("%s of input `%s` is outside its own rules", what, out.Name),
			Label: reason, Help: "change it, or the rule"})
	}
}

// fromGraph is the graph's value as JSON of the input's type: ComfyUI reads
// numbers from texts too.
func fromGraph(in *workflow.Input, t string) json.RawMessage {
	v := in.Value()
	if in.Kind == workflow.NonFinite || string(v) == "null" {
		return nil
	}
	if isNumber(t) && in.Kind == workflow.String {
		s := strings.TrimSpace(in.Text)
		if _, ok := jsonNumber(json.RawMessage(s)); ok && json.Valid([]byte(s)) {
			return json.RawMessage(s)
		}
	}
	if !json.Valid(v) {
		return nil
	}
	return bytes.Clone(v)
}
