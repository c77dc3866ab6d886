package from

import (
	"encoding/json"
	"strings"

	"github.com/comfyctl/comfyctl/pkg/contract"
	"github.com/comfyctl/comfyctl/pkg/infer"
)

// viewComfy is view_comfy.json.
type viewComfy struct {
	Title     string `json:"appTitle"`
	Workflows []struct {
		App   viewApp         `json:"viewComfyJSON"`
		Graph json.RawMessage `json:"workflowApiJSON"`
	} `json:"workflows"`
}

type viewApp struct {
	Title       string      `json:"title"`
	Description string      `json:"description"`
	Inputs      []viewGroup `json:"inputs"`
	Advanced    []viewGroup `json:"advancedInputs"`
}

type viewGroup struct {
	Title  string      `json:"title"`
	Inputs []viewField `json:"inputs"`
}

type viewField struct {
	Title       string            `json:"title"`
	Help        string            `json:"helpText"`
	Tooltip     string            `json:"tooltip"`
	Path        []json.RawMessage `json:"workflowPath"`
	Type        string            `json:"valueType"`
	Value       json.RawMessage   `json:"value"`
	Visibility  string            `json:"visibility"`
	Validations struct {
		Required bool `json:"required"`
	} `json:"validations"`
	Options []struct {
		Value json.RawMessage `json:"value"`
	} `json:"options"`
	Slider *viewRange `json:"slider"`
	Range  *viewRange `json:"range"`
}

type viewRange struct {
	Min  json.Number `json:"min"`
	Max  json.Number `json:"max"`
	Step json.Number `json:"step"`
}

func readViewComfy(d *Description, src []byte, o Options) error {
	var v viewComfy
	if err := into(ViewComfy, src, &v); err != nil {
		return err
	}
	if len(v.Workflows) == 0 {
		return refuse(ViewComfy, "save it again in ViewComfy's editor", "there is no workflow in it")
	}
	var names []string
	for _, w := range v.Workflows {
		names = append(names, w.App.Title)
	}
	at, err := pick(ViewComfy, o, 0, names)
	if err != nil {
		return err
	}
	for i, name := range names {
		if i != at {
			d.lose("a service is made of one; --pick chooses another", "workflow `%s`", name)
		}
	}
	w := v.Workflows[at]
	if len(w.Graph) > 0 && w.Graph[0] == '{' {
		d.Graph = w.Graph
	}
	d.Name, d.About = w.App.Title, w.App.Description
	if d.Name == "" {
		d.Name = v.Title
	}
	for _, group := range append(w.App.Inputs, w.App.Advanced...) {
		for _, f := range group.Inputs {
			d.field(f)
		}
	}
	return nil
}

// viewTypes maps ViewComfy's types; what is missing is left to the node's
// definition.
var viewTypes = map[string]string{
	"string": contract.TypeString, "long-text": contract.TypeText, "float": contract.TypeFloat, "boolean": contract.TypeBool,
	"image": contract.TypeImage, "image-mask": contract.TypeImage, "video": contract.TypeVideo, "audio": contract.TypeAudio,
	"seed": contract.TypeSeed, "noise_seed": contract.TypeSeed, "rand_seed": contract.TypeSeed, "select": contract.TypeEnum,
}

func (d *Description) field(f viewField) {
	if f.Visibility == "deleted" {
		return
	}
	node, input, ok := viewTarget(f.Path)
	if !ok {
		d.lose("its workflowPath does not lead to a node's input", "field `%s`", f.Title)
		return
	}
	in := contract.Input{Name: infer.Slug(f.Title, infer.Slug(input, "input")), Type: viewTypes[f.Type], To: []contract.Target{{Node: node, Input: input}},
		Description: oneOf(f.Tooltip, notDefault(f.Help)), Required: f.Validations.Required && empty(f.Value)}
	if r := f.Slider; r != nil {
		in.Min, in.Max, in.Step = r.Min, r.Max, r.Step
	} else if r := f.Range; r != nil {
		in.Min, in.Max, in.Step = r.Min, r.Max, r.Step
	}
	for _, o := range f.Options {
		if scalarJSON(o.Value) {
			in.Enum = append(in.Enum, o.Value)
		}
	}
	if in.Type == contract.TypeEnum && len(in.Enum) == 0 {
		in.Type = "" // the node's own list
	}
	switch {
	case in.Type == contract.TypeSeed:
		in.Random = true
	case fileType(in.Type):
		in.Required = f.Validations.Required
	case !in.Required && scalarJSON(f.Value):
		in.Default = f.Value
	}
	d.Inputs = append(d.Inputs, in)
}

// viewTarget reads [id, "inputs", name].
func viewTarget(path []json.RawMessage) (node, input string, ok bool) {
	if len(path) != 3 {
		return "", "", false
	}
	var parts [3]string
	for i, raw := range path {
		if json.Unmarshal(raw, &parts[i]) != nil {
			parts[i] = string(raw) // an id written as a number
		}
	}
	return parts[0], parts[2], parts[0] != "" && parts[1] == "inputs" && parts[2] != ""
}

// notDefault drops the text that the editor puts in itself.
func notDefault(s string) string {
	if s == "Helper Text" {
		return ""
	}
	return s
}

func oneOf(list ...string) string {
	for _, s := range list {
		if s = strings.TrimSpace(s); s != "" {
			return s
		}
	}
	return ""
}

func empty(raw json.RawMessage) bool {
	s := strings.TrimSpace(string(raw))
	return s == "" || s == "null" || s == `""`
}

// scalarJSON reports whether a value may stand for a default: no list, no
// mapping, not null.
func scalarJSON(raw json.RawMessage) bool {
	return len(raw) > 0 && raw[0] != '{' && raw[0] != '[' && string(raw) != "null"
}

func fileType(t string) bool {
	switch t {
	case contract.TypeImage, contract.TypeMask, contract.TypeVideo, contract.TypeAudio, contract.TypeFile:
		return true
	}
	return false
}
