package jsonpos

import (
	"bytes"
	"fmt"
	"unicode/utf8"
)

// placeholder is what to do about a template that was not filled in.
const placeholder = "put it in double quotes, or fill the template in first"

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
	case bytes.HasPrefix(s.src[s.pos:], []byte("<<<<<<<")):
		s.fail(s.pos, s.pos+7, "marks of a merge conflict in JSON", "two versions of the file stand here", "keep one of them and remove the marks")
	case c == '`' && bytes.HasPrefix(s.src[s.pos:], []byte("```")):
		s.fail(s.pos, s.pos+3, "marks of Markdown around JSON", "the JSON begins behind this line", "remove the lines with ```")
	case bytes.HasPrefix(s.src[s.pos:], []byte("\u201c")), bytes.HasPrefix(s.src[s.pos:], []byte("\u201d")):
		s.fail(s.pos, s.pos+3, "typographic quotes in JSON", "a JSON string needs straight quotes", "replace “ and ” with \"; a word processor changed them")
	case c == '%' || c == '$' || c == '_' && s.pos+1 < len(s.src) && s.src[s.pos+1] == '_':
		s.fail(s.pos, s.pos+1, "a placeholder without quotes in JSON", "no value starts like this", placeholder)
	case c == '(':
		s.fail(s.pos, s.pos+1, "`(` is Python, not JSON", "a list is written with [ and ]", "text printed by Python is not JSON, use json.dumps")
	case c == '<':
		s.fail(s.pos, s.pos+1, "this is HTML or XML, not JSON", "JSON starts with {", "the file was probably saved from an error page; export the workflow again")
	default:
		r, n := utf8.DecodeRune(s.src[s.pos:])
		s.fail(s.pos, s.pos+n, fmt.Sprintf("unexpected character %q in JSON", r), "no value starts like this", "")
	}
}
