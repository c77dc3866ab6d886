package catalog

import "slices"

// Check is what is known of the validation that a class does itself. ComfyUI
// then leaves the limits and options of the inputs that it takes to it. No
// object_info tells of it.
type Check struct {
	// Takes are the inputs that it looks at, All is set where it takes every one.
	Takes []string
	All   bool
	// Needs are inputs without which it raises.
	Needs []string
	// File is the input that must name an uploaded file that is there; OrNone is
	// set where it may also be empty, or the word none.
	File   string
	OrNone bool
	// Types is the input whose link's type it compares itself; ComfyUI then
	// compares those of no input of the class.
	Types string
	// Since is the first release, as major and minor, that has it.
	Since [2]int
	// Opaque is set where it looks at more than is written here.
	Opaque bool
}

// Has reports whether the class looks at an input itself.
func (c *Check) Has(input string) bool {
	return c != nil && (c.All || slices.Contains(c.Takes, input))
}

// fileCheck is the check of a class that reads an uploaded file.
func fileCheck(input string) *Check {
	return &Check{Takes: []string{input}, Needs: []string{input}, File: input}
}

// deviceCheck is that of classes that take any device.
func deviceCheck() *Check { return &Check{Takes: []string{"device"}} }

// checks are those of core classes, by the signatures of their functions in
// ComfyUI 0.3.64 to 0.30.2.
var checks = map[string]*Check{
	"LoadImage":             fileCheck("image"),
	"LoadImageMask":         fileCheck("image"),
	"LoadImageOutput":       fileCheck("image"),
	"WebcamCapture":         fileCheck("image"),
	"LoadLatent":            fileCheck("latent"),
	"LoadAudio":             fileCheck("audio"),
	"LoadVideo":             fileCheck("file"),
	"Load3D":                {All: true, Needs: []string{"model_file"}, File: "model_file", OrNone: true, Since: [2]int{0, 30}},
	"Load3DAdvanced":        {All: true, Needs: []string{"model_file"}, File: "model_file", OrNone: true, Since: [2]int{0, 30}},
	"CustomCombo":           {All: true, Needs: []string{"choice"}},
	"SelectModelDevice":     deviceCheck(),
	"SelectCLIPDevice":      deviceCheck(),
	"SelectVAEDevice":       deviceCheck(),
	"FluxProUltraImageNode": {Takes: []string{"aspect_ratio"}, Needs: []string{"aspect_ratio"}, Opaque: true},
	"TripoConversionNode":   {Types: "original_model_task_id"},
}
