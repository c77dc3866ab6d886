package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/comfyctl/comfyctl/internal/diag"
	"github.com/comfyctl/comfyctl/internal/term"
	"github.com/comfyctl/comfyctl/pkg/catalog"
	"github.com/comfyctl/comfyctl/pkg/graphview"
	"github.com/comfyctl/comfyctl/pkg/validate"
)

// Formats of a drawing.
const (
	graphTree    = "tree"
	graphSVG     = "svg"
	graphMermaid = "mermaid"
	graphDOT     = "dot"
	graphJSON    = "json"
)

// GraphOptions of `comfyctl graph`.
type GraphOptions struct {
	// Path is a workflow file; empty means those of the service at hand.
	Path, Workflow    string
	Format, Out, Only string
	Mark              []string
}

func newGraphCmd(a *App, f runFunc[GraphOptions]) *cobra.Command {
	o := &GraphOptions{}
	cmd := &cobra.Command{
		Use:     "graph [WORKFLOW.json|WORKFLOW.png]",
		Short:   "Draw the workflow",
		Example: "comfyctl graph\ncomfyctl graph --format svg --out graph.svg\ncomfyctl graph --only 3 --mark inputs,packs\ncomfyctl graph workflow_api.json",
		GroupID: groupStart,
		Args:    atMostOne,
		RunE: func(cmd *cobra.Command, args []string) error {
			o.Path = first(args)
			return f(cmd.Context(), a, o)
		},
	}
	fl := cmd.Flags()
	enumVar(fl, &o.Format, "format", "", graphTree, "how to draw it", graphTree, graphSVG, graphMermaid, graphDOT, graphJSON)
	fl.StringVar(&o.Out, "out", "", "write to `FILE` instead of stdout")
	fl.StringVar(&o.Only, "only", "", "only this node and what it needs: an id, a title or a class (`NODE`)")
	fl.StringVarP(&o.Workflow, "workflow", "w", "", "which of several workflows (`NAME`)")
	fl.StringSliceVar(&o.Mark, "mark", []string{markInputs, markErrors}, "what to show beside the nodes: inputs, errors, packs (`WHAT`)")
	return cmd
}

// What --mark takes.
const (
	markInputs = "inputs"
	markErrors = "errors"
	markPacks  = "packs"
)

func (o *GraphOptions) marks() (graphview.Marks, error) {
	known := []string{markInputs, markErrors, markPacks}
	for _, m := range o.Mark {
		if m != "" && !slices.Contains(known, m) {
			help := "it takes " + strings.Join(known, ", ")
			if near := diag.Suggest(m, known); near != "" {
				help = "did you mean `" + near + "`?"
			}
			return graphview.Marks{}, usageError("bad_flag", "--mark "+m+" is nothing to mark", help)
		}
	}
	has := func(m string) bool { return slices.Contains(o.Mark, m) }
	return graphview.Marks{Inputs: has(markInputs), Errors: has(markErrors), Packs: has(markPacks)}, nil
}

func runGraph(ctx context.Context, a *App, o *GraphOptions) error {
	marks, err := o.marks()
	if err != nil {
		return err
	}
	views, err := a.views(ctx, o)
	if err != nil {
		return err
	}
	if views, err = o.choose(views); err != nil {
		return err
	}
	var b bytes.Buffer
	for i, v := range views {
		if len(views) > 1 { // of a tree only
			b.WriteString(strings.Repeat("\n", min(i, 1)) + a.console().Out.Paint(term.Bold, diag.Safe(v.Name)) + "\n")
		}
		if err := a.draw(&b, o, v.Keep(marks)); err != nil {
			return err
		}
	}
	a.reply.data = map[string]any{"format": o.Format, "graphs": views, "out": o.Out}
	if o.Out == "" {
		if a.machine() {
			return nil
		}
		_, err := a.out.Write(b.Bytes())
		return err
	}
	path, err := a.path(o.Out)
	if err != nil {
		return err
	}
	if err := writeAtomic(path, b.Bytes()); err != nil {
		return failure("cannot_write", "`"+o.Out+"` cannot be written", "", err)
	}
	return a.print(a.shown(path))
}

