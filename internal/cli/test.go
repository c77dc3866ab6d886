package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/comfyctl/comfyctl/internal/client"
	"github.com/comfyctl/comfyctl/internal/diag"
	"github.com/comfyctl/comfyctl/internal/term"
	"github.com/comfyctl/comfyctl/pkg/service"
)

// TestOptions of `comfyctl test`.
type TestOptions struct {
	Names, Tags  []string
	URL, Target  string
	Stub, Update bool
	Timeout      time.Duration
	Parallel     int
}

func newTestCmd(a *App, f runFunc[TestOptions]) *cobra.Command {
	o := &TestOptions{}
	cmd := &cobra.Command{
		Use:     "test [NAME…]",
		Short:   "Run the cases in tests:",
		Example: "comfyctl test --stub\ncomfyctl test smoke --url http://127.0.0.1:8080\ncomfyctl test --stub --report junit.xml",
		Aliases: []string{"smoke"},
		GroupID: groupTry,
		RunE: func(cmd *cobra.Command, args []string) error {
			o.Names = args
			if cmd.CalledAs() == "smoke" {
				o.Tags = append(o.Tags, "smoke")
			}
			return f(cmd.Context(), a, o)
		},
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			var list []string
			if s := a.localService(); s != nil {
				for _, t := range s.Tests {
					list = append(list, t.Name)
				}
			}
			return list, cobra.ShellCompDirectiveNoFileComp
		},
	}
	fl := cmd.Flags()
	fl.StringArrayVar(&o.Tags, "tag", nil, "only cases with the tag `TAG`; may be repeated")
	fl.StringVar(&o.URL, "url", "", "test the service at `URL`")
	fl.StringVar(&o.Target, "target", "", "test what is deployed on the target `NAME`")
	fl.BoolVar(&o.Stub, "stub", false, "test against the stub engine, in this process")
	fl.BoolVar(&o.Update, "update", false, "write the pictures that `like:` names instead of comparing")
	fl.DurationVar(&o.Timeout, "timeout", 10*time.Minute, "how long one case may take")
	fl.IntVar(&o.Parallel, "parallel", 1, "how many cases are sent at once")
	return cmd
}

func (o *TestOptions) validate() error {
	ways := 0
	for _, on := range []bool{o.Stub, o.URL != "", o.Target != ""} {
		if on {
			ways++
		}
	}
	switch {
	case ways > 1:
		return usageError("bad_flags", "--stub, --url and --target exclude each other", "keep one of them")
	case o.Parallel < 1:
		return usageError("bad_flag", fmt.Sprintf("--parallel is %d", o.Parallel), "it takes a number from 1 on")
	case o.Timeout <= 0:
		return usageError("bad_flag", "--timeout must be above zero", "for example --timeout 5m")
	}
	return nil
}

// verdict is how one case ended.
type verdict struct {
	Name     string   `json:"name"`
	Outcome  string   `json:"outcome"` // passed, failed, skipped
	Seconds  float64  `json:"seconds"`
	Text     string   `json:"text,omitempty"`
	Failures []string `json:"failures"`
	File     string   `json:"file"`
	Line     int      `json:"line"`
	// Saved is the folder of a failed case's artefacts.
	Saved string   `json:"saved,omitempty"`
	Files []string `json:"files"`
	Job   string   `json:"job,omitempty"`
}

const (
	passed  = "passed"
	failed  = "failed"
	skipped = "skipped"
)

func runTest(ctx context.Context, a *App, o *TestOptions) error {
	if err := o.validate(); err != nil {
		return err
	}
	project, err := a.load(ctx, o.Stub || o.URL != "")
	if err != nil {
		return err
	}
	if len(project.Service.Tests) == 0 {
		return checkError("no_tests", project.Service.File+" has no tests:", nil)
	}
	if err := o.known(project.Service.Tests); err != nil {
		return err
	}
	began := time.Now()
	at, stop, err := a.serviceUnderTest(ctx, o, project)
	if err != nil {
		return err
	}
	list, err := a.testAll(ctx, o, project, at)
	if err = errors.Join(err, stop()); err != nil {
		return err
	}
	return a.reportTests(project, list, time.Since(began))
}

