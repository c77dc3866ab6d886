package stub

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"path/filepath"
	"slices"
	"strings"

	"github.com/comfyctl/comfyctl/pkg/catalog"
)

// verdict is what validation says: err refuses the whole prompt; nodes holds
// the errors of nodes, also where a part of the prompt is good.
type verdict struct {
	err   *object
	nodes *object
	good  []string
}

// errBroken is an exception that ComfyUI does not catch: status 500.
var errBroken = errors.New("uncaught")

// validate is POST /prompt's check, stage by stage.
func (c *core) validate(p, req *object) (*verdict, error) {
	v := &verdict{nodes: obj()}
	if err := c.replace(p); err != nil {
		return nil, err
	}
	var outputs []string
	targets, _ := req.get("partial_execution_targets")
	for _, id := range p.keys {
		n, ok := p.values[id].(*object)
		if !ok {
			return nil, errBroken
		}
		class, ok := n.get("class_type")
		name, _ := class.(string)
		cl, known := c.cat.Class(name)
		if !ok || !known {
			v.err = c.unknownClass(id, n, ok, name)
			return v, nil
		}
		if cl.OutputNode && wanted(targets, id) {
			outputs = append(outputs, id)
		}
	}
	if len(outputs) == 0 {
		v.err = failure("prompt_no_outputs", "There is no output node", "", obj())
		return v, nil
	}
	ch := &checker{c: c, p: p, done: map[string]*checked{}, files: c.files()}
	for _, id := range outputs {
		if ch.output(id) {
			v.good = append(v.good, id)
			continue
		}
		for _, bad := range ch.order {
			e := ch.done[bad]
			if len(e.errors) == 0 {
				continue
			}
			if have, ok := v.nodes.get(bad); ok {
				have.(*object).set("dependent_outputs", append(have.(*object).values["dependent_outputs"].([]any), id))
				continue
			}
			class, _ := p.values[bad].(*object).get("class_type")
			v.nodes.set(bad, obj("errors", e.errors, "dependent_outputs", []any{id}, "class_type", class))
		}
	}
	if len(v.good) == 0 {
		v.err = failure("prompt_outputs_failed_validation", "No output of the prompt is valid", ch.details(outputs), obj())
	}
	return v, nil
}

func wanted(targets any, id string) bool {
	list, ok := targets.([]any)
	return !ok || slices.ContainsFunc(list, func(v any) bool { return v == id })
}

func (c *core) unknownClass(id string, n *object, has bool, name string) *object {
	typ, extra := "invalid_prompt", obj()
	if c.since(12) {
		title := any(nil)
		if m, ok := n.get("_meta"); ok {
			if mo, ok := m.(*object); ok {
				title, _ = mo.get("title")
			}
		}
		class := any(nil)
		if has {
			class = name
		}
		typ, extra = "missing_node_type", obj("node_id", id, "class_type", class, "node_title", title)
	}
	message := "Node class " + name + " is not known"
	if !has {
		message = "A node has no class_type"
	}
	return failure(typ, message, "Node ID '#"+id+"'", extra)
}

type checked struct {
	ok     bool
	errors []any
}

// checker validates one prompt; results of nodes are shared by its outputs.
type checker struct {
	c     *core
	p     *object
	done  map[string]*checked
	order []string
	path  []string
	files map[string][]string
}

// details joins the errors that stand on output nodes themselves.
func (ch *checker) details(outputs []string) string {
	var lines []string
	for _, id := range outputs {
		if e := ch.done[id]; e != nil {
			for _, x := range e.errors {
				d, _ := x.(*object).get("details")
				lines = append(lines, pyStr(d))
			}
		}
	}
	return strings.Join(lines, "\n")
}

// output validates one output node and everything before it.
func (ch *checker) output(id string) bool {
	ok, ex := ch.node(id)
	if ex != nil {
		ch.record(id, false, failure("exception_during_validation", "Validating the node raised", ex.message,
			obj("exception_type", ex.kind, "traceback", []any{})))
		return false
	}
	return ok
}

func (ch *checker) record(id string, ok bool, errs ...any) {
	if ch.done[id] == nil {
		ch.order = append(ch.order, id)
	}
	ch.done[id] = &checked{ok: ok, errors: errs}
}

// node validates one node. An exception is what the real validator raises.
func (ch *checker) node(id string) (bool, *exception) {
	if d := ch.done[id]; d != nil {
		return d.ok, nil
	}
	if at := slices.Index(ch.path, id); at >= 0 {
		ch.loop(ch.path[at:])
		return false, nil
	}
	ch.path = append(ch.path, id)
	defer func() { ch.path = ch.path[:len(ch.path)-1] }()
	n, _ := ch.p.values[id].(*object)
	iv, ok := n.get("inputs")
	inputs, isObject := iv.(*object)
	if !ok || !isObject {
		return false, raise("KeyError", "'inputs'")
	}
	class, _ := n.get("class_type")
	cl, _ := ch.c.cat.Class(class.(string))
	var errs []any
	valid := true
	specs := specsOf(cl, inputs)
	for i := range specs {
		if specs[i].Choices != nil && !specs[i].Chosen(given(inputs)) {
			continue // ComfyUI does not know such an input then
		}
		e, ok, ex := ch.input(cl, inputs, &specs[i])
		if ex != nil {
			return false, ex
		}
		if e != nil {
			errs = append(errs, e)
		}
		valid = valid && ok
	}
	own, ex := ch.own(cl, inputs)
	if ex != nil {
		return false, ex
	}
	errs = append(errs, own...)
	if before := ch.done[id]; before != nil { // it is part of a cycle
		valid, errs = false, append(before.errors, errs...)
	}
	ch.record(id, valid && len(errs) == 0, errs...)
	return valid && len(errs) == 0, nil
}