// choose picks the workflow and the part of it that is wanted.
func (o *GraphOptions) choose(views []*graphview.View) ([]*graphview.View, error) {
	var names []string
	for _, v := range views {
		names = append(names, v.Name)
	}
	if o.Workflow != "" {
		views = slices.DeleteFunc(views, func(v *graphview.View) bool { return v.Name != o.Workflow })
	}
	switch {
	case len(views) == 0:
		return nil, usageError("unknown_workflow", "there is no workflow `"+o.Workflow+"`", "the workflows are "+strings.Join(names, ", "))
	case len(views) > 1 && (o.Format != graphTree || o.Only != ""):
		return nil, usageError("which_workflow", "the service has several workflows", "name one with -w: "+strings.Join(names, ", "))
	case o.Only == "":
		return views, nil
	}
	v := views[0]
	ids := v.Find(o.Only)
	switch len(ids) {
	case 0:
		var known []string
		for _, n := range v.Nodes {
			known = append(known, n.ID, n.Title, n.Class)
		}
		help := "it is an id, a title or a class; `comfyctl graph` shows them"
		if near := diag.Suggest(o.Only, known); near != "" {
			help = "did you mean `" + near + "`?"
		}
		return nil, usageError("unknown_node", "there is no node `"+o.Only+"`", help)
	case 1:
		return []*graphview.View{v.Only(ids[0])}, nil
	}
	return nil, usageError("which_node", "several nodes are `"+o.Only+"`", "name one by its id: "+strings.Join(ids, ", "))
}

func (a *App) draw(w io.Writer, o *GraphOptions, v *graphview.View) error {
	switch o.Format {
	case graphSVG:
		return v.SVG(w)
	case graphDOT:
		return v.DOT(w)
	case graphJSON:
		enc := json.NewEncoder(w)
		enc.SetEscapeHTML(false)
		enc.SetIndent("", "  ")
		return enc.Encode(v)
	case graphMermaid:
		if n := len(v.Links); n > graphview.MermaidLinks {
			a.console().Line(term.Warn, "mermaid", count(n, "link")+"; it draws at most 500 unless its maxEdges is raised")
		}
		return v.Mermaid(w)
	}
	con := a.console()
	return v.Tree(w, graphview.TreeStyle{ASCII: !con.UTF8, Paint: con.Out.Paint})
}

// views are the graphs to draw: of a file, or of the service at hand.
func (a *App) views(ctx context.Context, o *GraphOptions) ([]*graphview.View, error) {
	if o.Path != "" {
		return a.viewOfFile(o.Path)
	}
	file, err := a.serviceFile()
	if err != nil {
		return nil, err
	}
	p, list, err := a.check(ctx, file, validate.Options{Stub: true})
	if err != nil {
		return nil, err
	}
	if len(p.Workflows) == 0 {
		a.reply.diags = list
		return nil, a.refuse(file, list)
	}
	var views []*graphview.View
	for _, w := range p.Workflows {
		views = append(views, graphview.New(w.Graph, graphview.About{Name: w.Name, Inputs: w.Inputs, Outputs: w.Outputs, Findings: list, Catalog: p.Catalog}))
	}
	return views, nil
}

func (a *App) viewOfFile(name string) ([]*graphview.View, error) {
	path, err := a.path(name)
	if err != nil {
		return nil, err
	}
	c, err := catalog.For("")
	if err != nil {
		return nil, err
	}
	w, err := a.readWorkflow(path, c)
	if err != nil {
		return nil, usageError("unreadable_file", "`"+name+"` cannot be read", pathReason(err))
	}
	g, list := w.graph, w.list
	if g == nil {
		a.reply.diags = list
		a.sources = func(string) []byte { return w.text }
		return nil, a.refuse(path, list)
	}
	list = append(list, validate.Graph(g, c, validate.GraphOptions{})...)
	return []*graphview.View{graphview.New(g, graphview.About{Name: a.shown(path), Findings: list, Catalog: c})}, nil
}
