package validate

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"sort"
	"strings"

	"github.com/comfyctl/comfyctl/internal/diag"
	"github.com/comfyctl/comfyctl/pkg/catalog"
	"github.com/comfyctl/comfyctl/pkg/workflow"
)

// answer is what a ComfyUI says to POST /prompt, as far as it is a verdict.
type answer struct {
	Status int `json:"status"`
	// Error is the type of the error of the whole prompt; Node the node that its
	// details name.
	Error string `json:"error,omitempty"`
	Node  string `json:"node,omitempty"`
	// Nodes are the errors of nodes as "id input type", sorted. The input is *
	// for what names that of another node.
	Nodes []string `json:"nodes,omitempty"`
	// Outputs are the output nodes that ComfyUI says are hit by them, sorted.
	Outputs []string `json:"outputs,omitempty"`
}

// parseAnswer reads the body of an answer.
func parseAnswer(status int, body []byte) (answer, error) {
	a := answer{Status: status}
	if status >= 500 {
		return a, nil
	}
	body = nonFinite.ReplaceAll(body, []byte("${1}null"))
	var tr transcript
	if err := json.Unmarshal(body, &tr.Response); err != nil {
		return a, fmt.Errorf("reading the answer: %w", err)
	}
	var outputs struct {
		NodeErrors map[string]struct {
			Outputs []string `json:"dependent_outputs"`
		} `json:"node_errors"`
	}
	if err := json.Unmarshal(body, &outputs); err != nil {
		return a, fmt.Errorf("reading the answer: %w", err)
	}
	a.Error = tr.Response.Error.Type
	if _, id, ok := strings.Cut(tr.Response.Error.Details, "Node ID '#"); ok {
		a.Node = strings.TrimSuffix(id, "'")
	}
	for id, n := range tr.Response.NodeErrors {
		for _, e := range n.Errors {
			a.Nodes = append(a.Nodes, errorKey(id, e.Extra.Input, e.Type))
		}
		a.Outputs = append(a.Outputs, outputs.NodeErrors[id].Outputs...)
	}
	slices.Sort(a.Nodes)
	slices.Sort(a.Outputs)
	a.Nodes, a.Outputs = slices.Compact(a.Nodes), slices.Compact(a.Outputs)
	return a, nil
}

// nonFinite finds what Python writes and JSON does not have.
var nonFinite = regexp.MustCompile(`([:,\[] ?)(NaN|-?Infinity)`)

func errorKey(id, input, typ string) string {
	if strings.HasPrefix(typ, "exception_during") || typ == "dependency_cycle" {
		input = "*"
	}
	return fmt.Sprintf("%s %s %s", id, input, typ)
}

// refused reports whether ComfyUI leaves out the prompt or a part of it.
func (a answer) refused() bool { return a.Status != 200 || len(a.Nodes) > 0 }

// forecast is the answer that our findings foresee. ComfyUI walks links in the
// order of a Python set, so some errors are said in some runs only: must are
// those of every run, may those of some.
type forecast struct {
	stage      string // error type of the whole prompt, before outputs are looked at
	stageNodes []string
	must, may  map[string]bool
	// oneOf are groups (cycles that cross) of which at least one is said.
	oneOf [][]string
	// failing are the output nodes that cannot run.
	failing map[string]bool
	outputs int
	// hidden are findings that ComfyUI would say only once others are mended.
	hidden []string
	// ours are errors that are not ComfyUI's, by their rule.
	ours []diag.Diagnostic
	// seen has every finding with a foreseen error.
	seen []diag.Diagnostic
}

