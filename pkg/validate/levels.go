package validate

import (
	"github.com/comfyctl/comfyctl/internal/diag"
)

// levels applies ignore comments, `checks:` and strictness.
func (l *loader) levels() {
	s := l.plan.Service
	if s == nil {
		l.strict()
		return
	}
	level := map[string]diag.Severity{}
	for _, c := range s.Checks {
		if _, ok := diag.Lookup(c.Name); !ok {
			var ids []string
			for _, r := range diag.Rules() {
				ids = append(ids, r.ID)
			}
			d := diag.Diagnostic{Code: "CY007", Message: "there is no rule `" + c.Name + "`", Label: "not a rule"}
			if best := diag.Suggest(c.Name, ids); best != "" {
				d.Help = "did you mean `" + best + "`?"
			}
			l.key("/checks/"+escape(c.Name), d)
			continue
		}
		level[c.Name] = diag.Severity(c.Level)
	}
	hit := l.silence(level)
	for i, ig := range s.Ignores {
		if r, _ := diag.Lookup(ig.Code); r.Online {
			continue // it may silence something when the network is asked
		}
		if !hit[i] && level["CY012"] != diag.SeverityOff {
			d := diag.Diagnostic{Code: "CY012", Severity: diag.SeverityWarning, Span: ig.Span, Message: "this ignore silences nothing",
				Label: "`" + ig.Code + "` does not occur on line " + itoa(ig.Line), Help: "remove the comment"}
			if set, ok := level["CY012"]; ok {
				d.Severity = set
			}
			l.list = append(l.list, d)
		}
	}
	l.strict()
}

// silence gives findings their levels and drops those that are off or ignored.
// It tells which ignores did something.
func (l *loader) silence(level map[string]diag.Severity) (hit []bool) {
	s := l.plan.Service
	hit = make([]bool, len(s.Ignores))
	var kept []diag.Diagnostic
	for _, d := range l.list {
		ignored := false
		for i, ig := range s.Ignores {
			if ig.Code == d.Code && d.File == s.File && d.Start.Line == ig.Line {
				hit[i], ignored = true, true
			}
		}
		if set, ok := level[d.Code]; ok {
			d.Severity = set
		}
		if !ignored && d.Severity != diag.SeverityOff {
			kept = append(kept, d)
		}
	}
	l.list = kept
	return hit
}

func (l *loader) strict() {
	if !l.o.Strict {
		return
	}
	for i := range l.list {
		if l.list[i].Severity == diag.SeverityWarning {
			l.list[i].Severity = diag.SeverityError
		}
	}
}
