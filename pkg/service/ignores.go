package service

import (
	"bytes"
	"regexp"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/comfyctl/comfyctl/internal/diag"
)

var (
	ignoreForm = regexp.MustCompile(`(?:^|[ \t])(#[ \t]*comfyctl:[ \t]*ignore\b(.*))$`)
	codesForm  = regexp.MustCompile(`^[ \t]*([A-Za-z]{2}\d+(?:[ \t]*,[ \t]*[A-Za-z]{2}\d+)*)?[ \t]*(?:(?:-|–|—|:)[ \t]*)?(.*)$`)
)

// ignores finds the comments that silence a rule, in every file that was read,
// in the order of the file.
func (d *document) ignores() []Ignore {
	var list []Ignore
	for file, src := range d.src {
		texts := d.texts[file]
		offset := 0
		lines := bytes.SplitAfter(src, []byte("\n"))
		for i, line := range lines {
			body := bytes.TrimRight(line, "\r\n")
			m := ignoreForm.FindSubmatchIndex(body)
			if m != nil && !slices.ContainsFunc(texts, func(r [2]int) bool { return r[0] <= offset+m[2] && offset+m[2] < r[1] }) {
				span := diag.Span{File: file, Start: diag.At(src, offset+m[2]), End: diag.At(src, offset+len(body))}
				alone := len(bytes.TrimSpace(body[:m[2]])) == 0
				list = append(list, readIgnore(string(body[m[4]:m[5]]), span, silenced(lines, i, alone))...)
			}
			offset += len(line)
		}
	}
	slices.SortStableFunc(list, func(a, b Ignore) int {
		if c := strings.Compare(a.Span.File, b.Span.File); c != 0 {
			return c
		}
		return a.Span.Start.Offset - b.Span.Start.Offset
	})
	return list
}

// silenced is the 1-based line that a comment on line i speaks of.
func silenced(lines [][]byte, i int, alone bool) int {
	if !alone {
		return i + 1
	}
	for i++; i < len(lines); i++ {
		if text := bytes.TrimSpace(lines[i]); len(text) > 0 && text[0] != '#' {
			break
		}
	}
	return i + 1
}

func readIgnore(rest string, span diag.Span, line int) []Ignore {
	m := codesForm.FindStringSubmatch(rest)
	ig := Ignore{Reason: strings.TrimSpace(m[2]), Line: line, Span: span}
	if m[1] == "" {
		return []Ignore{ig}
	}
	var list []Ignore
	for _, code := range strings.Split(m[1], ",") {
		ig.Code = strings.ToUpper(strings.TrimSpace(code))
		list = append(list, ig)
	}
	return list
}

// noteTexts remembers where a file's quoted and block texts lie: a # in one
// begins no comment.
func (d *document) noteTexts(file string, n *yaml.Node) {
	src := d.src[file]
	if n.Kind == yaml.ScalarNode {
		start := diag.Offset(src, n.Line, n.Column)
		switch {
		case n.Style&(yaml.DoubleQuotedStyle|yaml.SingleQuotedStyle) != 0:
			d.texts[file] = append(d.texts[file], [2]int{start, quotedEnd(src, start)})
		case n.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0:
			d.texts[file] = append(d.texts[file], blockText(src, start))
		}
	}
	for _, c := range n.Content {
		d.noteTexts(file, c)
	}
}

// blockText is where the lines of a | or > text lie, whose mark is at start.
func blockText(src []byte, start int) [2]int {
	at := start + len(lineAt(src, start))
	from, indent := at, -1
	for at < len(src) {
		line := lineAt(src, at+1)
		text := bytes.TrimLeft(line, " ")
		if depth := len(line) - len(text); len(bytes.TrimSpace(text)) > 0 {
			if indent < 0 {
				indent = depth
			}
			if depth < indent || depth == 0 {
				break
			}
		}
		at += 1 + len(line)
	}
	return [2]int{from, min(at, len(src))}
}
