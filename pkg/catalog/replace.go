package catalog

import "encoding/json"

// Replacement is how ComfyUI, since 0.14.0, rewrites a node of a class that it
// has no more. Inputs that are not named are lost, which breaks the classes
// that were only renamed.
type Replacement struct {
	Class  string
	Inputs []Moved
}

// Moved is an input of the new class: what the old one had under From, or Value.
type Moved struct {
	To, From string
	Value    json.RawMessage
}

// replacements are those that ComfyUI registers itself.
var replacements = map[string]Replacement{
	"ResizeImagesByLongerEdge": {"ImageScaleToMaxDimension", []Moved{{To: "image", From: "images"}, {To: "largest_size", From: "longer_edge"},
		{To: "upscale_method", Value: json.RawMessage(`"lanczos"`)}}},
	"ImageBatch": {"BatchImagesNode", []Moved{{To: "images.image0", From: "image1"}, {To: "images.image1", From: "image2"}}},
	"ImageScaleBy": {"ResizeImageMaskNode", []Moved{{To: "input", From: "image"}, {To: "resize_type", Value: json.RawMessage(`"scale by multiplier"`)},
		{To: "resize_type.multiplier", From: "scale_by"}, {To: "scale_method", From: "upscale_method"}}},
	"T2IAdapterLoader":         {"ControlNetLoader", []Moved{{To: "control_net_name", From: "t2i_adapter_name"}}},
	"Load3DAnimation":          {Class: "Load3D"},
	"Preview3DAnimation":       {Class: "Preview3D"},
	"SDV_img2vid_Conditioning": {Class: "SVD_img2vid_Conditioning"},
	"ConditioningAverage ":     {Class: "ConditioningAverage"},
}

// Replaced says by what ComfyUI replaces a class that the catalog does not
// have; ok is false where it does not.
func (c *Catalog) Replaced(class string) (r Replacement, ok bool) {
	if _, has := c.raw[class]; has {
		return Replacement{}, false
	}
	r, ok = replacements[class]
	if _, has := c.raw[r.Class]; !has {
		return Replacement{}, false
	}
	return r, ok
}
