package workflow

import (
	"bytes"
	"fmt"
	"unicode/utf8"
)

// kind tells JSON values apart. NaN and the infinities, which Python writes
// and JSON forbids, are a kind of their own.
type kind byte

const (
	kindNull kind = iota
	kindBool
	kindNumber
	kindNonFinite
	kindString
	kindArray
	kindObject
)

// value is a JSON value with the bytes that it came from.
type value struct {
	kind       kind
	start, end int
	text       string // of a string, decoded
	members    []member
	elems      []value
}

type member struct {
	key              string
	keyStart, keyEnd int
	val              value
}

// get returns the last member of that name, as Python's parser would.
func (v *value) get(key string) *value {
	if v == nil || v.kind != kindObject {
		return nil
	}
	for i := len(v.members) - 1; i >= 0; i-- {
		if v.members[i].key == key {
			return &v.members[i].val
		}
	}
	return nil
}

// maxDepth bounds nesting; Python's own parser gives up near a thousand.
const maxDepth = 512

// syntaxError is where and why a text is not JSON.
type syntaxError struct {
	at, end int
	message string // headline
	label   string
	help    string
}

type scanner struct {
	src       []byte
	pos       int
	depth     int
	nonFinite []value
	err       *syntaxError
}

// scan reads one JSON document from offset from. It accepts NaN, Infinity and
// -Infinity and remembers where they stand.
func scan(src []byte, from int) (value, []value, *syntaxError) {
	s := &scanner{src: src, pos: from}
	v := s.value()
	if s.err == nil {
		s.space()
		if s.err == nil && s.pos < len(src) {
			s.fail(s.pos, s.pos+1, "text follows the end of the JSON document", "the document ended before this", "")
		}
	}
	return v, s.nonFinite, s.err
}

func (s *scanner) fail(at, end int, message, label, help string) {
	if s.err != nil {
		return
	}
	at = min(at, len(s.src))
	end = max(at, min(end, len(s.src)))
	s.err = &syntaxError{at: at, end: end, message: message, label: label, help: help}
}

func (s *scanner) space() {
	for s.pos < len(s.src) {
		switch s.src[s.pos] {
		case ' ', '\t', '\r', '\n':
			s.pos++
		case '/':
			if s.pos+1 < len(s.src) && (s.src[s.pos+1] == '/' || s.src[s.pos+1] == '*') {
				s.fail(s.pos, s.pos+2, "a comment in JSON", "JSON has no comments", "remove the comment")
			}
			return
		default:
			return
		}
	}
}

func (s *scanner) peek() byte {
	if s.pos < len(s.src) {
		return s.src[s.pos]
	}
	return 0
}

func (s *scanner) value() value {
	s.space()
	v := value{start: s.pos}
	if s.err != nil {
		return v
	}
	if s.pos >= len(s.src) {
		s.fail(s.pos, s.pos, "the file ends where a value should be", "ends here", "the file looks cut off; export it again")
		return v
	}
	switch c := s.src[s.pos]; {
	case c == '{':
		s.nested(&v, s.object)
	case c == '[':
		s.nested(&v, s.array)
	case c == '"':
		v.kind, v.text = kindString, s.string()
	case c == '-' || c >= '0' && c <= '9':
		s.number(&v)
	case c == 't':
		v.kind = kindBool
		s.word("true")
	case c == 'f':
		v.kind = kindBool
		s.word("false")
	case c == 'n':
		s.word("null")
	case c == 'N':
		s.special(&v, "NaN")
	case c == 'I':
		s.special(&v, "Infinity")
	default:
		s.badValue(c)
	}
	v.end = s.pos
	return v
}

