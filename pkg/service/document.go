package service

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"

	"gopkg.in/yaml.v3"

	"github.com/comfyctl/comfyctl/internal/diag"
)

// document is the merged YAML and what is known about its files. A node comes
// from one file, also after an overlay was merged in.
type document struct {
	main  string
	src   map[string][]byte
	files map[*yaml.Node]string
	found []diag.Diagnostic
	// texts are where quoted and block texts lie, by file.
	texts map[string][][2]int
}

type pair struct{ key, value *yaml.Node }

// pairs lists a mapping's entries, those of `<<` after its own.
func (d *document) pairs(n *yaml.Node) []pair {
	var own, merged []pair
	have := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, v := n.Content[i], n.Content[i+1]
		if k.Tag == "!!merge" {
			for _, m := range mergeSources(v) {
				merged = append(merged, d.pairs(m)...)
			}
			continue
		}
		have[k.Value] = true
		own = append(own, pair{k, v})
	}
	for _, p := range merged {
		if !have[p.key.Value] {
			have[p.key.Value] = true
			own = append(own, p)
		}
	}
	return own
}

func mergeSources(n *yaml.Node) []*yaml.Node {
	n = resolve(n)
	switch n.Kind {
	case yaml.MappingNode:
		return []*yaml.Node{n}
	case yaml.SequenceNode:
		var list []*yaml.Node
		for _, c := range n.Content {
			if c = resolve(c); c.Kind == yaml.MappingNode {
				list = append(list, c)
			}
		}
		return list
	}
	return nil
}

func (d *document) fileOf(n *yaml.Node) string {
	if f, ok := d.files[n]; ok {
		return f
	}
	return d.main
}

// own notes that a tree of nodes comes from a file.
func (d *document) own(n *yaml.Node, file string) {
	if n == nil || d.files[n] != "" {
		return
	}
	d.files[n] = file
	for _, c := range n.Content {
		d.own(c, file)
	}
}

// span is where a node stands. yaml.v3 gives the start only; the end of a
// plain or quoted scalar is found in the source.
func (d *document) span(n *yaml.Node) diag.Span {
	if n == nil {
		return diag.Span{File: d.main}
	}
	file := d.fileOf(n)
	src := d.src[file]
	start := diag.Offset(src, n.Line, n.Column)
	end := start
	switch {
	case n.Kind != yaml.ScalarNode:
		for end < len(src) && src[end] != '\n' && src[end] != '#' {
			end++
		}
		end = start + len(bytes.TrimRight(src[start:end], " \t\r"))
	case n.Style&(yaml.DoubleQuotedStyle|yaml.SingleQuotedStyle) != 0:
		end = quotedEnd(src, start)
	case n.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0:
		end = start + 1
	default:
		end = start + len(plainText(src[start:], n.Value))
	}
	if end == start {
		end = min(start+1, len(src))
	}
	return diag.Span{File: file, Start: diag.At(src, start), End: diag.At(src, end)}
}

// plainText is how much of src spells a plain scalar; ${VAR} may have been
// filled in, so the value is only tried first.
func plainText(src []byte, value string) []byte {
	if bytes.HasPrefix(src, []byte(value)) {
		return src[:len(value)]
	}
	line := src
	if i := bytes.IndexByte(line, '\n'); i >= 0 {
		line = line[:i]
	}
	if i := bytes.Index(line, []byte(" #")); i >= 0 {
		line = line[:i]
	}
	return bytes.TrimRight(line, " \t\r,]}")
}

func quotedEnd(src []byte, start int) int {
	if start >= len(src) {
		return start
	}
	q := src[start]
	for i := start + 1; i < len(src); i++ {
		switch {
		case q == '"' && src[i] == '\\':
			i++
		case src[i] == q:
			if q == '\'' && i+1 < len(src) && src[i+1] == q {
				i++
				continue
			}
			return i + 1
		}
	}
	return len(src)
}

// add appends a finding at a node; label, help and fix then complete it.
func (d *document) add(n *yaml.Node, code, at, format string, args ...any) {
	level := diag.SeverityError
	if r, ok := diag.Lookup(code); ok {
		level = r.Level
	}
	d.found = append(d.found, diag.Diagnostic{Code: code, Severity: level, Message: fmt.Sprintf(format, args...), Span: d.span(n), Pointer: at})
}

