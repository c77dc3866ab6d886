package cli

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/comfyctl/comfyctl/internal/diag"
	"github.com/comfyctl/comfyctl/internal/term"
	"github.com/comfyctl/comfyctl/pkg/contract"
	"github.com/comfyctl/comfyctl/pkg/deploy"
	"github.com/comfyctl/comfyctl/pkg/deploy/compose"
	"github.com/comfyctl/comfyctl/pkg/service"
)

// exportFormats are the files that export writes, by format.
var exportFormats = map[string]string{"compose": "compose.yaml"}

// ExportOptions of `comfyctl export`.
type ExportOptions struct {
	Format, Target, Image, Models, Out, Host, GPUs string
	Port                                           int
	Force                                          bool
}

func newExportCmd(a *App, f runFunc[ExportOptions]) *cobra.Command {
	o := &ExportOptions{}
	cmd := &cobra.Command{
		Use:       "export compose",
		Short:     "Write a Compose file of the service",
		Example:   "comfyctl export compose --image registry.example.com/portrait:1.4\ncomfyctl export compose --out deploy/ --models /srv/models",
		GroupID:   groupShip,
		ValidArgs: []string{"compose"},
		Args:      oneArg("a format", "comfyctl export compose"),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.Format = args[0]
			return f(cmd.Context(), a, o)
		},
	}
	fl := cmd.Flags()
	fl.StringVar(&o.Target, "target", "", "take image, port and models folder from this target (`NAME`)")
	fl.StringVar(&o.Image, "image", "", "the pushed image (`REF`; default: the target's)")
	fl.StringVar(&o.Models, "models", "", "folder of the models that are not in the image, on the machine that runs it (`DIR`; default: the target's)")
	fl.StringVar(&o.Out, "out", ".", "`DIR` to write to; - is stdout")
	fl.StringVar(&o.Host, "host", "127.0.0.1", "`ADDRESS` to publish the API on")
	fl.IntVarP(&o.Port, "port", "p", 0, "`PORT` to publish the API on (default: the target's, else 8080)")
	fl.StringVar(&o.GPUs, "gpus", "all", "GPUs of the container: all, none or a list such as 0,1 (`WHICH`)")
	fl.BoolVar(&o.Force, "force", false, "write over a file that is there")
	return cmd
}

func (o *ExportOptions) validate() error {
	if _, ok := exportFormats[o.Format]; !ok {
		help := "this comfyctl writes compose"
		if near := diag.Suggest(o.Format, []string{"compose"}); near != "" {
			help = "did you mean `" + near + "`?"
		}
		return usageError("unknown_format", "no export of the format `"+o.Format+"`", help)
	}
	switch {
	case !gpuFlag.MatchString(o.GPUs):
		return usageError("bad_flag", "--gpus is "+o.GPUs, "it takes all, none or a list of devices such as 0,1")
	case o.Port < 0 || o.Port > 65535:
		return usageError("bad_flag", fmt.Sprintf("--port is %d", o.Port), "it takes 1 to 65535")
	}
	return nil
}

func runExport(ctx context.Context, a *App, o *ExportOptions) error {
	if err := o.validate(); err != nil {
		return err
	}
	p, err := a.load(ctx, true)
	if err != nil {
		return err
	}
	spec, err := a.exportSpec(o, p)
	if err != nil {
		return err
	}
	b, err := compose.Render(spec)
	if err != nil {
		return err
	}
	a.reply.data = map[string]any{"format": o.Format, "files": []string{}, "text": string(b)}
	if o.Out == "-" {
		return a.print(string(b))
	}
	return a.writeExport(o, b)
}

func (a *App) writeExport(o *ExportOptions, b []byte) error {
	file, err := a.path(filepath.Join(o.Out, exportFormats[o.Format]))
	if err != nil {
		return err
	}
	if old, err := os.ReadFile(file); err == nil && !o.Force && !bytes.Equal(old, b) {
		return usageError("file_exists", a.shown(file)+" is there and says something else", "--force writes over it; --out - shows the new one")
	}
	if err := writeAtomic(file, b); err != nil {
		return failure("cannot_write", "`"+a.shown(file)+"` cannot be written", "", err)
	}
	a.reply.data = map[string]any{"format": o.Format, "files": []string{a.shown(file)}}
	return a.print(a.shown(file))
}

// exportSpec is what a deploy of the service would want, without asking any
// machine.
func (a *App) exportSpec(o *ExportOptions, p *project) (*deploy.Spec, error) {
	conf, err := exportTarget(o.Target, p.Service)
	if err != nil {
		return nil, err
	}
	image := firstOf(o.Image, conf.Image)
	if image == "" {
		return nil, usageError("missing_reference", "nothing says which image to run", "comfyctl push registry.example.com/"+p.Service.Name+":1.0, then --image with what it printed; or `image:` of a target")
	}
	s := &deploy.Spec{Service: p.Service.Name, Env: a.flags.Env, Image: image, Host: o.Host, Port: o.Port, NoGPU: o.GPUs == "none", GPUs: gpuList(o.GPUs),
		Contract: p.Contract(contract.EngineComfyUI, version)}
	if _, digest, ok := strings.Cut(image, "@"); ok {
		s.ImageDigest = digest
	} else {
		a.console().Line(term.Warn, "image", image+" is a tag, which may move; a digest does not")
	}
	if s.Port == 0 {
		s.Port = conf.Port
	}
	folder := firstOf(o.Models, conf.Models)
	for _, m := range p.Models {
		if m.Load != contract.LoadMount {
			continue
		}
		if folder == "" {
			return nil, usageError("missing_models", "the model "+m.Path+" is not in the image (`load: mount`), and nothing says where it lies", "--models /srv/models, or `models:` of a target")
		}
		// A relative folder is one beside the Compose file, which wants a dot.
		source := path.Join(filepath.ToSlash(folder), m.Path)
		if !path.IsAbs(source) && !filepath.IsAbs(folder) {
			source = "./" + source
		}
		s.Mounts = append(s.Mounts, deploy.Mount{Source: source, Target: path.Join(contract.ModelsPath, m.Path)})
	}
	return s, nil
}

// exportTarget is the named target, else the only one of type docker, else an
// empty one.
func exportTarget(name string, s *service.Service) (service.Target, error) {
	var docker []service.Target
	for _, t := range s.Targets {
		if t.Name == name {
			return t, nil
		}
		if t.Type == "docker" {
			docker = append(docker, t)
		}
	}
	switch {
	case name != "":
		names := targetNames(s)
		help := "the targets are " + strings.Join(names, ", ")
		if near := diag.Suggest(name, names); near != "" {
			help = "did you mean `" + near + "`?"
		}
		return service.Target{}, usageError("unknown_target", "there is no target `"+name+"`", help)
	case len(docker) == 1:
		return docker[0], nil
	}
	return service.Target{}, nil
}

func firstOf(texts ...string) string {
	i := slices.IndexFunc(texts, func(s string) bool { return s != "" })
	if i < 0 {
		return ""
	}
	return texts[i]
}
