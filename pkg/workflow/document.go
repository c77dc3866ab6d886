package workflow

import (
	"strings"

	"github.com/comfyctl/comfyctl/internal/diag"
	"github.com/comfyctl/comfyctl/internal/jsonpos"
)

// Document is a file read as JSON, with the workflow in it found but not yet
// read.
type Document struct {
	// File is the name given to Open.
	File string
	// Source is the text: the file, or what a picture or video holds. Origin says
	// where in such a file it was found; it is empty for a file that is a text.
	Source []byte
	Origin string
	// Body is the node map or the editor's save, Pointer where it lies.
	Body    *jsonpos.Value
	Pointer string
	// EditorSave is set where Body is the editor's own save format.
	EditorSave bool

	loc *jsonpos.Locator
}

// Open reads the text of a workflow file, or what ComfyUI wrote into a picture
// or video, and finds the workflow in it. The document is nil where there is
// none to speak of.
func Open(file string, src []byte) (*Document, []diag.Diagnostic) {
	src, origin, none := extracted(file, src)
	if none != nil {
		return nil, []diag.Diagnostic{*none}
	}
	from, d := encoding(file, src)
	if d != nil {
		return nil, []diag.Diagnostic{*d}
	}
	root, odd, bad := jsonpos.Scan(src, from)
	p := &parser{loc: jsonpos.NewLocator(file, src, from), src: src}
	if bad != nil {
		p.add(diag.Diagnostic{Code: "CW001", Message: "this is not JSON: " + bad.Message, Label: bad.Label, Help: bad.Help}, bad.At, bad.End)
		return nil, p.list
	}
	for _, v := range odd {
		p.nonFinite(v)
	}
	found := unwrap(&root)
	if len(found) > 1 {
		return nil, append(p.list, several(p, found))
	}
	body := place{&root, ""}
	if len(found) == 1 {
		body = found[0]
	}
	if body.v.Kind != jsonpos.Object {
		p.add(noWorkflow(&root), root.Start, root.Start+1)
		return nil, p.list
	}
	return &Document{File: file, Source: src, Origin: origin, Body: body.v, Pointer: body.pointer, EditorSave: isEditorSave(body.v), loc: p.loc}, p.list
}

func noWorkflow(root *jsonpos.Value) diag.Diagnostic {
	d := diag.Diagnostic{Code: "CW001", Message: "this JSON is no workflow", Label: "the API format is an object that maps node ids to nodes", Help: howToExport}
	if root.Kind == jsonpos.String && strings.HasPrefix(strings.TrimSpace(root.Text), "{") {
		d.Label = "a text that holds JSON; it was written as JSON twice"
		d.Help = "write the text itself to the file, without the quotes around it and the backslashes in it"
	}
	return d
}

// At is the range of a value in the document.
func (d *Document) At(v *jsonpos.Value) diag.Span { return d.loc.Span(v.Start, v.End) }

// Range is the range between two byte offsets of the document.
func (d *Document) Range(start, end int) diag.Span { return d.loc.Span(start, end) }

// editorSave says that the document is not in the API format.
func (d *Document) editorSave() diag.Diagnostic {
	has := "`nodes`"
	if d.Body.Get("nodes") == nil {
		has = "`last_node_id`"
	} else if d.Body.Get("links") != nil {
		has = "`nodes` and `links`"
	}
	f := diag.Diagnostic{
		Code: "CW002", Severity: diag.SeverityError, Message: "this is ComfyUI's editor save, not the API export",
		Label: "has " + has + "; the API format maps node ids to nodes",
		Help:  howToExport, Server: "invalid_prompt",
	}
	f.Span = d.loc.Span(d.Body.Start, d.Body.Start+1)
	return f
}
