package service

import (
	"encoding/json"
	"reflect"
	"regexp"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"
)

// struct2 decodes a mapping into the struct behind p, past its short forms.
func (d *decoder) struct2(n *yaml.Node, p any, at string) {
	d.mapping(n, reflect.ValueOf(p).Elem(), at)
}

// StringList is one text, or a list of them.
type StringList []string

func (l *StringList) decodeYAML(d *decoder, n *yaml.Node, at string) {
	if n.Kind == yaml.ScalarNode {
		*l = StringList{n.Value}
		d.keep(pointer(at, "0"), nil, n)
		return
	}
	var list []string
	d.list(n, reflect.ValueOf(&list).Elem(), at)
	*l = list
}

func (w *Workflow) decodeYAML(d *decoder, n *yaml.Node, at string) {
	if n.Kind == yaml.ScalarNode {
		w.File = n.Value
		d.keep(pointer(at, "file"), nil, n)
	} else {
		d.struct2(n, w, at)
	}
	if w.File == "" && !d.partial {
		d.lacks(n, at, "file")
	}
}

// Aliases are other names of a workflow: a list, or a mapping from a name to a
// version or to weights of versions.
type Aliases []Alias

// Alias is one other name. Versions is empty for the workflow itself.
type Alias struct {
	Name     string
	Versions []Weight
}

// Weight is a version and its share of the calls.
type Weight struct {
	Version string
	Weight  int
}

func (a *Aliases) decodeYAML(d *decoder, n *yaml.Node, at string) {
	if n.Kind != yaml.MappingNode {
		var list StringList
		list.decodeYAML(d, n, at)
		for _, s := range list {
			*a = append(*a, Alias{Name: s})
		}
		return
	}
	for _, p := range d.pairs(n) {
		here := pointer(at, p.key.Value)
		d.keep(here, p.key, p.value)
		alias := Alias{Name: p.key.Value}
		v := resolve(p.value)
		switch v.Kind {
		case yaml.ScalarNode:
			alias.Versions = []Weight{{Version: v.Value, Weight: 100}}
		case yaml.MappingNode:
			for _, w := range d.pairs(v) {
				n, err := strconv.Atoi(resolve(w.value).Value)
				if err != nil || n < 0 {
					d.add(w.value, "CY004", here, "the weight of `%s` is not a whole number", w.key.Value)
				}
				alias.Versions = append(alias.Versions, Weight{Version: w.key.Value, Weight: n})
			}
		default:
			d.add(v, "CY002", here, "%s is a list, a version or weights are wanted", named(here))
		}
		*a = append(*a, alias)
	}
}

func (c *ComfyUI) decodeYAML(d *decoder, n *yaml.Node, at string) {
	if n.Kind == yaml.ScalarNode {
		c.Version = n.Value
		d.keep(pointer(at, "version"), nil, n)
		return
	}
	d.struct2(n, c, at)
}

// decodeYAML takes `{path, source, …}` and the short `path: source`.
func (m *Model) decodeYAML(d *decoder, n *yaml.Node, at string) {
	if n.Kind == yaml.MappingNode {
		if ps := d.pairs(n); len(ps) == 1 && strings.Contains(ps[0].key.Value, "/") && resolve(ps[0].value).Kind == yaml.ScalarNode {
			m.Path, m.Source = ps[0].key.Value, StringList{resolve(ps[0].value).Value}
			d.keep(pointer(at, "path"), nil, ps[0].key)
			d.keep(pointer(at, "source"), nil, ps[0].value)
			return
		}
	}
	d.struct2(n, m, at)
}

func (p *NodePack) decodeYAML(d *decoder, n *yaml.Node, at string) {
	d.struct2(n, p, at)
	if n.Kind != yaml.MappingNode {
		return
	}
	set := 0
	for _, s := range []string{p.Repo, p.Registry, p.Path} {
		if s != "" {
			set++
		}
	}
	if set != 1 {
		d.add(n, "CY008", at, "%s needs one of `repo`, `registry` and `path`, and has %d", named(at), set)
	}
}

