package workflow

import (
	"fmt"

	"github.com/comfyctl/comfyctl/internal/jsonpos"
)

// envelopes are the places where other tools put a prompt, tried in order: the
// body of a POST /prompt, the worker requests of hosting services, the
// frontend's own export object, and ViewComfy's list.
var envelopes = [][]string{
	{"prompt"},
	{"input", "workflow"},
	{"input", "prompt"},
	{"workflow"},
	{"output"},
	{"workflows", "[]", "workflowApiJSON"},
	{"tests", "[]", "input", "workflow"},
}

// unwrap finds the node map in a document and its pointer. A document that is
// a node map, an editor save or nothing known comes back as it is.
func unwrap(root *jsonpos.Value) (*jsonpos.Value, string) {
	if root.Kind != jsonpos.Object || anyNode(root) || isEditorSave(root) {
		return root, ""
	}
	for _, path := range envelopes {
		v, base := follow(root, path)
		if v != nil && v.Kind == jsonpos.Object && (anyNode(v) || isEditorSave(v)) {
			return v, base
		}
	}
	return root, ""
}

// follow walks a path; "[]" is the only element of a list.
func follow(v *jsonpos.Value, path []string) (*jsonpos.Value, string) {
	base := ""
	for _, name := range path {
		if name == "[]" {
			if v.Kind != jsonpos.Array || len(v.Elems) != 1 {
				return nil, ""
			}
			v, base = &v.Elems[0], fmt.Sprintf("%s/%d", base, 0)
			continue
		}
		if v = v.Get(name); v == nil {
			return nil, ""
		}
		base = pointer(base, name)
	}
	return v, base
}

// isEditorSave tells the frontend's own save format.
func isEditorSave(v *jsonpos.Value) bool {
	if n := v.Get("nodes"); n != nil && n.Kind == jsonpos.Array {
		return true
	}
	if v.Get("last_node_id") != nil && v.Get("last_node_id").Kind != jsonpos.Object {
		return true
	}
	version := v.Get("version")
	return version != nil && version.Kind == jsonpos.Number && v.Get("links") != nil
}
