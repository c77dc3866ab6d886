package validate

import (
	"slices"

	"github.com/comfyctl/comfyctl/internal/diag"
	"github.com/comfyctl/comfyctl/pkg/service"
)

// levels applies ignore comments, `checks:`, the pipeline and strictness, in
// this order: what the file says of a rule holds in a pipeline too.
func (l *loader) levels() {
	l.unknownRules()
	level := l.checks()
	hit := l.silence(level)
	if l.plan.Service == nil {
		return
	}
	for i, ig := range l.plan.Service.Ignores {
		if r, _ := diag.Lookup(ig.Code); hit[i] || r.Online {
			continue // what only the network decides may come later
		}
		d := diag.Diagnostic{Code: "CY012", Severity: diag.SeverityWarning, Span: ig.Span, Message: "this ignore silences nothing",
			Label: "`" + ig.Code + "` does not occur on line " + itoa(ig.Line), Help: "remove the comment"}
		same := func(other service.Ignore) bool { return other.Span == ig.Span && other.Code != ig.Code }
		if !slices.ContainsFunc(l.plan.Service.Ignores, same) {
			d.Fix = &diag.Fix{Title: "remove the comment", File: ig.Span.File, Edits: []diag.Edit{{Start: ig.Span.Start.Offset, End: ig.Span.End.Offset}}}
		}
		if _, ok := diag.Lookup(ig.Code); !ok {
			d.Label, d.Help = "no rule is named here", "write `# comfyctl: ignore CODE - reason`"
			if ig.Code != "" {
				d.Label = "there is no rule `" + ig.Code + "`"
			}
			if best := diag.Suggest(ig.Code, ruleIDs()); best != "" {
				d.Help = "did you mean `" + best + "`?"
			}
		}
		if l.level(&d, level); d.Severity != diag.SeverityOff {
			l.list = append(l.list, d)
		}
	}
}

// silence gives findings their levels and drops those that are off or ignored.
// It tells which ignores did something.
func (l *loader) silence(level map[string]diag.Severity) map[int]bool {
	hit := map[int]bool{}
	var kept []diag.Diagnostic
	for _, d := range l.list {
		if l.level(&d, level); !l.ignored(d, hit) && d.Severity != diag.SeverityOff {
			kept = append(kept, d)
		}
	}
	l.list = kept
	return hit
}

// checks reads `checks:`.
func (l *loader) checks() map[string]diag.Severity {
	level := map[string]diag.Severity{}
	if l.plan.Service == nil {
		return level
	}
	for _, c := range l.plan.Service.Checks {
		if set := diag.Severity(c.Level); slices.Contains(severities, set) {
			level[c.Name] = set
		}
	}
	return level
}

// unknownRules reports names in `checks:` that are no rule.
func (l *loader) unknownRules() {
	if l.plan.Service == nil {
		return
	}
	for _, c := range l.plan.Service.Checks {
		if _, ok := diag.Lookup(c.Name); ok {
			continue
		}
		d := diag.Diagnostic{Code: "CY007", Message: "there is no rule `" + c.Name + "`", Label: "not a rule"}
		if best := diag.Suggest(c.Name, ruleIDs()); best != "" {
			d.Help = "did you mean `" + best + "`?"
		}
		l.key("/checks/"+escape(c.Name), d)
	}
}

var severities = []diag.Severity{diag.SeverityError, diag.SeverityWarning, diag.SeverityNote, diag.SeverityOff}

func ruleIDs() []string {
	var ids []string
	for _, r := range diag.Rules() {
		ids = append(ids, r.ID)
	}
	return ids
}

// level settles the severity of one finding.
func (l *loader) level(d *diag.Diagnostic, level map[string]diag.Severity) {
	set, ok := level[d.Code]
	rule, _ := diag.Lookup(d.Code)
	switch {
	case ok:
		d.Severity = set
	case l.o.CI && rule.CI != "" && d.Severity == rule.Level:
		d.Severity = rule.CI
	}
	if l.o.Strict && d.Severity == diag.SeverityWarning {
		d.Severity = diag.SeverityError
	}
}

// ignored reports whether a comment silences a finding, and notes which did.
func (l *loader) ignored(d diag.Diagnostic, hit map[int]bool) bool {
	if l.plan.Service == nil {
		return false
	}
	ignored := false
	for i, ig := range l.plan.Service.Ignores {
		if ig.Code == d.Code && ig.Span.File == d.File && ig.Line == d.Start.Line {
			hit[i], ignored = true, true
		}
	}
	return ignored
}
