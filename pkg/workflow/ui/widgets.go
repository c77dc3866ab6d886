package ui

import (
	"encoding/json"
	"slices"

	"github.com/comfyctl/comfyctl/pkg/catalog"
)

// isWidget tells the types that the editor draws a control for.
var isWidget = map[string]bool{
	"INT": true, "FLOAT": true, "BOOLEAN": true, "STRING": true, "MARKDOWN": true, "COMBO": true, "COLOR": true,
	"IMAGEUPLOAD": true, "IMAGECOMPARE": true, "BOUNDING_BOX": true, "CHART": true, "GALLERIA": true, "PAINTER": true,
	"TEXTAREA": true, "CURVE": true, "RANGE": true, "BOUNDING_BOXES": true, "COLORS": true, dynamicCombo: true,
	"AUDIO_UI": true, "AUDIOUPLOAD": true, "AUDIO_RECORD": true, "WEBCAM": true, "LOAD_3D": true, "LOAD_3D_ADVANCED": true,
	"LOAD_3D_ANIMATION": true, "PREVIEW_3D": true, "PREVIEW_3D_ANIMATION": true,
}

const (
	dynamicCombo = "COMFY_DYNAMICCOMBO_V3"
	autogrow     = "COMFY_AUTOGROW_V3"
	matchType    = "COMFY_MATCHTYPE_V3"
)

// widgetType is the kind of control of an input, "" where it is only a socket.
func widgetType(in *catalog.InputSpec) string {
	kind := in.Type
	if in.Editor.Widget != "" {
		kind = in.Editor.Widget
	}
	if in.ForceInput || !isWidget[kind] {
		return ""
	}
	return kind
}

// declared lists the inputs of a class in the editor's order, with those that
// the editor adds to some of them.
func declared(cl *catalog.Class) []catalog.InputSpec {
	var specs []catalog.InputSpec
	for _, in := range cl.Inputs {
		// An input that is declared twice counts where it is declared last.
		specs = slices.DeleteFunc(specs, func(s catalog.InputSpec) bool { return s.Name == in.Name })
		specs = append(specs, in)
	}
	extra := func(name, typ string) {
		specs = append(specs, catalog.InputSpec{Name: name, Type: typ, Required: true})
	}
	if slices.Contains([]string{"LoadAudio", "SaveAudio", "PreviewAudio", "SaveAudioMP3", "SaveAudioOpus", "SaveAudioAdvanced"}, cl.Name) {
		extra("audioUI", "AUDIO_UI")
	}
	for i := range cl.Inputs {
		in := &cl.Inputs[i]
		if in.Required && in.Type == "COMBO" && in.Editor.Upload != "" {
			if in.Editor.Upload == "audio" {
				extra("upload", "AUDIOUPLOAD")
			} else {
				extra("upload", "IMAGEUPLOAD")
			}
			break
		}
	}
	switch cl.Name {
	case "SaveGLB", "Preview3D":
		extra("image", "PREVIEW_3D")
	case "Preview3DAnimation":
		extra("image", "PREVIEW_3D_ANIMATION")
	case "Load3DAdvanced":
		specs = slices.DeleteFunc(specs, func(s catalog.InputSpec) bool { return s.Name == "viewport_state" })
		extra("viewport_state", "LOAD_3D_ADVANCED")
	}
	return specs
}

// build gives a node the slots and widgets that its class has before anything
// saved is put into it.
func (n *node) build() {
	specs := declared(n.class)
	n.inputs, n.widgets, n.grow = nil, nil, map[string]*catalog.Grow{}
	for i := range specs {
		n.addSocket(&specs[i])
	}
	for i := range specs {
		n.addWidget(&specs[i])
	}
	if n.class.Name == "CustomCombo" {
		n.widgets = append(n.widgets, &widget{name: "index", kind: "INT"})
		n.addOption()
	}
}

// addSocket adds the slot of an input that is no widget.
func (n *node) addSocket(in *catalog.InputSpec) {
	if widgetType(in) != "" {
		return
	}
	switch in.Type {
	case autogrow:
		n.addGrow(in)
	case matchType:
		n.inputs = append(n.inputs, &slot{name: in.Name, typ: "*"})
	default:
		n.inputs = append(n.inputs, &slot{name: in.Name, typ: in.Type})
	}
}

