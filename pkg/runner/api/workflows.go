package api

import (
	"context"
	"fmt"
	"slices"

	"github.com/comfyctl/comfyctl/pkg/catalog"
	"github.com/comfyctl/comfyctl/pkg/contract"
	"github.com/comfyctl/comfyctl/pkg/runner/files"
	"github.com/comfyctl/comfyctl/pkg/runner/prompt"
)

// outputNodes are the output nodes of a workflow that have no file name prefix
// to tell their runs apart. Foreign ones are of classes that may compute while
// they save.
type outputNodes struct{ nodes, foreign []string }

// checkGraphs says what is wrong with a contract's workflows, and finds their
// output nodes.
func checkGraphs(c *contract.Contract) (map[*contract.Workflow]outputNodes, error) {
	cat, err := catalog.For(c.Engine.Version)
	if err != nil {
		return nil, fmt.Errorf("reading the contract: %w", err)
	}
	all := map[*contract.Workflow]outputNodes{}
	for i := range c.Workflows {
		w := &c.Workflows[i]
		g, err := prompt.Decode(w.Graph)
		if err != nil {
			return nil, fmt.Errorf("reading the contract: workflow %s: %w", w.Name, err)
		}
		if faults := g.Check(); len(faults) > 0 {
			return nil, fmt.Errorf("reading the contract: workflow %s: %w", w.Name, faults[0])
		}
		if err := checkNames(w, g); err != nil {
			return nil, fmt.Errorf("reading the contract: workflow %s: %w", w.Name, err)
		}
		all[w] = findOutputs(w, g, cat)
	}
	return all, nil
}

// checkNames sees that inputs and outputs name nodes that exist.
func checkNames(w *contract.Workflow, g prompt.Graph) error {
	for _, in := range w.Inputs {
		for _, t := range in.To {
			if g[t.Node] == nil {
				return fmt.Errorf("input %s writes node %s, which the graph lacks", in.Name, t.Node)
			}
		}
	}
	for _, o := range w.Outputs {
		if g[o.Node] == nil {
			return fmt.Errorf("output %s reads node %s, which the graph lacks", o.Name, o.Node)
		}
		if !slices.Contains([]string{"", "png", "jpeg", "webp"}, o.Format) {
			return fmt.Errorf("output %s has the format %q; png, jpeg and webp are made", o.Name, o.Format)
		}
		if !slices.Contains([]string{"", "keep", "strip"}, o.Metadata) {
			return fmt.Errorf("output %s has metadata %q; it is keep or strip", o.Name, o.Metadata)
		}
	}
	return nil
}

func findOutputs(w *contract.Workflow, g prompt.Graph, cat *catalog.Catalog) outputNodes {
	var out outputNodes
	for id, n := range g {
		class, known := cat.Class(n.ClassType)
		named := slices.ContainsFunc(w.Outputs, func(o contract.Output) bool { return o.Node == id })
		if n.Saver() || !named && (!known || !class.OutputNode) {
			continue
		}
		out.nodes = append(out.nodes, id)
		if !known {
			out.foreign = append(out.foreign, id)
		}
	}
	slices.Sort(out.nodes)
	slices.Sort(out.foreign)
	return out
}

// resolver finds a request's files, among those that its caller may see.
func (a *API) resolver(ctx context.Context) *files.Resolver {
	return &files.Resolver{Store: a.c.Files, Fetcher: a.c.Fetcher, Owner: owner(ctx), Output: a.outputFile}
}