// loop notes a cycle on its nodes, which only newer releases do; older ones
// recurse until Python's limit and say nothing.
func (ch *checker) loop(nodes []string) {
	if !ch.c.since(20) {
		return
	}
	members, words := []any{}, []string{}
	for _, id := range append(slices.Clone(nodes), nodes[0]) {
		class, _ := ch.p.values[id].(*object).get("class_type")
		words = append(words, id+" ("+pyStr(class)+")")
	}
	for _, id := range nodes {
		members = append(members, id)
	}
	for _, id := range slices.Clone(nodes) {
		ch.record(id, false, failure("dependency_cycle", "The node is part of a cycle", strings.Join(words, " -> "), obj("node_id", id, "cycle_nodes", members)))
	}
}

// specsOf are the inputs that a node has with the values given.
func specsOf(cl *catalog.Class, inputs *object) []catalog.InputSpec {
	return cl.Expand(given(inputs))
}

func given(inputs *object) func(string) catalog.Value {
	return func(name string) catalog.Value {
		v, ok := inputs.get(name)
		text, _ := v.(string)
		return catalog.Value{Given: ok, Text: text}
	}
}

// config is an input's schema as /object_info shows it, [type, options].
func (ch *checker) config(class, input string) any {
	raw, ok := ch.c.cat.ObjectInfoOf(class, ch.files)
	if !ok {
		return nil
	}
	var info struct {
		Input map[string]map[string]json.RawMessage `json:"input"`
	}
	if json.Unmarshal(raw, &info) != nil {
		return nil
	}
	for _, group := range []string{"required", "optional"} {
		if c, ok := info.Input[group][input]; ok {
			if v, err := parseJSON(c); err == nil {
				return v
			}
		}
	}
	return nil
}

func (ch *checker) options(s *catalog.InputSpec) []any {
	list := []any{}
	for _, e := range s.Enum {
		if v, err := parseJSON(e); err == nil {
			list = append(list, v)
		}
	}
	folder := s.Folder
	if folder == "" && s.File != "" {
		folder = "input"
	}
	for _, n := range ch.files[folder] {
		list = append(list, n)
	}
	return list
}

func (ch *checker) input(cl *catalog.Class, inputs *object, s *catalog.InputSpec) (e any, ok bool, ex *exception) {
	val, given := inputs.get(s.Name)
	if !given {
		if !s.Required {
			return nil, true, nil
		}
		last := s.Name[strings.LastIndexByte(s.Name, '.')+1:]
		return failure("required_input_missing", "A required input is missing", last, obj("input_name", s.Name)), false, nil
	}
	if link, isLink := val.([]any); isLink {
		return ch.link(cl, s, link)
	}
	if w, isWrapped := val.(*object); isWrapped {
		if inner, ok := w.get("__value__"); ok {
			val = inner
			inputs.set(s.Name, val)
		}
	}
	val, bad := convert(s.Type, val)
	if bad != nil { //nolint:nilerr // it is the answer, not a failure of ours
		return failure("invalid_input_type", "The value is not a "+s.Type, s.Name+", "+pyStr(inputs.values[s.Name])+", "+bad.message,
			obj("input_name", s.Name, "input_config", ch.config(cl.Name, s.Name), "received_value", inputs.values[s.Name], "exception_message", bad.message)), false, nil
	}
	inputs.set(s.Name, val)
	if ch.ownOf(cl).Has(s.Name) {
		return nil, true, nil
	}
	if n := pyNumber(val); n == nil && (s.Min != "" || s.Max != "") && s.Type != "FLOAT" {
		return nil, false, raise("TypeError", "'<' not supported between instances of '"+pyType(val)+"' and 'float'")
	}
	extra := func(config any) *object {
		return obj("input_name", s.Name, "input_config", config, "received_value", val)
	}
	if c, ok := compare(val, s.Min); ok && c < 0 {
		return failure("value_smaller_than_min", fmt.Sprintf("%s is below %s", pyStr(val), s.Min), s.Name, extra(ch.config(cl.Name, s.Name))), false, nil
	}
	if c, ok := compare(val, s.Max); ok && c > 0 {
		return failure("value_bigger_than_max", fmt.Sprintf("%s is above %s", pyStr(val), s.Max), s.Name, extra(ch.config(cl.Name, s.Name))), false, nil
	}
	if !ch.enumerated(s) {
		return nil, true, nil
	}
	options := ch.options(s)
	values := []any{val}
	if l, isList := val.([]any); isList && s.Multiselect {
		values = l
	}
	for _, one := range values {
		if slices.ContainsFunc(options, func(o any) bool { return pyEqual(one, o) }) {
			continue
		}
		config, shown := ch.config(cl.Name, s.Name), pyRepr(options)
		if len(options) > 20 {
			config, shown = nil, fmt.Sprintf("(list of length %d)", len(options))
		}
		return failure("value_not_in_list", "The value is not on offer", s.Name+": "+pyRepr(val)+" not in "+shown, extra(config)), false, nil
	}
	return nil, true, nil
}

