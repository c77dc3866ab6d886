package validate

import (
	"fmt"

	"github.com/comfyctl/comfyctl/internal/diag"
	"github.com/comfyctl/comfyctl/pkg/contract"
	"github.com/comfyctl/comfyctl/pkg/infer"
	"github.com/comfyctl/comfyctl/pkg/workflow"
)

// kindsOfOutput are the types of what output classes give. Others give files.
var kindsOfOutput = map[string]string{
	"SaveImage": contract.TypeImage, "PreviewImage": contract.TypeImage, "SaveImageWebsocket": contract.TypeImage, "SaveImageAdvanced": contract.TypeImage,
	"SaveAnimatedPNG": contract.TypeImage, "SaveAnimatedWEBP": contract.TypeImage, "MaskPreview": contract.TypeImage, "SaveSVGNode": contract.TypeFile,
	"SaveVideo": contract.TypeVideo, "SaveWEBM": contract.TypeVideo, "VHS_VideoCombine": contract.TypeVideo,
	"SaveAudio": contract.TypeAudio, "SaveAudioMP3": contract.TypeAudio, "SaveAudioOpus": contract.TypeAudio, "SaveAudioAdvanced": contract.TypeAudio,
	"PreviewAudio": contract.TypeAudio, "SaveGLB": contract.TypeModel3, "Preview3D": contract.TypeModel3, "Preview3DAnimation": contract.TypeModel3,
	"Save3DAdvanced": contract.TypeModel3, "SaveLatent": contract.TypeLatent, "PreviewAny": contract.TypeText, "SaveText": contract.TypeText,
}

func outputType(class string) string {
	if t := kindsOfOutput[class]; t != "" {
		return t
	}
	return contract.TypeFile
}

// outputs resolves the results of one workflow; without any in the file they
// are all nodes that give one.
func (x *resolver) outputs(r ref) []contract.Output {
	list := []contract.Output{}
	if len(r.outputs) == 0 && !x.l.plan.Service.Has(r.out) {
		if list := infer.Outputs(x.g, x.cat); len(list) > 0 {
			return list
		}
		return x.unknownOutputs()
	}
	for _, o := range r.outputs {
		at := r.out + "/" + escape(o.Name)
		n, many := x.node(o.From)
		if n == nil {
			from := at + "/from"
			if !x.l.plan.Service.Has(from) {
				from = at
			}
			x.l.at(from, x.noNode("CY107", "`from`", o.From, trimAt(o.From), many))
			continue
		}
		if cl, ok := x.cat.Class(n.Class); ok && !cl.OutputNode {
			x.l.at(at, diag.Diagnostic{Code: "CY107", Message: fmt.Sprintf("node `%s` (%s) gives no output", n.ID, n.Class), Node: n.Ref(),
				Label: "not an output node", Help: x.saves()})
			continue
		}
		out := contract.Output{Name: o.Name, Node: n.ID, Type: o.Type, Description: o.Description, Format: o.Format, Quality: o.Quality, Metadata: o.Metadata}
		if out.Type == "" {
			out.Type = outputType(n.Class)
		}
		list = append(list, out)
	}
	return list
}

func trimAt(s string) string {
	if len(s) > 0 && s[0] == '@' {
		return s[1:]
	}
	return s
}

// node finds a node by its id or @Title.
func (x *resolver) node(name string) (*workflow.Node, []*workflow.Node) {
	if len(name) == 0 || name[0] != '@' {
		return x.g.Node(name), nil
	}
	switch list := x.g.ByTitle(name[1:]); len(list) {
	case 0:
		return nil, nil
	case 1:
		return list[0], nil
	default:
		return nil, list
	}
}

// saves names the output nodes of the graph.
func (x *resolver) saves() string {
	help := ""
	for _, n := range x.ends() {
		if help != "" {
			help += ", "
		}
		help += "`" + n.ID + "` (" + n.Class + ")"
	}
	if help == "" {
		return "add a save node such as `SaveImage` to the workflow"
	}
	return "output nodes: " + help
}

// ends are the nodes that give something; of unknown classes, those that
// nothing uses.
func (x *resolver) ends() []*workflow.Node {
	used := x.g.Consumers()
	var list []*workflow.Node
	for _, n := range x.g.Nodes {
		cl, ok := x.cat.Class(n.Class)
		if ok && cl.OutputNode || !ok && n.Class != "" && len(used[n.ID]) == 0 {
			list = append(list, n)
		}
	}
	return list
}

// unknownOutputs are for a graph without any output node that is known: the
// nodes that nothing uses, named after their types, in the order of the file.
func (x *resolver) unknownOutputs() []contract.Output {
	list := []contract.Output{}
	count := map[string]int{}
	for _, n := range x.ends() {
		t := outputType(n.Class)
		name := t
		if count[t]++; count[t] > 1 {
			name = fmt.Sprintf("%s_%d", t, count[t])
		}
		list = append(list, contract.Output{Name: name, Node: n.ID, Type: t})
	}
	return list
}
