package catalog

// editorTitles are what the editor that a release pins calls a node class in
// English, where that is not the class's own display name.
var editorTitles = map[string]map[string]string{
	"v0.3.64": {
		"ImageBlend":              "Image Blend",
		"ImageBlur":               "Image Blur",
		"ImageQuantize":           "Image Quantize",
		"ImageScaleToTotalPixels": "Scale Image to Total Pixels",
		"ImageSharpen":            "Image Sharpen",
	},
	"v0.30.2": {
		"LTXVConcatAVLatent":       "LTXVConcatAVLatent",
		"LTXVSeparateAVLatent":     "LTXVSeparateAVLatent",
		"MinimaxHailuoVideoNode":   "MiniMax Hailuo Video",
		"PrimitiveString":          "Text String (DEPRECATED)",
		"PrimitiveStringMultiline": "Input Text",
		"RecraftImageToImageNode":  "Recraft Image to Image",
		"RecraftTextToImageNode":   "Recraft Text to Image",
		"RecraftTextToVectorNode":  "Recraft Text to Vector",
		"TopazImageEnhance":        "Topaz Image Enhance",
	},
}
