package graphview

import (
	"fmt"
	"io"
	"strings"

	"github.com/comfyctl/comfyctl/internal/diag"
)

// lines are what a node's box says, the head first.
func (n *Node) lines() []string {
	list := []string{n.ID + " " + n.Class}
	if n.Missing {
		list[0] = n.ID + " is missing"
	}
	if n.Title != "" && n.Title != n.Class {
		list = append(list, n.Title)
	}
	if n.Pack != "" {
		list = append(list, "from "+n.Pack)
	}
	for _, p := range n.Params {
		list = append(list, p.Input+" ▸ "+p.Name)
	}
	for _, r := range n.Results {
		list = append(list, "result "+r)
	}
	for _, p := range n.Problems {
		if p.Severity != diag.SeverityNote {
			list = append(list, string(p.Severity)+" "+p.Code)
		}
	}
	for i := range list {
		list[i] = oneLine(list[i])
	}
	return list
}

// oneLine makes text from a stranger harmless and puts it on one line.
func oneLine(s string) string { return strings.Join(strings.Fields(diag.Safe(s)), " ") }

// dotQuote writes text as a quoted string of DOT, whose escapes are those of
// labels: a backslash of the text is doubled, and entities are none.
func dotQuote(s string) string {
	return `"` + strings.NewReplacer("&", "&amp;", `\`, `\\`, `"`, `\"`, "\n", `\n`).Replace(s) + `"`
}

// DOT writes the graph in the language of Graphviz.
func (v *View) DOT(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "digraph %s {\n  rankdir=LR;\n  node [shape=box, style=rounded, fontname=\"sans-serif\", fontsize=11];\n  edge [fontname=\"sans-serif\", fontsize=9, color=\"#777777\"];\n", dotQuote(oneLine(v.Name)))
	ids := v.keys()
	for i := range v.Nodes {
		n := &v.Nodes[i]
		more := ""
		switch p := n.worst(); {
		case n.Missing:
			more = `, style="rounded,dashed", color="#c0392b"`
		case p != nil && p.Severity == diag.SeverityError:
			more = `, color="#c0392b"`
		case p != nil:
			more = `, color="#b7791f"`
		case n.Output:
			more = ", penwidth=2"
		}
		fmt.Fprintf(&b, "  %s [label=%s%s];\n", ids[n.ID], dotQuote(strings.Join(n.lines(), "\n")), more)
	}
	for _, l := range v.Links {
		fmt.Fprintf(&b, "  %s -> %s [label=%s];\n", ids[l.From], ids[l.To], dotQuote(oneLine(l.Input)))
	}
	b.WriteString("}\n")
	_, err := io.WriteString(w, b.String())
	return err
}

// keys gives each node an identifier that every language takes.
func (v *View) keys() map[string]string {
	m := make(map[string]string, len(v.Nodes))
	for i, n := range v.Nodes {
		m[n.ID] = fmt.Sprintf("n%d", i)
	}
	return m
}
