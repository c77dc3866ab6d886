package validate

import (
	"fmt"
	"strings"

	"github.com/comfyctl/comfyctl/internal/diag"
	"github.com/comfyctl/comfyctl/pkg/catalog"
	"github.com/comfyctl/comfyctl/pkg/workflow"
)

// file checks the value of an input that names a model or an uploaded file.
func (c *checker) file(n *workflow.Node, in *workflow.Input, s *catalog.InputSpec) {
	if in.Kind != workflow.String {
		c.add(n, diag.Diagnostic{Code: "CW105", Message: "value is not one ComfyUI offers for `" + in.Name + "`", Span: in.ValueSpan,
			Label: "a file name is a string", Help: "give the name of a file", Pointer: in.Pointer, Input: in.Name, Server: "value_not_in_list"})
		return
	}
	if s.Folder != "" {
		c.model(n, in, s)
		return
	}
	if c.o.HasFile == nil || c.o.HasFile(n.ID, in.Name, in.Text) || s.File == "3d" && in.Text == "none" {
		return
	}
	c.add(n, diag.Diagnostic{Code: "CW112", Severity: diag.SeverityWarning, Span: in.ValueSpan, Pointer: in.Pointer, Input: in.Name, Server: "custom_validation_failed",
		Message: fmt.Sprintf("node `%s` reads the uploaded file `%s`, which no input provides", n.ID, in.Text), Label: "this file is not part of the image",
		Help: fmt.Sprintf("make it an input: `%s: %s.%s` under `inputs:`", in.Name, n.ID, in.Name)})
}

// model checks that the models list has what a loader names.
func (c *checker) model(n *workflow.Node, in *workflow.Input, s *catalog.InputSpec) {
	if c.o.HasModel == nil {
		return
	}
	var missing []string
	for _, need := range catalog.ModelFiles(n.Class, in.Name, in.Text) {
		if !c.o.HasModel(need) {
			missing = append(missing, need)
		}
	}
	if len(missing) == 0 {
		return
	}
	help := "add under `models:`"
	for _, m := range missing {
		help += "\n- path: " + m + "\n  source: hf://…            # where it comes from"
	}
	if best := diag.Suggest(missing[0], c.o.Models); best != "" {
		help = "did you mean `" + strings.TrimPrefix(best, s.Folder+"/") + "`? or " + help
	}
	c.add(n, diag.Diagnostic{Code: "CM001", Message: "the workflow needs a model that `models:` does not list", Span: in.ValueSpan, Label: "not in the service file",
		Help: help, Pointer: in.Pointer, Input: in.Name, Server: "value_not_in_list"})
}
