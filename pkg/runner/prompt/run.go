package prompt

import (
	"encoding/json"
	"fmt"
	"path"
	"strings"
)

// marker is an input that no node class has. The engine leaves it out when it
// calls the node, but its cache sees it, so a node with a marker of its own is
// run again.
const marker = "comfyctl_run"

// prefixInput is the input by which nodes that save name their files.
const prefixInput = "filename_prefix"

// Separate makes a run's saves its own: every file name gets the run's folder,
// and output nodes that choose their names themselves are made to run again.
// Without this the engine would answer an unchanged save from its cache with
// the name of a file that an earlier run made and that is gone by now. Only
// the saving is done again: what is saved still comes from the cache.
//
// run is a folder name such as job_01J/1; output says which nodes, besides
// those with a filename prefix, are outputs.
func (g Graph) Separate(run string, output func(id string, n *Node) bool) {
	for id, n := range g {
		if prefix, ok := n.prefix(); ok && !escapes(prefix) {
			n.Inputs[prefixInput] = quote("jobs/" + run + "/" + baseName(prefix))
		} else if output(id, n) {
			n.Inputs[marker] = quote(run)
		}
	}
}

// Saver reports whether a node only writes down what others computed, as far
// as can be told: it has a file name prefix of its own.
func (n *Node) Saver() bool {
	_, ok := n.prefix()
	return ok
}

// prefix is the node's literal filename_prefix; one that comes by a link is
// not ours to change.
func (n *Node) prefix() (string, bool) {
	var s string
	raw, ok := n.Inputs[prefixInput]
	if !ok || len(raw) == 0 || raw[0] != '"' || json.Unmarshal(raw, &s) != nil {
		return "", false
	}
	return s, true
}

// escapes reports whether a prefix leads out of the output folder. It is left
// as it is: the engine refuses it in the words that its author knows.
func escapes(prefix string) bool {
	clean := path.Clean(strings.ReplaceAll(prefix, `\`, "/"))
	return clean == ".." || strings.HasPrefix(clean, "../") || strings.HasPrefix(clean, "/")
}

// baseName is the last part of a prefix; the folders in it are dropped.
func baseName(prefix string) string {
	base := prefix[strings.LastIndexAny(prefix, `/\`)+1:]
	if strings.Trim(base, ". ") == "" {
		return "output"
	}
	return base
}

// Set writes a value into a node's input.
func (g Graph) Set(node, input string, value json.RawMessage) error {
	n := g[node]
	if n == nil {
		return fmt.Errorf("writing input %s: the graph has no node %s", input, node)
	}
	if n.Inputs == nil {
		n.Inputs = map[string]json.RawMessage{}
	}
	n.Inputs[input] = value
	return nil
}

// Encode writes the graph for the engine.
func (g Graph) Encode() (json.RawMessage, error) {
	b, err := json.Marshal(g)
	if err != nil {
		return nil, fmt.Errorf("encoding the graph: %w", err)
	}
	return b, nil
}

func quote(s string) json.RawMessage {
	b, _ := json.Marshal(s) // a string always can
	return b
}