// foresee makes the forecast of a graph from the findings about it.
func foresee(g *workflow.Graph, cat *catalog.Catalog, list []diag.Diagnostic) *forecast {
	f := &forecast{must: map[string]bool{}, may: map[string]bool{}, failing: map[string]bool{}}
	c := checkerOf(g, cat)
	w := &walk{f: f, g: c.g, c: c, errs: map[string][]diag.Diagnostic{}, next: map[string][]string{}, raises: map[string]bool{}, linked: map[string]bool{}, loop: map[string]bool{},
		outputs: map[string]bool{}, since20: c.since(0, 20)}
	for _, d := range list {
		switch {
		case d.Server == "" && d.Severity == diag.SeverityError:
			f.ours = append(f.ours, d)
		case d.Server == "":
		case d.Server == "invalid_prompt" || d.Server == "missing_node_type" || d.Server == "prompt_no_outputs":
			f.seen = append(f.seen, d)
			if d.Node != nil {
				f.stageNodes = append(f.stageNodes, d.Node.ID)
			}
			if f.stage == "" || f.stage == "prompt_no_outputs" {
				f.stage = d.Server
			}
		case d.Node != nil:
			f.seen = append(f.seen, d)
			w.errs[d.Node.ID] = append(w.errs[d.Node.ID], d)
			w.raises[d.Node.ID] = w.raises[d.Node.ID] || strings.HasPrefix(d.Server, "exception_during")
		}
	}
	if f.stage != "" {
		return f
	}
	w.run()
	for _, d := range f.seen {
		k := w.key(d.Node.ID, d)
		if !f.may[k] && d.Code != "CW005" {
			f.hidden = append(f.hidden, d.Code+" "+k)
		}
	}
	return f
}

func checkerOf(g *workflow.Graph, cat *catalog.Catalog) *checker {
	c := &checker{g: g, cat: cat, bad: map[string]bool{}, release: release(cat.Version)}
	c.replace()
	c.lookUp()
	return c
}

// walk follows links as ComfyUI's validation does.
type walk struct {
	f       *forecast
	c       *checker
	g       *workflow.Graph
	errs    map[string][]diag.Diagnostic
	next    map[string][]string // links that are followed
	raises  map[string]bool
	linked  map[string]bool
	loop    map[string]bool
	outputs map[string]bool
	since20 bool
}

func (w *walk) run() {
	for _, n := range w.g.Nodes {
		cl := w.c.classes[n.ID]
		if cl == nil {
			continue
		}
		if cl.OutputNode {
			w.outputs[n.ID] = true
		}
		bad := map[string]bool{}
		for _, d := range w.errs[n.ID] {
			bad[d.Input] = bad[d.Input] || d.Code != "CW005"
		}
		for _, s := range cl.Expand(values(n)) {
			in := n.Input(s.Name)
			if in != nil && in.Link != nil && !bad[s.Name] && s.Choices == nil && w.g.Node(in.Link.Node) != nil {
				w.next[n.ID] = append(w.next[n.ID], in.Link.Node)
				w.linked[in.Link.Node] = true
			}
		}
	}
	w.f.outputs = len(w.outputs)
	all := map[string]bool{}
	for id := range w.outputs {
		w.visit(id, all, false)
	}
	for id := range all {
		w.loop[id] = w.inLoop(id, all)
	}
	certain, possible := map[string]bool{}, map[string]bool{}
	for id := range w.outputs {
		w.visit(id, certain, true)
		w.visit(id, possible, false)
	}
	for id := range possible {
		for _, k := range w.keys(id) {
			w.f.may[k] = true
			if certain[id] {
				w.f.must[k] = true
			}
		}
	}
	w.loops(certain, possible)
	for id := range w.outputs {
		reach := map[string]bool{}
		w.visit(id, reach, true)
		for n := range reach {
			if len(w.errs[n]) > 0 || w.loop[n] {
				w.f.failing[id] = true
			}
		}
	}
}

// visit marks what is looked at from a node: in every run, or in some.
func (w *walk) visit(id string, seen map[string]bool, certain bool) {
	if seen[id] {
		return
	}
	seen[id] = true
	if certain && (w.raises[id] || !w.since20 && w.loop[id]) {
		return // of a cycle, older releases come out at Python's limit of recursion
	}
	for _, n := range w.next[id] {
		w.visit(n, seen, certain)
	}
}

// keys are the errors that stand on one node.
func (w *walk) keys(id string) []string {
	var list []string
	for _, d := range w.errs[id] {
		exception := strings.HasPrefix(d.Server, "exception_during")
		if d.Code == "CW005" || w.raises[id] && !exception {
			continue
		}
		list = append(list, w.key(id, d))
	}
	return list
}

// key is how ComfyUI names a finding.
func (w *walk) key(id string, d diag.Diagnostic) string {
	if own := w.c.own(w.g.Node(id)); own != nil && own.Types == d.Input && d.Server == "custom_validation_failed" {
		return errorKey(id, "input_types", d.Server)
	}
	return errorKey(id, d.Input, w.typ(id, d.Server))
}

