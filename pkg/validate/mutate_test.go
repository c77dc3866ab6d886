package validate

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math/big"
	"math/rand/v2"
	"slices"
	"sort"
	"strconv"
	"strings"

	"github.com/comfyctl/comfyctl/pkg/catalog"
)

// token is JSON text that is written as it is: NaN, and numbers to the digit.
type token string

// document is a prompt that can be changed: node id to node, each as decoded
// JSON (map[string]any, []any, string, bool, nil, json.Number, token).
type document map[string]any

func decodeDocument(src []byte) (document, error) {
	dec := json.NewDecoder(bytes.NewReader(src))
	dec.UseNumber()
	var d document
	err := dec.Decode(&d)
	return d, err
}

// encode writes the prompt with its keys in sorted order.
func (d document) encode() []byte { return encodeValue(nil, map[string]any(d)) }

func encodeValue(b []byte, v any) []byte {
	switch v := v.(type) {
	case token:
		return append(b, v...)
	case json.Number:
		return append(b, v...)
	case map[string]any:
		b = append(b, '{')
		for i, k := range slices.Sorted(maps.Keys(v)) {
			if i > 0 {
				b = append(b, ',')
			}
			b = append(encodeValue(b, k), ':')
			b = encodeValue(b, v[k])
		}
		return append(b, '}')
	case []any:
		b = append(b, '[')
		for i, e := range v {
			if i > 0 {
				b = append(b, ',')
			}
			b = encodeValue(b, e)
		}
		return append(b, ']')
	}
	text, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return append(b, text...)
}

func copyValue(v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := make(map[string]any, len(v))
		for k, e := range v {
			out[k] = copyValue(e)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, e := range v {
			out[i] = copyValue(e)
		}
		return out
	}
	return v
}

func (d document) clone() document { return copyValue(map[string]any(d)).(map[string]any) }

// ids are the nodes, sorted.
func (d document) ids() []string { return slices.Sorted(maps.Keys(d)) }

func (d document) inputs(id string) map[string]any {
	n, _ := d[id].(map[string]any)
	in, _ := n["inputs"].(map[string]any)
	return in
}

func (d document) class(id string) string {
	n, _ := d[id].(map[string]any)
	c, _ := n["class_type"].(string)
	return c
}

func isLink(v any) bool {
	l, ok := v.([]any)
	if !ok || len(l) != 2 {
		return false
	}
	_, ok = l[0].(string)
	return ok
}

// mutator makes seeded changes to prompts.
type mutator struct {
	r       *rand.Rand
	cat     *catalog.Catalog
	classes []string
}

func newMutator(seed uint64, cat *catalog.Catalog) *mutator {
	return &mutator{r: rand.New(rand.NewPCG(seed, seed)), cat: cat, classes: cat.Names()}
}

func pick[T any](m *mutator, list []T) T { return list[m.r.IntN(len(list))] }

// node picks a node that has inputs; "" where none has.
func (m *mutator) node(d document) string {
	var ids []string
	for _, id := range d.ids() {
		if d.inputs(id) != nil {
			ids = append(ids, id)
		}
	}
	if len(ids) == 0 {
		return ""
	}
	return pick(m, ids)
}

// input picks an input of some node: a link, a constant, or any.
func (m *mutator) input(d document, want func(v any) bool) (id, name string) {
	type place struct{ id, name string }
	var places []place
	for _, id := range d.ids() {
		in := d.inputs(id)
		for _, name := range slices.Sorted(maps.Keys(in)) {
			if want(in[name]) {
				places = append(places, place{id, name})
			}
		}
	}
	if len(places) == 0 {
		return "", ""
	}
	p := pick(m, places)
	return p.id, p.name
}

// spec is the schema of an input, where there is one.
func (m *mutator) spec(d document, id, name string) *catalog.InputSpec {
	cl, ok := m.cat.Class(d.class(id))
	if !ok {
		return nil
	}
	in := d.inputs(id)
	for _, s := range cl.Expand(func(n string) catalog.Value {
		v, given := in[n]
		t, _ := v.(string)
		return catalog.Value{Given: given, Text: t}
	}) {
		if s.Name == name {
			return &s
		}
	}
	return nil
}

