package from

import (
	"bytes"
	"encoding/json"
	"regexp"
	"slices"
	"strings"

	"github.com/comfyctl/comfyctl/pkg/catalog"
	"github.com/comfyctl/comfyctl/pkg/contract"
	"github.com/comfyctl/comfyctl/pkg/infer"
	"github.com/comfyctl/comfyctl/pkg/workflow"
)

// Unmark reads the nodes by which comfy-pack and Comfy Deploy mark inputs and
// outputs, and takes them out of the graph: a constant goes to the inputs that
// it was wired to, an image input becomes LoadImage, an image output SaveImage.
// So the service needs none of their packs. Marks that do more than pass a
// value on stay, and Description.Packs has their pack. ok is false where the
// graph has no marks.
func Unmark(g *workflow.Graph, c *catalog.Catalog) (d *Description, ok bool) {
	u := &unmarker{c: c, d: &Description{}}
	for _, n := range g.Nodes {
		if n.ID == "" {
			return nil, false // nothing could be said about it
		}
		u.nodes = append(u.nodes, editable(n))
	}
	for _, n := range u.nodes {
		m, marked := marks[n.class]
		if !marked {
			continue
		}
		ok = true
		n.extra = metaOf(g, n.id)
		switch {
		case m.output != "":
			u.output(n, m)
		default:
			u.input(n, m)
		}
	}
	if !ok {
		return nil, false
	}
	u.d.Graph = u.json()
	u.d.tidy()
	return u.d, true
}

// mark is what a class of marks stands for.
type mark struct {
	// value is the input of the mark that holds the value; where it has
	// several names, the first that holds a value counts.
	value []string
	// name is the input that holds the parameter's name; empty is comfy-pack's
	// way, by title.
	name string
	// as is the type; empty comes from what the value is for.
	as string
	// becomes is the core class that takes the mark's place, with value in
	// its input of the name `to`; empty puts the value where it is wired to.
	becomes, to string
	// stays marks do something themselves.
	stays bool
	// output is the type of an output mark.
	output string
	// pack is the repository of the mark.
	pack string
}

const (
	cpackRepo  = "https://github.com/bentoml/comfy-pack"
	deployRepo = "https://github.com/BennyKok/comfyui-deploy"
)