// known refuses names of no test.
func (o *TestOptions) known(tests []service.Test) error {
	var names, tags []string
	for _, t := range tests {
		names = append(names, t.Name)
		tags = append(tags, t.Tags...)
	}
	for _, n := range o.Names {
		if !slices.Contains(names, n) {
			help := "the tests are " + strings.Join(names, ", ")
			if near := diag.Suggest(n, names); near != "" {
				help = "did you mean `" + near + "`?"
			}
			return usageError("unknown_test", "there is no test `"+n+"`", help)
		}
	}
	for _, tag := range o.Tags {
		if !slices.Contains(tags, tag) {
			return usageError("unknown_tag", "no test has the tag `"+tag+"`", "tags are written under tests[].tags")
		}
	}
	return nil
}

func (o *TestOptions) chosen(t *service.Test) bool {
	if len(o.Names) > 0 && !slices.Contains(o.Names, t.Name) {
		return false
	}
	return len(o.Tags) == 0 || slices.ContainsFunc(t.Tags, func(tag string) bool { return slices.Contains(o.Tags, tag) })
}

// serviceUnderTest is the address to test, and how to end what was started.
func (a *App) serviceUnderTest(ctx context.Context, o *TestOptions, p *project) (string, func() error, error) {
	switch {
	case o.URL != "" || o.Target != "":
		at, err := a.serviceURL(ctx, o.URL, o.Target)
		return at, func() error { return nil }, err
	case o.Stub:
		return a.startStub(ctx, p)
	}
	return a.startPacked(ctx, p)
}

// testAll runs the chosen tests and reports each as it ends, in order.
func (a *App) testAll(ctx context.Context, o *TestOptions, p *project, at string) ([]verdict, error) {
	c, err := a.client(at)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	var list []verdict
	var cases []testCase
	var slots []int
	workflows := map[string]*client.Workflow{}
	for i := range p.Service.Tests {
		t := &p.Service.Tests[i]
		if !o.chosen(t) {
			at := p.Service.At(fmt.Sprintf("/tests/%d", i))
			list = append(list, verdict{Name: t.Name, Outcome: skipped, Failures: []string{}, Files: []string{}, File: at.File, Line: at.Start.Line})
			continue
		}
		w := workflows[t.Workflow]
		if w == nil {
			if w, err = a.chooseWorkflow(ctx, c, t.Workflow); err != nil {
				return nil, err
			}
			workflows[t.Workflow] = w
		}
		some, err := expand(t, i, w)
		if err != nil {
			return nil, err
		}
		for _, tc := range some {
			slots = append(slots, len(list))
			list = append(list, verdict{Name: tc.Name})
			cases = append(cases, tc)
		}
	}
	var group errgroup.Group
	group.SetLimit(o.Parallel)
	var mu sync.Mutex
	for i, tc := range cases {
		group.Go(func() error {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			v, err := a.testOne(ctx, o, p, c, workflows[tc.Test.Workflow], tc)
			if err != nil {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			list[slots[i]] = v
			a.line(map[string]any{"type": "case", "case": v})
			a.sayVerdict(v)
			return nil
		})
	}
	return list, group.Wait()
}

func (a *App) sayVerdict(v verdict) {
	if a.quietCases || a.machine() {
		return
	}
	con := a.console()
	mark := con.Mark(con.Out, term.OK)
	if v.Outcome == failed {
		mark = con.Mark(con.Out, term.Fail)
	}
	text := v.Text
	if v.Outcome == failed {
		text = ""
	}
	line := fmt.Sprintf("  %s %-40s %5.1fs   %s", mark, diag.Safe(v.Name), v.Seconds, diag.Safe(text))
	lines := []string{strings.TrimRight(line, " ")}
	for _, f := range v.Failures {
		lines = append(lines, "      "+f)
	}
	if v.Saved != "" {
		lines = append(lines, "      saved: "+v.Saved)
	}
	// A broken pipe shows with the closing line.
	_ = a.print(strings.Join(lines, "\n"))
}

func summary(job *client.Job) string {
	if len(job.Outputs) == 0 {
		return job.Status
	}
	o := job.Outputs[0]
	text := o.ContentType
	if o.Width > 0 {
		text += fmt.Sprintf(" %d×%d", o.Width, o.Height)
	}
	if n := len(job.Outputs); n > 1 {
		text += fmt.Sprintf(" and %d more", n-1)
	}
	return text
}
