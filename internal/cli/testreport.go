package cli

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/comfyctl/comfyctl/internal/report"
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
		if err := report.JUnit(a.out, junitSuite(p.Service.Name, list, took)); err != nil {
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
	files, err := a.reportFiles(formatJUnit, formatJSON, formatMarkdown)
	if err != nil {
		return err
	}
	return a.writeReports(files, map[string]func(io.Writer) error{
		formatJUnit: func(w io.Writer) error { return report.JUnit(w, junitSuite(p.Service.Name, list, took)) },
		formatJSON:  func(w io.Writer) error { return indented(w, a.reply.data) },
		formatMarkdown: func(w io.Writer) error {
			_, err := io.WriteString(w, testMarkdown(p.Service.Name, list, t))
			return err
		},
	})
}

// junitSuite is a test run for the report that CI systems read. Files of a
// failed case are named as attachments in its output.
func junitSuite(name string, list []verdict, took time.Duration) report.Suite {
	s := report.Suite{Name: name, Seconds: took.Seconds()}
	for _, v := range list {
		c := report.Case{Class: name, Name: v.Name, File: v.File, Line: v.Line, Seconds: v.Seconds, Skipped: v.Outcome == skipped}
		if v.Outcome == failed {
			c.Failures = v.Failures
			for _, f := range v.Files {
				c.Out += "[[ATTACHMENT|" + f + "]]\n"
			}
		}
		s.Cases = append(s.Cases, c)
	}
	return s
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
