package validate

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/comfyctl/comfyctl/internal/diag"
	"github.com/comfyctl/comfyctl/pkg/catalog"
	"github.com/comfyctl/comfyctl/pkg/service"
	"github.com/comfyctl/comfyctl/pkg/workflow"
	"github.com/comfyctl/comfyctl/pkg/workflow/ui"
)

// Options say what to check and with what knowledge.
type Options struct {
	// Dir is where to start looking for the service file, and what relative
	// names are relative to; empty means the working directory.
	Dir string
	// File is the service file; empty means to look for it.
	File string
	// Env is the environment to merge over it.
	Env string
	// Lookup gives the value of ${VAR}; nil means that none is set.
	Lookup func(name string) (string, bool)
	// Version is the comfyctl that reads the file, held against `requires:`.
	Version string
	// ObjectInfo is the answer of GET /object_info to check against, in place of
	// the built-in classes.
	ObjectInfo []byte
	// Strict turns warnings into errors.
	Strict bool
	// CI is set in a pipeline, where a few warnings are errors.
	CI bool
	// Stub is set where the stub engine will run the graphs: it reads no model,
	// so that missing local files do not matter.
	Stub bool
	// Lock is what the lock says; nil means that locks are not looked at.
	Lock *Locked
	// Packs names the node packs that are known to define a class, without the
	// network; nil means that nothing is known.
	Packs func(class string) []Pack
	// ReadFile reads a file; nil means os.ReadFile.
	ReadFile func(name string) ([]byte, error)
}

// Load finds and reads a service and applies every rule that needs no network.
// The plan is never nil without an error; Plan.Source has the text of what was
// read, for drawing the findings. The error is for what is no finding: no
// service file, an unreadable file, a cancelled context.
func Load(ctx context.Context, o Options) (*Plan, []diag.Diagnostic, error) {
	l := &loader{o: o, plan: &Plan{Env: o.Env, files: map[string][]byte{}}}
	if err := l.service(); err != nil {
		return nil, nil, err
	}
	if l.plan.Service == nil {
		return l.plan, l.finish(), nil
	}
	if err := l.catalog(); err != nil {
		return nil, nil, err
	}
	l.models()
	for _, ref := range l.refs() {
		if err := ctx.Err(); err != nil {
			return nil, nil, err
		}
		if err := l.workflow(ref); err != nil {
			return nil, nil, err
		}
	}
	l.aliases()
	l.unusedModels()
	l.cases()
	l.names()
	l.paths()
	l.packs()
	l.gpu()
	l.access()
	l.locked()
	return l.plan, l.finish(), nil
}

type loader struct {
	o    Options
	plan *Plan
	list []diag.Diagnostic
	// used are the model paths that some graph needs.
	used []string
	// meant are the paths of models whose folder is misspelt, as they should be:
	// the graph's need of one is then not a finding of its own.
	meant []string
	// opaque is set where a graph has nodes whose needs are not known.
	opaque bool
}

func (l *loader) add(d diag.Diagnostic) {
	if d.Severity == "" {
		d.Severity = diag.SeverityError
	}
	l.list = append(l.list, d)
}

// at files a finding about a value of the service file.
func (l *loader) at(pointer string, d diag.Diagnostic) {
	d.Span, d.Pointer = l.plan.Service.At(pointer), pointer
	l.add(d)
}

// key files a finding about a key of the service file.
func (l *loader) key(pointer string, d diag.Diagnostic) {
	d.Span, d.Pointer = l.plan.Service.KeyAt(pointer), pointer
	if d.File == "" {
		d.Span = l.plan.Service.At(pointer)
	}
	l.add(d)
}

// path is where a name lies on disk.
func (l *loader) path(name string) string { return inDir(l.o.Dir, name) }

func inDir(dir, name string) string {
	if filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(dir, name)
}

// read reads a file by the name that findings use.
func (l *loader) read(name string) ([]byte, error) {
	read := l.o.ReadFile
	if read == nil {
		read = os.ReadFile
	}
	b, err := read(l.path(name))
	if err == nil {
		l.plan.files[name] = b
	}
	return b, err
}

func (l *loader) service() error {
	file := l.o.File
	if file == "" {
		start := l.o.Dir
		if start == "" {
			start = "."
		}
		found, err := service.Find(start)
		if err != nil {
			return err
		}
		file = shorten(start, found)
	}
	l.plan.File, l.plan.Dir = file, filepath.Dir(l.path(file))
	src, err := l.read(file)
	if errors.Is(err, fs.ErrNotExist) {
		return &diag.Error{Code: "no_service_file", Class: diag.ClassUsage, Message: "there is no file " + file,
			Help: "`comfyctl init WORKFLOW` writes a service file", Err: err}
	}
	if err != nil {
		return fmt.Errorf("reading the service file: %w", err)
	}
	s, list := service.Parse(file, src, service.Options{Env: l.o.Env, Lookup: l.o.Lookup, Version: l.o.Version, ReadFile: l.read})
	l.plan.Service, l.list = s, list
	return nil
}

// shorten writes a found path relative to where the search began, if it is not
// shorter as it is.
func shorten(start, found string) string {
	abs, err := filepath.Abs(start)
	if err != nil {
		return found
	}
	rel, err := filepath.Rel(abs, found)
	if err != nil || len(rel) > len(found) {
		return found
	}
	return rel
}

