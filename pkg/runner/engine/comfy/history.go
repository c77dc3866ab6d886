package comfy

import (
	"encoding/json"
	"strings"

	"github.com/comfyctl/comfyctl/pkg/runner/engine"
)

// entry is a prompt's history entry: the truth about how it ended.
type entry struct {
	// Prompt is number, id, graph, extra data, outputs to execute.
	Prompt  []json.RawMessage `json:"prompt"`
	Outputs fields            `json:"outputs"`
	Meta    map[string]struct {
		Display string `json:"display_node"`
	} `json:"meta"`
	Status *struct {
		Text     string              `json:"status_str"`
		Messages [][]json.RawMessage `json:"messages"`
	} `json:"status"`
}

// ending is what an entry says.
type ending struct {
	err         error // nil on success
	interrupted bool
	cached      []string
}

// blocked is the exception type of a node that chose not to run; its event is
// no failure of the prompt.
const blocked = "ExecutionBlocked"

// failure is the data of an execution_error message.
type failure struct {
	NodeID    string          `json:"node_id"`
	NodeType  string          `json:"node_type"`
	Message   string          `json:"exception_message"`
	Type      string          `json:"exception_type"`
	Traceback json.RawMessage `json:"traceback"`
}

// ending classifies the entry. A message outranks status_str, which an error
// outside a node leaves as the previous prompt set it.
func (e *entry) ending() ending {
	var end ending
	if e.Status == nil {
		return end
	}
	for _, m := range e.Status.Messages {
		var kind string
		if len(m) < 2 || json.Unmarshal(m[0], &kind) != nil {
			continue
		}
		switch kind {
		case "execution_cached":
			var data struct{ Nodes []string }
			_ = json.Unmarshal(m[1], &data)
			end.cached = append(end.cached, data.Nodes...)
		case "execution_error":
			var f failure
			if json.Unmarshal(m[1], &f) == nil && f.Type != blocked && end.err == nil {
				end.err = f.error()
			}
		case "execution_interrupted":
			end.interrupted = true
		}
	}
	switch {
	case end.err != nil:
	case end.interrupted:
		end.err = engine.ErrInterrupted
	case e.Status.Text == "error":
		end.err = &engine.RunError{ExceptionType: "unknown", Message: "the engine reported an error without a message"}
	}
	return end
}

// node maps the id of an output to that of the prompt: nodes that expand at run
// time report under ids of their own.
func (e *entry) node(id string) string {
	if d := e.Meta[id].Display; d != "" {
		return d
	}
	return id
}

// executedOutputs are the output nodes that the engine really took on.
func (e *entry) executedOutputs() []string {
	var ids []string
	if len(e.Prompt) > 4 {
		_ = json.Unmarshal(e.Prompt[4], &ids)
	}
	return ids
}

func (f *failure) error() *engine.RunError {
	e := &engine.RunError{
		NodeID: f.NodeID, NodeType: f.NodeType,
		ExceptionType: f.Type,
		Message:       strings.TrimSpace(f.Message),
		OutOfMemory:   outOfMemory(f.Type, f.Message),
	}
	// Absent or of another shape in some releases; it is for debugging only.
	_ = json.Unmarshal(f.Traceback, &e.Traceback)
	return e
}

// outOfMemory recognises an exhausted device or host by type and by text: the
// type's name differs between releases of torch, and a failed allocation on the
// CPU is a plain RuntimeError.
func outOfMemory(kind, message string) bool {
	if strings.HasSuffix(kind, "OutOfMemoryError") || strings.HasSuffix(kind, "MemoryError") {
		return true
	}
	m := strings.ToLower(message)
	for _, s := range []string{"out of memory", "cpuallocator", "not enough memory", "can't allocate memory", "cannot allocate memory"} {
		if strings.Contains(m, s) {
			return true
		}
	}
	return false
}

// poisoned recognises a device fault after which every later prompt fails
// until the process is started again.
func poisoned(e *engine.RunError) bool {
	if e.OutOfMemory {
		return false
	}
	m := strings.ToLower(e.Message)
	return strings.Contains(m, "device-side assert") || strings.Contains(m, "illegal memory access") ||
		strings.Contains(m, "unspecified launch failure")
}

// reused reports whether nothing but the saving was done anew: every node that
// the executed outputs need came from the cache, the output nodes themselves
// apart, since those run again for a file name of their own.
func reused(graph json.RawMessage, outputs, cached []string) bool {
	var nodes map[string]struct {
		Inputs map[string]json.RawMessage `json:"inputs"`
	}
	if json.Unmarshal(graph, &nodes) != nil || len(outputs) == 0 || len(cached) == 0 {
		return false
	}
	fromCache := map[string]bool{}
	for _, id := range cached {
		fromCache[id] = true
	}
	isOutput := map[string]bool{}
	for _, id := range outputs {
		isOutput[id] = true
	}
	seen := map[string]bool{}
	todo := append([]string(nil), outputs...)
	for len(todo) > 0 {
		id := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if seen[id] {
			continue
		}
		seen[id] = true
		sources := links(nodes[id].Inputs)
		// An output node without sources does all the work itself.
		if !fromCache[id] && (!isOutput[id] || len(sources) == 0) {
			return false
		}
		todo = append(todo, sources...)
	}
	return true
}

// links are the nodes that inputs refer to.
func links(inputs map[string]json.RawMessage) []string {
	var ids []string
	for _, v := range inputs {
		var pair []json.RawMessage
		var id string
		if json.Unmarshal(v, &pair) == nil && len(pair) == 2 && json.Unmarshal(pair[0], &id) == nil {
			ids = append(ids, id)
		}
	}
	return ids
}
