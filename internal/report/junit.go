package report

import (
	"encoding/xml"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/comfyctl/comfyctl/internal/diag"
)

// Suite is a group of cases in a JUnit report.
type Suite struct {
	Name    string
	Seconds float64
	Cases   []Case
}

// Case is one result of a Suite.
type Case struct {
	Class, Name string
	// File and Line are where the case is written; empty and 0 where unknown.
	File    string
	Line    int
	Seconds float64
	// Failures are why it failed; none means that it passed.
	Failures []string
	// Detail is the whole story of a failure; empty means the Failures.
	Detail string
	// Kind is the type of its failure, such as a rule's id.
	Kind    string
	Skipped bool
	// Out is what it printed.
	Out string
}

type (
	junitSuites struct {
		XMLName  xml.Name     `xml:"testsuites"`
		Tests    int          `xml:"tests,attr"`
		Failures int          `xml:"failures,attr"`
		Suites   []junitSuite `xml:"testsuite"`
	}
	junitSuite struct {
		Name     string      `xml:"name,attr"`
		Tests    int         `xml:"tests,attr"`
		Failures int         `xml:"failures,attr"`
		Errors   int         `xml:"errors,attr"`
		Skipped  int         `xml:"skipped,attr"`
		Time     string      `xml:"time,attr"`
		Cases    []junitCase `xml:"testcase"`
	}
	junitCase struct {
		Class   string        `xml:"classname,attr"`
		Name    string        `xml:"name,attr"`
		File    string        `xml:"file,attr,omitempty"`
		Line    int           `xml:"line,attr,omitempty"`
		Time    string        `xml:"time,attr"`
		Failure *junitFailure `xml:"failure,omitempty"`
		Skipped *struct{}     `xml:"skipped,omitempty"`
		Out     string        `xml:"system-out,omitempty"`
	}
	junitFailure struct {
		Message string `xml:"message,attr"`
		Type    string `xml:"type,attr,omitempty"`
		Text    string `xml:",chardata"`
	}
)

// JUnit writes suites as the XML that CI systems read.
func JUnit(w io.Writer, suites ...Suite) error {
	var out junitSuites
	for _, s := range suites {
		j := junitSuite{Name: plain(s.Name), Tests: len(s.Cases), Time: seconds(s.Seconds)}
		for _, c := range s.Cases {
			jc := junitCase{Class: plain(c.Class), Name: plain(c.Name), File: plain(c.File), Line: c.Line, Time: seconds(c.Seconds), Out: plain(c.Out)}
			switch {
			case c.Skipped:
				jc.Skipped = &struct{}{}
				j.Skipped++
			case len(c.Failures) > 0:
				text := c.Detail
				if text == "" {
					text = strings.Join(c.Failures, "\n")
				}
				jc.Failure = &junitFailure{Message: plain(strings.Join(c.Failures, "; ")), Type: c.Kind, Text: plain(text)}
				j.Failures++
			}
			j.Cases = append(j.Cases, jc)
		}
		out.Tests += j.Tests
		out.Failures += j.Failures
		out.Suites = append(out.Suites, j)
	}
	b, err := xml.MarshalIndent(out, "", "  ")
	if err != nil {
		return fmt.Errorf("writing the JUnit report: %w", err)
	}
	_, err = w.Write(append([]byte(xml.Header), append(b, '\n')...))
	return err
}

// FindingsJUnit writes a check as JUnit: a suite for each file, a case for each
// finding, of which errors are failures. A file without findings is one case
// that passed.
func FindingsJUnit(w io.Writer, f Findings) error {
	files, cases := f.Files, map[string][]Case{}
	for i := range f.List {
		d := &f.List[i]
		if _, ok := cases[d.File]; !ok && !slices.Contains(files, d.File) {
			files = append(files[:len(files):len(files)], d.File)
		}
		cases[d.File] = append(cases[d.File], findingCase(&f, d))
	}
	suites := make([]Suite, 0, len(files))
	for i, file := range files {
		s := Suite{Name: f.path(file), Cases: cases[file]}
		if i == 0 {
			s.Seconds = f.Seconds
		}
		if len(s.Cases) == 0 {
			s.Cases = []Case{{Class: f.path(file), Name: "no problems", File: f.path(file)}}
		}
		suites = append(suites, s)
	}
	return JUnit(w, suites...)
}

func findingCase(f *Findings, d *diag.Diagnostic) Case {
	c := Case{Class: f.path(d.File), Name: strings.TrimSpace(d.Code + " " + d.Pointer), File: f.path(d.File), Line: d.Start.Line, Kind: d.Code}
	text := fmt.Sprintf("%s: %s: %s", f.place(d.Span), d.Severity, d.Message)
	for _, more := range []string{d.Label, d.Help} {
		if more != "" {
			text += "\n" + more
		}
	}
	if d.Severity == diag.SeverityError {
		c.Failures, c.Detail = []string{d.Message}, text
	} else {
		c.Out = text + "\n"
	}
	return c
}

func seconds(s float64) string { return fmt.Sprintf("%.3f", s) }

// plain leaves out what XML cannot hold.
func plain(s string) string { return diag.Safe(s) }
