// Package uitest compares a converted editor save with what the editor itself
// exports.
package uitest

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"

	"github.com/comfyctl/comfyctl/pkg/workflow"
)

// Answer is what the editor made of a save: the export, or why there is none.
type Answer struct {
	Output map[string]Node `json:"output,omitempty"`
	Error  string          `json:"error,omitempty"`
}

// Node is a node of an export.
type Node struct {
	Class  string         `json:"class_type"`
	Inputs map[string]any `json:"inputs"`
	Meta   struct {
		Title string `json:"title"`
	} `json:"_meta"`
}

// Diff lists in words how a converted graph differs from the editor's export:
// nodes, classes, inputs, values. Numbers are compared as JavaScript has them.
// titles tells whether titles count.
func Diff(g *workflow.Graph, want Answer, titles bool) []string {
	var list []string
	add := func(format string, args ...any) { list = append(list, fmt.Sprintf(format, args...)) }
	seen := map[string]bool{}
	for _, n := range g.Nodes {
		seen[n.ID] = true
		w, ok := want.Output[n.ID]
		if !ok {
			add("node %s %s is not in the editor's export", n.ID, n.Class)
			continue
		}
		if w.Class != n.Class {
			add("node %s is %s, in the editor's export %s", n.ID, n.Class, w.Class)
		}
		if titles && w.Meta.Title != n.Title {
			add("node %s has the title %q, in the editor's export %q", n.ID, n.Title, w.Meta.Title)
		}
		inputs(n, w, add)
	}
	for id, w := range want.Output {
		if !seen[id] {
			add("node %s %s of the editor's export is missing", id, w.Class)
		}
	}
	slices.Sort(list)
	return list
}

func inputs(n *workflow.Node, w Node, add func(string, ...any)) {
	mine := map[string]bool{}
	for _, in := range n.Inputs {
		mine[in.Name] = true
		var got any
		if err := json.Unmarshal(in.Raw, &got); err != nil {
			add("node %s %s: %s is not JSON: %s", n.ID, n.Class, in.Name, in.Raw)
			continue
		}
		want, ok := w.Inputs[in.Name]
		switch {
		case !ok:
			add("node %s %s: %s = %.80v is not in the editor's export", n.ID, n.Class, in.Name, got)
		case !reflect.DeepEqual(got, want):
			add("node %s %s: %s = %.80v, in the editor's export %.80v", n.ID, n.Class, in.Name, got, want)
		}
	}
	for name, v := range w.Inputs {
		if !mine[name] {
			add("node %s %s: %s = %.80v of the editor's export is missing", n.ID, n.Class, name, v)
		}
	}
}
