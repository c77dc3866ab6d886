// Package scaffold writes a service file from a workflow: what `comfyctl init`
// does. The file that it writes is one that `comfyctl validate` reads without
// a finding about its shape.
package scaffold

import (
	"bytes"
	"encoding/json"
	"fmt"
	"path"
	"regexp"
	"slices"
	"sort"
	"strings"
	"unicode"

	"gopkg.in/yaml.v3"

	"github.com/comfyctl/comfyctl/pkg/catalog"
	"github.com/comfyctl/comfyctl/pkg/contract"
	"github.com/comfyctl/comfyctl/pkg/infer"
	"github.com/comfyctl/comfyctl/pkg/workflow"
)

// Options say how the file is written.
type Options struct {
	// WorkflowFile is the path of the graph as it goes into the file.
	WorkflowFile string
	// Name of the service; empty makes one of the file's name.
	Name string
	// ComfyUI is the release, such as v0.3.64; empty means the newest built in.
	ComfyUI string
	// Schema is the address or path of the JSON Schema for editors; empty
	// leaves the line out.
	Schema string
	// Full appends, as comments, every other key that there is.
	Full bool
	// SourceOf gives the source of a model, if a file of the name lies beside
	// the workflow; nil knows none.
	SourceOf func(modelPath string) string
	// SizeOf gives the size in bytes of a model file that is at hand, else 0;
	// nil knows none.
	SizeOf func(modelPath string) int64
}

// Report says what was put into the file and what is left to do.
type Report struct {
	Name   string   `json:"name"`
	Inputs []Input  `json:"inputs"`
	Models []string `json:"models"`
	Nodes  []string `json:"nodes"` // classes that no built-in catalog knows
	GPU    string   `json:"gpu"`
	Todo   []Todo   `json:"todo"`
}

// Input is one inferred parameter.
type Input struct {
	Name string   `json:"name"`
	To   []string `json:"to"`
}

// Todo is a line that its author must fill in.
type Todo struct {
	Line int    `json:"line"`
	What string `json:"what"`
}

// Init writes the service file.
func Init(g *workflow.Graph, c *catalog.Catalog, o Options) ([]byte, Report) {
	w := &writer{o: o, g: g, c: c}
	w.head()
	w.models()
	w.nodes()
	w.gpu()
	w.inputs()
	w.outputs()
	w.tests()
	if o.Full {
		w.rest()
	}
	return w.b.Bytes(), w.report
}

type writer struct {
	o      Options
	g      *workflow.Graph
	c      *catalog.Catalog
	b      bytes.Buffer
	report Report
}

func (w *writer) line(format string, args ...any) { fmt.Fprintf(&w.b, format+"\n", args...) }

func (w *writer) todo(what string) {
	w.report.Todo = append(w.report.Todo, Todo{Line: bytes.Count(w.b.Bytes(), []byte("\n")), What: what})
}

var notLabel = regexp.MustCompile(`[^a-z0-9]+`)

