package diag

import (
	"bytes"
	"io"
	"strings"
	"testing"
	"unicode/utf8"
)

// Any offset of any text has a line and a column, and they lead back to it.
func FuzzPositions(f *testing.F) {
	f.Add([]byte("a\nbé\n"), 4)
	f.Add([]byte("\ufeffname: a\r\n\r\n"), 2)
	f.Add([]byte("\xff\xfe\x00\n"), 1)
	f.Fuzz(func(t *testing.T, src []byte, offset int) {
		p := At(src, offset)
		if p.Line < 1 || p.Column < 1 || p.Offset < 0 || p.Offset > len(src) {
			t.Fatalf("%+v is outside of %d bytes", p, len(src))
		}
		if p.Line > bytes.Count(src, []byte("\n"))+1 {
			t.Fatalf("%+v: there are fewer lines", p)
		}
		back := Offset(src, p.Line, p.Column)
		if p.Offset == len(src) || utf8.RuneStart(src[p.Offset]) {
			if utf8.Valid(src) && back != p.Offset {
				t.Fatalf("%+v leads to %d", p, back)
			}
		}
		if again := At(src, back); utf8.Valid(src) && utf8.RuneStart(at(src, p.Offset)) && again != p {
			t.Fatalf("%+v, then %+v", p, again)
		}
	})
}

func at(src []byte, i int) byte {
	if i < len(src) {
		return src[i]
	}
	return 0
}

// Whatever span a finding has, it can be drawn: two lines of a frame are never
// wider than they may be, and no control character comes through.
func FuzzRender(f *testing.F) {
	f.Add([]byte("{\"a\": 1}\n"), 1, 2, 1, 5)
	f.Add([]byte(strings.Repeat("é\u202ex\t", 200)), 1, 150, 1, 400)
	f.Add([]byte("a\x1b[31m\n"), 0, 0, 9, 9)
	f.Fuzz(func(t *testing.T, src []byte, line, column, endLine, endColumn int) {
		d := Diagnostic{Code: "CW001", Severity: SeverityError, Message: "m", Label: "l", Span: Span{File: "f", Start: Position{Line: max(line, 0), Column: max(column, 0)}, End: Position{Line: endLine, Column: endColumn}}}
		d.Related = []Related{{Span: d.Span, Label: "r"}}
		var b bytes.Buffer
		if err := Render(&b, []Diagnostic{d}, func(string) []byte { return src }, Style{}); err != nil {
			t.Fatal(err)
		}
		if bytes.ContainsAny(b.Bytes(), "\x1b\r\x00") {
			t.Fatalf("control characters: %q", b.String())
		}
		for _, l := range strings.Split(b.String(), "\n") {
			if n := utf8.RuneCountInString(l); n > 100+25+len("99999999999999999999") {
				t.Fatalf("a line of %d characters", n)
			}
		}
	})
}

// Edits never reach outside of a text, and what they do not touch stays.
func FuzzApply(f *testing.F) {
	f.Add([]byte("cuont: NaN"), 0, 5, "count", 7, 10, "null")
	f.Add([]byte(""), 0, 0, "x", 0, 0, "y")
	f.Fuzz(func(t *testing.T, src []byte, a, b int, x string, c, d int, y string) {
		out, err := Apply(src, []Edit{{a, b, x}, {c, d, y}})
		if err != nil {
			return
		}
		first, last := min(a, c), max(b, d)
		if !bytes.HasPrefix(out, src[:first]) || !bytes.HasSuffix(out, src[last:]) {
			t.Fatalf("%q became %q", src, out)
		}
	})
}

func BenchmarkRender(b *testing.B) {
	src := []byte(strings.Repeat("  \"sampler_name\": \"dpmpp2m\",\n", 2000))
	var list []Diagnostic
	for i := range 20 {
		p := At(src, 29*(i*90)+18)
		list = append(list, Diagnostic{Code: "CW105", Severity: SeverityError, Message: "m", Span: Span{File: "f", Start: p, End: At(src, p.Offset+9)}})
	}
	for b.Loop() {
		_ = Render(io.Discard, list, func(string) []byte { return src }, Style{})
	}
}
