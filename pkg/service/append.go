package service

import (
	"bytes"
	"strings"

	"github.com/comfyctl/comfyctl/internal/diag"
)

// Append is the edit that adds a mapping, given as its `key: value` lines, to a
// list at the top of the file. Everything else stays byte for byte. ok is
// false where the list is written in a way that no line can be added to.
func (s *Service) Append(ptr string, lines []string) (file string, edit diag.Edit, ok bool) {
	key := strings.TrimPrefix(ptr, "/")
	at, has := s.places[ptr]
	if !has {
		src := s.Source
		text := key + ":\n  - " + strings.Join(lines, "\n    ") + "\n"
		if len(src) > 0 && src[len(src)-1] != '\n' {
			text = "\n" + text
		}
		return s.File, insert(src, len(src), text), true
	}
	file = at.value.File
	src := s.sources[file]
	from := at.value.Start.Offset
	switch {
	case from < len(src) && src[from] == '[':
		return s.appendFlow(file, src, from, lines)
	case from < len(src) && src[from] == '-':
		indent := strings.Repeat(" ", at.value.Start.Column-1)
		end := blockEnd(src, from, len(indent))
		text := indent + "- " + strings.Join(lines, "\n"+indent+"  ") + "\n"
		if end > 0 && src[end-1] != '\n' {
			text = "\n" + strings.TrimSuffix(text, "\n")
		}
		return file, insert(src, end, text), true
	}
	return file, edit, false
}

// appendFlow adds to a list in brackets.
func (s *Service) appendFlow(file string, src []byte, from int, lines []string) (string, diag.Edit, bool) {
	closing := flowEnd(src, from)
	if closing < 0 {
		return file, diag.Edit{}, false
	}
	inside := bytes.TrimRight(src[from+1:closing], " \t\r\n")
	at := from + 1 + len(inside)
	text := "{ " + strings.Join(lines, ", ") + " }"
	switch {
	case bytes.LastIndexByte(inside, '#') > bytes.LastIndexByte(inside, '\n'):
		return file, diag.Edit{}, false // it may be a comment
	case len(bytes.TrimSpace(inside)) > 0 && !bytes.HasSuffix(inside, []byte(",")):
		text = ", " + text
	case len(inside) > 0:
		text = " " + text
	}
	return file, diag.Edit{Start: at, End: at, Text: text}, true
}

// insert writes text with the line ends of the file.
func insert(src []byte, at int, text string) diag.Edit {
	if bytes.Contains(src, []byte("\r\n")) {
		text = strings.ReplaceAll(text, "\n", "\r\n")
	}
	return diag.Edit{Start: at, End: at, Text: text}
}

// blockEnd is where a block list ends whose dashes have that indent: after the
// last line that belongs to one of its entries.
func blockEnd(src []byte, from, indent int) int {
	end, at := from, from
	for first := true; at < len(src); first = false {
		line := src[at:]
		if i := bytes.IndexByte(line, '\n'); i >= 0 {
			line = line[:i+1]
		}
		text := bytes.TrimLeft(line, " ")
		depth := len(line) - len(text)
		text = bytes.TrimSpace(text)
		inside := depth > indent || depth == indent && bytes.HasPrefix(text, []byte("-"))
		if !first && len(text) > 0 && text[0] != '#' && !inside {
			break
		}
		at += len(line)
		if first || len(text) > 0 && text[0] != '#' {
			end = at
		}
	}
	return end
}

// flowEnd finds the bracket that closes the one at from, -1 for none.
func flowEnd(src []byte, from int) int {
	depth := 0
	for i := from; i < len(src); i++ {
		switch c := src[i]; {
		case (c == '"' || c == '\'') && startsValue(src, i):
			i = quotedEnd(src, i) - 1
		case c == '#' && (src[i-1] == ' ' || src[i-1] == '\n'):
			for i+1 < len(src) && src[i+1] != '\n' {
				i++
			}
		case c == '[' || c == '{':
			depth++
		case c == ']' || c == '}':
			if depth--; depth == 0 {
				return i
			}
		}
	}
	return -1
}

// Remove is the edit that takes an entry out of a list that has one on each
// line or more: its lines, and no comment above it. ok is false for the only
// entry, and where the list is written in another way.
func (s *Service) Remove(ptr string) (file string, edit diag.Edit, ok bool) {
	i := strings.LastIndexByte(ptr, '/')
	list, entry := s.places[ptr[:max(i, 0)]], s.places[ptr]
	file = list.value.File
	src := s.sources[file]
	from := list.value.Start.Offset
	_, more := s.places[ptr[:max(i, 0)]+"/1"]
	if from >= len(src) || src[from] != '-' || entry.value.File != file || !more {
		return file, edit, false
	}
	start := diag.Offset(src, entry.value.Start.Line, 1)
	indent := list.value.Start.Column - 1
	if dash := bytes.TrimLeft(src[start:], " "); len(dash) == 0 || dash[0] != '-' || len(src)-start-len(dash) != indent {
		return file, edit, false
	}
	return file, diag.Edit{Start: start, End: entryEnd(src, start, indent)}, true
}

// entryEnd is where an entry of a block list ends: after the last of its lines
// that is no comment.
func entryEnd(src []byte, start, indent int) int {
	at, end := start, start
	for first := true; at < len(src); first = false {
		line := src[at:]
		if i := bytes.IndexByte(line, '\n'); i >= 0 {
			line = line[:i+1]
		}
		text := bytes.TrimLeft(line, " ")
		depth := len(line) - len(text)
		text = bytes.TrimSpace(text)
		plain := len(text) > 0 && text[0] != '#'
		if !first && plain && depth <= indent {
			break
		}
		at += len(line)
		if first || plain {
			end = at
		}
	}
	return end
}
