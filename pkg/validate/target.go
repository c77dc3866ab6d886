package validate

import (
	"strings"

	"github.com/comfyctl/comfyctl/internal/diag"
	"github.com/comfyctl/comfyctl/pkg/catalog"
	"github.com/comfyctl/comfyctl/pkg/workflow"
)

// resolver turns what a service file says about one graph into contract terms.
type resolver struct {
	l   *loader
	g   *workflow.Graph
	cat *catalog.Catalog
}

// target splits NODE.INPUT or @Title.INPUT. Ids and titles may hold dots, and
// so may inputs: the first split whose left side names a node counts. Where
// none does, node is nil and wanted is the likeliest name.
func (x *resolver) target(to string) (n *workflow.Node, input string, wanted string, many []*workflow.Node) {
	title := strings.HasPrefix(to, "@")
	body := strings.TrimPrefix(to, "@")
	for i := 0; i < len(body); i++ {
		if body[i] != '.' {
			continue
		}
		name, rest := body[:i], body[i+1:]
		if wanted == "" {
			wanted = name
		}
		if !title {
			if n := x.g.Node(name); n != nil {
				return n, rest, name, nil
			}
			continue
		}
		switch nodes := x.g.ByTitle(name); len(nodes) {
		case 0:
		case 1:
			return nodes[0], rest, name, nil
		default:
			return nil, rest, name, nodes
		}
	}
	if wanted == "" {
		wanted = body
	}
	return nil, "", wanted, nil
}

// noNode is the finding for a name that stands for no node, or for several.
func (x *resolver) noNode(code, what, name, wanted string, many []*workflow.Node) diag.Diagnostic {
	d := diag.Diagnostic{Code: code}
	if len(many) > 0 {
		var ids []string
		for _, n := range many {
			ids = append(ids, n.ID)
		}
		d.Message, d.Label = what+" `"+name+"` names several nodes", "nodes "+strings.Join(ids, ", ")+" have this title"
		d.Help = "name one by its id"
		return d
	}
	d.Message = what + " `" + name + "` names no node"
	if strings.HasPrefix(name, "@") {
		var titles []string
		for _, n := range x.g.Nodes {
			if n.Title != "" {
				titles = append(titles, n.Title)
			}
		}
		d.Label = "no node has the title `" + wanted + "`"
		if best := diag.Suggest(wanted, titles); best != "" {
			d.Help = "did you mean `@" + best + "`?"
		}
		return d
	}
	d.Label = "no node has the id `" + wanted + "`"
	for _, n := range x.g.Nodes {
		if n.Title == wanted || n.Class == wanted {
			d.Help = "did you mean node `" + n.ID + "` (" + n.Class + ")?"
			return d
		}
	}
	if best := diag.Suggest(wanted, nodeIDs(x.g)); best != "" {
		n := x.g.Node(best)
		d.Help = "did you mean node `" + best + "` (" + n.Class + ")?"
	}
	return d
}

func nodeIDs(g *workflow.Graph) []string {
	list := make([]string, len(g.Nodes))
	for i, n := range g.Nodes {
		list[i] = n.ID
	}
	return list
}

// specs are the inputs that a node has, nil where its class is not known.
func (x *resolver) specs(n *workflow.Node) []catalog.InputSpec {
	cl, ok := x.cat.Class(n.Class)
	if !ok {
		return nil
	}
	return cl.Expand(values(n))
}

func values(n *workflow.Node) func(string) catalog.Value {
	return func(name string) catalog.Value {
		in := n.Input(name)
		if in == nil {
			return catalog.Value{}
		}
		return catalog.Value{Given: true, Text: in.Text}
	}
}
