package service

import (
	"errors"
	"io/fs"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/comfyctl/comfyctl/internal/diag"
)

// Options say how a service file is read.
type Options struct {
	// Env is the environment to merge over the file; empty means none.
	Env string
	// Lookup gives the value of ${VAR}; nil means that none is set.
	Lookup func(name string) (string, bool)
	// Version is the comfyctl that reads the file, held against `requires:`;
	// empty or no release passes.
	Version string
	// ReadFile reads an overlay beside the file (comfyctl.ENV.yaml); nil means
	// that there is none.
	ReadFile func(name string) ([]byte, error)
}

// Parse reads a service file strictly. Every problem is found at once; the
// Service is nil only where the YAML cannot be read at all.
func Parse(file string, src []byte, o Options) (*Service, []diag.Diagnostic) {
	doc := &document{main: file, src: map[string][]byte{}, files: map[*yaml.Node]string{}, texts: map[string][][2]int{}}
	root := doc.read(file, src)
	if root == nil {
		return nil, doc.found
	}
	doc.overlay(root, o)
	doc.secrets(root, map[*yaml.Node]bool{})
	doc.expand(root, o.Lookup, map[*yaml.Node]bool{})
	d := &decoder{document: doc, places: map[string]place{}, env: o.Env}
	s := &Service{File: file, Source: doc.src[file], sources: doc.src, doc: doc, root: root, env: o.Env}
	s.Inputs.Auto = true
	d.mapping(root, reflect.ValueOf(s).Elem(), "")
	d.whole(root, s, o.Version)
	s.places = d.places
	s.Ignores = doc.ignores()
	return s, doc.found
}

func (d *decoder) has(at string) bool { _, ok := d.places[at]; return ok }

// At is where the value at a JSON pointer stands, such as /inputs/prompt/to.
// An unknown pointer gives its nearest parent, at last the file.
func (s *Service) At(ptr string) diag.Span { return s.nearest(ptr, false) }

// KeyAt is where the key of a JSON pointer stands.
func (s *Service) KeyAt(ptr string) diag.Span { return s.nearest(ptr, true) }

// Has reports whether the file or its overlay sets the value at a pointer.
func (s *Service) Has(ptr string) bool { _, ok := s.places[ptr]; return ok }

func (s *Service) nearest(ptr string, key bool) diag.Span {
	for {
		if p, ok := s.places[ptr]; ok {
			if key {
				return p.key
			}
			return p.value
		}
		i := strings.LastIndexByte(ptr, '/')
		if i <= 0 {
			return diag.Span{File: s.File, Start: diag.Position{Line: 1, Column: 1}, End: diag.Position{Line: 1, Column: 1}}
		}
		ptr = ptr[:i]
	}
}

// overlay merges the chosen environment over the root: the one inside the file
// or the file beside it, never both.
func (d *document) overlay(root *yaml.Node, o Options) {
	if o.Env == "" {
		return
	}
	var inside, envKey *yaml.Node
	var names []string
	if envs := find(root, "environments"); envs != nil {
		for _, p := range d.pairs(resolve(envs)) {
			names = append(names, p.key.Value)
			if p.key.Value == o.Env {
				envKey, inside = p.key, resolve(p.value)
			}
		}
	}
	ext := filepath.Ext(d.main)
	beside := strings.TrimSuffix(d.main, ext) + "." + o.Env + ext
	read := o.ReadFile
	if read == nil {
		read = func(string) ([]byte, error) { return nil, fs.ErrNotExist }
	}
	src, err := read(beside)
	switch {
	case err == nil && envKey != nil:
		d.add(envKey, "CY003", "/environments/"+o.Env, "environment `%s` is both here and in %s", o.Env, filepath.Base(beside))
		d.help("keep one of them")
	case err == nil:
		if n := d.read(beside, src); n != nil {
			d.merge(root, n)
		}
	case !errors.Is(err, fs.ErrNotExist):
		d.syntax(d.main, 0, "reading "+beside+": "+err.Error(), "")
	case envKey == nil:
		d.add(root, "CY108", "/environments", "there is no environment `%s`", o.Env)
		d.suggest(o.Env, names)
		if len(names) > 0 && d.last().Help == "" {
			d.help("known: " + strings.Join(names, ", "))
		}
	case inside.Kind == yaml.MappingNode:
		d.merge(root, without(inside, "target", "protected"))
	}
}

func find(n *yaml.Node, key string) *yaml.Node {
	for i := 0; n.Kind == yaml.MappingNode && i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			return n.Content[i+1]
		}
	}
	return nil
}

func without(n *yaml.Node, keys ...string) *yaml.Node {
	out := &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map", Line: n.Line, Column: n.Column}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if !contains(keys, n.Content[i].Value) {
			out.Content = append(out.Content, n.Content[i], n.Content[i+1])
		}
	}
	return out
}

// merge lays one mapping over another: maps merge, everything else replaces,
// null removes.
func (d *document) merge(base, over *yaml.Node) {
	for i := 0; i+1 < len(over.Content); i += 2 {
		k, v := over.Content[i], resolve(over.Content[i+1])
		at := -1
		for j := 0; j+1 < len(base.Content); j += 2 {
			if base.Content[j].Value == k.Value {
				at = j
			}
		}
		switch {
		case isNull(v):
			if at >= 0 {
				base.Content = append(base.Content[:at:at], base.Content[at+2:]...)
			}
		case at < 0:
			base.Content = append(base.Content, k, v)
		case v.Kind == yaml.MappingNode && resolve(base.Content[at+1]).Kind == yaml.MappingNode:
			merged := *resolve(base.Content[at+1]) // an anchor elsewhere keeps its own
			merged.Content = append([]*yaml.Node{}, merged.Content...)
			d.files[&merged] = d.fileOf(base.Content[at+1])
			d.merge(&merged, v)
			base.Content[at+1] = &merged
		default:
			base.Content[at], base.Content[at+1] = k, v
		}
	}
}

var variable = regexp.MustCompile(`\$\$|\$\{([A-Za-z_][A-Za-z0-9_]*)(?:(:-|:\?)([^}]*))?\}`)

// expand fills in ${VAR}, ${VAR:-default} and ${VAR:?why} in values, not in
// keys. $$ is a dollar sign.
func (d *document) expand(n *yaml.Node, lookup func(string) (string, bool), seen map[*yaml.Node]bool) {
	if seen[n] {
		return
	}
	seen[n] = true
	switch n.Kind {
	case yaml.MappingNode:
		for i := 1; i < len(n.Content); i += 2 {
			d.expand(n.Content[i], lookup, seen)
		}
	case yaml.SequenceNode:
		for _, c := range n.Content {
			d.expand(c, lookup, seen)
		}
	case yaml.AliasNode:
		d.expand(n.Alias, lookup, seen)
	case yaml.ScalarNode:
		if !strings.Contains(n.Value, "${") {
			return
		}
		value := variable.ReplaceAllStringFunc(n.Value, func(m string) string {
			if m == "$$" {
				return "$"
			}
			p := variable.FindStringSubmatch(m)
			if lookup != nil {
				if v, ok := lookup(p[1]); ok && (v != "" || p[2] == "") {
					return v
				}
			}
			if p[2] == ":-" {
				return p[3]
			}
			d.add(n, "CY009", "", "`%s` is not set", p[1])
			if p[2] == ":?" && p[3] != "" {
				d.label(p[3])
			}
			d.help("set it in the environment, or write ${" + p[1] + ":-default}")
			return m
		})
		if value != n.Value {
			n.Value = value
			if n.Style == 0 {
				n.Tag = ""
				n.Tag = n.ShortTag()
			}
		}
	}
}