// mutate changes d and says what was done; "" where nothing could be.
func (m *mutator) mutate(d document) string {
	op := pick(m, operations)
	return op(m, d)
}

func constantValue(v any) bool { return !isLink(v) }
func anyValue(any) bool        { return true }

// odd are values that a person, a template or a program may put into an input.
var odd = []any{nil, true, false, token("0"), token("1"), token("-1"), token("7"), token("1.5"), token("-0.0"), token("1e3"), token("1e400"), token("-1e400"),
	token("NaN"), token("Infinity"), token("-Infinity"), token("18446744073709551615"), token("18446744073709551616"), token("123456789012345678901234567890"),
	token("1" + strings.Repeat("0", 400)), token("0.1e1"), "", " ", "12", " 12 ", "1.5", "-3", "+4", "1_0", "1e3", "nan", "inf", "-Infinity", "0x10", "true", "None", "abc", "fixed", "randomize",
	"example.png", "x [output]", "a/b.png", "größe 你好 🙂", "{{SEED}}", "%width%", "1\u00a0", "\u0663", []any{}, []any{token("1")}, []any{"a", token("0"), token("1")},
	[]any{token("1"), token("2")}, []any{"a", "b"}, []any{nil, token("0")}, []any{[]any{"1"}, token("0")}, []any{map[string]any{}, token("0")},
	map[string]any{}, map[string]any{"a": token("1")}, map[string]any{"__value__": token("5")}, map[string]any{"__value__": []any{token("1"), token("2")}},
	map[string]any{"__value__": "euler"}, map[string]any{"__value__": nil}, map[string]any{"__value__": map[string]any{"__value__": token("1")}},
	map[string]any{"on": true, "lora": "x.safetensors", "strength": token("1")}}

var slotsTried = []any{token("0"), token("1"), token("2"), token("3"), token("9"), token("-1"), token("-2"), token("-5"), token("99999999999999999999"), token("0.0"), token("1.0"), "0", "1", nil, true,
	false, []any{}, map[string]any{}, token("1e0"), token("-0")}

// operations are the kinds of change. Those that matter most stand several
// times.
var operations = []func(*mutator, document) string{
	(*mutator).dropNode, (*mutator).dropInput, (*mutator).dropInput, (*mutator).dropInput, (*mutator).renameClass, (*mutator).renameInput, (*mutator).renameInput,
	(*mutator).retarget, (*mutator).retarget, (*mutator).retarget, (*mutator).wrongSlot, (*mutator).wrongSlot, (*mutator).oddValue, (*mutator).oddValue, (*mutator).oddValue,
	(*mutator).oddValue, (*mutator).oddAnywhere, (*mutator).pastLimit, (*mutator).pastLimit, (*mutator).pastLimit, (*mutator).otherOption, (*mutator).otherOption, (*mutator).cycle,
	(*mutator).cycle, (*mutator).extraInput, (*mutator).linkConstant, (*mutator).linkConstant, (*mutator).oddSource, (*mutator).oddInputs, (*mutator).oddClass, (*mutator).oddMeta,
	(*mutator).oddNode, (*mutator).renameID, (*mutator).otherClass, (*mutator).otherClass, (*mutator).addNode, (*mutator).addNode, (*mutator).addNode, (*mutator).addNode,
}

func (m *mutator) dropNode(d document) string {
	if len(d) == 0 {
		return ""
	}
	id := pick(m, d.ids())
	delete(d, id)
	return "drop node " + id
}

func (m *mutator) dropInput(d document) string {
	id, name := m.input(d, anyValue)
	if id == "" {
		return ""
	}
	delete(d.inputs(id), name)
	return "drop input " + id + "." + name
}

func (m *mutator) renameClass(d document) string {
	id := m.node(d)
	if id == "" {
		return ""
	}
	n := d[id].(map[string]any)
	c, _ := n["class_type"].(string)
	n["class_type"] = pick(m, []string{c + " ", strings.ToLower(c), c + "X", "", "ImageBatch", "ConditioningAverage ", "SDV_img2vid_Conditioning", "Load3DAnimation",
		"T2IAdapterLoader", "ResizeImagesByLongerEdge", "ImageScaleBy", "Preview3DAnimation", "KSampler //Inspire", "Größe"})
	return fmt.Sprintf("rename class of %s to %q", id, n["class_type"])
}

