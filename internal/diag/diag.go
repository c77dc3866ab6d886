// Package diag holds what comfyctl tells people about their files and about
// what went wrong: diagnostics (findings with a place in a file), errors (one
// cause, one remedy, one exit class) and the registry of rules. It prints
// nothing; the renderers turn values into bytes.
package diag

// Severity is how much a finding matters.
type Severity string

// The severities, worst first. Off silences a rule.
const (
	SeverityError   Severity = "error"
	SeverityWarning Severity = "warning"
	SeverityNote    Severity = "note"
	SeverityOff     Severity = "off"
)

// Position is a place in a text file. Line and Column are 1-based and count
// characters (Unicode code points); Offset is 0-based and counts bytes. The
// zero Position means that the place is not known, a Column of 0 that only the
// line is.
type Position struct {
	Line   int `json:"line"`
	Column int `json:"column"`
	Offset int `json:"offset"`
}

// Span is a half-open range of a file: Start is its first character, End the
// first one after it.
type Span struct {
	File  string   `json:"file"`
	Start Position `json:"start"`
	End   Position `json:"end"`
}

// Node names a workflow node in a finding.
type Node struct {
	ID    string `json:"id"`
	Class string `json:"class,omitempty"`
	Title string `json:"title,omitempty"`
}

// Related is a second place that explains a finding ("first set here").
type Related struct {
	Span
	Label string `json:"label"`
}

// Edit replaces the bytes [Start, End) of a file.
type Edit struct {
	Start int    `json:"start"`
	End   int    `json:"end"`
	Text  string `json:"text"`
}

// Fix is a change that would resolve a finding. Safe fixes cannot change what
// the author meant and are what `validate --fix` applies.
type Fix struct {
	Title string `json:"title"`
	Safe  bool   `json:"safe"`
	// File is what is edited, where it is not the finding's own file.
	File  string `json:"file,omitempty"`
	Edits []Edit `json:"edits"`
}

// Diagnostic is one finding. Its JSON form is the element type of
// `diagnostics` in every envelope.
type Diagnostic struct {
	Code     string   `json:"code"`
	Severity Severity `json:"severity"`
	// Message is the headline: it stands alone, lower case, no full stop,
	// identifiers in backticks.
	Message string `json:"message"`
	Span
	// Pointer is the RFC 6901 pointer of the value inside its file.
	Pointer string `json:"pointer,omitempty"`
	Node    *Node  `json:"node,omitempty"`
	// Label says what is wrong at the span.
	Label string `json:"label,omitempty"`
	// Help is the only part that proposes a change; it may have several lines.
	Help    string    `json:"help,omitempty"`
	Related []Related `json:"related,omitempty"`
	Fix     *Fix      `json:"fix,omitempty"`
	// Server is the ComfyUI error type that this finding foresees, if any
	// (for example value_not_in_list); Input is the node input it is about.
	Server string `json:"server,omitempty"`
	Input  string `json:"input,omitempty"`
}

// FixFile is the file that the finding's fix edits.
func (d *Diagnostic) FixFile() string {
	if d.Fix != nil && d.Fix.File != "" {
		return d.Fix.File
	}
	return d.File
}

// HasErrors reports whether any finding is an error.
func HasErrors(list []Diagnostic) bool {
	for _, d := range list {
		if d.Severity == SeverityError {
			return true
		}
	}
	return false
}