func (s *scanner) badValue(c byte) {
	switch {
	case c == '\'':
		s.fail(s.pos, s.pos+1, "single quotes in JSON", "a JSON string needs double quotes", "replace ' with \"; text printed by Python is not JSON, use json.dumps")
	case c == 'T' && bytes.HasPrefix(s.src[s.pos:], []byte("True")):
		s.fail(s.pos, s.pos+4, "`True` is Python, not JSON", "write true", "text printed by Python is not JSON, use json.dumps")
	case c == 'F' && bytes.HasPrefix(s.src[s.pos:], []byte("False")):
		s.fail(s.pos, s.pos+5, "`False` is Python, not JSON", "write false", "text printed by Python is not JSON, use json.dumps")
	case c == ',' || c == '}' || c == ']':
		s.fail(s.pos, s.pos+1, fmt.Sprintf("`%c` where a value should be", c), "a value is missing here", "")
	case c == '<':
		s.fail(s.pos, s.pos+1, "this is HTML or XML, not JSON", "JSON starts with {", "the file was probably saved from an error page; export the workflow again")
	default:
		r, n := utf8.DecodeRune(s.src[s.pos:])
		s.fail(s.pos, s.pos+n, fmt.Sprintf("unexpected character %q in JSON", r), "no value starts like this", "")
	}
}

func (s *scanner) nested(v *value, read func(*value)) {
	s.depth++
	if s.depth > maxDepth {
		s.fail(s.pos, s.pos+1, fmt.Sprintf("JSON is nested deeper than %d levels", maxDepth), "too deep here", "")
		return
	}
	read(v)
	s.depth--
}

func (s *scanner) object(v *value) {
	v.kind = kindObject
	open := s.pos
	s.pos++
	for first := true; ; first = false {
		s.space()
		if s.err != nil {
			return
		}
		if first && s.peek() == '}' {
			s.pos++
			return
		}
		if !s.key(v, open) {
			return
		}
		s.space()
		if s.err != nil {
			return
		}
		if !s.next(open, '}') {
			return
		}
		if s.src[s.pos-1] == '}' {
			return
		}
	}
}

// key reads one `"name": value` of an object.
func (s *scanner) key(v *value, open int) bool {
	start := s.pos
	switch c := s.peek(); {
	case s.pos >= len(s.src):
		s.fail(open, open+1, "`{` is never closed", "opened here", "the file looks cut off; export it again")
		return false
	case c == '\'':
		s.fail(start, start+1, "single quotes in JSON", "a JSON name needs double quotes", "replace ' with \"; text printed by Python is not JSON, use json.dumps")
		return false
	case c == '}':
		s.trailing('}')
		return false
	case c != '"':
		s.fail(start, start+1, "a name in double quotes should be here", "no name starts like this", "")
		return false
	}
	m := member{keyStart: start, key: s.string()}
	m.keyEnd = s.pos
	s.space()
	if s.err != nil {
		return false
	}
	if s.peek() != ':' {
		s.fail(m.keyStart, m.keyEnd, "no `:` after a name", "a colon and a value should follow", "")
		return false
	}
	s.pos++
	m.val = s.value()
	v.members = append(v.members, m)
	return s.err == nil
}

func (s *scanner) array(v *value) {
	v.kind = kindArray
	open := s.pos
	s.pos++
	for first := true; ; first = false {
		s.space()
		if s.err != nil {
			return
		}
		if s.peek() == ']' {
			if first {
				s.pos++
			} else {
				s.trailing(']')
			}
			return
		}
		if s.pos >= len(s.src) {
			s.fail(open, open+1, "`[` is never closed", "opened here", "the file looks cut off; export it again")
			return
		}
		v.elems = append(v.elems, s.value())
		s.space()
		if s.err != nil || !s.next(open, ']') || s.src[s.pos-1] == ']' {
			return
		}
	}
}

// next takes the comma or the closing bracket.
func (s *scanner) next(open int, closing byte) bool {
	switch c := s.peek(); {
	case s.pos < len(s.src) && (c == ',' || c == closing):
		s.pos++
		return true
	case s.pos >= len(s.src):
		s.fail(open, open+1, fmt.Sprintf("`%c` is never closed", s.src[open]), "opened here", "the file looks cut off; export it again")
	default:
		s.fail(s.pos, s.pos+1, fmt.Sprintf("a comma or `%c` is missing", closing), "expected before this", "")
	}
	return false
}

// trailing reports the comma before a closing bracket at the current place.
func (s *scanner) trailing(closing byte) {
	comma := bytes.LastIndexByte(s.src[:s.pos], ',')
	s.fail(comma, comma+1, fmt.Sprintf("trailing comma before `%c`", closing), "JSON allows no comma here", "remove the comma")
}
