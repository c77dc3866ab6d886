package jsonpos

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestBroken wants every mistake told in words, at its bytes, in a file of one
// line and in one of many.
func TestBroken(t *testing.T) {
	for _, tc := range []struct{ name, src, at, want string }{
		{"trailing comma", `{"a": 1,}`, ",", "trailing comma before `}`"},
		{"trailing comma in a list", `{"a": [1, 2,]}`, ",]", "trailing comma before `]`"},
		{"single quotes", `{'a': 1}`, "'", "single quotes in JSON"},
		{"single quotes around a value", `{"a": 'b'}`, "'b", "single quotes in JSON"},
		{"comment", "{\"a\": 1 // one\n}", "//", "a comment in JSON"},
		{"block comment", `{/* x */ "a": 1}`, "/*", "a comment in JSON"},
		{"True", `{"a": True}`, "True", "`True` is Python, not JSON"},
		{"None", `{"a": [None]}`, "None", "`None` is Python, not JSON"},
		{"tuple", `{"a": (1, 2)}`, "(", "`(` is Python, not JSON"},
		{"not closed", `{"a": {"b": 1}`, `{"a"`, "`{` is never closed"},
		{"list not closed", `{"a": [1, 2`, "[", "`[` is never closed"},
		{"text not closed", `{"a": "b`, `"b`, "a string is never closed"},
		{"text over lines", "{\"a\": \"b\nc\"}", `"b`, "a string is not closed on its line"},
		{"comma missing", `{"a": 1 "b": 2}`, `"b"`, "a comma or `}` is missing"},
		{"colon missing", `{"a" 1}`, `"a"`, "no `:` after a name"},
		{"name without quotes", `{a: 1}`, "a", "a name in double quotes should be here"},
		{"typographic quotes", `{“a”: 1}`, "“", "typographic quotes in JSON"},
		{"typographic quotes around a value", `{"a": “b”}`, "“", "typographic quotes in JSON"},
		{"placeholder", `{"seed": {{SEED}}}`, "{{", "a placeholder without quotes in JSON"},
		{"other placeholder", `{"seed": %seed%}`, "%", "a placeholder without quotes in JSON"},
		{"merge conflict", "<<<<<<< HEAD\n{}", "<<<<<<<", "marks of a merge conflict in JSON"},
		{"Markdown", "```json\n{}\n```", "```", "marks of Markdown around JSON"},
		{"error page", `<html>`, "<", "this is HTML or XML, not JSON"},
		{"two documents", `{"a": 1} {"b": 2}`, `{"b"`, "text follows the end of the JSON document"},
		{"undefined", `{"a": undefined}`, "undefined", "unexpected character 'u' in JSON"},
		{"number", `{"a": 01}`, "01", "not a JSON number"},
		{"escape", `{"a": "models\x"}`, `"models`, "a string holds an escape that JSON does not have"},
		{"tab in a text", "{\"a\": \"b\tc\"}", "\t", "a control character inside a string"},
		{"nothing after a colon", `{"a": }`, "}", "`}` where a value should be"},
		{"cut off", `{"a":`, "", "the file ends where a value should be"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			for _, before := range []string{"", "\r\n  ", strings.Repeat("\r\n", 30)} {
				src := before + tc.src
				_, _, err := Scan([]byte(src), 0)
				if err == nil {
					t.Fatal("no error")
				}
				if diff := cmp.Diff(tc.want, err.Message); diff != "" {
					t.Error(diff)
				}
				if at := len(before) + strings.Index(tc.src, tc.at); tc.at != "" && err.At != at {
					t.Errorf("at %d %q, want %d", err.At, src[err.At:], at)
				}
				if err.End < err.At || err.Label == "" {
					t.Errorf("%+v", err)
				}
				p := NewLocator("f", []byte(src), 0).At(err.At)
				if want := 1 + strings.Count(src[:err.At], "\n"); p.Line != want {
					t.Errorf("line %d, want %d", p.Line, want)
				}
			}
		})
	}
}

func TestColumns(t *testing.T) {
	src := []byte("{\"ü\": \"狐\", \"x\": 1}")
	l := NewLocator("f", src, 0)
	at := strings.Index(string(src), "1")
	if p := l.At(at); p.Line != 1 || p.Column != 17 || p.Offset != at {
		t.Errorf("%+v", p)
	}
}

func FuzzScan(f *testing.F) {
	for _, s := range []string{`{"a": [1, -2.5e3, NaN, "\u00e9"]}`, `{'a': None}`, "{\"a\": 1,\n}", `{{x}}`, "“", `{"a":"\ud800"}`, "[[[[", "```"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		v, odd, err := Scan(src, 0)
		if err != nil {
			if err.At < 0 || err.End < err.At || err.End > len(src) || err.Message == "" {
				t.Fatalf("%+v of %d bytes", err, len(src))
			}
			if json.Valid(src) && err.Message != "JSON is nested deeper than 512 levels" {
				t.Fatalf("refused JSON: %s", err.Message)
			}
			return
		}
		if v.Start < 0 || v.End > len(src) || v.Start > v.End {
			t.Fatalf("%+v of %d bytes", v, len(src))
		}
		if len(odd) == 0 && !json.Valid(src) {
			t.Fatalf("took %q for JSON", src)
		}
	})
}