func (d *document) last() *diag.Diagnostic { return &d.found[len(d.found)-1] }

func (d *document) label(s string) { d.last().Label = s }
func (d *document) help(s string)  { d.last().Help = s }

func (d *document) suggest(got string, names []string) {
	if g := diag.Suggest(got, names); g != "" {
		d.help(fmt.Sprintf("did you mean %q?", g))
	}
}

// safeFix replaces a scalar by a plain one, inside its quotes where it has
// some. What an alias may share is left alone.
func (d *document) safeFix(title string, n *yaml.Node, text string) {
	if n.Anchor != "" {
		return
	}
	s := d.span(n)
	src := d.src[s.File]
	edit := diag.Edit{Start: s.Start.Offset, End: s.End.Offset, Text: text}
	if n.Style&(yaml.DoubleQuotedStyle|yaml.SingleQuotedStyle) != 0 && edit.End-edit.Start >= 2 {
		edit.Start, edit.End = edit.Start+1, edit.End-1
	}
	if n.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0 || string(src[edit.Start:edit.End]) != n.Value {
		return // written in another way than it reads: ${VAR}, an escape, several lines
	}
	d.last().Fix = &diag.Fix{Title: title, Safe: true, Edits: []diag.Edit{edit}}
}

func (d *document) twice(again, first *yaml.Node, at string) {
	d.add(again, "CY003", at, "`%s` is set twice", again.Value)
	d.label("the second time")
	d.last().Related = []diag.Related{{Span: d.span(first), Label: "first set here"}}
}

// keep remembers where a value stands.
func (d *decoder) keep(at string, key, value *yaml.Node) {
	p := place{value: d.span(value)}
	if key != nil {
		p.key = d.span(key)
	} else {
		p.key = p.value
	}
	d.places[at] = p
}

// read parses one file into its root mapping. nil means that it is unreadable
// and why has been added.
func (d *document) read(file string, src []byte) *yaml.Node {
	d.src[file] = src
	if !utf8.Valid(src) {
		d.syntax(file, 0, "the file is not UTF-8 text", "save it as UTF-8")
		return nil
	}
	dec := yaml.NewDecoder(bytes.NewReader(src))
	var doc yaml.Node
	if err := dec.Decode(&doc); errors.Is(err, io.EOF) {
		doc = yaml.Node{} // nothing but comments
	} else if err != nil {
		d.syntaxError(file, src, err)
		return nil
	}
	if doc.Kind != yaml.DocumentNode || len(doc.Content) == 0 || isNull(doc.Content[0]) {
		d.syntax(file, 0, "the file is empty", "`comfyctl init WORKFLOW` writes one")
		return nil
	}
	if budget := maxNodes; !expands(&doc, &budget, map[*yaml.Node]bool{}) {
		d.syntax(file, 0, "the aliases of the file contain themselves, or expand to more than anyone can read", "")
		return nil
	}
	d.own(&doc, file)
	d.noteTexts(file, &doc)
	var second yaml.Node
	if dec.Decode(&second) == nil {
		d.files[&second] = file
		d.add(&second, "CY005", "", "a second document starts here")
		d.label("one service file holds one document")
	}
	root := resolve(doc.Content[0])
	if root.Kind != yaml.MappingNode {
		if at := keyValue(src, 1); root.Kind == yaml.ScalarNode && at >= 0 {
			d.noSpace(file, at)
			return nil
		}
		d.add(root, "CY002", "", "the service file is %s, a mapping is wanted", kindName(root))
		return nil
	}
	return root
}

// maxNodes bounds what the aliases of a file may expand to.
const maxNodes = 20000

// expands counts a tree with its aliases followed. False means that an alias
// contains itself, or that the budget is used up.
func expands(n *yaml.Node, budget *int, open map[*yaml.Node]bool) bool {
	if *budget--; *budget < 0 || open[n] {
		return false
	}
	if n.Kind == yaml.AliasNode {
		open[n] = true
		defer delete(open, n)
		return expands(n.Alias, budget, open)
	}
	if len(n.Content) == 0 {
		return true
	}
	open[n] = true
	defer delete(open, n)
	for _, c := range n.Content {
		if !expands(c, budget, open) {
			return false
		}
	}
	return true
}
