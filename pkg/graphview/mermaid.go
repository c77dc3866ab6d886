package graphview

import (
	"fmt"
	"io"
	"strings"

	"github.com/comfyctl/comfyctl/internal/diag"
)

// MermaidLinks is how many links Mermaid draws unless it is told otherwise.
const MermaidLinks = 500

// mermaidEscape writes what means something to Mermaid, HTML or Markdown as
// Mermaid's entities. Two dollar signs begin a formula all the same, so that a
// space of no width parts them.
var mermaidEscape = strings.NewReplacer("$$", "$#8203;$", "#", "#35;", `"`, "#quot;", "&", "#amp;", "<", "#lt;", ">", "#gt;", "`", "#96;", `\`, "#92;", "*", "#42;", "_", "#95;", "%", "#37;")

func mermaidQuote(lines ...string) string {
	for i := range lines {
		lines[i] = mermaidEscape.Replace(lines[i])
	}
	return `"` + strings.Join(lines, "<br/>") + `"`
}

// Mermaid writes the graph as a flowchart, as Markdown pages draw it between
// ```mermaid and ```.
func (v *View) Mermaid(w io.Writer) error {
	var b strings.Builder
	b.WriteString("flowchart LR\n")
	ids := v.keys()
	classes := map[string][]string{}
	for i := range v.Nodes {
		n := &v.Nodes[i]
		fmt.Fprintf(&b, "  %s[%s]\n", ids[n.ID], mermaidQuote(n.lines()...))
		switch p := n.worst(); {
		case n.Missing, p != nil && p.Severity == diag.SeverityError:
			classes["bad"] = append(classes["bad"], ids[n.ID])
		case p != nil:
			classes["doubtful"] = append(classes["doubtful"], ids[n.ID])
		case n.Output:
			classes["result"] = append(classes["result"], ids[n.ID])
		case len(n.Params) > 0:
			classes["param"] = append(classes["param"], ids[n.ID])
		}
	}
	for _, l := range v.Links {
		fmt.Fprintf(&b, "  %s -->|%s| %s\n", ids[l.From], mermaidQuote(oneLine(l.Input)), ids[l.To])
	}
	for _, c := range [][2]string{{"bad", "stroke:#c0392b,stroke-width:2px"}, {"doubtful", "stroke:#b7791f,stroke-width:2px"}, {"result", "stroke-width:3px"}, {"param", "stroke:#2b6cb0,stroke-width:2px"}} {
		if list := classes[c[0]]; len(list) > 0 {
			fmt.Fprintf(&b, "  classDef %s %s\n  class %s %s\n", c[0], c[1], strings.Join(list, ","), c[0])
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}
