package validate

import (
	"fmt"
	"slices"
	"strings"

	"github.com/comfyctl/comfyctl/internal/diag"
	"github.com/comfyctl/comfyctl/pkg/contract"
	"github.com/comfyctl/comfyctl/pkg/service"
)

// cases checks `tests:` against the inputs and outputs of their workflows.
func (l *loader) cases() {
	s := l.plan.Service
	for i, t := range s.Tests {
		at := "/tests/" + itoa(i)
		w := l.caseOf(t, at)
		if w == nil {
			continue
		}
		refused := t.Expect.Status >= 400
		sent := map[string]bool{}
		for _, a := range t.Input {
			sent[a.Name] = true
			in := l.known(w, a.Name, at+"/input/"+escape(a.Name), "test")
			if in == nil || refused {
				continue
			}
			if reason := refuse(in, a.Value); reason != "" {
				l.at(at+"/input/"+escape(a.Name), diag.Diagnostic{Code: "CY104", Message: fmt.Sprintf("the test sends `%s` a value that it does not take", a.Name),
					Label: reason, Help: "change it, or expect `status: 422`"})
			}
		}
		for _, a := range t.Matrix.Axes {
			sent[a.Name] = true
			in := l.known(w, a.Name, at+"/matrix/"+escape(a.Name), "test")
			if in == nil || refused {
				continue
			}
			for j, v := range a.Values {
				if slices.Contains(words, text(v)) {
					continue
				}
				if reason := refuse(in, v); reason != "" {
					where := at + "/matrix/" + escape(a.Name)
					if s.Has(where + "/" + itoa(j)) {
						where += "/" + itoa(j)
					}
					l.at(where, diag.Diagnostic{Code: "CY104", Message: fmt.Sprintf("the test sends `%s` a value that it does not take", a.Name),
						Label: reason, Help: "change it, or expect `status: 422`"})
				}
			}
		}
		if !refused && !t.Matrix.Auto {
			l.required(w, sent, at)
		}
		l.expected(w, t, at)
	}
}

// words stand for an input's own values in a matrix.
var words = []string{"min", "max", "default", "samples"}

// caseOf is the workflow that a test is about, nil where there is none.
func (l *loader) caseOf(t service.Test, at string) *Workflow {
	var names []string
	for i := range l.plan.Workflows {
		w := &l.plan.Workflows[i]
		if t.Workflow == w.Name || t.Workflow == "" && len(l.refs()) == 1 || slices.Contains(w.Aliases, t.Workflow) {
			return w
		}
		names = append(names, w.Name)
	}
	if len(l.plan.Workflows) < len(l.refs()) {
		return nil // it may be the one that cannot be read
	}
	if t.Workflow == "" {
		if len(names) > 0 {
			l.key(at, diag.Diagnostic{Code: "CY108", Message: "the test does not say which workflow it is for", Label: "`workflow` is missing",
				Help: "add `workflow:` with one of " + strings.Join(names, ", ")})
		}
		return nil
	}
	l.unknown(at+"/workflow", "workflow", t.Workflow, names)
	return nil
}

func (l *loader) known(w *Workflow, name, at, who string) *contract.Input {
	if in := inputOf(w, name); in != nil {
		return in
	}
	var names []string
	for i := range w.Inputs {
		names = append(names, w.Inputs[i].Name)
	}
	d := diag.Diagnostic{Code: "CY108", Message: fmt.Sprintf("the %s names an unknown input `%s`", who, name), Label: "not an input of `" + w.Name + "`"}
	if best := diag.Suggest(name, names); best != "" {
		d.Help = "did you mean `" + best + "`?"
		l.offer(&d, l.plan.Service.KeyAt(at), name, best)
	} else if len(names) > 0 {
		d.Help = "inputs: " + strings.Join(names, ", ")
	}
	l.key(at, d)
	return nil
}

func (l *loader) unknown(at, what, name string, names []string) {
	d := diag.Diagnostic{Code: "CY108", Message: fmt.Sprintf("there is no %s `%s`", what, name), Label: "not known"}
	if best := diag.Suggest(name, names); best != "" {
		d.Help = "did you mean `" + best + "`?"
		l.offer(&d, l.plan.Service.At(at), name, best)
	} else if len(names) > 0 {
		d.Help = "known: " + strings.Join(names, ", ")
	}
	l.at(at, d)
}

