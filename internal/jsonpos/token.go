package jsonpos

import (
	"bytes"
	"encoding/json"
)

func (s *scanner) word(w string) {
	if !bytes.HasPrefix(s.src[s.pos:], []byte(w)) {
		s.fail(s.pos, s.pos+1, "unknown word in JSON", "only true, false and null stand without quotes", "put text in double quotes")
		return
	}
	s.pos += len(w)
}

func (s *scanner) special(v *Value, w string) {
	v.Kind = NonFinite
	start := v.Start
	if bytes.HasPrefix(s.src[s.pos:], []byte("None")) {
		s.fail(s.pos, s.pos+4, "`None` is Python, not JSON", "write null", "text printed by Python is not JSON, use json.dumps")
		return
	}
	s.word(w)
	if s.err == nil {
		s.nonFinite = append(s.nonFinite, Value{Kind: NonFinite, Start: start, End: s.pos})
	}
}

func (s *scanner) number(v *Value) {
	v.Kind = Number
	start := s.pos
	if s.src[s.pos] == '-' {
		s.pos++
		if s.peek() == 'I' {
			s.special(v, "Infinity")
			return
		}
	}
	digits := func() int {
		n := 0
		for s.pos < len(s.src) && s.src[s.pos] >= '0' && s.src[s.pos] <= '9' {
			s.pos++
			n++
		}
		return n
	}
	lead := s.peek()
	n := digits()
	bad := n == 0 || lead == '0' && n > 1
	if s.peek() == '.' {
		s.pos++
		bad = digits() == 0 || bad
	}
	if c := s.peek(); c == 'e' || c == 'E' {
		s.pos++
		if c := s.peek(); c == '+' || c == '-' {
			s.pos++
		}
		bad = digits() == 0 || bad
	}
	if bad {
		s.fail(start, max(s.pos, start+1), "not a JSON number", "a number is written as 0, -1.5 or 1e6", "")
	}
}

// string reads a quoted string and returns its text.
func (s *scanner) string() string {
	start := s.pos
	s.pos++
	plain := true
	for s.pos < len(s.src) {
		switch c := s.src[s.pos]; {
		case c == '"':
			s.pos++
			return s.unquote(start, plain)
		case c == '\\':
			plain = false
			s.pos += 2
		case c == '\n' || c == '\r':
			s.fail(start, s.pos, "a string is not closed on its line", "opened here", "close it with \"; a line break inside a string is written \\n")
			return ""
		case c < 0x20:
			s.fail(s.pos, s.pos+1, "a control character inside a string", "write it as an escape such as \\t", "")
			return ""
		default:
			s.pos++
		}
	}
	s.pos = len(s.src)
	s.fail(start, start+1, "a string is never closed", "opened here", "the file looks cut off; export it again")
	return ""
}

func (s *scanner) unquote(start int, plain bool) string {
	raw := s.src[start:s.pos]
	if plain {
		return string(raw[1 : len(raw)-1])
	}
	var text string
	if err := json.Unmarshal(raw, &text); err != nil {
		s.fail(start, s.pos, "a string holds an escape that JSON does not have", "bad escape", "write \\\\ for a backslash, as in \"models\\\\\\\\x.safetensors\"")
	}
	return text
}
