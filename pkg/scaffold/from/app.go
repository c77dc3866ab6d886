package from

import (
	"encoding/json"
	"strings"

	"github.com/comfyctl/comfyctl/pkg/contract"
	"github.com/comfyctl/comfyctl/pkg/workflow"
)

// app is what ComfyUI's app mode keeps in an editor save: the widgets that are
// shown, by node and name, and the nodes whose results are.
type app struct {
	Inputs  [][]json.RawMessage `json:"inputs"`
	Outputs []json.RawMessage   `json:"outputs"`
}

// App reads the inputs and outputs of app mode from an editor save. g is the
// same graph in API format, whose nodes they are for. ok is false where the
// save was never made an app.
func App(save []byte, g *workflow.Graph) (d *Description, ok bool) {
	if len(save) > maxText {
		return nil, false
	}
	type extra struct {
		Linear *app `json:"linearData"`
	}
	var s struct {
		Extra    extra `json:"extra"`
		Workflow struct {
			Extra extra `json:"extra"`
		} `json:"workflow"`
	}
	if decode(save, &s) != nil {
		return nil, false
	}
	a := s.Extra.Linear
	if a == nil {
		a = s.Workflow.Extra.Linear
	}
	if a == nil || len(a.Inputs)+len(a.Outputs) == 0 {
		return nil, false
	}
	d = &Description{}
	u := &unmarker{d: d}
	for _, entry := range a.Inputs {
		u.shown(entry, g)
	}
	for _, raw := range a.Outputs {
		id := scalarText(raw)
		n := find(g, id, "")
		if n == nil {
			d.lose("the graph that runs has no such node", "output of node %s", id)
			continue
		}
		d.Outputs = append(d.Outputs, contract.Output{Name: free(paramName(outputWord(n), "output"), n.ID, u.takenOutput), Node: n.ID})
	}
	return d, true
}

// shown makes a parameter of one widget: [node, name] or [node, name, layout].
func (u *unmarker) shown(entry []json.RawMessage, g *workflow.Graph) {
	if len(entry) < 2 {
		return
	}
	id, widget := scalarText(entry[0]), scalarText(entry[1])
	n := find(g, id, widget)
	if n == nil {
		u.d.lose("the graph that runs has no such value", "widget `%s` of node %s", widget, id)
		return
	}
	for _, in := range u.d.Inputs {
		if in.To[0] == (contract.Target{Node: n.ID, Input: widget}) {
			return
		}
	}
	u.d.Inputs = append(u.d.Inputs, contract.Input{Name: free(paramName(widget, "value"), n.ID, u.takenInput), To: []contract.Target{{Node: n.ID, Input: widget}}})
}

// find resolves the ways in which app mode names a node: its id, `graph:id`
// for one within a subgraph, and `graph:id:widget` with or without `widget:` in
// front. Within a subgraph the API format's id is host:id. With a widget's name
// only a node that has it as a value counts.
func find(g *workflow.Graph, id, widget string) *workflow.Node {
	id = strings.TrimPrefix(id, "widget:")
	tries := []string{id}
	if parts := strings.SplitN(id, ":", 3); len(parts) > 1 {
		tries = append(tries, parts[1])
	}
	for _, t := range tries {
		if n := g.Node(t); n != nil && holds(n, widget) {
			return n
		}
	}
	for _, t := range tries {
		var only *workflow.Node
		for _, n := range g.Nodes {
			if !strings.HasSuffix(n.ID, ":"+t) && !strings.HasPrefix(n.ID, t+":") || !holds(n, widget) {
				continue
			}
			if only != nil {
				only = nil // two would fit
				break
			}
			only = n
		}
		if only != nil {
			return only
		}
	}
	return nil
}

func holds(n *workflow.Node, widget string) bool {
	if widget == "" {
		return true
	}
	in := n.Input(widget)
	return in != nil && in.Link == nil
}

// scalarText is a JSON string's text, or a number as it stands.
func scalarText(raw json.RawMessage) string {
	var s string
	if json.Unmarshal(raw, &s) == nil {
		return s
	}
	return strings.TrimSpace(string(raw))
}

func outputWord(n *workflow.Node) string {
	class := strings.ToLower(n.Class)
	for _, w := range []string{"video", "audio", "text", "image"} {
		if strings.Contains(class, w) {
			return w
		}
	}
	return "output"
}