func (l *loader) required(w *Workflow, sent map[string]bool, at string) {
	for _, in := range w.Inputs {
		if in.Required && !sent[in.Name] {
			l.key(at, diag.Diagnostic{Code: "CY104", Message: fmt.Sprintf("the test does not send the required input `%s`", in.Name),
				Label: "the call would be refused", Help: "add it under `input:`, or expect `status: 422`"})
		}
	}
}

func (l *loader) expected(w *Workflow, t service.Test, at string) {
	var names []string
	for _, o := range w.Outputs {
		names = append(names, o.Name)
	}
	for _, o := range t.Expect.Outputs {
		if !slices.Contains(names, o.Name) {
			l.unknown(at+"/expect/outputs/"+escape(o.Name), "output", o.Name, names)
		}
	}
}

// aliases checks that every name of a workflow stands for one.
func (l *loader) aliases() {
	owner, first := map[string]string{}, map[string]string{}
	for _, w := range l.plan.Workflows {
		owner[w.Name], first[w.Name] = w.Name, w.at
	}
	for _, w := range l.plan.Workflows {
		for i, a := range w.Aliases {
			if other, taken := owner[a]; taken {
				l.at(w.at+"/aliases/"+itoa(i), diag.Diagnostic{Code: "CY003", Message: fmt.Sprintf("the name `%s` stands for two workflows", a),
					Label: "already a name of `" + other + "`", Help: "choose another", Related: []diag.Related{{Span: l.plan.Service.KeyAt(first[a]), Label: "first here"}}})
			}
			owner[a], first[a] = w.Name, w.at+"/aliases/"+itoa(i)
		}
	}
}

// names checks the names that tiers and environments use.
func (l *loader) names() {
	s := l.plan.Service
	for _, t := range s.Limits.Tiers {
		for _, a := range t.Max {
			found := len(l.plan.Workflows) == 0 || len(l.plan.Workflows) < len(l.refs())
			for i := range l.plan.Workflows {
				found = found || inputOf(&l.plan.Workflows[i], a.Name) != nil
			}
			if !found {
				l.known(&l.plan.Workflows[0], a.Name, "/limits/tiers/"+escape(t.Name)+"/max/"+escape(a.Name), "tier")
			}
		}
	}
	var tiers []string
	for _, t := range s.Limits.Tiers {
		tiers = append(tiers, t.Name)
	}
	if t := s.Limits.Default; t != "" && !slices.Contains(tiers, t) {
		l.unknown("/limits/default", "tier", t, tiers)
	}
	l.fallbacks()
	targets := []string{"local"}
	for _, t := range s.Targets {
		targets = append(targets, t.Name)
	}
	for _, e := range s.Environments {
		if e.Target == "" || slices.Contains(targets, e.Target) {
			continue
		}
		d := diag.Diagnostic{Code: "CY109", Message: fmt.Sprintf("environment `%s` names an unknown target `%s`", e.Name, e.Target), Label: "not under `targets:`"}
		at := "/environments/" + escape(e.Name) + "/target"
		if best := diag.Suggest(e.Target, targets); best != "" {
			d.Help = "did you mean `" + best + "`?"
			l.offer(&d, s.At(at), e.Target, best)
		}
		l.at(at, d)
	}
}

// fallbacks checks the inputs that a job is tried with when memory ran out.
func (l *loader) fallbacks() {
	s := l.plan.Service
	if len(l.plan.Workflows) == 0 || len(l.plan.Workflows) < len(l.refs()) {
		return
	}
	for i, set := range s.Runner.OOM.Fallback {
		for _, a := range set {
			at := "/runner/oom/fallback/" + itoa(i) + "/" + escape(a.Name)
			var in *contract.Input
			for j := range l.plan.Workflows {
				if in = inputOf(&l.plan.Workflows[j], a.Name); in != nil {
					break
				}
			}
			if in == nil {
				l.known(&l.plan.Workflows[0], a.Name, at, "fallback")
				continue
			}
			if reason := refuse(in, a.Value); reason != "" {
				l.at(at, diag.Diagnostic{Code: "CY104", Message: fmt.Sprintf("the fallback gives `%s` a value that it does not take", a.Name), Label: reason, Help: "change it, or the rule"})
			}
		}
	}
}

func inputOf(w *Workflow, name string) *contract.Input {
	for i := range w.Inputs {
		if w.Inputs[i].Name == name {
			return &w.Inputs[i]
		}
	}
	return nil
}
