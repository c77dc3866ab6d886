// Package report writes findings and test results in the formats that other
// programs read: SARIF for code scanning, JUnit for CI systems, workflow
// commands for GitHub Actions, Markdown for summaries. It reads no files.
package report

import (
	"fmt"

	"github.com/comfyctl/comfyctl/internal/diag"
)

// Findings is what a check found, and what is needed to write it down.
type Findings struct {
	// Version is the comfyctl that checked.
	Version string
	// Files are those that were checked, by the names that List uses.
	Files []string
	List  []diag.Diagnostic
	// Path turns a file's name in List into the one to report, with slashes:
	// relative to the root of the repository, or absolute where it lies outside.
	// Nil keeps names.
	Path func(file string) string
	// Source gives the bytes of a file; nil, or a nil answer, where they are not
	// at hand. Only fixes need them.
	Source func(file string) []byte
	// Rule explains a rule's id; nil means the catalogue.
	Rule func(id string) (diag.Rule, bool)
	// Seconds is how long the check took.
	Seconds float64
	// Line sums the check up, without colours.
	Line string
}

func (f *Findings) path(file string) string {
	if f.Path == nil || file == "" {
		return file
	}
	return f.Path(file)
}

func (f *Findings) rule(id string) (diag.Rule, bool) {
	if f.Rule == nil {
		return diag.Lookup(id)
	}
	return f.Rule(id)
}

// place is FILE:LINE:COLUMN as far as it is known.
func (f *Findings) place(s diag.Span) string {
	text := f.path(s.File)
	if s.Start.Line > 0 {
		text += fmt.Sprintf(":%d", s.Start.Line)
		if s.Start.Column > 0 {
			text += fmt.Sprintf(":%d", s.Start.Column)
		}
	}
	return text
}

func (f *Findings) source(file string) []byte {
	if f.Source == nil {
		return nil
	}
	return f.Source(file)
}