// otherClass gives a node the class of another node kind and keeps its inputs.
func (m *mutator) otherClass(d document) string {
	id := m.node(d)
	if id == "" {
		return ""
	}
	c := pick(m, m.classes)
	d[id].(map[string]any)["class_type"] = c
	return fmt.Sprintf("class of %s is %q", id, c)
}

func (m *mutator) renameInput(d document) string {
	id, name := m.input(d, anyValue)
	if id == "" {
		return ""
	}
	in := d.inputs(id)
	to := pick(m, []string{name + "_", strings.ToUpper(name), name + ".x", "", "größe", name + "1"})
	in[to] = in[name]
	delete(in, name)
	return fmt.Sprintf("rename input %s.%s to %q", id, name, to)
}

func (m *mutator) retarget(d document) string {
	id, name := m.input(d, isLink)
	if id == "" {
		return ""
	}
	l := d.inputs(id)[name].([]any)
	l[0] = pick(m, append(d.ids(), "none-such"))
	return fmt.Sprintf("link %s.%s to %q", id, name, l[0])
}

func (m *mutator) wrongSlot(d document) string {
	id, name := m.input(d, isLink)
	if id == "" {
		return ""
	}
	l := d.inputs(id)[name].([]any)
	l[1] = copyValue(pick(m, slotsTried))
	return fmt.Sprintf("slot of %s.%s is %s", id, name, encodeValue(nil, l[1]))
}

func (m *mutator) oddValue(d document) string {
	id, name := m.input(d, constantValue)
	if id == "" {
		return ""
	}
	d.inputs(id)[name] = copyValue(pick(m, odd))
	return fmt.Sprintf("%s.%s is %s", id, name, encodeValue(nil, d.inputs(id)[name]))
}

func (m *mutator) oddAnywhere(d document) string {
	id, name := m.input(d, anyValue)
	if id == "" {
		return ""
	}
	d.inputs(id)[name] = copyValue(pick(m, odd))
	return fmt.Sprintf("%s.%s is %s", id, name, encodeValue(nil, d.inputs(id)[name]))
}

// pastLimit goes to a limit of a number, or just past it.
func (m *mutator) pastLimit(d document) string {
	for range 8 {
		id, name := m.input(d, constantValue)
		if id == "" {
			return ""
		}
		s := m.spec(d, id, name)
		if s == nil || s.Min == "" && s.Max == "" {
			continue
		}
		limit, step := s.Max, int64(1)
		if s.Max == "" || s.Min != "" && m.r.IntN(2) == 0 {
			limit, step = s.Min, -1
		}
		f, ok := new(big.Rat).SetString(limit.String())
		if !ok {
			continue
		}
		by := pick(m, []*big.Rat{big.NewRat(0, 1), big.NewRat(step, 1), big.NewRat(step, 10), big.NewRat(-step, 1), big.NewRat(step*1000, 1)})
		v := new(big.Rat).Add(f, by)
		text := v.FloatString(3)
		if v.IsInt() && m.r.IntN(3) > 0 {
			text = v.Num().String()
		}
		if m.r.IntN(4) == 0 {
			d.inputs(id)[name] = text
		} else {
			d.inputs(id)[name] = token(text)
		}
		return fmt.Sprintf("%s.%s is %s", id, name, text)
	}
	return ""
}

