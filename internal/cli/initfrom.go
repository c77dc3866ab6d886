package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/comfyctl/comfyctl/internal/diag"
	"github.com/comfyctl/comfyctl/internal/term"
	"github.com/comfyctl/comfyctl/pkg/catalog"
	"github.com/comfyctl/comfyctl/pkg/scaffold/from"
	"github.com/comfyctl/comfyctl/pkg/workflow"
)

// maxSource is the largest file that init reads, in bytes.
const maxSource = 1 << 30

// origin is what init starts from.
type origin struct {
	graph *workflow.Graph
	// file is the graph's file: the one that was read, or the one to write.
	file string
	// write is set where the graph is not a file yet.
	write bool
	// read is the file that the graph was read from, form what that is.
	read, form string
	desc       *from.Description
}

// origin reads the workflow and what other tools say about it.
func (a *App) origin(o *InitOptions, dir string, cat *catalog.Catalog) (*origin, error) {
	org := &origin{}
	for _, arg := range o.From {
		src, name, err := a.readSource(arg)
		if err != nil {
			return nil, err
		}
		if err := org.add(a.shown(name), name, src, o.Pick); err != nil {
			return nil, err
		}
	}
	src, name, err := a.graphSource(o, org)
	if err != nil {
		return nil, err
	}
	// An editor save of comfy-pack or Comfy Deploy is read by their nodes' shapes.
	marks, err := from.Marks()
	if err != nil {
		return nil, err
	}
	w, err := a.parseGraph(name, src, cat.With(marks))
	if err != nil {
		return nil, err
	}
	org.graph, org.form = w.graph, w.form
	org.file, org.read = name, name
	if org.desc != nil && org.desc.Graph != nil && o.Workflow == "" {
		org.file, org.write, org.form = filepath.Join(dir, "workflow_api.json"), true, string(org.desc.Kind)
	} else if w.media {
		org.file, org.write = strings.TrimSuffix(name, filepath.Ext(name))+"_api.json", true
	}
	text := w.text
	if saved := workflow.Saved(bytes.NewReader(src), int64(len(src))); w.media && saved != nil {
		text = saved // beside what ran, a picture holds the editor's save
	}
	for _, read := range []func([]byte, *workflow.Graph) (*from.Description, bool){from.App, from.Hints} {
		if d, ok := read(text, org.graph); ok {
			org.desc = from.Merge(org.desc, d)
		}
	}
	return org, a.unmark(org, cat)
}

// add reads one file of another tool.
func (g *origin) add(shown, name string, src []byte, pick string) error {
	beside := func(other string) ([]byte, error) { return os.ReadFile(filepath.Join(filepath.Dir(name), other)) }
	d, err := from.Read(shown, src, from.Options{Beside: beside, Pick: pick})
	if err != nil {
		return err
	}
	if d.Name == "" && d.Graph != nil {
		base := filepath.Base(name)
		d.Name = strings.TrimSuffix(strings.TrimSuffix(base, filepath.Ext(base)), ".cpack")
	}
	g.desc = from.Merge(g.desc, d)
	return nil
}

// readSource reads a file within bounds.
func (a *App) readSource(arg string) (src []byte, name string, err error) {
	if name, err = a.path(arg); err != nil {
		return nil, "", err
	}
	st, err := os.Stat(name)
	switch {
	case err != nil:
		return nil, "", usageError("unreadable_file", "`"+arg+"` cannot be read", pathReason(err))
	case st.IsDir():
		return nil, "", usageError("unreadable_file", "`"+arg+"` is a folder", "name the file in it")
	case st.Size() > maxSource:
		return nil, "", &diag.Error{Code: "too_large", Class: diag.ClassCheck, Message: fmt.Sprintf("`%s` has more than %d MB", arg, maxSource>>20), Help: "a workflow and what describes it are small; models do not belong in it"}
	}
	if src, err = os.ReadFile(name); err != nil {
		return nil, "", usageError("unreadable_file", "`"+arg+"` cannot be read", pathReason(err))
	}
	return src, name, nil
}

// graphSource finds the graph: the one named, the one that came along, or the
// usual file.
func (a *App) graphSource(o *InitOptions, org *origin) (src []byte, name string, err error) {
	arg := o.Workflow
	switch {
	case arg == "" && org.desc != nil && org.desc.Graph != nil:
		return org.desc.Graph, o.From[len(o.From)-1], nil
	case arg == "":
		arg = "workflow_api.json"
		at, err := a.path(arg)
		if err != nil {
			return nil, "", err
		}
		if _, err := os.Stat(at); errors.Is(err, fs.ErrNotExist) && org.desc != nil {
			return nil, "", usageError("no_workflow", "a "+string(org.desc.Kind)+" holds no workflow, and there is no workflow_api.json", "name it too: comfyctl init FILE.json --from "+o.From[0])
		} else if errors.Is(err, fs.ErrNotExist) {
			return nil, "", usageError("no_workflow", "no workflow is named, and there is no workflow_api.json", "in ComfyUI choose Workflow → Export (API), then: comfyctl init FILE.json;\ncomfyctl init --example hello brings one")
		}
	}
	if src, name, err = a.readSource(arg); err != nil {
		return nil, "", err
	}
	if from.Detect(src) == "" {
		return src, name, nil
	}
	// The workflow's place was given to another tool's file.
	if err := org.add(a.shown(name), name, src, o.Pick); err != nil {
		return nil, "", err
	}
	o.From, o.Workflow = append(o.From, arg), ""
	return a.graphSource(o, org)
}

// parseGraph reads a graph and shows what is wrong with it.
func (a *App) parseGraph(name string, src []byte, cat *catalog.Catalog) (*workflowFile, error) {
	w := openWorkflow(a.shown(name), src, cat)
	a.sources = func(string) []byte { return w.text }
	if w.graph != nil && !diag.HasErrors(w.list) {
		return w, nil
	}
	a.reply.diags = w.list
	if err := a.showFindings(onlyErrors(w.list)); err != nil {
		return nil, err
	}
	return nil, checkError("unreadable_workflow", "no service file is made of "+a.shown(name), w.list)
}

// unmark takes other tools' marks out of the graph.
func (a *App) unmark(org *origin, cat *catalog.Catalog) error {
	d, ok := from.Unmark(org.graph, cat)
	if !ok {
		return nil
	}
	w, err := a.parseGraph(org.file, d.Graph, cat)
	if err != nil {
		return fmt.Errorf("reading the graph without its marks: %w", err)
	}
	if !org.write {
		base := strings.TrimSuffix(strings.TrimSuffix(org.file, filepath.Ext(org.file)), "_api")
		org.file, org.write = base+"_plain_api.json", true
		d.Name = filepath.Base(base)
	}
	org.graph, org.desc = w.graph, from.Merge(org.desc, d)
	return nil
}

// save writes the graph where it is not a file yet.
func (a *App) saveGraph(o *InitOptions, org *origin) error {
	if !org.write {
		return nil
	}
	if err := a.mayWrite(o.Force, org.file); err != nil {
		return err
	}
	var pretty strings.Builder
	enc := json.NewEncoder(&pretty)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(org.graph.JSON()); err != nil {
		return fmt.Errorf("writing the workflow: %w", err)
	}
	if err := writeAtomic(org.file, []byte(pretty.String())); err != nil {
		return failure("cannot_write", "`"+a.shown(org.file)+"` cannot be written", "", err)
	}
	a.console().Line(term.OK, "extracted", a.shown(org.file))
	return nil
}