// addWidget adds the widget of an input, what goes with it, and its slot.
func (n *node) addWidget(in *catalog.InputSpec) {
	kind := widgetType(in)
	if kind == "" {
		return
	}
	w := &widget{name: in.Name, kind: kind, spec: in, value: value{raw: initial(kind, in), made: true}}
	n.before(kind)
	n.widgets = append(n.widgets, w)
	n.beside(w, in)
	if kind == dynamicCombo {
		n.choose(w)
	}
	if !in.Editor.Socketless {
		n.inputs = append(n.inputs, &slot{name: in.Name, typ: in.Type, widget: in.Name})
	}
}

// before adds the buttons that stand in front of a widget. They hold a value,
// and the editor exports it.
func (n *node) before(kind string) {
	if kind == "LOAD_3D" && n.widget("model_file") != nil {
		for _, b := range [][2]string{{"upload 3d model", "upload3dmodel"}, {"upload extra resources", "uploadExtraResources"}, {"clear", "clear"}} {
			n.widgets = append(n.widgets, &widget{name: b[0], kind: "BUTTON", value: value{raw: quoted(b[1]), made: true}})
		}
	}
}

// beside sets what is special about a widget and adds those that follow it.
func (n *node) beside(w *widget, in *catalog.InputSpec) {
	follow := func(name string) {
		n.widgets = append(n.widgets, &widget{name: name, kind: "CONTROL", inner: true, value: value{raw: quoted("fixed"), made: true}})
	}
	control := controlled(w.kind, in)
	switch w.kind {
	case "AUDIO_UI":
		w.inner, w.unsaved = true, true
	case "IMAGEUPLOAD", "AUDIOUPLOAD":
		w.inner = true
	case "IMAGECOMPARE":
		w.unsaved = true
	case "BOUNDING_BOX":
		for _, name := range []string{"x", "y", "width", "height"} {
			follow(name)
		}
	case "STRING":
		w.dynamic = in.Editor.DynamicPrompts
	case "COMBO":
		if in.Editor.Refresh {
			n.widgets = append(n.widgets, &widget{name: "refresh", kind: "BUTTON", value: value{raw: quoted("refresh"), made: true}})
		}
	}
	if control {
		follow("control_after_generate")
		if w.kind == "COMBO" && !in.Multiselect {
			follow("control_filter_list")
		}
	}
}

// controlled tells whether the editor changes the value between runs, which
// adds a widget to say how.
func controlled(kind string, in *catalog.InputSpec) bool {
	switch kind {
	case "INT":
		return in.Seed || in.Editor.Control == nil && (in.Name == "seed" || in.Name == "noise_seed")
	case "FLOAT", "COMBO":
		return in.Seed
	}
	return false
}

// initial is the value of a widget that nothing was saved for; nil is none.
func initial(kind string, in *catalog.InputSpec) json.RawMessage {
	given := in.Default
	or := func(otherwise string) json.RawMessage {
		if given != nil {
			return given
		}
		return json.RawMessage(otherwise)
	}
	switch kind {
	case "INT", "FLOAT":
		return or("0")
	case "BOOLEAN":
		return or("false")
	case "STRING", "MARKDOWN", "TEXTAREA", "PAINTER":
		return or(`""`)
	case "COMBO":
		return firstOption(in)
	case dynamicCombo:
		if len(in.Choices) > 0 {
			return quoted(in.Choices[0].Key)
		}
		return nil
	case "COLOR":
		return or(`"#000000"`)
	case "IMAGEUPLOAD":
		return json.RawMessage(`"image"`)
	case "IMAGECOMPARE":
		return json.RawMessage(`["",""]`)
	case "BOUNDING_BOX":
		return or(`{"x":0,"y":0,"width":512,"height":512}`)
	case "CURVE":
		return or(`{"points":[[0,0],[1,1]],"interpolation":"monotone_cubic"}`)
	case "RANGE":
		return or(`{"min":0,"max":1}`)
	case "CHART":
		return json.RawMessage(`{}`)
	case "GALLERIA":
		return json.RawMessage(`[]`)
	case "BOUNDING_BOXES", "COLORS":
		return or(`[]`)
	}
	return json.RawMessage(`""`)
}

// firstOption is what a list shows before anything is picked.
func firstOption(in *catalog.InputSpec) json.RawMessage {
	switch {
	case in.Multiselect:
		return json.RawMessage(`[]`)
	case !falsy(in.Default):
		return in.Default
	case len(in.Enum) > 0:
		return in.Enum[0]
	case in.Remote:
		return json.RawMessage(`"Loading..."`)
	}
	return nil
}

func falsy(raw json.RawMessage) bool {
	switch string(raw) {
	case "", "null", "false", "0", "0.0", `""`:
		return true
	}
	return false
}
