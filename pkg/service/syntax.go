package service

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"

	"github.com/comfyctl/comfyctl/internal/diag"
)

func (d *document) syntax(file string, offset int, message, help string) {
	at := diag.At(d.src[file], offset)
	end := diag.At(d.src[file], offset+1)
	if end.Line != at.Line {
		end = at
	}
	d.found = append(d.found, diag.Diagnostic{Code: "CY005", Severity: diag.SeverityError, Message: message,
		Span: diag.Span{File: file, Start: at, End: end}, Help: help})
}

// syntaxError puts yaml.v3's error into words. It knows a line at most, and
// the last one for what is never closed, so the mistakes that people make are
// looked for first.
func (d *document) syntaxError(file string, src []byte, err error) {
	msg := strings.TrimPrefix(err.Error(), "yaml: ")
	line := 1
	if rest, ok := strings.CutPrefix(msg, "line "); ok {
		if _, e := fmt.Sscanf(rest, "%d:", &line); e == nil {
			_, msg, _ = strings.Cut(rest, ": ")
		}
	}
	if at := tabIndent(src, line); at >= 0 {
		d.syntax(file, at, "a tab in the indent", "YAML wants spaces there")
		return
	}
	quote, bracket := open(src)
	switch {
	case quote >= 0:
		d.syntax(file, quote, "a quote is opened here and never closed", "close it, or leave the quotes out")
		return
	case bracket >= 0:
		d.syntax(file, bracket, fmt.Sprintf("a `%c` is opened here and never closed", src[bracket]), "close it")
		return
	}
	if at := keyValue(src, line-1); at >= 0 {
		d.noSpace(file, at)
		return
	}
	text := lineAt(src, diag.Offset(src, line, 1))
	d.syntax(file, diag.Offset(src, line, 1), "not valid YAML: "+msg, adviceOn(msg, text))
	d.last().End = d.last().Start
	// The column is not known; zero says so.
	d.last().Start.Column, d.last().End.Column = 0, 0
	if at := badStart(text); at >= 0 {
		d.last().Start = diag.At(src, d.last().Start.Offset+at)
		d.last().End = diag.At(src, d.last().Start.Offset+1)
	}
}

func adviceOn(msg string, line []byte) string {
	switch {
	case strings.Contains(msg, "could not find expected ':'"):
		return "a key is followed by a colon and a space"
	case strings.Contains(msg, "mapping values") && bytes.Count(line, []byte(": ")) < 2:
		return "the line is indented further than the one above, which has a value already"
	case strings.Contains(msg, "mapping values"):
		return "the line has a second `: `; a value with a colon in it needs quotes"
	case strings.Contains(msg, "cannot start any token"):
		return "a value that begins with @, `, % or & needs quotes"
	case strings.Contains(msg, "unknown anchor"):
		return "*NAME repeats what &NAME marks further up; a value that begins with * needs quotes"
	case strings.Contains(msg, "did not find expected key"):
		return "keys of one mapping begin in the same column"
	case strings.Contains(msg, "escape"):
		return `inside "…" a backslash is written \\; '…' takes it as it is`
	}
	return ""
}

func lineAt(src []byte, offset int) []byte {
	line, _, _ := bytes.Cut(src[offset:], []byte("\n"))
	return line
}

var badStartForm = regexp.MustCompile("(?:^|[:\\[{,-])\\s+([@`%])")

// badStart finds a value that begins with a character that YAML keeps for
// itself.
func badStart(line []byte) int {
	if m := badStartForm.FindSubmatchIndex(line); m != nil {
		return m[2]
	}
	return -1
}

// tabIndent finds a tab where YAML wants spaces, on a line near the error.
func tabIndent(src []byte, near int) int {
	offset := 0
	for i, line := range bytes.SplitAfter(src, []byte("\n")) {
		indent := len(line) - len(bytes.TrimLeft(line, " \t"))
		tab := bytes.IndexByte(line[:indent], '\t')
		if number := i + 1; tab >= 0 && number >= near-1 && number <= near+1 && len(bytes.TrimSpace(line)) > 0 && line[indent] != '#' {
			return offset + tab
		}
		offset += len(line)
	}
	return -1
}

var keyValueForm = regexp.MustCompile(`^\s*(?:- +)?[A-Za-z_][A-Za-z0-9_-]*(:)[^\s/:]`)

// keyValue finds key:value without a space on the given line or the next two,
// and gives the place of the colon.
func keyValue(src []byte, line int) int {
	line = max(line, 1)
	for i := line; i < line+3; i++ {
		from := diag.Offset(src, i, 1)
		if m := keyValueForm.FindSubmatchIndex(lineAt(src, from)); m != nil {
			return from + m[2]
		}
	}
	return -1
}

func (d *document) noSpace(file string, colon int) {
	d.syntax(file, colon, "no space follows the colon", "write `key: value`")
}

// open finds a quote, or else a bracket, that is never closed; -1 for none.
func open(src []byte) (quote, bracket int) {
	var stack []int
	for i := 0; i < len(src); i++ {
		c := src[i]
		starts := startsValue(src, i)
		switch {
		case c == '#' && (i == 0 || src[i-1] == ' ' || src[i-1] == '\n'):
			for i+1 < len(src) && src[i+1] != '\n' {
				i++
			}
		case (c == '"' || c == '\'') && starts:
			end := quotedEnd(src, i)
			if end == len(src) && !closed(src, i) {
				return i, -1
			}
			i = end - 1
		case (c == '[' || c == '{') && (starts || len(stack) > 0):
			stack = append(stack, i)
		case (c == ']' || c == '}') && len(stack) > 0:
			if top := stack[len(stack)-1]; src[top] != c-2 { // [ and ], { and } are two apart
				return -1, top
			}
			stack = stack[:len(stack)-1]
		}
	}
	if len(stack) > 0 {
		return -1, stack[len(stack)-1]
	}
	return -1, -1
}

// startsValue says whether a value may begin at i: after a colon, a dash, a
// bracket or a comma, or first on a line.
func startsValue(src []byte, i int) bool {
	before := bytes.TrimRight(src[:i], " ")
	return len(before) == 0 || bytes.IndexByte([]byte(":-[{,\n"), before[len(before)-1]) >= 0
}

// closed says whether a quoted text that reaches the end of the file ends
// there with its quote.
func closed(src []byte, start int) bool {
	return len(src)-start > 1 && src[len(src)-1] == src[start]
}
