// Package reduce turns a recorded /object_info into the compact form that
// package catalog embeds: names, types, limits, defaults, enumerations and
// flags, no prose, and no name of a file of the recording machine.
package reduce

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/comfyctl/comfyctl/pkg/catalog"
)

// classKeys are kept of a class. The order of the inputs is that of the text,
// so input_order is not needed.
var classKeys = []string{
	"input", "output", "output_is_list", "output_name", "output_node", "output_matchtypes", "python_module", "api_node", "display_name",
	"deprecated", "experimental", "dev_only", "is_input_list", "has_intermediate_output",
}

// optionKeys are kept of an input.
var optionKeys = []string{
	"default", "min", "max", "step", "round", "options", "multiline", "dynamicPrompts", "forceInput", "lazy", "rawLink",
	"control_after_generate", "multiselect", "multi_select", "remote", "image_folder", "image_upload", "video_upload",
	"audio_upload", "file_upload", "template", "socketless", "hidden", "widgetType", "key", "inputs",
}

// maxDefault is the length, in bytes of JSON, above which a default is prose.
const maxDefault = 120

// Catalog reduces an object_info. Equal input gives equal bytes.
func Catalog(src []byte) ([]byte, error) {
	full, err := catalog.ParseObjectInfo(src)
	if err != nil {
		return nil, err
	}
	root, err := parse(src)
	if err != nil {
		return nil, fmt.Errorf("reading object_info: %w", err)
	}
	var text bytes.Buffer
	slices.SortFunc(root.members, func(a, b field) int { return bytes.Compare([]byte(a.key), []byte(b.key)) })
	for _, m := range root.members {
		class, ok := full.Class(m.key)
		if !ok || bytes.ContainsAny([]byte(m.key), "\t\n") {
			return nil, fmt.Errorf("reducing class %q: not a class name", m.key)
		}
		c := m.val.only(classKeys)
		if in := c.get("input"); in != nil {
			inputs(class, in)
		}
		text.WriteString(m.key)
		text.WriteByte('\t')
		c.write(&text)
		text.WriteByte('\n')
	}
	var packed bytes.Buffer
	z, err := gzip.NewWriterLevel(&packed, gzip.BestCompression)
	if err != nil {
		return nil, fmt.Errorf("compressing: %w", err)
	}
	if _, err := z.Write(text.Bytes()); err != nil {
		return nil, fmt.Errorf("compressing: %w", err)
	}
	if err := z.Close(); err != nil {
		return nil, fmt.Errorf("compressing: %w", err)
	}
	return packed.Bytes(), nil
}

// inputs reduces the groups of inputs of a class or of one of its options.
func inputs(class *catalog.Class, groups *node) {
	for _, g := range groups.members {
		if g.key == "hidden" {
			continue
		}
		for i := range g.val.members {
			spec(class, g.val.members[i].key, g.val.members[i].val)
		}
	}
}

// spec reduces one [type, options].
func spec(class *catalog.Class, name string, s *node) {
	if len(s.elems) == 0 {
		return
	}
	in, _ := class.Input(name)
	ofFiles := in.Folder != "" || in.File != ""
	if ofFiles && s.elems[0].elems != nil {
		s.elems[0] = fileOptions(class.Name, name, s.elems[0])
	}
	if len(s.elems) < 2 || s.elems[1].members == nil {
		return
	}
	o := s.elems[1].only(optionKeys)
	if d := o.get("default"); d != nil && (len(d.text()) > maxDefault || in.File != "") {
		o.drop("default")
	}
	if list := o.get("options"); list != nil && ofFiles {
		*list = *fileOptions(class.Name, name, list)
	} else if list != nil {
		for _, choice := range list.elems {
			if sub := choice.get("inputs"); sub != nil {
				inputs(class, sub)
			}
		}
	}
	if t := o.get("template"); t != nil && t.get("input") != nil {
		inputs(class, t.get("input"))
	}
	if len(o.members) == 0 {
		s.elems = s.elems[:1]
		return
	}
	s.elems[1] = o
}

// fileOptions keeps the options that name no file of the recording machine.
func fileOptions(class, input string, list *node) *node {
	kept := &node{kind: '[', elems: []*node{}}
	for _, o := range list.elems {
		var name string
		if err := json.Unmarshal(o.text(), &name); err != nil {
			continue
		}
		_, model := catalog.LoaderFolder(class, input)
		if model && len(catalog.ModelFiles(class, input, name)) == 0 || !model && name == "none" {
			kept.elems = append(kept.elems, o)
		}
	}
	return kept
}

// node is a JSON value that keeps the order of keys and the digits of numbers.
type node struct {
	kind    byte // '{', '[' or 0 for a scalar
	members []field
	elems   []*node
	scalar  json.RawMessage
}

type field struct {
	key string
	val *node
}

func parse(src []byte) (*node, error) {
	dec := json.NewDecoder(bytes.NewReader(src))
	dec.UseNumber()
	n, err := read(dec)
	if err == nil && n.kind != '{' {
		err = errors.New("not an object")
	}
	return n, err
}

func read(dec *json.Decoder) (*node, error) {
	t, err := dec.Token()
	if err != nil {
		return nil, err
	}
	switch t {
	case json.Delim('{'):
		n := &node{kind: '{', members: []field{}}
		for dec.More() {
			k, err := dec.Token()
			if err != nil {
				return nil, err
			}
			v, err := read(dec)
			if err != nil {
				return nil, err
			}
			n.members = append(n.members, field{k.(string), v})
		}
		_, err := dec.Token()
		return n, err
	case json.Delim('['):
		n := &node{kind: '[', elems: []*node{}}
		for dec.More() {
			v, err := read(dec)
			if err != nil {
				return nil, err
			}
			n.elems = append(n.elems, v)
		}
		_, err := dec.Token()
		return n, err
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(t); err != nil {
		return nil, err
	}
	return &node{scalar: bytes.TrimSuffix(b.Bytes(), []byte("\n"))}, nil
}

func (n *node) get(key string) *node {
	if n == nil {
		return nil
	}
	for _, m := range n.members {
		if m.key == key {
			return m.val
		}
	}
	return nil
}

func (n *node) only(keys []string) *node {
	out := &node{kind: '{', members: []field{}}
	for _, m := range n.members {
		if slices.Contains(keys, m.key) {
			out.members = append(out.members, m)
		}
	}
	return out
}

func (n *node) drop(key string) {
	n.members = slices.DeleteFunc(n.members, func(f field) bool { return f.key == key })
}

func (n *node) text() []byte {
	var b bytes.Buffer
	n.write(&b)
	return b.Bytes()
}

func (n *node) write(b *bytes.Buffer) {
	switch n.kind {
	case '{':
		b.WriteByte('{')
		for i, m := range n.members {
			if i > 0 {
				b.WriteByte(',')
			}
			k, _ := json.Marshal(m.key) // a string always encodes
			b.Write(k)
			b.WriteByte(':')
			m.val.write(b)
		}
		b.WriteByte('}')
	case '[':
		b.WriteByte('[')
		for i, e := range n.elems {
			if i > 0 {
				b.WriteByte(',')
			}
			e.write(b)
		}
		b.WriteByte(']')
	default:
		b.Write(n.scalar)
	}
}
