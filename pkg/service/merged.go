package service

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"
)

// Default is a value that counts where the file sets none.
type Default struct {
	// Pointer names it, such as /runner/port; Value is its YAML.
	Pointer, Value string
}

// Line is a line of the merged file.
type Line struct {
	Text string `json:"text"`
	// Origin says where its value comes from: FILE:LINE, with the environment
	// that set it, or "default"; empty where the line has no value.
	Origin string `json:"origin,omitempty"`
}

// Merged is the file as it counts: with the chosen environment merged in and
// defaults filled in. Values of variables are shown by the variable's name,
// what looks like a secret is not shown.
func (s *Service) Merged(defaults []Default) []Line {
	if s.root == nil {
		return nil
	}
	m := &merger{Service: s, origin: map[*yaml.Node]string{}}
	m.overlaid()
	root := m.copy(s.root)
	for _, d := range defaults {
		if !s.Has(d.Pointer) {
			m.add(root, strings.Split(strings.TrimPrefix(d.Pointer, "/"), "/"), d.Value)
		}
	}
	if s.env != "" {
		root = without(root, "environments")
	}
	m.mapping(root, "", "")
	return m.lines
}

type merger struct {
	*Service
	origin map[*yaml.Node]string
	lines  []Line
}

// overlaid names the origin of everything inside the chosen environment.
func (m *merger) overlaid() {
	envs := find(m.root, "environments")
	if m.env == "" || envs == nil {
		return
	}
	inside := find(resolve(envs), m.env)
	if inside == nil {
		return
	}
	var mark func(n *yaml.Node)
	mark = func(n *yaml.Node) {
		m.origin[n] = fmt.Sprintf("environments.%s (%s:%d)", m.env, m.doc.fileOf(n), n.Line)
		for _, c := range n.Content {
			mark(c)
		}
	}
	mark(resolve(inside))
}

// copy follows aliases and merges, so that the tree can be added to.
func (m *merger) copy(n *yaml.Node) *yaml.Node {
	n = resolve(n)
	c := *n
	c.Content = nil
	if n.Kind == yaml.MappingNode {
		for _, p := range m.doc.pairs(n) {
			c.Content = append(c.Content, p.key, m.copy(p.value))
		}
	} else {
		for _, child := range n.Content {
			c.Content = append(c.Content, m.copy(child))
		}
	}
	m.origin[&c] = m.from(n)
	return &c
}

func (m *merger) from(n *yaml.Node) string {
	if o, ok := m.origin[n]; ok {
		return o
	}
	if n.Line == 0 {
		return m.doc.fileOf(n)
	}
	return fmt.Sprintf("%s:%d", m.doc.fileOf(n), n.Line)
}

// add puts a default into the tree, unless a short form stands on the way.
func (m *merger) add(n *yaml.Node, path []string, value string) {
	if n.Kind == yaml.SequenceNode {
		if i, err := strconv.Atoi(path[0]); err == nil && i < len(n.Content) && len(path) > 1 {
			m.add(n.Content[i], path[1:], value)
		}
		return
	}
	if n.Kind != yaml.MappingNode {
		return
	}
	next := find(n, path[0])
	if len(path) == 1 {
		if next == nil {
			v := &yaml.Node{Kind: yaml.ScalarNode, Value: value}
			m.origin[v] = "default"
			n.Content = append(n.Content, &yaml.Node{Kind: yaml.ScalarNode, Value: path[0]}, v)
		}
		return
	}
	if next == nil {
		next = &yaml.Node{Kind: yaml.MappingNode}
		n.Content = append(n.Content, &yaml.Node{Kind: yaml.ScalarNode, Value: path[0]}, next)
	}
	m.add(next, path[1:], value)
}

func (m *merger) line(text, origin string) { m.lines = append(m.lines, Line{text, origin}) }

