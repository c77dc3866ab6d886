package service

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/comfyctl/comfyctl/internal/diag"
)

func TestIgnores(t *testing.T) {
	for _, tt := range []struct {
		name, src string
		want      []string // file:line code reason
	}{
		{"on the line", "name: a # comfyctl: ignore CM004 - trusted file\n", []string{"f:1 CM004 trusted file"}},
		{"above", "# comfyctl: ignore CM004\nname: a\n", []string{"f:2 CM004 "}},
		{"above, with more between", "# comfyctl: ignore CM004\n# comfyctl: ignore CM005\n\n# why\nname: a\n", []string{"f:5 CM004 ", "f:5 CM005 "}},
		{"several", "name: a #comfyctl:ignore cm004, CM009 — mine\r\n", []string{"f:1 CM004 mine", "f:1 CM009 mine"}},
		{"no code", "name: a # comfyctl: ignore - because\n", []string{"f:1  because"}},
		{"half a code", "name: a # comfyctl: ignore CM04\n", []string{"f:1 CM04 "}},
		{"in a text", "name: a\ndescription: \"x # comfyctl: ignore CM004\"\nworkflow: 'y # comfyctl: ignore CM004'\n", nil},
		{"in a block", "name: a\ndescription: |\n  x\n  # comfyctl: ignore CM004\nworkflow: w # comfyctl: ignore CM005\n", []string{"f:5 CM005 "}},
		{"another word", "name: a # comfyctl: ignored CM004\n", nil},
		{"at the end", "name: a\n# comfyctl: ignore CM004", []string{"f:3 CM004 "}},
	} {
		s, _ := Parse("f", []byte(tt.src), Options{})
		var got []string
		for _, ig := range s.Ignores {
			got = append(got, fmt.Sprintf("%s:%d %s %s", ig.Span.File, ig.Line, ig.Code, ig.Reason))
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s: %s", tt.name, diff)
		}
	}
	beside := func(string) ([]byte, error) { return []byte("runner: { port: 1 } # comfyctl: ignore CY007\n"), nil }
	if s, _ := Parse("f.yaml", []byte("name: a\nworkflow: w\n"), Options{Env: "e", ReadFile: beside}); len(s.Ignores) != 1 || s.Ignores[0].Span.File != "f.e.yaml" {
		t.Errorf("overlay: %+v", s.Ignores)
	}
}

func FuzzIgnores(f *testing.F) {
	f.Add([]byte("name: a # comfyctl: ignore CM004, CM005 - x\n"))
	f.Add([]byte("\ufeffname: |\n  # comfyctl: ignore CM004\n\t#\n"))
	f.Add([]byte("# comfyctl: ignore"))
	f.Fuzz(func(t *testing.T, src []byte) {
		s, _ := Parse("f", src, Options{})
		if s == nil {
			return
		}
		for _, ig := range s.Ignores {
			inFile(t, src, ig.Span)
			if ig.Line < ig.Span.Start.Line {
				t.Fatalf("silences a line above: %+v", ig)
			}
		}
	})
}

// inFile checks that a span is a range of a file's text.
func inFile(t testing.TB, src []byte, s diag.Span) {
	t.Helper()
	if s.Start.Offset < 0 || s.End.Offset < s.Start.Offset || s.End.Offset > len(src) {
		t.Fatalf("span out of the file: %+v of %d bytes", s, len(src))
	}
	if s.End.Line < s.Start.Line || s.End.Line == s.Start.Line && s.End.Column < s.Start.Column {
		t.Fatalf("span ends before it starts: %+v", s)
	}
	if s.Start.Column > 0 && diag.At(src, s.Start.Offset) != s.Start {
		t.Fatalf("offset and line differ: %+v, %+v", s.Start, diag.At(src, s.Start.Offset))
	}
}
