package cli

import (
	"encoding/json"
	"encoding/xml"
	"fmt"
	"path/filepath"
	"strings"
	"time"
)

// tally counts verdicts.
type tally struct {
	Passed  int `json:"passed"`
	Failed  int `json:"failed"`
	Skipped int `json:"skipped"`
}

func (t tally) String() string {
	return fmt.Sprintf("%d passed, %d failed, %d skipped", t.Passed, t.Failed, t.Skipped)
}

func tallyOf(list []verdict) tally {
	var t tally
	for _, v := range list {
		switch v.Outcome {
		case passed:
			t.Passed++
		case failed:
			t.Failed++
		default:
			t.Skipped++
		}
	}
	return t
}

// reportTests ends a test run: closing line, reports, exit.
func (a *App) reportTests(p *project, list []verdict, took time.Duration) error {
	t := tallyOf(list)
	a.reply.data = map[string]any{"service": p.Service.Name, "cases": list, "counts": t}
	if a.flags.Output == formatJUnit {
		b, err := junit(p.Service.Name, list, took)
		if err != nil {
			return err
		}
		if _, err := a.out.Write(b); err != nil {
			return err
		}
	} else if err := a.print(fmt.Sprintf("  %-42s %5.1fs\n%s", "", took.Seconds(), t)); err != nil {
		return err
	}
	if err := a.testReports(p, list, t, took); err != nil {
		return err
	}
	if t.Failed > 0 {
		return checkError("tests_failed", fmt.Sprintf("%s failed", count(t.Failed, "test")), nil)
	}
	return nil
}

// testReports writes --report files and GitHub's summary.
func (a *App) testReports(p *project, list []verdict, t tally, took time.Duration) error {
	if err := a.summary(testMarkdown(p.Service.Name, list, t)); err != nil {
		return err
	}
	for _, name := range a.flags.Reports {
		var b []byte
		var err error
		switch filepath.Ext(name) {
		case ".xml":
			b, err = junit(p.Service.Name, list, took)
		case ".json":
			if b, err = json.MarshalIndent(a.reply.data, "", "  "); err == nil {
				b = append(b, '\n')
			}
		case ".md":
			b = []byte(testMarkdown(p.Service.Name, list, t))
		default:
			return usageError("bad_report", "--report "+name+" has no format", "the suffix is .xml, .json or .md")
		}
		if err != nil {
			return fmt.Errorf("writing %s: %w", name, err)
		}
		path, err := a.path(name)
		if err != nil {
			return err
		}
		if err := writeAtomic(path, b); err != nil {
			return failure("cannot_write", "the report "+name+" cannot be written", "", err)
		}
	}
	return nil
}

type junitSuites struct {
	XMLName xml.Name   `xml:"testsuites"`
	Suite   junitSuite `xml:"testsuite"`
}

type junitSuite struct {
	Name     string      `xml:"name,attr"`
	Tests    int         `xml:"tests,attr"`
	Failures int         `xml:"failures,attr"`
	Skipped  int         `xml:"skipped,attr"`
	Time     string      `xml:"time,attr"`
	Cases    []junitCase `xml:"testcase"`
}

type junitCase struct {
	Class   string        `xml:"classname,attr"`
	Name    string        `xml:"name,attr"`
	File    string        `xml:"file,attr,omitempty"`
	Line    int           `xml:"line,attr,omitempty"`
	Time    string        `xml:"time,attr"`
	Failure *junitFailure `xml:"failure,omitempty"`
	Skipped *struct{}     `xml:"skipped,omitempty"`
	Out     string        `xml:"system-out,omitempty"`
}

type junitFailure struct {
	Message string `xml:"message,attr"`
	Text    string `xml:",chardata"`
}

// junit is the report that CI systems read. Files of a failed case are named
// as attachments in system-out.
func junit(name string, list []verdict, took time.Duration) ([]byte, error) {
	t := tallyOf(list)
	s := junitSuite{Name: name, Tests: len(list), Failures: t.Failed, Skipped: t.Skipped, Time: fmt.Sprintf("%.3f", took.Seconds())}
	for _, v := range list {
		c := junitCase{Class: name, Name: v.Name, File: v.File, Line: v.Line, Time: fmt.Sprintf("%.3f", v.Seconds)}
		switch v.Outcome {
		case failed:
			c.Failure = &junitFailure{Message: strings.Join(v.Failures, "; "), Text: strings.Join(v.Failures, "\n")}
			for _, f := range v.Files {
				c.Out += "[[ATTACHMENT|" + f + "]]\n"
			}
		case skipped:
			c.Skipped = &struct{}{}
		}
		s.Cases = append(s.Cases, c)
	}
	b, err := xml.MarshalIndent(junitSuites{Suite: s}, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("writing the JUnit report: %w", err)
	}
	return append([]byte(xml.Header), append(b, '\n')...), nil
}

func testMarkdown(name string, list []verdict, t tally) string {
	var b strings.Builder
	fmt.Fprintf(&b, "### Tests of %s: %s\n\n| Test | Result | Time | |\n|---|---|---|---|\n", name, t)
	cell := strings.NewReplacer("|", "\\|", "\n", " ")
	for _, v := range list {
		fmt.Fprintf(&b, "| %s | %s | %.1fs | %s |\n", cell.Replace(v.Name), v.Outcome, v.Seconds, cell.Replace(strings.Join(v.Failures, "; ")))
	}
	return b.String() + "\n"
}
