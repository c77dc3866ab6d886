package ui

import (
	"regexp"
	"strings"
)

var comments = regexp.MustCompile(`(?s)/\*.*?\*/|//[^\n\r\x{2028}\x{2029}]*`)

// chosen resolves {a|b} in a text as the editor does on export, but always for
// the first choice, and drops comments. The second result is true where there
// was a choice.
func chosen(s string) (string, bool) {
	p := &choices{text: comments.ReplaceAllString(s, "")}
	out := p.text
	if strings.ContainsAny(out, `{\`) {
		out = p.resolve(0)
	}
	return unescaped.ReplaceAllString(out, "$1"), p.any
}

var unescaped = regexp.MustCompile(`\\([{}|])`)

type choices struct {
	text string
	at   int
	any  bool
}

// maxNested bounds choices inside choices.
const maxNested = 200

func (p *choices) resolve(depth int) string {
	var out strings.Builder
	for p.at < len(p.text) {
		c := p.text[p.at]
		p.at++
		switch c {
		case '\\':
			out.WriteString(p.escape())
		case '{':
			out.WriteString(p.block(depth))
		default:
			out.WriteByte(c)
		}
	}
	return out.String()
}

// escape keeps a backslash and the character behind it.
func (p *choices) escape() string {
	if p.at >= len(p.text) {
		// The editor's own loop runs past the end here and writes this word.
		return `\undefined`
	}
	p.at++
	return p.text[p.at-2 : p.at]
}

// block reads up to the closing brace and takes the first choice.
func (p *choices) block(depth int) string {
	var first string
	var choice strings.Builder
	options, open := 0, 0
	for p.at < len(p.text) {
		c := p.text[p.at]
		p.at++
		if c == '\\' {
			choice.WriteString(p.escape())
			continue
		}
		if c == '}' && open == 0 {
			break
		}
		if c == '|' && open == 0 {
			if options++; options == 1 {
				first = choice.String()
			}
			choice.Reset()
			continue
		}
		switch c {
		case '{':
			open++
		case '}':
			open--
		}
		choice.WriteByte(c)
	}
	if options == 0 {
		first = choice.String()
	} else {
		p.any = true
	}
	if depth >= maxNested {
		return first
	}
	inner := &choices{text: comments.ReplaceAllString(first, "")}
	out := unescaped.ReplaceAllString(inner.resolve(depth+1), "$1")
	p.any = p.any || inner.any
	return out
}

var placeholder = regexp.MustCompile(`%([^%]+)%`)

// unsafe are the characters that must not get into a file name.
var unsafe = regexp.MustCompile(`[/?<>\\:*|"\x00-\x1F\x7F]`)

// replaced puts the values of other widgets in the place of %node.widget%. Dates
// stay as they are: a service names files when it runs, not when it is built.
func (b *builder) replaced(v value) value {
	s, ok := v.text()
	if !ok || !strings.Contains(s, "%") {
		return v
	}
	out := placeholder.ReplaceAllStringFunc(s, func(m string) string {
		name, field, two := strings.Cut(m[1:len(m)-1], ".")
		if !two || strings.Contains(field, ".") {
			return m
		}
		n := b.named(name)
		if n == nil {
			return m
		}
		w := n.widget(field)
		if w == nil {
			return m
		}
		return unsafe.ReplaceAllString(plainText(w.value), "_")
	})
	if out == s {
		return v
	}
	return v.with(quoted(out))
}

// plainText is a value as JavaScript writes it in a text.
func plainText(v value) string {
	if s, ok := v.text(); ok {
		return s
	}
	if v.null() {
		return ""
	}
	if x, ok := v.number(); ok {
		return number(x, string(v.raw))
	}
	return string(v.raw)
}

// named is the first node that has that name for replacements, or that title.
func (b *builder) named(name string) *node {
	all := b.walk(b.root, nil, 0)
	for _, n := range all {
		own := n.saved.Get("properties").Get("Node name for S&R")
		if own != nil && text(b.src, own) == name || own == nil && n.kind == plain && n.typ == name && !saves[n.typ] {
			return n
		}
	}
	for _, n := range all {
		if n.title == name {
			return n
		}
	}
	return nil
}

// walk lists the nodes of a graph and of the subgraphs used in it.
func (b *builder) walk(g *graph, all []*node, depth int) []*node {
	for _, n := range g.nodes {
		all = append(all, n)
		if n.kind == host && depth < maxDepth {
			all = b.walk(n.sub, all, depth+1)
		}
	}
	return all
}

// saves are the classes whose file name may hold %node.widget%.
var saves = map[string]bool{
	"SaveImage": true, "SaveImageAdvanced": true, "SaveSVGNode": true, "SaveVideo": true, "SaveAnimatedWEBP": true, "SaveWEBM": true,
	"SaveAudio": true, "SaveAudioMP3": true, "SaveAudioOpus": true, "SaveAudioAdvanced": true, "SaveGLB": true, "Save3DAdvanced": true,
	"SaveGaussianSplat": true, "SavePointCloud": true, "SaveAnimatedPNG": true, "CLIPSave": true, "VAESave": true, "ModelSave": true,
	"LoraSave": true, "SaveLatent": true,
}
