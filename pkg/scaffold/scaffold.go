// Package scaffold writes a service file from a workflow: what `comfyctl init`
// does. The file that it writes is one that `comfyctl validate` reads without
// a finding about its shape.
package scaffold

import (
	"bytes"
	"fmt"
	"path"
	"regexp"
	"strings"

	"github.com/comfyctl/comfyctl/pkg/catalog"
	"github.com/comfyctl/comfyctl/pkg/contract"
	"github.com/comfyctl/comfyctl/pkg/hardware"
	"github.com/comfyctl/comfyctl/pkg/scaffold/from"
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
	// From is what another tool's file says about the service, or nil. Its
	// inputs and outputs go before those that can be inferred.
	From *from.Description
}

// Report says what was put into the file and what is left to do.
type Report struct {
	Name   string   `json:"name"`
	Inputs []Input  `json:"inputs"`
	Models []string `json:"models"`
	Nodes  []string `json:"nodes"` // classes that no built-in catalog knows
	GPU    string   `json:"gpu"`
	// Estimate is how GPU was reckoned, every figure with its formula.
	Estimate []hardware.Line `json:"estimate"`
	Packs    []string        `json:"packs,omitempty"` // carried over
	Todo     []Todo          `json:"todo"`
	// From is what the service was made from; Lost could not be carried over.
	From string      `json:"from,omitempty"`
	Lost []from.Lost `json:"lost,omitempty"`
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
	w := &writer{o: o, g: g, c: c, from: o.From}
	if w.from == nil {
		w.from = &from.Description{}
	}
	w.report.From, w.report.Lost = string(w.from.Kind), w.from.Lost
	w.head()
	w.build()
	w.models()
	w.nodes()
	w.packages()
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
	from   *from.Description // never nil
	b      bytes.Buffer
	report Report
	// list are the inputs once chosen.
	list []contract.Input
}

func (w *writer) lose(why, what string) {
	w.report.Lost = append(w.report.Lost, from.Lost{What: what, Why: why})
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
	return label(base)
}

// label makes a DNS label out of a title.
func label(title string) string {
	s := strings.Trim(notLabel.ReplaceAllString(strings.ToLower(title), "-"), "-")
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
	if name == "" && w.from.Name != "" {
		name = label(w.from.Name)
	}
	if name == "" || w.o.Name == "" && name == "workflow" {
		name = ServiceName(w.o.WorkflowFile)
	}
	version := w.o.ComfyUI
	if version == "" {
		version = w.from.ComfyUI
	}
	if version == "" {
		version = catalog.Newest()
	}
	w.report.Name = name
	if w.o.Schema != "" {
		w.line("# yaml-language-server: $schema=%s", w.o.Schema)
	}
	w.line("name: %s", name)
	if about := strings.TrimSpace(oneLine(w.from.About)); about != "" {
		w.line("description: %s", scalar(about))
	}
	w.line("workflow: %s", scalar(w.o.WorkflowFile))
	w.line("comfyui: %s", scalar(version))
}

// build writes how the environment is made, where another tool says so.
func (w *writer) build() {
	if w.from.Python == "" && w.from.Torch == "" {
		return
	}
	w.line("build:")
	if w.from.Python != "" {
		w.line("  python: %q", w.from.Python)
	}
	if w.from.Torch != "" {
		w.line("  torch: %s", w.from.Torch)
	}
}
