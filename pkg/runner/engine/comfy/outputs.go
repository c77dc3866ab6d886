package comfy

import (
	"bytes"
	"encoding/json"

	"github.com/comfyctl/comfyctl/pkg/runner/engine"
)

// maxOutputDepth bounds how deep a node's report is searched.
const maxOutputDepth = 8

// collector gathers what nodes reported. Several chained nodes may report one
// file; it counts once.
type collector struct {
	list []engine.Output
	seen map[engine.File]bool
}

// add collects all members of one node's report and returns the new outputs.
func (c *collector) add(node string, report json.RawMessage) []engine.Output {
	var members fields
	if err := members.UnmarshalJSON(report); err != nil {
		return nil
	}
	if c.seen == nil {
		c.seen = map[engine.File]bool{}
	}
	from := len(c.list)
	animated := false
	for _, m := range members {
		if m.Name == "animated" {
			var flags []bool
			_ = json.Unmarshal(m.Value, &flags)
			for _, f := range flags {
				animated = animated || f
			}
			continue
		}
		c.walk(node, m.Name, m.Value, 0)
	}
	added := c.list[from:]
	for i := range added {
		added[i].Animated = animated && added[i].File != nil
	}
	return append([]engine.Output(nil), added...)
}

// walk takes objects with a filename for files and strings for texts; flags,
// nulls and objects of other kinds are nobody's output.
func (c *collector) walk(node, key string, v json.RawMessage, depth int) {
	v = bytes.TrimSpace(v)
	if len(v) == 0 || depth > maxOutputDepth {
		return
	}
	switch v[0] {
	case '[':
		var items []json.RawMessage
		if json.Unmarshal(v, &items) != nil {
			return
		}
		for _, item := range items {
			c.walk(node, key, item, depth+1)
		}
	case '{':
		var f struct {
			Filename  *string `json:"filename"`
			Subfolder *string `json:"subfolder"`
			Type      *string `json:"type"`
		}
		if json.Unmarshal(v, &f) != nil || f.Filename == nil || *f.Filename == "" {
			return
		}
		file := engine.File{Name: *f.Filename, Type: "output"}
		if f.Subfolder != nil {
			file.Subfolder = *f.Subfolder
		}
		if f.Type != nil && *f.Type != "" {
			file.Type = *f.Type
		}
		if c.seen[file] {
			return
		}
		c.seen[file] = true
		c.list = append(c.list, engine.Output{Node: node, Key: key, File: &file})
	case '"':
		var s string
		if json.Unmarshal(v, &s) == nil {
			c.list = append(c.list, engine.Output{Node: node, Key: key, Text: s})
		}
	case 't', 'f', 'n':
	default:
		// A number, with the digits that it has.
		c.list = append(c.list, engine.Output{Node: node, Key: key, Text: string(v)})
	}
}