// otherOption picks from the options of a combo, or nearly.
func (m *mutator) otherOption(d document) string {
	for range 8 {
		id, name := m.input(d, constantValue)
		if id == "" {
			return ""
		}
		s := m.spec(d, id, name)
		if s == nil || len(s.Enum) == 0 {
			continue
		}
		var v any
		if json.Unmarshal(pick(m, s.Enum), &v) != nil {
			continue
		}
		if t, ok := v.(string); ok {
			v = pick(m, []string{t, t, strings.ToUpper(t), t + " ", strings.ReplaceAll(t, "/", `\`), ""})
		}
		d.inputs(id)[name] = v
		return fmt.Sprintf("%s.%s is %v", id, name, v)
	}
	return ""
}

// cycle links a node to one that needs it.
func (m *mutator) cycle(d document) string {
	id, name := m.input(d, isLink)
	if id == "" {
		return ""
	}
	users := []string{id}
	for grown := true; grown; {
		grown = false
		for _, u := range d.ids() {
			for _, v := range d.inputs(u) {
				if isLink(v) && slices.Contains(users, v.([]any)[0].(string)) && !slices.Contains(users, u) {
					users = append(users, u)
					grown = true
				}
			}
		}
	}
	sort.Strings(users)
	to := pick(m, users)
	d.inputs(id)[name] = []any{to, d.inputs(id)[name].([]any)[1]}
	return fmt.Sprintf("cycle: %s.%s takes from %s", id, name, to)
}

func (m *mutator) extraInput(d document) string {
	id := m.node(d)
	if id == "" {
		return ""
	}
	v := pick(m, []any{token("1"), "x", []any{pick(m, d.ids()), token("0")}, []any{"none-such", token("0")}, []any{token("1")}, nil})
	name := pick(m, []string{"extra", "seed", "image", "a.b"})
	if _, there := d.inputs(id)[name]; there {
		return ""
	}
	d.inputs(id)[name] = v
	return fmt.Sprintf("extra %s.%s is %s", id, name, encodeValue(nil, v))
}

func (m *mutator) linkConstant(d document) string {
	id, name := m.input(d, constantValue)
	if id == "" {
		return ""
	}
	from := pick(m, d.ids())
	d.inputs(id)[name] = []any{from, token(strconv.Itoa(m.r.IntN(3)))}
	return fmt.Sprintf("%s.%s takes from %s", id, name, from)
}

func (m *mutator) oddSource(d document) string {
	id, name := m.input(d, isLink)
	if id == "" {
		return ""
	}
	l := d.inputs(id)[name].([]any)
	var v any = token("3")
	if _, err := strconv.Atoi(l[0].(string)); err == nil {
		v = token(strings.TrimLeft(l[0].(string), "0") + "0")
	}
	l[0] = pick(m, []any{v, nil, true, token("1.0"), []any{}, map[string]any{}, ""})
	return fmt.Sprintf("source of %s.%s is %s", id, name, encodeValue(nil, l[0]))
}

func (m *mutator) oddInputs(d document) string {
	id := m.node(d)
	if id == "" {
		return ""
	}
	n := d[id].(map[string]any)
	if m.r.IntN(3) == 0 {
		delete(n, "inputs")
		return "no inputs in " + id
	}
	n["inputs"] = copyValue(pick(m, []any{nil, []any{}, "text", token("3"), map[string]any{}, []any{"image"}, true}))
	return fmt.Sprintf("inputs of %s are %s", id, encodeValue(nil, n["inputs"]))
}

func (m *mutator) oddClass(d document) string {
	id := m.node(d)
	if id == "" {
		return ""
	}
	n := d[id].(map[string]any)
	if m.r.IntN(3) == 0 {
		delete(n, "class_type")
		return "no class in " + id
	}
	n["class_type"] = copyValue(pick(m, []any{nil, token("3"), []any{}, map[string]any{}, true, ""}))
	return fmt.Sprintf("class of %s is %s", id, encodeValue(nil, n["class_type"]))
}

func (m *mutator) oddMeta(d document) string {
	id := m.node(d)
	if id == "" {
		return ""
	}
	n := d[id].(map[string]any)
	switch m.r.IntN(4) {
	case 0:
		delete(n, "_meta")
	default:
		n["_meta"] = copyValue(pick(m, []any{nil, map[string]any{}, "x", map[string]any{"title": token("3")}}))
	}
	if m.r.IntN(2) == 0 {
		n["class_type"] = "NoSuchClass"
	}
	return "meta of " + id
}

func (m *mutator) oddNode(d document) string {
	v := copyValue(pick(m, []any{nil, "text", token("3"), []any{}, map[string]any{}, map[string]any{"inputs": map[string]any{}}, true}))
	id := pick(m, append(d.ids(), "_extra", "version"))
	d[id] = v
	return fmt.Sprintf("node %s is %s", id, encodeValue(nil, v))
}

// renameID gives a node another id, and its users with it.
func (m *mutator) renameID(d document) string {
	id := m.node(d)
	if id == "" {
		return ""
	}
	to := pick(m, []string{id + ":3", id + ":4:5", "a:1", "", "größe 🙂", "007", " " + id, "1.5", "node/~1"})
	if _, there := d[to]; there {
		return ""
	}
	d[to] = d[id]
	delete(d, id)
	for _, u := range d.ids() {
		for _, v := range d.inputs(u) {
			if isLink(v) && v.([]any)[0] == id {
				v.([]any)[0] = to
			}
		}
	}
	return fmt.Sprintf("node %s is now %q", id, to)
}

// addNode adds a node of any class with plausible inputs, fed from nodes of the
// graph, and an output that takes from it.
func (m *mutator) addNode(d document) string {
	c := pick(m, m.classes)
	id := m.add(d, c, "added")
	return fmt.Sprintf("node %s of class %q", id, c)
}

// add adds a node of that class under a new id.
func (m *mutator) add(d document, class, id string) string {
	for i := 1; ; i++ {
		if _, there := d[id]; !there {
			break
		}
		id = "added" + strconv.Itoa(i)
	}
	cl, ok := m.cat.Class(class)
	if !ok {
		return id
	}
	in := map[string]any{}
	d[id] = map[string]any{"class_type": class, "inputs": in, "_meta": map[string]any{"title": class}}
	for range 3 { // a choice brings inputs, which may be choices
		for _, s := range cl.Expand(func(n string) catalog.Value {
			v, given := in[n]
			t, _ := v.(string)
			return catalog.Value{Given: given, Text: t}
		}) {
			if _, there := in[s.Name]; !there && (s.Required || m.r.IntN(2) == 0) {
				in[s.Name] = m.value(d, &s)
			}
		}
		for i := range cl.Inputs {
			s := &cl.Inputs[i]
			if _, there := in[s.Name]; s.Choices != nil && !there {
				in[s.Name] = pick(m, s.Choices).Key
			}
		}
	}
	if !cl.OutputNode && len(cl.Outputs) > 0 {
		d[id+"out"] = map[string]any{"class_type": "PreviewAny", "inputs": map[string]any{"source": []any{id, token("0")}}, "_meta": map[string]any{"title": "x"}}
	}
	return id
}

// value is a good value of an input, most often.
func (m *mutator) value(d document, s *catalog.InputSpec) any {
	switch {
	case s.Choices != nil:
		return pick(m, s.Choices).Key
	case len(s.Enum) > 0:
		var v any
		if json.Unmarshal(pick(m, s.Enum), &v) == nil {
			return v
		}
	case s.Default != nil:
		return token(s.Default)
	}
	switch s.Type {
	case "INT", "FLOAT":
		if s.Min != "" {
			return token(s.Min)
		}
		return token("1")
	case "STRING", "COMBO":
		return "x"
	case "BOOLEAN":
		return true
	}
	return m.source(d, s)
}

// source is a link to a node that gives what an input takes; one is added where
// the graph has none.
func (m *mutator) source(d document, s *catalog.InputSpec) any {
	var found []any
	for _, id := range d.ids() {
		if cl, ok := m.cat.Class(d.class(id)); ok {
			for i, o := range cl.Outputs {
				if o.Type == s.Type || s.Type == "*" {
					found = append(found, []any{id, token(strconv.Itoa(i))})
				}
			}
		}
	}
	if len(found) > 0 {
		return pick(m, found)
	}
	return []any{pick(m, d.ids()), token("0")}
}

// shrink takes away what a failure does not need.
func shrink(d document, fails func(document) bool) document {
	for again := true; again; {
		again = false
		for _, id := range d.ids() {
			if c := d.clone(); len(c) > 1 {
				delete(c, id)
				if fails(c) {
					d, again = c, true
					continue
				}
			}
			for _, name := range slices.Sorted(maps.Keys(d.inputs(id))) {
				c := d.clone()
				delete(c.inputs(id), name)
				if fails(c) {
					d, again = c, true
				}
			}
		}
	}
	return d
}
