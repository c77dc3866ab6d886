package from

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/comfyctl/comfyctl/internal/diag"
)

// maxText is the largest list or graph that is read, in bytes.
const maxText = 64 << 20

// Detect tells what a file is by its content; "" is none that Read knows, such
// as a workflow.
func Detect(src []byte) Kind {
	if isZip(src) {
		return CPack
	}
	if len(src) > maxText {
		return ""
	}
	var list []cogNode
	if body := bytes.TrimSpace(src); len(body) > 0 && body[0] == '[' {
		if json.Unmarshal(body, &list) == nil && len(list) > 0 && list[0].Repo != "" {
			return CogNodes
		}
		return ""
	}
	top := keys(src)
	has := func(names ...string) bool {
		for _, n := range names {
			if _, ok := top[n]; ok {
				return true
			}
		}
		return false
	}
	nodes := top["custom_nodes"]
	switch {
	case top["type"].text == desktopType:
		return Desktop
	case top["file_type"].text == "view_comfy":
		return ViewComfy
	case strings.HasPrefix(top["schema"].text, "comfy-build/"), strings.HasPrefix(top["schema"].text, "distribution-definition/"):
		return Build
	case has("python") && has("models") && has("comfyui"):
		return CPackList
	case has("git_custom_nodes", "cnr_custom_nodes", "file_custom_nodes"), nodes.kind == yaml.MappingNode && nodes.has("git_custom_nodes", "cnr_custom_nodes"):
		return Manager
	case has("class_type", "nodes", "links"):
		return ""
	case nodes.kind == yaml.SequenceNode, top["models"].has("before_start", "after_start"), top["apt"].kind == yaml.SequenceNode, top["pip"].kind == yaml.SequenceNode:
		return Manifest
	case top["build"].kind == yaml.MappingNode && (has("predict", "run", "train", "image") || top["build"].has("python_version", "gpu", "cuda", "python_requirements", "python_packages")):
		return Cog
	}
	return ""
}

// Read reads a file of another tool. file is its name for messages and for the
// service's; the error says what is wrong with it.
func Read(file string, src []byte, o Options) (*Description, error) {
	kind := Detect(src)
	read, ok := readers[kind]
	if !ok {
		return nil, &diag.Error{Code: "unknown_source", Class: diag.ClassCheck, Message: "`" + file + "` is none of the files that init can start from",
			Help: "it takes X.cpack.zip, snapshots of ComfyUI-Manager and Desktop, a comfyui-api manifest, comfy-build.yaml,\ncog.yaml, custom_nodes.json of cog-comfyui and view_comfy.json; a workflow is given without --from"}
	}
	if kind != CPack && len(src) > maxText {
		return nil, refuse(kind, "", "the file has more than %d MB", maxText>>20)
	}
	d := &Description{Kind: kind}
	if err := read(d, src, o); err != nil {
		return nil, err
	}
	d.tidy()
	return d, nil
}

var readers = map[Kind]func(*Description, []byte, Options) error{
	CPack: readCPack, CPackList: readSnapshot, Manager: readSnapshot, Desktop: readDesktop, Manifest: readManifest,
	Build: readBuild, Cog: readCog, CogNodes: readCogNodes, ViewComfy: readViewComfy,
}

// key is the outline of a value: its kind, its text and the keys in it.
type key struct {
	kind  yaml.Kind
	text  string
	names []string
}

func (k key) has(names ...string) bool {
	for _, n := range names {
		for _, have := range k.names {
			if n == have {
				return true
			}
		}
	}
	return false
}

// keys outlines the mapping at the top of a JSON or YAML file.
func keys(src []byte) map[string]key {
	var root map[string]yaml.Node
	src = bytes.TrimPrefix(src, []byte("\xef\xbb\xbf"))
	if json.Valid(src) {
		return jsonKeys(src)
	}
	if yaml.Unmarshal(src, &root) != nil {
		return nil
	}
	out := map[string]key{}
	for name := range root {
		n := root[name]
		k := key{kind: n.Kind, text: n.Value}
		if n.Kind == yaml.MappingNode {
			for i := 0; i < len(n.Content); i += 2 {
				k.names = append(k.names, n.Content[i].Value)
			}
		}
		out[name] = k
	}
	return out
}

func jsonKeys(src []byte) map[string]key {
	var root map[string]json.RawMessage
	if json.Unmarshal(src, &root) != nil {
		return nil
	}
	out := map[string]key{}
	for name, raw := range root {
		k := key{kind: yaml.ScalarNode}
		switch raw[0] {
		case '[':
			k.kind = yaml.SequenceNode
		case '{':
			k.kind = yaml.MappingNode
			var inner map[string]json.RawMessage
			if json.Unmarshal(raw, &inner) == nil {
				for n := range inner {
					k.names = append(k.names, n)
				}
			}
		case '"':
			_ = json.Unmarshal(raw, &k.text) // a text that does not decode is none
		}
		out[name] = k
	}
	return out
}

// isJSON tells JSON from YAML; JSON is read as JSON, since YAML forbids tabs.
func isJSON(src []byte) bool {
	body := bytes.TrimSpace(bytes.TrimPrefix(src, []byte("\xef\xbb\xbf")))
	return len(body) > 0 && (body[0] == '{' || body[0] == '[')
}

// decode reads JSON or YAML. YAML keeps the text of scalars that go into
// strings, so that a commit such as 9614e93 stays one.
func decode(src []byte, v any) error {
	src = bytes.TrimPrefix(src, []byte("\xef\xbb\xbf"))
	if !isJSON(src) {
		return yaml.Unmarshal(src, v)
	}
	err := json.Unmarshal(src, v)
	if err != nil && !json.Valid(src) && yaml.Unmarshal(src, v) == nil {
		return nil // YAML may start with a brace too
	}
	return err
}

// into is decode with an error for the user.
func into(kind Kind, src []byte, v any) error {
	if err := decode(src, v); err != nil {
		return refuse(kind, "", "%s", plainly(err))
	}
	return nil
}

// plainly takes Go's words out of a decoder's message.
func plainly(err error) string {
	s := err.Error()
	for _, p := range []string{"json: ", "yaml: "} {
		s = strings.TrimPrefix(s, p)
	}
	if i := strings.Index(s, " of type "); i > 0 && strings.HasPrefix(s, "cannot unmarshal") {
		s = fmt.Sprintf("a value of the wrong type: %s", strings.TrimPrefix(s[:i], "cannot unmarshal "))
	}
	return strings.ReplaceAll(s, "\n", " ")
}
