package workflow

import "fmt"

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
func unwrap(root *value) (*value, string) {
	if root.kind != kindObject || anyNode(root) || isEditorSave(root) {
		return root, ""
	}
	for _, path := range envelopes {
		v, base := follow(root, path)
		if v != nil && v.kind == kindObject && (anyNode(v) || isEditorSave(v)) {
			return v, base
		}
	}
	return root, ""
}

// follow walks a path; "[]" is the only element of a list.
func follow(v *value, path []string) (*value, string) {
	base := ""
	for _, name := range path {
		if name == "[]" {
			if v.kind != kindArray || len(v.elems) != 1 {
				return nil, ""
			}
			v, base = &v.elems[0], fmt.Sprintf("%s/%d", base, 0)
			continue
		}
		if v = v.get(name); v == nil {
			return nil, ""
		}
		base = pointer(base, name)
	}
	return v, base
}

// isEditorSave tells the frontend's own save format.
func isEditorSave(v *value) bool {
	if n := v.get("nodes"); n != nil && n.kind == kindArray {
		return true
	}
	if v.get("last_node_id") != nil && v.get("last_node_id").kind != kindObject {
		return true
	}
	version := v.get("version")
	return version != nil && version.kind == kindNumber && v.get("links") != nil
}
