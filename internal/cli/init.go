package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/comfyctl/comfyctl/examples"
	"github.com/comfyctl/comfyctl/internal/diag"
	"github.com/comfyctl/comfyctl/internal/term"
	"github.com/comfyctl/comfyctl/pkg/catalog"
	"github.com/comfyctl/comfyctl/pkg/hardware"
	"github.com/comfyctl/comfyctl/pkg/scaffold"
	"github.com/comfyctl/comfyctl/pkg/service"
)

// InitOptions of `comfyctl init`.
type InitOptions struct {
	Workflow, Name, Example, Pick string
	// From are files of other tools.
	From        []string
	Force, Full bool
	LocalSchema bool
}

func newInitCmd(a *App, f runFunc[InitOptions]) *cobra.Command {
	o := &InitOptions{}
	cmd := &cobra.Command{
		Use:     "init [WORKFLOW.json|WORKFLOW.png|FILE]",
		Short:   "Write a comfyctl.yaml from a workflow",
		Example: "comfyctl init workflow_api.json\ncomfyctl init picture.png --name portrait\ncomfyctl init portrait.cpack.zip\ncomfyctl init workflow_api.json --from snapshot.json\ncomfyctl init --example hello",
		GroupID: groupStart,
		Args:    atMostOne,
		RunE: func(cmd *cobra.Command, args []string) error {
			o.Workflow = first(args)
			return f(cmd.Context(), a, o)
		},
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return []string{"json", "png", "zip", "yaml", "yml"}, cobra.ShellCompDirectiveFilterFileExt
		},
	}
	fl := cmd.Flags()
	fl.StringVar(&o.Name, "name", "", "`NAME` of the service (default: from the workflow's file)")
	fl.StringArrayVar(&o.From, "from", nil, "start from `FILE` of another tool: X.cpack.zip, a snapshot of ComfyUI-Manager or Desktop, manifest.yml of comfyui-api,\ncomfy-build.yaml, cog.yaml, custom_nodes.json or view_comfy.json; may be repeated")
	fl.StringVar(&o.Pick, "pick", "", "which one to take where a file of another tool holds several: its `TITLE`, or its number from 1")
	fl.StringVar(&o.Example, "example", "", "write the example `NAME` here: "+strings.Join(exampleNames(), ", "))
	fl.BoolVar(&o.Full, "full", false, "append every other key there is, as comments")
	fl.BoolVar(&o.LocalSchema, "local-schema", false, "write comfyctl.schema.json for editors that are offline")
	fl.BoolVar(&o.Force, "force", false, "write over files that are there")
	return cmd
}

// exampleNames lists the examples that are built in.
func exampleNames() []string {
	list, err := examples.FS.ReadDir(".")
	if err != nil {
		return nil
	}
	var names []string
	for _, e := range list {
		names = append(names, e.Name())
	}
	return names
}

// localSchema is the name of the schema beside a service file.
const localSchema = "comfyctl.schema.json"

// initReport is the result of init.
type initReport struct {
	File string `json:"file"`
	scaffold.Report
}

func runInit(ctx context.Context, a *App, o *InitOptions) error {
	switch {
	case o.Example != "" && (o.Workflow != "" || o.Name != "" || len(o.From) > 0):
		return usageError("bad_flags", "--example brings its own workflow and name", "comfyctl init --example "+o.Example)
	case o.Example != "":
		return a.initExample(o)
	}
	dir, err := a.dir()
	if err != nil {
		return err
	}
	file := filepath.Join(dir, "comfyctl.yaml")
	if a.flags.File != "" {
		if file, err = a.path(a.flags.File); err != nil {
			return err
		}
	}
	if err := a.mayWrite(o.Force, file); err != nil {
		return err
	}
	cat, err := catalog.For(catalog.Newest())
	if err != nil {
		return fmt.Errorf("reading the node catalog: %w", err)
	}
	org, err := a.origin(o, filepath.Dir(file), cat)
	if err != nil {
		return err
	}
	if org.write {
		if err := a.mayWrite(o.Force, org.file); err != nil {
			return err
		}
	}
	return a.initWrite(ctx, o, org, cat, file)
}

// mayWrite refuses to write over a file without --force.
func (a *App) mayWrite(force bool, name string) error {
	if _, err := os.Lstat(name); force || errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return usageError("exists", a.shown(name)+" exists", "--force writes over it, or edit it by hand")
}

func (a *App) initWrite(ctx context.Context, o *InitOptions, org *origin, cat *catalog.Catalog, file string) error {
	rel, err := filepath.Rel(filepath.Dir(file), org.file)
	if err != nil {
		rel = org.file
	}
	so := scaffold.Options{WorkflowFile: filepath.ToSlash(rel), Name: o.Name, Full: o.Full, Schema: service.SchemaURL, From: org.desc,
		SourceOf: modelBeside(filepath.Dir(file)), SizeOf: sizeBeside(filepath.Dir(file))}
	schema := filepath.Join(filepath.Dir(file), localSchema)
	if o.LocalSchema {
		if err := a.mayWrite(o.Force, schema); err != nil {
			return err
		}
		so.Schema = "./" + localSchema
	}
	b, report := scaffold.Init(org.graph, cat, so)
	con := a.console()
	a.initShow(org, report)
	if con.Interactive && !a.flags.Yes {
		yes, err := con.Confirm(ctx, "Write "+a.shown(file)+"?")
		if err != nil {
			return err
		}
		if !yes {
			return &diag.Error{Code: "declined", Class: diag.ClassFailed, Message: "nothing was written"}
		}
	}
	if err := a.saveGraph(o, org); err != nil {
		return err
	}
	if err := writeAtomic(file, b); err != nil {
		return failure("cannot_write", "`"+a.shown(file)+"` cannot be written", "", err)
	}
	if o.LocalSchema {
		if err := writeAtomic(schema, service.Schema()); err != nil {
			return failure("cannot_write", "`"+a.shown(schema)+"` cannot be written", "", err)
		}
		con.Line(term.OK, "wrote", a.shown(schema))
	}
	if err := ignoreState(filepath.Dir(file)); err != nil {
		return failure("cannot_write", ".gitignore cannot be written", "", err)
	}
	con.Line(term.OK, "wrote", fmt.Sprintf("%s (%d lines)", a.shown(file), strings.Count(string(b), "\n")))
	con.Say("\n  Next:  comfyctl validate        see what is left to fill in\n         comfyctl run --stub      try the API and page now, no GPU")
	a.reply.data = initReport{File: a.shown(file), Report: report}
	return a.print(a.shown(file))
}

