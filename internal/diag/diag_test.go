package diag

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestRender(t *testing.T) {
	src := "{\n  \"größe\": 1,\n\t\"sampler_name\": \"dpmpp2m\",\n}\n"
	at := strings.Index(src, `"dpmpp2m"`)
	list := []Diagnostic{{Code: "CW105", Severity: SeverityError, Message: "value is not one ComfyUI offers for `sampler_name`",
		Span:  Span{File: "w.json", Start: At([]byte(src), at), End: At([]byte(src), at+9)},
		Label: "not a sampler", Node: &Node{ID: "3", Class: "KSampler", Title: "Face \x1b[31mpass"}, Help: "did you mean \"dpmpp_2m\"?\nor euler"}}
	var b strings.Builder
	if err := Render(&b, list, func(string) []byte { return []byte(src) }, Style{}); err != nil {
		t.Fatal(err)
	}
	want := "error[CW105]: value is not one ComfyUI offers for `sampler_name`\n" +
		" --> w.json:3:18\n  |\n3 |  \"sampler_name\": \"dpmpp2m\",\n  |                  ^^^^^^^^^ not a sampler\n  |\n" +
		"  = node: 3 KSampler \"Face \\x1b[31mpass\"\n  = help: did you mean \"dpmpp_2m\"?\n          or euler\n  = more: comfyctl help CW105\n\n"
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Error(diff)
	}
}

func TestRenderLongLine(t *testing.T) {
	src := `{"a": "` + strings.Repeat("x", 400) + `", "bad": 1}`
	at := strings.Index(src, "bad") - 1
	list := []Diagnostic{{Severity: SeverityError, Message: "m", Span: Span{File: "f", Start: At([]byte(src), at), End: At([]byte(src), at+5)}}}
	var b strings.Builder
	_ = Render(&b, list, func(string) []byte { return []byte(src) }, Style{})
	for _, l := range strings.Split(b.String(), "\n") {
		if len([]rune(l)) > 110 {
			t.Errorf("line of %d: %s", len([]rune(l)), l)
		}
	}
	lines := strings.Split(b.String(), "\n")
	i, j := strings.Index(lines[3], `"bad"`), strings.Index(lines[4], "^^^^^")
	if i < 0 || len([]rune(lines[3][:i])) != j {
		t.Errorf("the caret is off:\n%s", b.String())
	}
}

func TestRenderLimit(t *testing.T) {
	list := make([]Diagnostic, 25)
	for i := range list {
		list[i] = Diagnostic{Severity: SeverityError, Message: "m"}
	}
	var b strings.Builder
	_ = Render(&b, list, nil, Style{})
	if !strings.Contains(b.String(), "… and 5 more (`-o json` has all)") || strings.Count(b.String(), "error: m") != 20 {
		t.Error(b.String())
	}
}

func TestOffsetAndAt(t *testing.T) {
	src := []byte("aé\nöb\n")
	for off := 0; off <= len(src); off++ {
		p := At(src, off)
		if p.Line < 3 && off != 2 && off != 5 && Offset(src, p.Line, p.Column) != off {
			t.Errorf("offset %d → %+v → %d", off, p, Offset(src, p.Line, p.Column))
		}
	}
}