// mapping writes the entries of a mapping, each after indent. at is where it
// stands, as a pointer.
func (m *merger) mapping(n *yaml.Node, indent, at string) {
	for i := 0; i+1 < len(n.Content); i += 2 {
		m.entry(indent+m.plain(n.Content[i])+":", at+"/"+n.Content[i].Value, n.Content[i+1], indent+"  ")
	}
}

// entry writes a value after its head, on the same line where it fits.
func (m *merger) entry(head, at string, v *yaml.Node, indent string) {
	switch {
	case v.Kind == yaml.ScalarNode && strings.HasPrefix(at, "/env/") && secretName.MatchString(at[len("/env/"):]):
		m.line(head+" …", m.from(v)+", not shown")
	case v.Kind == yaml.ScalarNode:
		m.scalarLine(head+" ", v)
	case len(v.Content) == 0:
		m.line(head+map[yaml.Kind]string{yaml.MappingNode: " {}", yaml.SequenceNode: " []"}[v.Kind], m.from(v))
	case v.Kind == yaml.MappingNode:
		m.line(head, "")
		m.mapping(v, indent, at)
	case m.short(v):
		var list []string
		for _, c := range v.Content {
			list = append(list, m.plain(c))
		}
		from := m.from(v)
		if at == "/secrets" {
			from += ", names only"
		}
		m.line(head+" ["+strings.Join(list, ", ")+"]", from)
	default:
		m.line(head, "")
		m.list(v, indent)
	}
}

// list writes the elements of a list, each after a dash.
func (m *merger) list(v *yaml.Node, indent string) {
	for _, c := range v.Content {
		at := len(m.lines)
		switch {
		case c.Kind == yaml.ScalarNode:
			m.scalarLine(indent+"- ", c)
			continue
		case len(c.Content) == 0:
			m.line(indent+"- {}", m.from(c))
			continue
		case c.Kind == yaml.MappingNode:
			m.mapping(c, indent+"  ", "")
		default:
			m.list(c, indent+"  ")
		}
		m.lines[at].Text = indent + "- " + strings.TrimPrefix(m.lines[at].Text, indent+"  ")
	}
}

// short reports whether a list goes on one line: plain values of one place.
func (m *merger) short(v *yaml.Node) bool {
	size := 0
	for _, c := range v.Content {
		if c.Kind != yaml.ScalarNode || secretValue.MatchString(c.Value) {
			return false
		}
		size += len(c.Value) + 2
	}
	return size < 60
}

func (m *merger) scalarLine(head string, v *yaml.Node) {
	if secretValue.MatchString(v.Value) && !strings.Contains(m.raw(v), "${") {
		m.line(head+"…", m.from(v)+", not shown")
		return
	}
	m.line(head+m.plain(v), m.from(v))
}

// raw is how a value is written in its file, where it is on one line.
func (m *merger) raw(v *yaml.Node) string {
	if v.Line == 0 || v.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0 {
		return v.Value
	}
	sp := m.doc.span(v)
	src := m.doc.src[sp.File]
	return string(src[sp.Start.Offset:sp.End.Offset])
}

// plain is a value on one line. One that holds a variable is written as in the
// file: what the variable stands for may be a secret.
func (m *merger) plain(v *yaml.Node) string {
	if raw := m.raw(v); strings.Contains(raw, "${") {
		return raw
	}
	if v.Value == "" && v.Tag != "!!str" && v.Style == 0 {
		return "null"
	}
	b, err := yaml.Marshal(&yaml.Node{Kind: yaml.ScalarNode, Tag: v.Tag, Value: v.Value, Style: v.Style &^ (yaml.LiteralStyle | yaml.FoldedStyle)})
	text := strings.TrimSuffix(string(b), "\n")
	if err != nil || strings.Contains(text, "\n") {
		b, err = json.Marshal(v.Value) // which is YAML on one line
		if err != nil {
			return "…"
		}
		return string(b)
	}
	return text
}
