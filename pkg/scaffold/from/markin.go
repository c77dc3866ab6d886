package from

import (
	"strings"

	"github.com/comfyctl/comfyctl/pkg/catalog"
	"github.com/comfyctl/comfyctl/pkg/contract"
	"github.com/comfyctl/comfyctl/pkg/workflow"
)

// input makes a parameter of an input mark.
func (u *unmarker) input(n *node, m mark) {
	in := contract.Input{Type: m.as, Description: n.say("description")}
	var value *field
	for _, name := range m.value {
		if f := n.field(name); f != nil && f.link == nil && f.kind != workflow.Null {
			value = f
			break
		}
	}
	in.Name = u.inputName(n, m)
	u.ranges(&in, n)
	switch {
	case m.stays:
		u.stay(&in, n, m, value)
	case m.becomes != "":
		u.become(&in, n, m, value)
	default:
		u.inline(&in, n, value)
	}
	if len(in.To) == 0 {
		return
	}
	if in.Type == contract.TypeSeed {
		in.Random, in.Default = true, nil
	}
	u.d.Inputs = append(u.d.Inputs, in)
}

// inputName is the name that the mark's own tool would give.
func (u *unmarker) inputName(n *node, m mark) string {
	name := ""
	if m.name != "" {
		name = n.say(m.name)
		if strings.Contains(name, "://") {
			name = "" // Comfy Deploy writes the value over it, too
		}
		name = paramName(name, oneOf(n.title, strings.TrimPrefix(n.class, "ComfyUIDeployExternal")))
	} else {
		name = u.cpackName(n)
	}
	return free(name, n.id, u.takenInput)
}

// cpackName goes by the title where it can be a name, then by what the value
// is wired to.
func (u *unmarker) cpackName(n *node) string {
	if identifier.MatchString(n.title) {
		return paramName(n.title, n.title)
	}
	if list, _ := u.consumers(n.id, 0); len(list) > 0 {
		return paramName(list[0].name, n.title)
	}
	return paramName(n.title, strings.TrimPrefix(strings.TrimPrefix(n.class, "CPackInput"), "CPackOutput"))
}

// stay keeps a mark that does something itself: the parameter goes into it.
func (u *unmarker) stay(in *contract.Input, n *node, m mark, value *field) {
	name := m.value[0]
	if name == m.name {
		in.Required = true // the tool writes the value over the name
	} else if value != nil {
		name = value.name
		in.Default = constant(value)
	} else if f := n.field(name); f != nil && f.link != nil {
		u.d.lose("another node feeds it", "input `%s` (%s)", in.Name, n.class)
		return
	}
	in.To = []contract.Target{{Node: n.id, Input: name}}
	u.d.repo(m.pack, "", true)
}

// become turns a mark into a core node of the same slots.
func (u *unmarker) become(in *contract.Input, n *node, m mark, value *field) {
	file := "example.png" // ships with ComfyUI
	if value != nil && value.kind == workflow.String && value.text != "" {
		if strings.Contains(value.text, "://") {
			u.d.lose("callers send the picture", "the default of `%s`, %s", in.Name, value.text)
		} else {
			file = value.text
		}
	}
	// Comfy Deploy wires a picture as the default.
	if f := n.field("default_value"); f != nil && f.link != nil {
		if from := u.node(f.link.Node); from != nil && from.class == "LoadImage" && from.say("image") != "" {
			file = from.say("image")
			if list, _ := u.consumers(from.id, -1); len(list) == 1 {
				from.gone = true
			}
		} else {
			u.d.lose("callers send the picture", "the default picture of `%s`", in.Name)
		}
	}
	n.class = m.becomes
	n.inputs = []field{{name: m.to, raw: quote(file), text: file, kind: workflow.String}}
	in.To = []contract.Target{{Node: n.id, Input: m.to}}
	in.Required = true
}

// inline puts the value where it is wired to and drops the mark.
func (u *unmarker) inline(in *contract.Input, n *node, value *field) {
	list, owners := u.consumers(n.id, -1)
	if value == nil {
		u.redirect(in, n, list)
		return
	}
	if len(list) == 0 {
		u.d.lose("it is wired to nothing", "input `%s` (%s)", in.Name, n.class)
		n.gone = true
		return
	}
	u.fit(in, value, owners[0].class, list[0].name)
	for i, f := range list {
		f.raw, f.link, f.kind, f.text = literalOf(value), nil, value.kind, value.text
		in.To = append(in.To, contract.Target{Node: owners[i].id, Input: f.name})
	}
	n.gone = true
	u.weights(n)
	if in.Default == nil {
		in.Default = constant(value)
	}
	// A default outside the mark's own bounds would be refused.
	if !inside(in) {
		in.Min, in.Max = "", ""
	}
	if len(in.Enum) > 0 && !among(in.Default, in.Enum) {
		in.Enum = append(in.Enum, in.Default)
	}
}

// redirect handles a mark that another node feeds: its consumers get that.
func (u *unmarker) redirect(in *contract.Input, n *node, list []*field) {
	for i := range n.inputs {
		if f := n.inputs[i]; f.link != nil && len(list) > 0 {
			for _, c := range list {
				c.raw, c.link = f.raw, f.link
			}
			n.gone = true
			u.d.lose("another node feeds it", "input `%s` (%s)", in.Name, n.class)
			return
		}
	}
	u.d.lose("it holds no value", "input `%s` (%s)", in.Name, n.class)
}

// fit takes the type from what the value is for.
func (u *unmarker) fit(in *contract.Input, value *field, class, input string) {
	spec, known := u.spec(class, input)
	if known && in.Type == contract.TypeFile && kindsOfFile[spec.File] != "" {
		in.Type = kindsOfFile[spec.File]
	}
	if fileType(in.Type) {
		in.Required = true
		return
	}
	if known && spec.Seed && (in.Type == "" || in.Type == contract.TypeInt) {
		in.Type = contract.TypeSeed
		in.Min, in.Max = "", ""
		return
	}
	if in.Type != "" {
		return
	}
	switch {
	case known && (spec.Type == "COMBO" || len(spec.Enum) > 0 || spec.Folder != ""):
		// The node's own list.
	case value.kind == workflow.Bool:
		in.Type = contract.TypeBool
	case value.kind == workflow.Number && strings.ContainsAny(string(value.raw), ".eE"), value.kind == workflow.Number && known && spec.Type == "FLOAT":
		in.Type = contract.TypeFloat
	case value.kind == workflow.Number:
		in.Type = contract.TypeInt
	case known && spec.Multiline:
		in.Type = contract.TypeText
	default:
		in.Type = contract.TypeString
	}
}

var kindsOfFile = map[string]string{"image": contract.TypeImage, "video": contract.TypeVideo, "audio": contract.TypeAudio}

func (u *unmarker) spec(class, input string) (catalog.InputSpec, bool) {
	cl, ok := u.c.Class(class)
	if !ok {
		return catalog.InputSpec{}, false
	}
	return cl.Input(input)
}

// weights notes where Comfy Deploy's LoRA input gets its default.
func (u *unmarker) weights(n *node) {
	if n.say("bearer_token") != "" {
		u.d.lose("credentials are named, never written: give the model `auth: NAME` and put NAME under `secrets:`", "the token of the LoRA input `%s`", n.say("input_id"))
	}
	url := n.say("lora_url")
	if url == "" || n.class != "ComfyUIDeployExternalLora" {
		return
	}
	u.d.model("loras/"+strings.ReplaceAll(oneOf(n.say("lora_save_name"), n.say("default_lora_name"), lastOf(url)), `\`, "/"), Model{}, url)
}