var marks = map[string]mark{
	"CPackInputImage":      {value: []string{"image"}, as: contract.TypeImage, becomes: "LoadImage", to: "image"},
	"CPackInputString":     {value: []string{"value"}},
	"CPackInputInt":        {value: []string{"value"}, as: contract.TypeInt},
	"CPackInputFile":       {value: []string{"path"}, as: contract.TypeFile},
	"CPackInputAny":        {value: []string{"input"}},
	"CPackOutputImage":     {output: contract.TypeImage, becomes: "SaveImage", to: "images"},
	"CPackOutputAudio":     {output: contract.TypeAudio, becomes: "SaveAudio", to: "audio"},
	"CPackOutputVideo":     {output: contract.TypeVideo, becomes: "SaveVideo", to: "video"},
	"CPackOutputFile":      {output: contract.TypeFile, stays: true, pack: cpackRepo},
	"CPackOutputTextFile":  {output: contract.TypeFile, stays: true, pack: cpackRepo},
	"CPackOutputZip":       {output: contract.TypeFile, stays: true, pack: cpackRepo},
	"CPackOutputVideoZip":  {output: contract.TypeFile, stays: true, pack: cpackRepo},
	"CPackOutputZipSwitch": {output: "none"},

	"ComfyUIDeployExternalText":            {value: []string{"default_value"}, name: "input_id"},
	"ComfyUIDeployExternalTextSingleLine":  {value: []string{"default_value"}, name: "input_id"},
	"ComfyUIDeployExternalTextAny":         {value: []string{"default_value"}, name: "input_id"},
	"ComfyUIDeployExternalBoolean":         {value: []string{"default_value"}, name: "input_id", as: contract.TypeBool},
	"ComfyUIDeployExternalNumber":          {value: []string{"default_value"}, name: "input_id", as: contract.TypeFloat},
	"ComfyUIDeployExternalNumberInt":       {value: []string{"default_value"}, name: "input_id", as: contract.TypeInt},
	"ComfyUIDeployExternalNumberSlider":    {value: []string{"default_value"}, name: "input_id", as: contract.TypeFloat},
	"ComfyUIDeployExternalNumberSliderInt": {value: []string{"default_value"}, name: "input_id", as: contract.TypeInt},
	"ComfyUIDeployExternalSeed":            {value: []string{"default_value", "min_value"}, name: "input_id", as: contract.TypeSeed},
	"ComfyUIDeployExternalEnum":            {value: []string{"default_value"}, name: "input_id", as: contract.TypeEnum},
	"ComfyUIDeployExternalImage":           {value: []string{"default_value_url"}, name: "input_id", as: contract.TypeImage, becomes: "LoadImage", to: "image"},
	"ComfyUIDeployExternalCheckpoint":      {value: []string{"default_value"}, name: "input_id"},
	"ComfyUIDeployExternalLora":            {value: []string{"default_lora_name", "default_value"}, name: "input_id"},
	"ComfyUIDeployExternalImageAlpha":      {value: []string{"input_id"}, name: "input_id", as: contract.TypeString, stays: true, pack: deployRepo},
	"ComfyUIDeployExternalImageBatch":      {value: []string{"images"}, name: "input_id", as: contract.TypeString, stays: true, pack: deployRepo},
	"ComfyUIDeployExternalTextList":        {value: []string{"text", "default_value"}, name: "input_id", as: contract.TypeString, stays: true, pack: deployRepo},
	"ComfyUIDeployExternalVideo":           {value: []string{"default_video", "default_value"}, name: "input_id", as: contract.TypeString, stays: true, pack: deployRepo},
	"ComfyUIDeployExternalVid":             {value: []string{"default_value", "default_video"}, name: "input_id", as: contract.TypeString, stays: true, pack: deployRepo},
	"ComfyUIDeployExternalAudio":           {value: []string{"audio_file", "default_value"}, name: "input_id", as: contract.TypeString, stays: true, pack: deployRepo},
	"ComfyUIDeployExternalEXR":             {value: []string{"exr_file"}, name: "input_id", as: contract.TypeString, stays: true, pack: deployRepo},
	"ComfyUIDeployExternalFile":            {value: []string{"file_url"}, name: "input_id", as: contract.TypeString, stays: true, pack: deployRepo},
	"ComfyUIDeployExternalFaceModel":       {value: []string{"face_model_url", "default_face_model_name"}, name: "input_id", as: contract.TypeString, stays: true, pack: deployRepo},
	"ComfyDeployOutputImage":               {output: contract.TypeImage, name: "output_id", becomes: "SaveImage", to: "images"},
	"ComfyDeployOutputText":                {output: contract.TypeFile, name: "output_id", stays: true, pack: deployRepo},
	"ComfyDeployOutputFile":                {output: contract.TypeFile, name: "output_id", stays: true, pack: deployRepo},
	"ComfyDeployOutputEXR":                 {output: contract.TypeFile, name: "output_id", stays: true, pack: deployRepo},
}

// node is a node that can be changed.
type node struct {
	id, class, title string
	inputs           []field
	gone             bool
	extra            meta
}

type field struct {
	name string
	raw  json.RawMessage
	link *workflow.Link
	text string
	kind workflow.Kind
}

func editable(n *workflow.Node) *node {
	e := &node{id: n.ID, class: n.Class, title: n.Title}
	for _, in := range n.Inputs {
		e.inputs = append(e.inputs, field{name: in.Name, raw: in.Raw, link: in.Link, text: in.Text, kind: in.Kind})
	}
	return e
}

func (n *node) field(name string) *field {
	for i := range n.inputs {
		if n.inputs[i].name == name {
			return &n.inputs[i]
		}
	}
	return nil
}

// say is the text of an input, or "".
func (n *node) say(name string) string {
	if f := n.field(name); f != nil && f.kind == workflow.String {
		return strings.TrimSpace(f.text)
	}
	return ""
}