var gpuShort = regexp.MustCompile(`^([A-Za-z][A-Za-z0-9-]*)(?::(\d+))?$`)

func (g *GPU) decodeYAML(d *decoder, n *yaml.Node, at string) {
	g.Set, g.Count = true, 1
	if n.Kind != yaml.ScalarNode {
		d.struct2(n, g, at)
		if g.Count == 0 {
			g.None = true
		}
		return
	}
	if n.Value == "none" {
		g.None, g.Count = true, 0
		return
	}
	if g.VRAM.parse(n.Value) == nil {
		return
	}
	m := gpuShort.FindStringSubmatch(n.Value)
	if m == nil || m[2] != "" && contains([]string{"type", "count", "vram"}, m[1]) {
		d.add(n, "CY006", at, "`gpu` is %q", n.Value)
		d.label("write 16GB, L4, L4:2 or none")
		d.missingSpace(n)
		return
	}
	g.Type = StringList{strings.ToLower(m[1])}
	if m[2] != "" {
		g.Count, _ = strconv.Atoi(m[2])
	}
}

func (in *Inputs) decodeYAML(d *decoder, n *yaml.Node, at string) {
	if n.Kind == yaml.ScalarNode {
		if n.Value != "auto" {
			d.add(n, "CY004", at, "%s is %q, a mapping or `auto` is wanted", named(at), n.Value)
		}
		in.Auto = true
		return
	}
	in.Auto = false
	d.named(n, reflect.ValueOf(&in.List).Elem(), "input", at)
}

func (in *Input) decodeYAML(d *decoder, n *yaml.Node, at string) {
	if n.Kind != yaml.MappingNode {
		in.To.decodeYAML(d, n, pointer(at, "to"))
		d.keep(pointer(at, "to"), nil, n)
		return
	}
	d.struct2(n, in, at)
}

func (o *Output) decodeYAML(d *decoder, n *yaml.Node, at string) { d.struct2(n, o, at) }

func (l *Literal) decodeYAML(d *decoder, n *yaml.Node, at string) {
	raw, ok := literal(d, n, at)
	if ok {
		l.RawMessage = raw
	}
}

var jsonNumber = regexp.MustCompile(`^-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?$`)

// literal turns a YAML value into JSON, with a number's digits as written.
func literal(d *decoder, n *yaml.Node, at string) (json.RawMessage, bool) {
	n = resolve(n)
	switch n.Kind {
	case yaml.ScalarNode:
		switch n.Tag {
		case "!!int", "!!float":
			if jsonNumber.MatchString(n.Value) {
				return json.RawMessage(n.Value), true
			}
		case "!!bool", "!!null":
			var v any
			if n.Decode(&v) == nil {
				b, err := json.Marshal(v)
				return b, err == nil
			}
		}
		b, err := json.Marshal(n.Value)
		return b, err == nil
	case yaml.SequenceNode:
		list := []json.RawMessage{}
		for _, c := range n.Content {
			v, ok := literal(d, c, at)
			if !ok {
				return nil, false
			}
			list = append(list, v)
		}
		b, err := json.Marshal(list)
		return b, err == nil
	}
	d.add(n, "CY002", at, "%s is %s, a value is wanted", named(at), kindName(n))
	return nil, false
}

func (x *Number) decodeYAML(d *decoder, n *yaml.Node, at string) {
	if n.Kind != yaml.ScalarNode || !jsonNumber.MatchString(n.Value) {
		d.add(n, "CY004", at, "%s is not a number", named(at))
		return
	}
	x.Number = json.Number(n.Value)
}

