package catalog

import (
	"encoding/json"
	"fmt"
	"slices"
	"sync"
)

// Catalog is a set of node classes. Classes are decoded when first asked for;
// a Catalog may be used by several goroutines.
type Catalog struct {
	// Version is the ComfyUI release that the classes come from, such as
	// v0.3.64; empty for one read by ParseObjectInfo.
	Version string
	// Exact is false where another release than Version was asked for.
	Exact bool

	names []string
	raw   map[string]json.RawMessage

	mu      sync.Mutex
	decoded map[string]*Class
}

// Class is one node class.
type Class struct {
	Name string
	// Title is what the editor calls a node that has no title of its own.
	Title string
	// Inputs are in the order of the schema, required ones first. Hidden inputs,
	// which ComfyUI fills itself, are not among them.
	Inputs  []InputSpec
	Outputs []OutputSpec
	// OutputNode marks a class that makes a graph run (SaveImage).
	OutputNode bool
	// Module is the Python module, such as nodes or custom_nodes.x.
	Module string
	// APINode marks a class that calls a paid service.
	APINode      bool
	Deprecated   bool
	Experimental bool
	// Check is what the class validates itself, nil where nothing is known.
	Check *Check
}

// OutputSpec is one output slot.
type OutputSpec struct {
	Name string
	Type string
	List bool
}

// InputSpec is one declared input. Numbers keep the digits of the schema.
type InputSpec struct {
	Name     string
	Type     string // INT, FLOAT, STRING, BOOLEAN, COMBO, IMAGE, COMFY_…_V3, or a comma list
	Required bool
	// Literal is set where the schema gives the enumeration in place of a type
	// (old style); ComfyUI before 0.8.0 checks only these.
	Literal bool

	Default        json.RawMessage
	Min, Max, Step json.Number
	Enum           []json.RawMessage

	Multiline   bool
	Multiselect bool
	ForceInput  bool // a link only, no widget
	Lazy        bool
	RawLink     bool
	Seed        bool // control_after_generate: the editor changes it between runs
	Remote      bool // options are fetched by the browser

	// Folder is the model folder whose files are the options, if any.
	Folder string
	// File is what kind of uploaded file the value names, if any: image, video,
	// audio, latent, 3d, text, folder or any.
	File string

	// Editor is what only the editor reads.
	Editor EditorSpec

	// Choices are those of a COMFY_DYNAMICCOMBO_V3.
	Choices []Choice
	// Grow is the template of a COMFY_AUTOGROW_V3.
	Grow *Grow
}

// EditorSpec is what the editor needs to know of an input to draw it, and so to
// know what the values of a saved node mean.
type EditorSpec struct {
	// Widget is the kind of widget where it is not that of the type.
	Widget string
	// Socketless is set for a widget that no link can replace.
	Socketless bool
	// DynamicPrompts is set for a text whose {a|b} the editor chooses from.
	DynamicPrompts bool
	// Control is the raw control_after_generate, nil where absent.
	Control json.RawMessage
	Round   json.Number
	// Refresh is set where a button stands beside a list that the browser fetches.
	Refresh bool
	// Upload is set where the editor adds a button that uploads: image or audio.
	Upload string
}

// Choice is one option of a dynamic combo and the inputs that it adds.
type Choice struct {
	Key    string
	Inputs []InputSpec
}

// Grow says which inputs an autogrow input stands for: Name0, Name1 … of a
// prefix, or the given names. The first Min must be there.
type Grow struct {
	Item     InputSpec
	Prefix   string
	Names    []string
	Min, Max int
}

// Class returns the class of that exact name.
func (c *Catalog) Class(name string) (*Class, bool) {
	raw, ok := c.raw[name]
	if !ok {
		return nil, false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if cl := c.decoded[name]; cl != nil {
		// The release may have been told after the classes were read.
		if title, ok := editorTitles[c.Version][name]; ok && cl.Title != title {
			named := *cl
			named.Title = title
			c.decoded[name], cl = &named, &named
		}
		return cl, true
	}
	cl, err := decodeClass(name, raw)
	if err != nil {
		return nil, false
	}
	if title, ok := editorTitles[c.Version][name]; ok {
		cl.Title = title
	}
	c.decoded[name] = cl
	return cl, true
}

// Names lists the classes in sorted order.
func (c *Catalog) Names() []string { return slices.Clone(c.names) }

// Len is the number of classes.
func (c *Catalog) Len() int { return len(c.names) }

// Input returns the declared input of that name.
func (cl *Class) Input(name string) (InputSpec, bool) {
	for _, in := range cl.Inputs {
		if in.Name == name {
			return in, true
		}
	}
	return InputSpec{}, false
}

func newCatalog(raw map[string]json.RawMessage) *Catalog {
	c := &Catalog{Exact: true, raw: raw, names: make([]string, 0, len(raw)), decoded: map[string]*Class{}}
	for name := range raw {
		c.names = append(c.names, name)
	}
	slices.Sort(c.names)
	return c
}

// ParseObjectInfo reads the answer of ComfyUI's GET /object_info. NaN and the
// infinities, which ComfyUI may write, count as absent.
func ParseObjectInfo(b []byte) (*Catalog, error) {
	var raw map[string]json.RawMessage
	if err := json.Unmarshal(withoutNonFinite(b), &raw); err != nil {
		return nil, fmt.Errorf("reading object_info: %w", err)
	}
	c := newCatalog(raw)
	for _, name := range c.names {
		cl, err := decodeClass(name, raw[name])
		if err != nil {
			return nil, fmt.Errorf("reading object_info: class %q: %w", name, err)
		}
		c.decoded[name] = cl
	}
	if len(raw) == 0 {
		return nil, fmt.Errorf("reading object_info: no class in it")
	}
	return c, nil
}

// With returns a catalog of both sets; where both have a class, more's counts.
func (c *Catalog) With(more *Catalog) *Catalog {
	raw := make(map[string]json.RawMessage, len(c.raw)+len(more.raw))
	for n, b := range c.raw {
		raw[n] = b
	}
	for n, b := range more.raw {
		raw[n] = b
	}
	out := newCatalog(raw)
	out.Version, out.Exact = c.Version, c.Exact
	return out
}
