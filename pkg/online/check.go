package online

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/comfyctl/comfyctl/internal/diag"
	"github.com/comfyctl/comfyctl/internal/progress"
	"github.com/comfyctl/comfyctl/pkg/validate"
)

// Options say how to ask.
type Options struct {
	// Transport carries the requests; nil means http.DefaultTransport.
	Transport http.RoundTripper
	// HFEndpoint replaces Hugging Face's address.
	HFEndpoint string
	// Secret looks up the value behind a secret's name; nil knows none.
	Secret func(name string) (string, bool)
	// Lock has the sizes and hashes that were locked; nil means none.
	Lock *validate.Locked
	// Known are findings that were made before: the same is not said twice.
	Known []diag.Diagnostic
	// Progress gets an event for each question; nil means nobody listens.
	Progress progress.Func
	// Parallel is how many questions are open at a time; 0 means 8.
	Parallel int
	// Timeout bounds one question, redirects and a second try included; 0 means
	// 20 s.
	Timeout time.Duration
}

// Step is the name of the step in progress events.
const Step = "online"

const (
	defaultParallel = 8
	defaultTimeout  = 20 * time.Second
)

// question is something to ask; ask gives what is wrong, nothing when all is
// well.
type question struct {
	item string
	ask  func(ctx context.Context) []diag.Diagnostic
}

// Check asks everything that the plan gives reason to ask. Findings are in the
// order of the service file. The error is that of ctx.
func Check(ctx context.Context, p *validate.Plan, o Options) ([]diag.Diagnostic, error) {
	if p.Service == nil {
		return nil, nil
	}
	c := newChecker(p, o)
	questions := c.questions()
	answers := make([][]diag.Diagnostic, len(questions))
	g, inner := errgroup.WithContext(ctx)
	g.SetLimit(c.o.Parallel)
	for i, q := range questions {
		g.Go(func() error {
			if err := inner.Err(); err != nil {
				return err
			}
			c.o.Progress(progress.Event{Step: Step, State: progress.Running, Item: q.item})
			one, cancel := context.WithTimeout(inner, c.o.Timeout)
			defer cancel()
			answers[i] = q.ask(one)
			c.o.Progress(progress.Event{Step: Step, State: state(answers[i]), Item: q.item})
			return inner.Err()
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	list := c.secrets()
	for _, a := range answers {
		list = append(list, a...)
	}
	return c.unknown(list), nil
}

func state(list []diag.Diagnostic) progress.State {
	switch {
	case diag.HasErrors(list):
		return progress.Failed
	case len(list) > 0:
		return progress.Warned
	}
	return progress.Done
}

// checker is what the questions share.
type checker struct {
	plan   *validate.Plan
	o      Options
	client *http.Client
}

func newChecker(p *validate.Plan, o Options) *checker {
	if o.Progress == nil {
		o.Progress = progress.Discard
	}
	if o.Parallel == 0 {
		o.Parallel = defaultParallel
	}
	if o.Timeout == 0 {
		o.Timeout = defaultTimeout
	}
	if o.HFEndpoint == "" {
		o.HFEndpoint = hfEndpoint
	}
	if o.Secret == nil {
		o.Secret = func(string) (string, bool) { return "", false }
	}
	// Redirects are followed by hand, see open.
	stay := func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &checker{plan: p, o: o, client: &http.Client{Transport: o.Transport, CheckRedirect: stay}}
}

// at makes a finding about a value of the service file, at its rule's level.
func (c *checker) at(pointer, code, message string) diag.Diagnostic {
	d := diag.Diagnostic{Code: code, Severity: diag.SeverityError, Message: message, Pointer: pointer, Span: c.plan.Service.At(pointer)}
	if r, ok := diag.Lookup(code); ok {
		d.Severity = r.Level
	}
	return d
}

// unknown leaves out what was found before, of the same value or of one that
// it is in.
func (c *checker) unknown(list []diag.Diagnostic) []diag.Diagnostic {
	return slices.DeleteFunc(list, func(d diag.Diagnostic) bool {
		return slices.ContainsFunc(c.o.Known, func(k diag.Diagnostic) bool {
			return k.Code == d.Code && (within(k.Pointer, d.Pointer) || within(d.Pointer, k.Pointer))
		})
	})
}

func within(outer, inner string) bool {
	return inner == outer || strings.HasPrefix(inner, outer+"/")
}
