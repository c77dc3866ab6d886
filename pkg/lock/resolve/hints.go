package resolve

import (
	"encoding/json"
	"regexp"
	"strings"
)

// Hint is what the editor wrote down about the pack of a node.
type Hint struct {
	// CNR is an id of the registry, Aux owner/repository on GitHub.
	CNR, Aux string
	// Ver is a version of the registry, or a commit.
	Ver string
}

// coreID is the registry id that stands for ComfyUI itself.
const coreID = "comfy-core"

var auxID = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9-]*/[A-Za-z0-9_.-]+$`)

// Repo is the address that Aux stands for, or "".
func (h Hint) Repo() string {
	if !auxID.MatchString(h.Aux) {
		return ""
	}
	return "https://github.com/" + h.Aux
}

type hintProperties struct {
	CNR string `json:"cnr_id"`
	Aux string `json:"aux_id"`
	Ver string `json:"ver"`
}

func (p hintProperties) hint() (Hint, bool) {
	h := Hint(p)
	if h.CNR == coreID {
		return Hint{}, false
	}
	return h, h.CNR != "" || h.Repo() != ""
}

// Hints collects the hints of a workflow by class: from `properties` of an
// editor save, subgraphs included, and from `properties` or `_meta` of an
// export. Where two nodes of one class contradict each other, that class has
// none. What is no workflow has no hints.
func Hints(src []byte) map[string]Hint {
	found := map[string]Hint{}
	bad := map[string]bool{}
	add := func(class string, p hintProperties) {
		h, ok := p.hint()
		if !ok || class == "" || bad[class] {
			return
		}
		old, had := found[class]
		switch {
		case !had || old.CNR == h.CNR && old.Aux == h.Aux && old.Ver == "":
			found[class] = h
		case !strings.EqualFold(old.CNR, h.CNR) || !strings.EqualFold(old.Aux, h.Aux):
			delete(found, class)
			bad[class] = true
		}
	}
	var walk func(raw json.RawMessage, depth int)
	walk = func(raw json.RawMessage, depth int) {
		var doc map[string]json.RawMessage
		if depth > 6 || json.Unmarshal(raw, &doc) != nil {
			return
		}
		var nodes []json.RawMessage
		if json.Unmarshal(doc["nodes"], &nodes) == nil {
			for _, n := range nodes {
				var node struct {
					Type       string          `json:"type"`
					Properties json.RawMessage `json:"properties"`
				}
				if json.Unmarshal(n, &node) == nil {
					add(node.Type, properties(node.Properties))
				}
			}
		}
		for _, key := range sortedKeys(doc) {
			v := doc[key]
			var node struct {
				Class      string          `json:"class_type"`
				Properties json.RawMessage `json:"properties"`
				Meta       json.RawMessage `json:"_meta"`
			}
			if json.Unmarshal(v, &node) == nil && node.Class != "" {
				add(node.Class, properties(node.Properties))
				add(node.Class, properties(node.Meta))
				continue
			}
			if key == "definitions" || key == "workflow" || key == "prompt" || key == "input" || key == "extra_data" || key == "extra_pnginfo" {
				walk(v, depth+1)
			}
			var list []json.RawMessage
			if key == "subgraphs" && json.Unmarshal(v, &list) == nil {
				for _, g := range list {
					walk(g, depth+1)
				}
			}
		}
	}
	walk(src, 0)
	return found
}

// properties reads what may be of any shape.
func properties(raw json.RawMessage) hintProperties {
	var p hintProperties
	if len(raw) == 0 || json.Unmarshal(raw, &p) != nil {
		return hintProperties{}
	}
	return p
}
