package jsonpos

import (
	"bytes"
	"fmt"
	"slices"
)

// Kind tells JSON values apart.
type Kind byte

// The kinds. NonFinite is NaN, Infinity or -Infinity, which Python writes and
// JSON forbids.
const (
	Null Kind = iota
	Bool
	Number
	NonFinite
	String
	Array
	Object
)

// Value is a JSON value with the bytes that it came from.
type Value struct {
	Kind Kind
	// Start and End are offsets into the text.
	Start, End int
	// Text is that of a string, decoded.
	Text    string
	Members []Member // of an object, in the order of the text
	Elems   []Value  // of an array
}

// Member is one name and value of an object.
type Member struct {
	Key              string
	KeyStart, KeyEnd int
	Val              Value
}

// Get returns the last member of that name, as Python's parser would; nil
// where there is none, and for what is no object.
func (v *Value) Get(key string) *Value {
	if v == nil || v.Kind != Object {
		return nil
	}
	for i := len(v.Members) - 1; i >= 0; i-- {
		if v.Members[i].Key == key {
			return &v.Members[i].Val
		}
	}
	return nil
}

// maxDepth bounds nesting; Python's own parser gives up near a thousand.
const maxDepth = 512

// SyntaxError is where and why a text is not JSON, in words for a finding.
type SyntaxError struct {
	At, End int
	Message string // headline
	Label   string // what stands at the place
	Help    string // what to do
}

// Error is the headline.
func (e *SyntaxError) Error() string { return e.Message }

type scanner struct {
	src       []byte
	pos       int
	depth     int
	nonFinite []Value
	err       *SyntaxError
	// members and elems hold those of the values that are open, innermost last:
	// each value gets a slice of the right size when it ends.
	members []Member
	elems   []Value
}

// Scan reads one JSON document from offset from. It accepts NaN, Infinity and
// -Infinity and remembers where they stand.
func Scan(src []byte, from int) (Value, []Value, *SyntaxError) {
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
	s.err = &SyntaxError{At: at, End: end, Message: message, Label: label, Help: help}
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

func (s *scanner) value() Value {
	s.space()
	v := Value{Start: s.pos}
	if s.err != nil {
		return v
	}
	if s.pos >= len(s.src) {
		s.fail(s.pos, s.pos, "the file ends where a value should be", "ends here", "the file looks cut off; export it again")
		return v
	}
	switch c := s.src[s.pos]; {
	case c == '{':
		s.nested(&v)
	case c == '[':
		s.nested(&v)
	case c == '"':
		v.Kind, v.Text = String, s.string()
	case c == '-' || c >= '0' && c <= '9':
		s.number(&v)
	case c == 't':
		v.Kind = Bool
		s.word("true")
	case c == 'f':
		v.Kind = Bool
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
	v.End = s.pos
	return v
}

// nested reads an object or array, whose bracket comes next.
func (s *scanner) nested(v *Value) {
	s.depth++
	if s.depth > maxDepth {
		s.fail(s.pos, s.pos+1, fmt.Sprintf("JSON is nested deeper than %d levels", maxDepth), "too deep here", "")
		return
	}
	members, elems := len(s.members), len(s.elems)
	if s.src[s.pos] == '{' {
		s.object(v)
	} else {
		s.array(v)
	}
	v.Members, v.Elems = take(&s.members, members), take(&s.elems, elems)
	s.depth--
}

// take cuts a stack back to n and gives what was above.
func take[T any](stack *[]T, n int) []T {
	var top []T
	if len(*stack) > n {
		top = slices.Clone((*stack)[n:])
	}
	*stack = (*stack)[:n]
	return top
}

func (s *scanner) object(v *Value) {
	v.Kind = Object
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
		if !s.key(open) {
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
func (s *scanner) key(open int) bool {
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
	case c == '{' && s.src[start-1] == '{':
		s.fail(start-1, start+1, "a placeholder without quotes in JSON", "a name in double quotes should be here", placeholder)
		return false
	case bytes.HasPrefix(s.src[start:], []byte("\u201c")), bytes.HasPrefix(s.src[start:], []byte("\u201d")):
		s.fail(start, start+3, "typographic quotes in JSON", "a JSON name needs straight quotes", "replace “ and ” with \"; a word processor changed them")
		return false
	case c != '"':
		s.fail(start, start+1, "a name in double quotes should be here", "no name starts like this", "")
		return false
	}
	m := Member{KeyStart: start, Key: s.string()}
	m.KeyEnd = s.pos
	s.space()
	if s.err != nil {
		return false
	}
	if s.peek() != ':' {
		s.fail(m.KeyStart, m.KeyEnd, "no `:` after a name", "a colon and a value should follow", "")
		return false
	}
	s.pos++
	m.Val = s.value()
	s.members = append(s.members, m)
	return s.err == nil
}

func (s *scanner) array(v *Value) {
	v.Kind = Array
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
		elem := s.value()
		s.elems = append(s.elems, elem)
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
