package validate

import (
	"bytes"
	"encoding/json"
	"regexp"

	"github.com/comfyctl/comfyctl/internal/diag"
)

// plainYAML are texts that need no quotes in YAML.
var plainYAML = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_./+-]*$`)

// offer adds an edit that writes best in place of got inside a span of the
// service file. It is not safe: best is a guess.
func (l *loader) offer(d *diag.Diagnostic, span diag.Span, got, best string) {
	if best == "" || got == "" || !plainYAML.MatchString(best) {
		return
	}
	src := l.plan.Source(span.File)
	if span.End.Offset > len(src) || span.Start.Offset > span.End.Offset {
		return
	}
	at := bytes.Index(src[span.Start.Offset:span.End.Offset], []byte(got))
	if at < 0 {
		return
	}
	start := span.Start.Offset + at
	d.Fix = &diag.Fix{Title: "replace with `" + best + "`", Edits: []diag.Edit{{Start: start, End: start + len(got), Text: best}}}
}

// instead is the edit that writes a text in place of a JSON string.
func instead(span diag.Span, best string) *diag.Fix {
	quoted, _ := json.Marshal(best) // a string always encodes
	return &diag.Fix{Title: "replace with " + string(quoted), Edits: []diag.Edit{{Start: span.Start.Offset, End: span.End.Offset, Text: string(quoted)}}}
}