func (l *loader) catalog() error {
	s := l.plan.Service
	core, err := catalog.For(s.ComfyUI.Version)
	if err != nil {
		return err
	}
	l.plan.Core = core
	if l.o.ObjectInfo != nil {
		c, err := catalog.ParseObjectInfo(l.o.ObjectInfo)
		if err != nil {
			return &diag.Error{Code: "bad_object_info", Class: diag.ClassUsage, Message: "the given object_info cannot be read",
				Help: "save the answer of GET /object_info of a running ComfyUI", Err: err}
		}
		if c.Version = s.ComfyUI.Version; c.Version == "" {
			c.Version = catalog.Newest()
		}
		l.plan.Catalog = c
		return nil
	}
	c := core
	if lock := l.o.Lock; lock != nil && lock.Classes != nil {
		// ComfyUI keeps its own class where a pack defines one of that name.
		c = lock.Classes.With(core)
		c.Version, c.Exact = core.Version, core.Exact
	}
	l.plan.Catalog = c
	if !c.Exact {
		l.at("/comfyui/version", diag.Diagnostic{Code: "CW101", Severity: diag.SeverityNote,
			Message: "node classes of ComfyUI " + s.ComfyUI.Version + " are not built in; checked against " + c.Version,
			Help:    "built in: " + strings.Join(catalog.Versions(), ", ") + "; --object-info gives others"})
	}
	return nil
}

// ref is a graph that the service file names.
type ref struct {
	w       service.Workflow
	at      string // pointer of the workflow
	inputs  service.Inputs
	in      string // pointer of its inputs
	outputs []service.Output
	out     string
}

// refs lists the graphs of the service, older versions after their newest.
func (l *loader) refs() []ref {
	s := l.plan.Service
	var list []ref
	add := func(w service.Workflow, at string) {
		r := ref{w: w, at: at, inputs: w.Inputs, in: at + "/inputs", outputs: w.Outputs, out: at + "/outputs"}
		if !s.Has(r.in) {
			r.inputs.Auto = true
		}
		list = append(list, r)
		for _, v := range w.Versions {
			here := at + "/versions/" + escape(v.Name)
			old := ref{w: service.Workflow{Name: w.Name, File: v.File, Version: v.Name, Description: w.Description}, at: here,
				inputs: v.Inputs, in: here + "/inputs", outputs: v.Outputs, out: here + "/outputs"}
			if !s.Has(old.in) {
				old.inputs, old.in = r.inputs, r.in
			}
			if !s.Has(old.out) {
				old.outputs, old.out = r.outputs, r.out
			}
			list = append(list, old)
		}
	}
	if s.Workflow.File != "" {
		w := s.Workflow
		w.Name = s.Name
		if !s.Has("/workflow/inputs") {
			w.Inputs = s.Inputs
		}
		if !s.Has("/workflow/outputs") {
			w.Outputs = s.Outputs
		}
		add(w, "/workflow")
		if !s.Has("/workflow/inputs") {
			list[0].inputs, list[0].in = s.Inputs, "/inputs"
		}
		if !s.Has("/workflow/outputs") {
			list[0].out = "/outputs"
		}
		return list
	}
	for _, w := range s.Workflows {
		if w.File != "" {
			add(w, "/workflows/"+escape(w.Name))
		}
	}
	return list
}

// escape writes a key as a segment of an RFC 6901 pointer.
func escape(key string) string {
	return strings.NewReplacer("~", "~0", "/", "~1").Replace(key)
}

func (l *loader) workflow(r ref) error {
	name := filepath.Join(filepath.Dir(l.plan.File), r.w.File)
	if filepath.IsAbs(r.w.File) {
		name = r.w.File
	}
	file, src, err := l.readWorkflow(name)
	if errors.Is(err, fs.ErrNotExist) {
		l.at(r.at+"/file", diag.Diagnostic{Code: "CW001", Message: "there is no workflow file `" + r.w.File + "`", Label: "not found",
			Help: "in ComfyUI choose Workflow → Export (API) and save it there"})
		return nil
	}
	if errors.Is(err, errToldAlready) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading the workflow: %w", err)
	}
	g, list := ui.Read(name, src, l.plan.Catalog)
	if g == nil {
		if file == nil || workflow.IsMedia(file[:min(len(file), 16)]) {
			onlyText(list, file, nil)
		}
		l.list = append(l.list, named(list, l.plan.Catalog)...)
		return nil
	}
	onlyText(list, file, g.Source)
	l.list = append(l.list, named(list, l.plan.Catalog)...)
	l.plan.files[name] = g.Source
	w := Workflow{Name: r.w.Name, Version: r.w.Version, Description: r.w.Description, File: name, Graph: g, at: r.at, own: r.w}
	for _, a := range r.w.Aliases {
		w.Aliases = append(w.Aliases, a.Name)
	}
	if w.Version == "" {
		w.Version = g.Version()
	}
	x := &resolver{l: l, g: g, cat: l.plan.Catalog}
	w.Inputs = x.inputs(r)
	w.Outputs = x.outputs(r)
	list = Graph(g, l.plan.Catalog, l.around(g, w.Inputs))
	onlyText(list, file, g.Source)
	l.list = append(l.list, fixable(g, list)...)
	l.plan.Workflows = append(l.plan.Workflows, w)
	return nil
}

// finish applies levels and puts the findings in reading order.
func (l *loader) finish() []diag.Diagnostic {
	l.levels()
	l.sort()
	return l.list
}

// sort puts findings in reading order: the service file's, then each graph's.
func (l *loader) sort() {
	order := map[string]int{l.plan.File: -1}
	for i, w := range l.plan.Workflows {
		if _, ok := order[w.File]; !ok {
			order[w.File] = i
		}
	}
	slices.SortStableFunc(l.list, func(a, b diag.Diagnostic) int {
		if d := order[a.File] - order[b.File]; d != 0 {
			return d
		}
		if d := strings.Compare(a.File, b.File); d != 0 {
			return d
		}
		return a.Start.Offset - b.Start.Offset
	})
}
