package validate

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/comfyctl/comfyctl/internal/diag"
	"github.com/comfyctl/comfyctl/pkg/catalog"
	"github.com/comfyctl/comfyctl/pkg/workflow"
)

// file checks the value of an input that names a model or an uploaded file.
func (c *checker) file(n *workflow.Node, in *workflow.Input, s *catalog.InputSpec, raw json.RawMessage) {
	server := "value_not_in_list"
	if !s.Literal && !c.since(0, 8) {
		server = "" // the node fails when it runs
	}
	if raw[0] != '"' {
		c.notName(n, in, server)
		return
	}
	if s.Folder != "" {
		c.model(n, in, s, text(raw), server)
		return
	}
	if slices.ContainsFunc(s.Enum, func(e json.RawMessage) bool { return text(e) == text(raw) }) {
		return
	}
	c.upload(n, in, text(raw), server)
}

// ownFile checks an input that the class looks at itself.
func (c *checker) ownFile(n *workflow.Node, in *workflow.Input, own *catalog.Check, raw json.RawMessage) {
	if own.File != in.Name {
		return
	}
	if raw[0] != '"' {
		if !own.OrNone || !falsy(raw) {
			c.notName(n, in, c.raised(n))
		}
		return
	}
	if name := text(raw); !own.OrNone || name != "" && name != "none" {
		c.upload(n, in, name, "custom_validation_failed")
	}
}

// falsy reports whether Python takes a value for false.
func falsy(raw json.RawMessage) bool {
	switch string(raw) {
	case "null", "false", `""`, "[]", "{}":
		return true
	}
	num, _ := jsonNumber(raw)
	return num != nil && num.Sign() == 0
}

func (c *checker) notName(n *workflow.Node, in *workflow.Input, server string) {
	c.add(n, diag.Diagnostic{Code: "CW105", Message: "value is not one ComfyUI offers for `" + in.Name + "`", Span: in.ValueSpan,
		Label: "a file name is a string", Help: "give the name of a file", Pointer: in.Pointer, Input: in.Name, Server: server})
}

// backslash reports the name of a file in a folder as Windows writes it.
func (c *checker) backslash(n *workflow.Node, in *workflow.Input, name, server string) {
	quoted, _ := json.Marshal(strings.ReplaceAll(name, `\`, "/")) // a string always encodes
	d := diag.Diagnostic{Code: "CW105", Message: "value is not one ComfyUI offers for `" + in.Name + "`", Span: in.ValueSpan,
		Label: "the folder is written as on Windows", Help: "write " + string(quoted), Pointer: in.Pointer, Input: in.Name, Server: server}
	if in.Kind == workflow.String {
		d.Fix = &diag.Fix{Title: "replace with " + string(quoted), Safe: true,
			Edits: []diag.Edit{{Start: in.ValueSpan.Start.Offset, End: in.ValueSpan.End.Offset, Text: string(quoted)}}}
	}
	c.add(n, d)
}

// upload checks that an uploaded file will be there.
func (c *checker) upload(n *workflow.Node, in *workflow.Input, name, server string) {
	if c.o.HasFile == nil || c.o.HasFile(n.ID, in.Name, name) {
		return
	}
	c.add(n, diag.Diagnostic{Code: "CW112", Severity: diag.SeverityWarning, Span: in.ValueSpan, Pointer: in.Pointer, Input: in.Name, Server: server,
		Message: fmt.Sprintf("node `%s` reads the uploaded file `%s`, which no input provides", n.ID, name), Label: "this file is not part of the image",
		Help: fmt.Sprintf("make it an input: `%s: %s.%s` under `inputs:`", in.Name, n.ID, in.Name)})
}

// model checks that the models list has what a loader names.
func (c *checker) model(n *workflow.Node, in *workflow.Input, s *catalog.InputSpec, name, server string) {
	if c.o.HasModel == nil {
		return
	}
	if name == "" {
		c.notName(n, in, server)
		return
	}
	if strings.Contains(name, `\`) {
		c.backslash(n, in, name, server)
		return
	}
	var missing []string
	for _, need := range catalog.ModelFiles(n.Class, in.Name, name) {
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
	if best := diag.SuggestFile(missing[0], c.o.Models); best != "" {
		help = "did you mean `" + strings.TrimPrefix(best, s.Folder+"/") + "`? or " + help
	}
	c.add(n, diag.Diagnostic{Code: "CM001", Message: "the workflow needs a model that `models:` does not list", Span: in.ValueSpan, Label: "not in the service file",
		Help: help, Pointer: in.Pointer, Input: in.Name, Server: server})
}