func (a *AuthList) decodeYAML(d *decoder, n *yaml.Node, at string) {
	if n.Kind == yaml.ScalarNode {
		if n.Value != "none" {
			d.add(n, "CY004", at, "%s is %q, a list or `none` is wanted", named(at), n.Value)
		}
		a.None = true
		return
	}
	d.list(n, reflect.ValueOf(&a.List).Elem(), at)
}

var scaleShort = regexp.MustCompile(`^(\d+)(?:\.\.(\d+))?$`)

func (s *Scaling) decodeYAML(d *decoder, n *yaml.Node, at string) {
	if n.Kind != yaml.ScalarNode {
		d.struct2(n, s, at)
		return
	}
	m := scaleShort.FindStringSubmatch(n.Value)
	if m == nil {
		d.add(n, "CY006", at, "`scaling` is %q", n.Value)
		d.label("write 0..4, or a mapping with min and max")
		return
	}
	low, _ := strconv.Atoi(m[1])
	high := low
	if m[2] != "" {
		high, _ = strconv.Atoi(m[2])
	}
	if high < low {
		d.add(n, "CY007", at, "`scaling` ends below its beginning")
	}
	s.Min, s.Max = &low, &high
}

func (a *Arguments) decodeYAML(d *decoder, n *yaml.Node, at string) {
	if n.Kind != yaml.MappingNode {
		d.add(n, "CY002", at, "%s is %s, a mapping from input names is wanted", named(at), kindName(n))
		return
	}
	for _, p := range d.once(n, at) {
		here := pointer(at, p.key.Value)
		d.keep(here, p.key, p.value)
		if v, ok := literal(d, p.value, here); ok {
			*a = append(*a, Argument{Name: p.key.Value, Value: v})
		}
	}
}

func (m *Matrix) decodeYAML(d *decoder, n *yaml.Node, at string) {
	if n.Kind == yaml.ScalarNode {
		if n.Value != "auto" {
			d.add(n, "CY004", at, "%s is %q, a mapping or `auto` is wanted", named(at), n.Value)
		}
		m.Auto = true
		return
	}
	if n.Kind != yaml.MappingNode {
		d.add(n, "CY002", at, "%s is a list, a mapping from input names is wanted", named(at))
		return
	}
	for _, p := range d.pairs(n) {
		here := pointer(at, p.key.Value)
		d.keep(here, p.key, p.value)
		axis := Axis{Name: p.key.Value}
		v := resolve(p.value)
		values := v.Content
		if v.Kind == yaml.ScalarNode {
			values = []*yaml.Node{v}
		}
		for _, c := range values {
			if raw, ok := literal(d, c, here); ok {
				axis.Values = append(axis.Values, raw)
			}
		}
		m.Axes = append(m.Axes, axis)
	}
}

// environment decodes an overlay: two keys of its own, the others are those of
// the file. Those of the environment that was merged are checked there.
func (d *decoder) environment(n *yaml.Node, e *Environment, at string) {
	if isNull(n) {
		return
	}
	if n.Kind != yaml.MappingNode {
		d.add(n, "CY002", at, "%s is %s, a mapping is wanted", named(at), kindName(n))
		return
	}
	own := map[string]bool{}
	for _, f := range fields(reflect.TypeFor[Environment]()) {
		own[f.key] = true
	}
	mine, rest := &yaml.Node{Kind: yaml.MappingNode, Line: n.Line, Column: n.Column}, without(n)
	rest.Content = nil
	for _, p := range d.pairs(n) {
		to := rest
		if own[p.key.Value] {
			to = mine
		}
		to.Content = append(to.Content, p.key, p.value)
	}
	d.mapping(mine, reflect.ValueOf(e).Elem(), at)
	if e.Name == d.env {
		return
	}
	defer func(p bool) { d.partial = p }(d.partial)
	d.partial = true
	var s Service
	d.mapping(rest, reflect.ValueOf(&s).Elem(), at)
	if envs := find(rest, "environments"); envs != nil {
		d.add(envs, "CY001", pointer(at, "environments"), "environments cannot hold environments")
	}
}
