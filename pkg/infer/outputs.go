package infer

import (
	"slices"
	"strconv"
	"strings"

	"github.com/comfyctl/comfyctl/pkg/catalog"
	"github.com/comfyctl/comfyctl/pkg/contract"
	"github.com/comfyctl/comfyctl/pkg/workflow"
)

// Outputs lists what a graph gives: every output node that is no preview, or
// the previews where there is nothing else, or at last the nodes of unknown
// classes that feed no other.
func Outputs(g *workflow.Graph, c *catalog.Catalog) []contract.Output {
	var saved, previews []*workflow.Node
	for _, n := range g.Nodes {
		cl, ok := c.Class(n.Class)
		if !ok || !cl.OutputNode {
			continue
		}
		if Preview(n.Class) {
			previews = append(previews, n)
		} else {
			saved = append(saved, n)
		}
	}
	if len(saved) == 0 {
		saved = previews
	}
	if len(saved) == 0 {
		saved = ends(g, c)
	}
	var list []contract.Output
	used := map[string]int{}
	for _, n := range saved {
		name, typ := outputType(n.Class)
		if len(saved) > 1 && n.Title != "" && n.Title != n.Class && !strings.EqualFold(strings.ReplaceAll(n.Title, " ", ""), n.Class) {
			name = Slug(n.Title, name)
		}
		used[name]++
		if k := used[name]; k > 1 {
			name += "_" + strconv.Itoa(k)
		}
		list = append(list, contract.Output{Name: name, Node: n.ID, Type: typ})
	}
	return list
}

// ends are the nodes of unknown classes that take something and feed nothing.
func ends(g *workflow.Graph, c *catalog.Catalog) (list []*workflow.Node) {
	consumers := g.Consumers()
	for _, n := range g.Nodes {
		_, known := c.Class(n.Class)
		takes := slices.ContainsFunc(n.Inputs, func(in *workflow.Input) bool { return in.Link != nil })
		if !known && takes && len(consumers[n.ID]) == 0 {
			list = append(list, n)
		}
	}
	return list
}

// Preview says whether a class only shows: its files go to a folder that
// ComfyUI empties.
func Preview(class string) bool { return strings.HasPrefix(class, "Preview") || class == "MaskPreview" }

func outputType(class string) (name, typ string) {
	switch {
	case strings.Contains(class, "Video"), strings.Contains(class, "WEBM"):
		return "video", contract.TypeVideo
	case strings.Contains(class, "Audio"):
		return "audio", contract.TypeAudio
	case strings.Contains(class, "Text"), strings.Contains(class, "Any"):
		return "text", contract.TypeText
	case strings.Contains(class, "GLB"), strings.Contains(class, "3D"):
		return "model", contract.TypeModel3
	case strings.Contains(class, "Latent"):
		return "latent", contract.TypeLatent
	case strings.Contains(class, "Image"), strings.Contains(class, "PNG"), strings.Contains(class, "WEBP"), strings.Contains(class, "Mask"), strings.Contains(class, "SVG"):
		return "image", contract.TypeImage
	}
	return "file", contract.TypeFile
}