// typ is the type of an error; that of a raising output node which others take
// from depends on which of them comes first.
func (w *walk) typ(id, server string) string {
	if strings.HasPrefix(server, "exception_during") && w.outputs[id] && w.linked[id] {
		return "exception_during_*"
	}
	return server
}

// same are the nodes that depend on a node and on which it depends.
func (w *walk) same(id string, in map[string]bool) []string {
	var list []string
	for n := range in {
		if w.reaches(id, n, in) && w.reaches(n, id, in) {
			list = append(list, n)
		}
	}
	sort.Strings(list)
	return list
}

func (w *walk) inLoop(id string, in map[string]bool) bool { return w.reaches(id, id, in) }

// reaches reports whether from needs to, by at least one link between nodes of
// the set.
func (w *walk) reaches(from, to string, in map[string]bool) bool {
	seen := map[string]bool{}
	stack := []string{from}
	for len(stack) > 0 {
		id := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		for _, n := range w.next[id] {
			if n == to {
				return true
			}
			if in[n] && !seen[n] {
				seen[n] = true
				stack = append(stack, n)
			}
		}
	}
	return false
}

// loops adds what ComfyUI says about cycles.
func (w *walk) loops(certain, possible map[string]bool) {
	done := map[string]bool{}
	for _, n := range w.g.Nodes {
		id := n.ID
		if done[id] || !possible[id] || !w.inLoop(id, possible) {
			continue
		}
		members := w.same(id, possible)
		ring, sure := true, true
		var keys []string
		for _, m := range members {
			done[m] = true
			keys = append(keys, errorKey(m, "*", "dependency_cycle"))
			inside := map[string]bool{}
			for _, x := range w.next[m] {
				if slices.Contains(members, x) {
					inside[x] = true
				}
			}
			ring = ring && len(inside) == 1
			sure = sure && certain[m] && !w.raises[m]
		}
		if !w.since20 {
			// These recurse until Python's limit: whoever is asked near the limit may raise.
			for x := range possible {
				if w.reaches(id, x, possible) {
					w.f.may[errorKey(x, "*", "exception_during_inner_validation")] = true
				}
			}
			continue
		}
		for _, k := range keys {
			w.f.may[k] = true
		}
		switch {
		case sure && ring:
			for _, k := range keys {
				w.f.must[k] = true
			}
		case sure:
			w.f.oneOf = append(w.f.oneOf, keys)
		}
	}
}

// differ says how an answer is unlike the forecast; empty where it is not.
func (f *forecast) differ(a answer) []string {
	var list []string
	say := func(format string, args ...any) { list = append(list, fmt.Sprintf(format, args...)) }
	if a.Status >= 500 {
		if len(f.seen) == 0 && len(f.ours) == 0 {
			say("ComfyUI answers %d, we find nothing", a.Status)
		}
		return list
	}
	if f.stage != "" {
		if a.Error != f.stage {
			say("we say %s, ComfyUI %q %v", f.stage, a.Error, a.Nodes)
		} else if f.stage != "prompt_no_outputs" && !slices.Contains(f.stageNodes, a.Node) {
			say("ComfyUI names node %q, we %q", a.Node, f.stageNodes)
		}
		return list
	}
	said := map[string]bool{}
	for _, k := range a.Nodes {
		either := strings.NewReplacer("exception_during_inner_validation", "exception_during_*", "exception_during_validation", "exception_during_*").Replace(k)
		said[k], said[either] = true, true
		if !f.may[k] && !f.may[either] {
			say("only ComfyUI: %s", k)
		}
	}
	for k := range f.must {
		if !said[k] {
			say("only we: %s", k)
		}
	}
	for _, group := range f.oneOf {
		if !slices.ContainsFunc(group, func(k string) bool { return said[k] }) {
			say("ComfyUI says none of %v", group)
		}
	}
	want := ""
	if len(f.failing) == f.outputs {
		want = "prompt_outputs_failed_validation"
	}
	if a.Error != want {
		say("we foresee %q (%d of %d outputs fail), ComfyUI says %q", want, len(f.failing), f.outputs, a.Error)
	}
	for _, o := range a.Outputs {
		if !f.failing[o] {
			say("ComfyUI leaves out output %s, we do not", o)
		}
	}
	sort.Strings(list)
	return list
}
