package ui

import (
	"github.com/comfyctl/comfyctl/internal/diag"
	"github.com/comfyctl/comfyctl/pkg/catalog"
	"github.com/comfyctl/comfyctl/pkg/workflow"
)

// Read reads a workflow in any form that people have: the API format, bare or
// in an envelope, the editor's save, or a picture or video that holds one. The
// editor's save needs the node classes of cat. The graph is nil where there is
// none to speak of; the findings say why.
func Read(file string, src []byte, cat *catalog.Catalog) (*workflow.Graph, []diag.Diagnostic) {
	doc, list := workflow.Open(file, src)
	if doc == nil {
		return nil, list
	}
	var more []diag.Diagnostic
	var g *workflow.Graph
	if doc.EditorSave {
		g, more = Convert(doc, cat)
	} else {
		g, more = doc.Graph()
	}
	return g, append(list, more...)
}

// Convert turns an editor save into the graph that the editor would export. The
// spans of the graph point into the save. The graph is nil with a CW002 finding
// where the file has classes that cat does not know.
func Convert(doc *workflow.Document, cat *catalog.Catalog) (*workflow.Graph, []diag.Diagnostic) {
	b := load(doc, cat)
	e := &emitter{builder: b, resolver: resolver{runs: map[string]*run{}, b: b}}
	g := e.graph()
	return g, b.list
}
