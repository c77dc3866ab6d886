package catalog

import (
	"bytes"
	"encoding/json"
	"path"
	"slices"
	"strings"
)

// ObjectInfo is the catalog in the shape of ComfyUI's GET /object_info, by
// class. files gives the names for model folders ("checkpoints") and, under
// "input", for uploaded files (a folder ends in a slash); combos without an
// entry keep only the options that name no file. Prose, which the catalog does not keep, is empty.
func (c *Catalog) ObjectInfo(files map[string][]string) map[string]json.RawMessage {
	out := make(map[string]json.RawMessage, len(c.names))
	for _, name := range c.names {
		out[name] = objectInfo(name, c.raw[name], files)
	}
	return out
}

// ObjectInfoOf is ObjectInfo for one class.
func (c *Catalog) ObjectInfoOf(name string, files map[string][]string) (json.RawMessage, bool) {
	raw, ok := c.raw[name]
	if !ok {
		return nil, false
	}
	return objectInfo(name, raw, files), true
}

// objectInfo fills one class. It works on the text, so that what ComfyUI sent
// goes out digit by digit.
func objectInfo(name string, raw json.RawMessage, files map[string][]string) json.RawMessage {
	class, err := pairs(raw)
	if err != nil {
		return raw
	}
	var b bytes.Buffer
	b.WriteByte('{')
	put := func(key string, value []byte) {
		if b.Len() > 1 {
			b.WriteByte(',')
		}
		writeKey(&b, key)
		b.Write(value)
	}
	for _, p := range class {
		if p.key != "input" {
			put(p.key, p.raw)
			continue
		}
		put(p.key, filledInputs(name, p.raw, files))
		if !hasKey(class, "input_order") {
			put("input_order", inputOrder(p.raw))
		}
	}
	text, _ := json.Marshal(name) // a string always encodes
	for _, p := range []pair{{"name", text}, {"display_name", text}, {"description", []byte(`""`)}, {"category", []byte(`""`)}} {
		if !hasKey(class, p.key) {
			put(p.key, p.raw)
		}
	}
	b.WriteByte('}')
	return b.Bytes()
}

func hasKey(list []pair, key string) bool {
	return slices.ContainsFunc(list, func(p pair) bool { return p.key == key })
}

func writeKey(b *bytes.Buffer, key string) {
	text, _ := json.Marshal(key) // a string always encodes
	b.Write(text)
	b.WriteByte(':')
}

// filledInputs is the `input` object of a class with its file combos filled.
func filledInputs(class string, raw json.RawMessage, files map[string][]string) []byte {
	groups, err := pairs(raw)
	if err != nil {
		return raw
	}
	var b bytes.Buffer
	b.WriteByte('{')
	for i, g := range groups {
		if i > 0 {
			b.WriteByte(',')
		}
		writeKey(&b, g.key)
		specs, err := pairs(g.raw)
		if err != nil || g.key == "hidden" {
			b.Write(g.raw)
			continue
		}
		b.WriteByte('{')
		for j, s := range specs {
			if j > 0 {
				b.WriteByte(',')
			}
			writeKey(&b, s.key)
			b.Write(filled(class, s.key, s.raw, files))
		}
		b.WriteByte('}')
	}
	b.WriteByte('}')
	return b.Bytes()
}

// inputOrder is the `input_order` object that goes with an `input` object.
func inputOrder(raw json.RawMessage) []byte {
	groups, _ := pairs(raw) // read once already
	var b bytes.Buffer
	b.WriteByte('{')
	for i, g := range groups {
		if i > 0 {
			b.WriteByte(',')
		}
		writeKey(&b, g.key)
		names := []string{}
		specs, _ := pairs(g.raw)
		for _, s := range specs {
			names = append(names, s.key)
		}
		text, _ := json.Marshal(names) // strings always encode
		b.Write(text)
	}
	b.WriteByte('}')
	return b.Bytes()
}

// filled puts file names in front of the fixed options of a file combo.
func filled(class, input string, raw json.RawMessage, files map[string][]string) json.RawMessage {
	in, err := decodeInput(class, input, raw)
	if err != nil || in.Type != "COMBO" || in.Folder == "" && in.File == "" || in.Remote {
		return raw
	}
	names := files[in.Folder]
	if in.Folder == "" {
		names = ofKind(in.File, files["input"])
	}
	options := []json.RawMessage{}
	for _, n := range names {
		text, _ := json.Marshal(n) // a string always encodes
		options = append(options, text)
	}
	for _, o := range in.Enum {
		if !slices.ContainsFunc(options, func(x json.RawMessage) bool { return bytes.Equal(x, o) }) {
			options = append(options, o)
		}
	}
	var parts []json.RawMessage
	if json.Unmarshal(raw, &parts) != nil {
		return raw
	}
	list, err := json.Marshal(options)
	if err != nil {
		return raw
	}
	if in.Literal {
		parts[0] = list
	} else {
		fields, err := pairs(parts[1])
		if err != nil {
			return raw
		}
		var b bytes.Buffer
		b.WriteByte('{')
		for i, f := range fields {
			if i > 0 {
				b.WriteByte(',')
			}
			writeKey(&b, f.key)
			if f.key == "options" {
				f.raw = list
			}
			b.Write(f.raw)
		}
		b.WriteByte('}')
		parts[1] = b.Bytes()
	}
	text, err := json.Marshal(parts)
	if err != nil {
		return raw
	}
	return text
}

// ofKind picks the uploaded files that an input of that kind offers.
func ofKind(kind string, names []string) []string {
	var list []string
	for _, n := range names {
		folder, isFolder := strings.CutSuffix(n, "/")
		switch ext := strings.ToLower(path.Ext(n)); {
		case isFolder && kind == "folder":
			list = append(list, folder)
		case !isFolder && kind != "folder" && (kind == "any" || slices.Contains(extensions[kind], ext)):
			list = append(list, n)
		}
	}
	return list
}

var extensions = map[string][]string{
	"image":  {".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif", ".ico"},
	"video":  {".mp4", ".webm", ".mov", ".mkv", ".avi", ".m4v"},
	"audio":  {".wav", ".mp3", ".flac", ".ogg", ".opus", ".m4a", ".aac", ".mp4", ".webm", ".mov", ".mkv", ".avi"},
	"latent": {".latent"},
	"3d":     {".glb", ".gltf", ".obj", ".fbx", ".stl", ".ply", ".splat", ".spz", ".ksplat", ".usdz"},
	"text":   {".txt", ".pdf", ".md", ".json", ".csv"},
}