// enumerated says whether this release checks the input against its list.
func (ch *checker) enumerated(s *catalog.InputSpec) bool {
	if s.Remote || s.Choices != nil {
		return false
	}
	return s.Literal || s.Type == "COMBO" && ch.c.since(8)
}

func compare(v any, limit json.Number) (int, bool) {
	if limit == "" {
		return 0, false
	}
	if l, err := parseJSON([]byte(limit)); err == nil {
		return pyCompare(v, l)
	}
	return 0, false
}

func convert(typ string, v any) (any, *exception) {
	var out any
	var err error
	switch typ {
	case "INT":
		var n *big.Int
		n, err = pyInt(v)
		out = n
	case "FLOAT":
		var f float64
		f, err = pyFloat(v)
		out = f
	case "STRING":
		return pyStr(v), nil
	case "BOOLEAN":
		return pyBool(v), nil
	default:
		return v, nil
	}
	if err != nil {
		return nil, asException(err)
	}
	return out, nil
}

func (ch *checker) link(to *catalog.Class, s *catalog.InputSpec, link []any) (e any, ok bool, ex *exception) {
	if len(link) != 2 {
		return failure("bad_linked_input", "A link is [node, slot]", s.Name,
			obj("input_name", s.Name, "input_config", ch.config(to.Name, s.Name), "received_value", link)), false, nil
	}
	from, isText := link[0].(string)
	n, found := ch.p.values[from].(*object)
	if !isText || !found {
		return nil, false, raise("KeyError", pyRepr(link[0]))
	}
	class, _ := n.get("class_type")
	cl, _ := ch.c.cat.Class(class.(string))
	slot, isInt := link[1].(*big.Int)
	if yes, isBool := link[1].(bool); isBool {
		slot, isInt = new(big.Int), true
		if yes {
			slot.SetInt64(1)
		}
	}
	if !isInt {
		return nil, false, raise("TypeError", "tuple indices must be integers or slices, not "+pyType(link[1]))
	}
	at := int(slot.Int64())
	if at < 0 {
		at += len(cl.Outputs)
	}
	if at < 0 || at >= len(cl.Outputs) || !slot.IsInt64() {
		return nil, false, raise("IndexError", "tuple index out of range")
	}
	own := ch.ownOf(to)
	if received := cl.Outputs[at].Type; (own == nil || own.Types == "") && !ch.compatible(received, s.Type) {
		return failure("return_type_mismatch", "The types of a link differ", fmt.Sprintf("%s, received_type(%s) mismatch input_type(%s)", s.Name, received, s.Type),
			obj("input_name", s.Name, "input_config", ch.config(to.Name, s.Name), "received_type", received, "linked_node", link)), false, nil
	}
	ok, ex = ch.node(from)
	if ex != nil {
		ch.record(from, false, failure("exception_during_inner_validation", "Validating a node before it raised", ex.message,
			obj("input_name", s.Name, "input_config", ch.config(to.Name, s.Name), "exception_message", ex.message, "exception_type", ex.kind, "traceback", []any{}, "linked_node", link)))
		return nil, false, nil //nolint:nilerr // recorded above, as ComfyUI does
	}
	return nil, ok, nil
}

func (ch *checker) compatible(received, wants string) bool {
	if received == wants || received == "*" || wants == "*" {
		return true
	}
	if ch.c.since(8) && (received == "COMFY_MATCHTYPE_V3" || wants == "COMFY_MATCHTYPE_V3" || strings.HasPrefix(wants, "COMFY_DYNAMICSLOT")) {
		return true
	}
	for _, r := range strings.Split(received, ",") {
		for _, w := range strings.Split(wants, ",") {
			if r, w = strings.TrimSpace(r), strings.TrimSpace(w); r == w || r == "*" || w == "*" {
				return true
			}
		}
	}
	return false
}

// annotated resolves "sub/name [output]" to a path inside the stub's folders.
func (c *core) annotated(name string) string {
	folder := "input"
	for _, f := range []string{"output", "input", "temp"} {
		if rest, ok := strings.CutSuffix(name, " ["+f+"]"); ok {
			name, folder = rest, f
		}
	}
	clean := filepath.Clean("/" + filepath.ToSlash(name))
	return filepath.Join(c.o.Dir, folder, clean)
}