// ServiceName makes a DNS label out of a file's name.
func ServiceName(file string) string {
	base := strings.ToLower(path.Base(strings.ReplaceAll(file, `\`, "/")))
	base = strings.TrimSuffix(base, path.Ext(base))
	base = strings.TrimSuffix(strings.TrimSuffix(base, "_api"), "-api")
	s := strings.Trim(notLabel.ReplaceAllString(base, "-"), "-")
	if s == "" || s == "workflow" {
		return "workflow"
	}
	if s[0] >= '0' && s[0] <= '9' {
		s = "w-" + s
	}
	return strings.Trim(s[:min(len(s), 63)], "-")
}

func (w *writer) head() {
	name := w.o.Name
	if name == "" {
		name = ServiceName(w.o.WorkflowFile)
	}
	version := w.o.ComfyUI
	if version == "" {
		version = catalog.Newest()
	}
	w.report.Name = name
	if w.o.Schema != "" {
		w.line("# yaml-language-server: $schema=%s", w.o.Schema)
	}
	w.line("name: %s", name)
	w.line("workflow: %s", scalar(w.o.WorkflowFile))
	w.line("comfyui: %s", version)
}

// scalar writes a text as YAML would have it, on one line.
func scalar(s string) string {
	b, err := yaml.Marshal(s)
	if err != nil || oneLine(s) != s || strings.Contains(s, "${") {
		return string(quoted(s))
	}
	return strings.TrimSuffix(string(b), "\n")
}

// quoted is a text in JSON, which is YAML too once the characters that YAML
// does not let stand are escaped.
func quoted(s string) json.RawMessage {
	if strings.Contains(s, "${") { // no variable of ours
		s = strings.ReplaceAll(s, "$", "$$")
	}
	var b bytes.Buffer
	for _, r := range string(asJSON(s)) {
		if unreadable(r) {
			fmt.Fprintf(&b, `\u%04x`, r)
		} else {
			b.WriteRune(r)
		}
	}
	return b.Bytes()
}

func asJSON(s string) json.RawMessage {
	b, _ := json.Marshal(s) // a string always encodes
	return b
}

// unreadable are the characters that may not stand in YAML, or end a line there.
func unreadable(r rune) bool {
	return unicode.IsControl(r) || r == '\u2028' || r == '\u2029' || r == '\ufeff' || r == '\ufffe' || r == '\uffff'
}

// oneLine makes text fit for a comment.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if unreadable(r) {
			return ' '
		}
		return r
	}, s)
}

// flow writes a JSON value inside a YAML flow mapping; JSON is YAML.
func flow(raw json.RawMessage) string {
	var s string
	if json.Unmarshal(raw, &s) == nil {
		if plainFlow.MatchString(s) && !yamlWord.MatchString(s) {
			return s
		}
		return string(quoted(s))
	}
	return string(raw)
}

// yamlWord are texts that some reader of YAML takes for something else.
var yamlWord = regexp.MustCompile(`(?i)^(true|false|null|yes|no|on|off|y|n)$`)

var plainFlow = regexp.MustCompile(`^[A-Za-z][A-Za-z ]*[A-Za-z]$`)

// needed lists the model files that the graph names, once each.
func (w *writer) needed() []string {
	var list []string
	for _, n := range w.g.Nodes {
		for _, in := range n.Inputs {
			if in.Link != nil || in.Kind != workflow.String || in.Text == "" {
				continue
			}
			for _, file := range catalog.ModelFiles(n.Class, in.Name, in.Text) {
				if !slices.Contains(list, file) {
					list = append(list, file)
				}
			}
		}
	}
	return list
}

func (w *writer) models() {
	w.report.Models = w.needed()
	if len(w.report.Models) == 0 {
		return
	}
	w.line("")
	w.line("models:")
	for _, p := range w.report.Models {
		source := ""
		if w.o.SourceOf != nil {
			source = w.o.SourceOf(p)
		}
		if source != "" {
			w.line("  - path: %s", scalar(p))
			w.line("    source: %s", scalar(source))
			continue
		}
		w.line("  - path: %s   # TODO: source, where the file comes from", scalar(p))
		w.todo("source of " + p)
	}
}

func (w *writer) nodes() {
	for _, n := range w.g.Nodes {
		if _, ok := w.c.Class(n.Class); !ok && n.Class != "" && !slices.Contains(w.report.Nodes, n.Class) {
			w.report.Nodes = append(w.report.Nodes, n.Class)
		}
	}
	if len(w.report.Nodes) == 0 {
		return
	}
	sort.Strings(w.report.Nodes)
	w.line("")
	w.line("# These node classes are not part of ComfyUI; list the packs that have them:")
	for _, c := range w.report.Nodes {
		w.line("#   %s", oneLine(c))
	}
	w.line("# nodes:")
	w.line("#   - repo: https://github.com/OWNER/PACK")
	w.line("#     ref: COMMIT")
	w.todo("node packs of " + strings.Join(w.report.Nodes, ", "))
}

func (w *writer) inputs() {
	list := infer.Inputs(w.g, w.c)
	if len(list) == 0 {
		return
	}
	w.line("")
	w.line("inputs:")
	for _, in := range list {
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
	list := []string{"to: " + target, "type: " + in.Type}
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
	list := infer.Outputs(w.g, w.c)
	if len(list) == 0 {
		return
	}
	w.line("outputs:")
	for _, o := range list {
		w.line("  %s: %s", o.Name, quoted(o.Node))
	}
}

// tests writes a smoke case that needs no file of the caller's.
func (w *writer) tests() {
	var values []string
	for _, in := range infer.Inputs(w.g, w.c) {
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
