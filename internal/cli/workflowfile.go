package cli

import (
	"os"

	"github.com/comfyctl/comfyctl/internal/diag"
	"github.com/comfyctl/comfyctl/pkg/catalog"
	"github.com/comfyctl/comfyctl/pkg/workflow"
	"github.com/comfyctl/comfyctl/pkg/workflow/ui"
)

// workflowFile is a workflow that is given by itself, without a service.
type workflowFile struct {
	graph *workflow.Graph // nil where the findings say why
	list  []diag.Diagnostic
	// text is what the findings point into.
	text []byte
	// form is how people call what was read.
	form string
	// media is set for a picture, video or sound that holds the workflow.
	media bool
}

// readWorkflow reads a workflow in any form: the API export, the editor's save,
// or a picture, video or sound that holds one.
func (a *App) readWorkflow(path string, c *catalog.Catalog) (*workflowFile, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	text, origin, none, err := workflow.Text(a.shown(path), f, info.Size())
	if err != nil {
		return nil, err
	}
	if none != nil {
		return &workflowFile{list: []diag.Diagnostic{*none}, media: true}, nil
	}
	w := openWorkflow(a.shown(path), text, c)
	w.media = origin != ""
	return w, nil
}

// openWorkflow reads a workflow whose bytes are at hand.
func openWorkflow(shown string, src []byte, c *catalog.Catalog) *workflowFile {
	w := &workflowFile{text: src, media: workflow.IsMedia(src), form: "API format"}
	doc, list := workflow.Open(shown, src)
	w.list = list
	if doc == nil {
		return w
	}
	w.text = doc.Source
	if doc.EditorSave {
		w.form = "editor save, converted"
		w.graph, list = ui.Convert(doc, c)
	} else {
		w.graph, list = doc.Graph()
	}
	w.list = append(w.list, list...)
	return w
}