// initShow tells what was found.
func (a *App) initShow(org *origin, report scaffold.Report) {
	con := a.console()
	con.Line(term.OK, "read", fmt.Sprintf("%s · %s · %s", a.shown(org.read), org.form, count(len(org.graph.Nodes), "node")))
	var pairs []string
	for _, in := range report.Inputs {
		pairs = append(pairs, in.Name+"→"+strings.Join(in.To, ","))
	}
	con.Line(term.OK, "inputs", strings.Join(pairs, "  "))
	for _, m := range report.Models {
		con.Line(term.OK, "models", m)
	}
	for _, p := range report.Packs {
		con.Line(term.OK, "nodes", p)
	}
	if len(report.Packs) == 0 {
		for _, n := range report.Nodes {
			con.Line(term.Warn, "nodes", n+" is no class of ComfyUI; name its pack under nodes:")
		}
	}
	a.initEstimate(report)
	for _, l := range report.Lost {
		con.Line(term.Warn, "left out", l.What+": "+l.Why)
	}
	for _, t := range report.Todo {
		con.Line(term.Warn, "todo", fmt.Sprintf("line %d: %s", t.Line, t.What))
	}
}

// initEstimate tells which card is asked for; with -v, how that was reckoned.
func (a *App) initEstimate(report scaffold.Report) {
	con := a.console()
	text := report.GPU
	for _, l := range report.Estimate {
		if l.Part == "need" {
			text += " · " + l.Formula
		}
	}
	con.Line(term.OK, "gpu", text)
	if a.flags.Verbose == 0 {
		return
	}
	for _, l := range report.Estimate {
		con.Line(term.Idle, l.Part, strings.TrimSpace(fmt.Sprintf("%s = %s (%s) %s", hardware.GB(l.Bytes), l.Formula, l.Sure, l.Of)))
	}
}

// modelBeside finds a model file in the places where people keep them.
func modelBeside(dir string) func(string) string {
	return func(model string) string {
		for _, at := range []string{"models/" + model, "models/" + path.Base(model), path.Base(model)} {
			if st, err := os.Stat(filepath.Join(dir, filepath.FromSlash(at))); err == nil && !st.IsDir() {
				return "./" + at
			}
		}
		return ""
	}
}

// sizeBeside gives the size of a model file that modelBeside finds.
func sizeBeside(dir string) func(string) int64 {
	find := modelBeside(dir)
	return func(model string) int64 {
		at := find(model)
		if at == "" {
			return 0
		}
		st, err := os.Stat(filepath.Join(dir, filepath.FromSlash(at)))
		if err != nil {
			return 0
		}
		return st.Size()
	}
}

// ignoreState keeps comfyctl's own files out of git.
func ignoreState(dir string) error {
	name := filepath.Join(dir, ".gitignore")
	b, err := os.ReadFile(name)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, line := range strings.Split(string(b), "\n") {
		if t := strings.Trim(strings.TrimSpace(line), "/"); t == stateDir {
			return nil
		}
	}
	if len(b) > 0 && b[len(b)-1] != '\n' {
		b = append(b, '\n')
	}
	return writeAtomic(name, append(b, []byte(stateDir+"/\n")...))
}

// initExample writes an example's files into the folder acted in.
func (a *App) initExample(o *InitOptions) error {
	dir, err := a.dir()
	if err != nil {
		return err
	}
	list, err := examples.FS.ReadDir(o.Example)
	if err != nil {
		help := "there are " + strings.Join(exampleNames(), ", ")
		if near := diag.Suggest(o.Example, exampleNames()); near != "" {
			help = "did you mean `" + near + "`?"
		}
		return usageError("unknown_example", "there is no example `"+o.Example+"`", help)
	}
	for _, e := range list {
		if err := a.mayWrite(o.Force, filepath.Join(dir, e.Name())); err != nil {
			return err
		}
	}
	for _, e := range list {
		b, err := examples.FS.ReadFile(path.Join(o.Example, e.Name()))
		if err != nil {
			return fmt.Errorf("reading the example: %w", err)
		}
		if err := writeAtomic(filepath.Join(dir, e.Name()), b); err != nil {
			return failure("cannot_write", e.Name()+" cannot be written", "", err)
		}
		a.console().Line(term.OK, "wrote", e.Name())
	}
	if err := ignoreState(dir); err != nil {
		return failure("cannot_write", ".gitignore cannot be written", "", err)
	}
	a.console().Say("\n  Next:  comfyctl run --stub --open")
	a.reply.data = map[string]any{"file": "comfyctl.yaml", "example": o.Example}
	return a.print("comfyctl.yaml")
}
