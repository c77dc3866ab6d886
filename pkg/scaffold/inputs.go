package scaffold

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/comfyctl/comfyctl/pkg/contract"
	"github.com/comfyctl/comfyctl/pkg/infer"
)

func (w *writer) inputs() {
	w.list = w.chosen()
	if len(w.list) == 0 {
		return
	}
	w.line("")
	w.line("inputs:")
	for _, in := range w.list {
		var to []string
		for _, t := range in.To {
			to = append(to, t.Node+"."+t.Input)
		}
		w.report.Inputs = append(w.report.Inputs, Input{Name: in.Name, To: to})
		w.line("  %s: { %s }", in.Name, strings.Join(fields(in, to), ", "))
	}
	w.choice()
}

func fields(in contract.Input, to []string) []string {
	targets := make([]string, len(to))
	for i, t := range to {
		targets[i] = flowTarget(t)
	}
	target := targets[0]
	if len(targets) > 1 {
		target = "[" + strings.Join(targets, ", ") + "]"
	}
	list := []string{"to: " + target}
	if in.Type != "" { // else the node's definition says it
		list = append(list, "type: "+in.Type)
	}
	add := func(key, value string) { list = append(list, key+": "+value) }
	if in.Required {
		add("required", "true")
	}
	if in.Min != "" {
		add("min", in.Min.String())
	}
	if in.Max != "" {
		add("max", in.Max.String())
	}
	if in.Step != "" {
		add("step", in.Step.String())
	}
	if len(in.Enum) > 0 {
		var values []string
		for _, v := range in.Enum {
			values = append(values, flow(v))
		}
		add("enum", "["+strings.Join(values, ", ")+"]")
	}
	switch {
	case in.Type == contract.TypeSeed:
		add("default", "random")
	case in.Default != nil:
		add("default", flow(in.Default))
	}
	if in.Example != nil {
		add("example", flow(in.Example))
	}
	if in.Description != "" {
		add("description", flow(asJSON(in.Description)))
	}
	return list
}

// flowTarget writes NODE.INPUT inside a flow mapping.
func flowTarget(t string) string {
	if plainTarget.MatchString(t) {
		return t
	}
	return string(quoted(t))
}

var plainTarget = regexp.MustCompile(`^[A-Za-z0-9_]+\.[A-Za-z0-9_.]+$`)

func (w *writer) outputs() {
	list := w.given()
	if len(list) == 0 {
		list = infer.Outputs(w.g, w.c)
	}
	if len(list) == 0 {
		return
	}
	w.line("outputs:")
	for _, o := range list {
		if o.Format == "" {
			w.line("  %s: %s", o.Name, quoted(o.Node))
			continue
		}
		quality := ""
		if o.Quality > 0 {
			quality = fmt.Sprintf(", quality: %d", o.Quality)
		}
		w.line("  %s: { from: %s, format: %s%s }", o.Name, quoted(o.Node), o.Format, quality)
	}
}

// given are the outputs that came along and are in the graph.
func (w *writer) given() (list []contract.Output) {
	for _, o := range w.from.Outputs {
		if w.g.Node(o.Node) == nil {
			w.lose("the workflow has no such node", "output "+o.Name+" of node "+o.Node)
			continue
		}
		list = append(list, o)
	}
	return list
}

// tests writes a smoke case that needs no file of the caller's.
func (w *writer) tests() {
	var values []string
	for _, in := range w.list {
		switch {
		case in.Required && in.Example != nil:
			values = append(values, in.Name+": "+flow(in.Example))
		case in.Required:
			return // a file: its author knows which
		case in.Type == contract.TypeSeed:
			values = append(values, in.Name+": 1")
		}
	}
	w.line("")
	w.line("tests:")
	w.line("  - name: smoke")
	w.line("    tags: [smoke]")
	if len(values) > 0 {
		w.line("    input: { %s }", strings.Join(values, ", "))
	}
	w.line("    expect: { job: succeeded }")
}