// number is a finite number of an input, or "".
func (n *node) number(name string) json.Number {
	if f := n.field(name); f != nil && f.kind == workflow.Number {
		return json.Number(f.raw)
	}
	return ""
}

type unmarker struct {
	c     *catalog.Catalog
	d     *Description
	nodes []*node
}

// consumers are the fields wired to a node's slot; slot -1 is any.
func (u *unmarker) consumers(id string, slot int) (list []*field, owners []*node) {
	for _, n := range u.nodes {
		if n.gone {
			continue
		}
		for i := range n.inputs {
			if l := n.inputs[i].link; l != nil && l.Node == id && (slot < 0 || l.Slot == slot) {
				list, owners = append(list, &n.inputs[i]), append(owners, n)
			}
		}
	}
	return list, owners
}

func (u *unmarker) node(id string) *node {
	for _, n := range u.nodes {
		if n.id == id {
			return n
		}
	}
	return nil
}

var identifier = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

var badName = regexp.MustCompile(`[^a-z0-9_]+`)

// paramName makes a name for a service file.
func paramName(s, fallback string) string {
	if goodName.MatchString(s) {
		return s
	}
	s = strings.Trim(badName.ReplaceAllString(strings.ToLower(s), "_"), "_")
	if s == "" || s[0] >= '0' && s[0] <= '9' {
		s = infer.Slug(fallback, "value")
	}
	return s[:min(len(s), 63)]
}

var goodName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_-]{0,62}$`)

// free makes a name that no other parameter has, as comfy-pack does.
func free(name, id string, taken func(string) bool) string {
	if !taken(name) {
		return name
	}
	name = name[:min(len(name), 40)]
	if n := paramName(name+"_"+id, name); !taken(n) {
		return n
	}
	for i := 2; ; i++ {
		if n := name + "_" + strings.Repeat("x", i); !taken(n) {
			return n
		}
	}
}

func (u *unmarker) takenInput(name string) bool {
	return slices.ContainsFunc(u.d.Inputs, func(in contract.Input) bool { return in.Name == name })
}

func (u *unmarker) takenOutput(name string) bool {
	return slices.ContainsFunc(u.d.Outputs, func(o contract.Output) bool { return o.Name == name })
}

// json writes the graph as workflow.Parse reads it.
func (u *unmarker) json() []byte {
	var b bytes.Buffer
	b.WriteString("{")
	first := true
	for _, n := range u.nodes {
		if n.gone {
			continue
		}
		if !first {
			b.WriteByte(',')
		}
		first = false
		b.Write(quote(n.id))
		b.WriteString(`:{"class_type":`)
		b.Write(quote(n.class))
		b.WriteString(`,"inputs":{`)
		for i, f := range n.inputs {
			if i > 0 {
				b.WriteByte(',')
			}
			b.Write(quote(f.name))
			b.WriteByte(':')
			b.Write(f.raw)
		}
		b.WriteString(`},"_meta":{"title":`)
		b.Write(quote(oneOf(n.title, n.class)))
		b.WriteString("}}")
	}
	b.WriteString("}")
	return b.Bytes()
}

func quote(s string) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(s) // a string always encodes
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

// meta is what comfy-pack adds to a node's _meta.
type meta struct {
	Values         []json.RawMessage `json:"values"`
	Min, Max, Step json.Number
	Round          json.Number
}

// metaOf reads _meta.options of a node.
func metaOf(g *workflow.Graph, id string) meta {
	n := g.Node(id)
	if n == nil || n.Span.End.Offset > len(g.Source) || n.Span.Start.Offset < 0 || n.Span.Start.Offset > n.Span.End.Offset {
		return meta{}
	}
	var m struct {
		Meta struct {
			Options meta `json:"options"`
		} `json:"_meta"`
	}
	if json.Unmarshal(g.Source[n.Span.Start.Offset:n.Span.End.Offset], &m) != nil {
		return meta{}
	}
	return m.Meta.Options
}
