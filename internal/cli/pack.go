package cli

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/docker/go-units"
	"github.com/spf13/cobra"

	"github.com/comfyctl/comfyctl/internal/dockerengine"
	"github.com/comfyctl/comfyctl/internal/progress"
	"github.com/comfyctl/comfyctl/internal/registry"
	"github.com/comfyctl/comfyctl/pkg/contract"
	"github.com/comfyctl/comfyctl/pkg/pack"
)

// PackOptions of `comfyctl pack`.
type PackOptions struct {
	Tags                  []string
	Out, OCI              string
	Load, NoCache, DryRun bool
	packFlags
}

// packFlags are what pack, push, run, test and deploy share.
type packFlags struct {
	Engine, Builder, Platform, Models, Runner, BuildNetwork string
	Locked                                                  bool
}

func (p *packFlags) add(cmd *cobra.Command) {
	fl := cmd.Flags()
	enumVar(fl, &p.Engine, "engine", "", contract.EngineComfyUI, "what runs in the image", contract.EngineComfyUI, contract.EngineStub)
	enumVar(fl, &p.Builder, "builder", "", "auto", "what makes the environment", "auto", "docker")
	enumVar(fl, &p.Models, "models", "", "", "what to do with every model instead of what its load: says", contract.LoadBake, contract.LoadMount)
	fl.StringVar(&p.Platform, "platform", "", "`OS/ARCH` of the image (default linux/amd64)")
	fl.StringVar(&p.Runner, "runner", "", "comfy-runner to put in (`FILE`)")
	fl.BoolVar(&p.Locked, "locked", false, "stop where there is no lock")
	enumVar(fl, &p.BuildNetwork, "build-network", "", "", "network of the environment's build", "host", "none")
}

func newPackCmd(a *App, f runFunc[PackOptions]) *cobra.Command {
	o := &PackOptions{}
	cmd := &cobra.Command{
		Use:     "pack",
		Short:   "Build the OCI image",
		Example: "comfyctl pack\ncomfyctl pack --engine stub --oci image\ncomfyctl pack -t registry.example.com/portrait:1.4\ndocker run -p 8080:8080 $(comfyctl pack)",
		Aliases: []string{"build"},
		GroupID: groupBuild,
		Args:    noArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return f(cmd.Context(), a, o) },
	}
	o.add(cmd)
	fl := cmd.Flags()
	fl.StringArrayVarP(&o.Tags, "tag", "t", nil, "push to this reference (`REF`); may be repeated")
	fl.StringVar(&o.Out, "out", "", "write an archive to `FILE`")
	fl.StringVar(&o.OCI, "oci", "", "write an OCI layout to `DIR`")
	fl.BoolVar(&o.Load, "load", false, "load into Docker; so it is without -t, --out and --oci")
	fl.BoolVar(&o.NoCache, "no-cache", false, "build the environment again")
	fl.BoolVar(&o.DryRun, "dry-run", false, "show the layers, write nothing")
	return cmd
}

// packed is the result of pack and push.
type packed struct {
	Image        string           `json:"image"`
	Digest       string           `json:"digest,omitempty"`
	Refs         []string         `json:"refs"`
	Size         int64            `json:"size"`
	Layers       []pack.LayerPlan `json:"layers"`
	Reproducible bool             `json:"reproducible"`
	Contract     string           `json:"contract"`
}

// cacheDir holds models, layers and environments between runs.
func (a *App) cacheDir() (string, error) {
	switch {
	case a.env["COMFYCTL_CACHE_DIR"] != "":
		return a.path(a.env["COMFYCTL_CACHE_DIR"])
	case a.env["XDG_CACHE_HOME"] != "":
		return filepath.Join(a.env["XDG_CACHE_HOME"], "comfyctl"), nil
	case a.env["LocalAppData"] != "":
		return filepath.Join(a.env["LocalAppData"], "comfyctl"), nil
	case a.env["HOME"] != "":
		return filepath.Join(a.env["HOME"], ".cache", "comfyctl"), nil
	}
	return "", usageError("no_cache_dir", "there is no folder for the cache", "set COMFYCTL_CACHE_DIR")
}

// recipe turns a checked service into what an image is made from.
func (a *App) recipe(ctx context.Context, p *project, f packFlags) (*pack.Recipe, error) {
	pinned := p.lock
	if f.Engine == contract.EngineStub {
		pinned = nil
	} else if err := a.current(ctx, p, f); err != nil {
		return nil, err
	}
	runner := f.Runner
	if runner != "" {
		var err error
		if runner, err = a.path(runner); err != nil {
			return nil, err
		}
	}
	r, err := pack.FromPlan(p.Plan, pack.PlanOptions{Engine: f.Engine, Platform: f.Platform, Runner: runner, Models: f.Models, Lock: pinned, Packer: version, Pip: a.pip(), Proxy: a.env["HTTPS_PROXY"]})
	if err == nil && r.Environment != nil && r.Environment.CA == "" {
		// pip's own certificates on this machine are those that its build needs.
		r.Environment.CA = a.env["PIP_CERT"]
	}
	return r, err
}

// pip are pip's settings in the environment that mean the same inside a build;
// those that name files of this machine do not.
func (a *App) pip() map[string]string {
	set := map[string]string{}
	for _, name := range []string{"PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_TRUSTED_HOST", "PIP_DEFAULT_TIMEOUT", "PIP_RETRIES", "PIP_PREFER_BINARY"} {
		if v := a.env[name]; v != "" {
			set[name] = v
		}
	}
	return set
}

func runPack(ctx context.Context, a *App, o *PackOptions) error {
	if !o.Load && o.Out == "" && o.OCI == "" && len(o.Tags) == 0 {
		o.Load = true
	}
	p, err := a.load(ctx, false)
	if err != nil {
		return err
	}
	return a.pack(ctx, o, p)
}

// pack builds the image and sends it where the options say.
func (a *App) pack(ctx context.Context, o *PackOptions, p *project) error {
	docker := &share{app: a}
	defer docker.close()
	on, done := a.steps()
	defer done()
	if o.DryRun {
		r, bo, err := a.packing(ctx, p, o.packFlags, o.NoCache, on, docker)
		if err != nil {
			return err
		}
		layers, err := pack.Dry(ctx, r, bo)
		if err != nil {
			return err
		}
		done()
		a.reply.data = packed{Refs: []string{}, Layers: layers}
		return a.print(layerTable(layers))
	}
	built, err := a.build(ctx, p, o.packFlags, o.NoCache, on, docker)
	if err != nil {
		return err
	}
	targets, err := a.publishers(ctx, o, p, docker, on)
	if err != nil {
		return err
	}
	return a.publish(ctx, built, targets, done)
}

// packing is what goes into the image of a project, and how it is made.
func (a *App) packing(ctx context.Context, p *project, f packFlags, noCache bool, on progress.Func, docker *share) (*pack.Recipe, pack.BuildOptions, error) {
	r, err := a.recipe(ctx, p, f)
	if err != nil {
		return nil, pack.BuildOptions{}, err
	}
	cache, err := a.cacheDir()
	if err != nil {
		return nil, pack.BuildOptions{}, err
	}
	sources, err := a.modelSources()
	return r, pack.BuildOptions{CacheDir: cache, Progress: on, Docker: docker.get, BuildNetwork: f.BuildNetwork, NoCache: noCache, Sources: sources,
		Index: append(strings.Fields(a.env["PIP_EXTRA_INDEX_URL"]), a.env["PIP_INDEX_URL"])}, err
}

// build makes the image of a project.
func (a *App) build(ctx context.Context, p *project, f packFlags, noCache bool, on progress.Func, docker *share) (*pack.Built, error) {
	on(progress.Event{Step: "check", State: progress.Done, Text: "no problems"})
	if err := a.holdCache(ctx); err != nil {
		return nil, err
	}
	r, o, err := a.packing(ctx, p, f, noCache, on, docker)
	if err != nil {
		return nil, err
	}
	return pack.Build(ctx, r, o)
}

// publishers are where the image goes, the one that names it first.
func (a *App) publishers(ctx context.Context, o *PackOptions, p *project, docker *share, on progress.Func) (pack.Multi, error) {
	var list pack.Multi
	name := pack.ShortName(p.Service.Name)
	if len(o.Tags) > 0 {
		list = append(list, pack.Registry{Client: a.registry(), Refs: o.Tags, Progress: on})
	}
	if o.OCI != "" {
		dir, err := a.path(o.OCI)
		if err != nil {
			return nil, err
		}
		list = append(list, pack.OCILayout{Dir: dir, Name: name, Tag: "latest", Progress: on})
	}
	if o.Out != "" {
		file, err := a.path(o.Out)
		if err != nil {
			return nil, err
		}
		list = append(list, pack.Archive{File: file, Name: name, Tag: "latest", Progress: on})
	}
	if o.Load {
		e, err := docker.get(ctx)
		if err != nil {
			return nil, err
		}
		list = append(list, pack.Docker{Engine: e, Tags: []string{name + ":latest"}, Progress: on})
	}
	return list, nil
}

// publish sends the image everywhere and prints its reference.
func (a *App) publish(ctx context.Context, built *pack.Built, to pack.Multi, done func()) error {
	ref, err := to.Publish(ctx, built.Image)
	if err != nil {
		return err
	}
	done()
	result := packed{Image: ref, Refs: []string{ref}, Layers: built.Layers, Reproducible: built.Reproducible}
	if result.Contract, err = built.Contract.Digest(); err != nil {
		return err
	}
	for _, l := range built.Layers {
		result.Size += max(l.Size, 0)
	}
	if _, digest, ok := strings.Cut(ref, "@"); ok {
		result.Digest = digest
	} else {
		result.Digest = ref
	}
	a.reply.data = result
	if err := errors.Join(a.output("image", ref), a.output("digest", result.Digest)); err != nil {
		return err
	}
	return a.print(ref)
}

// share opens Docker once for all that need it.
type share struct {
	app    *App
	engine *dockerengine.Engine
}

func (s *share) get(ctx context.Context) (*dockerengine.Engine, error) {
	var err error
	if s.engine == nil {
		s.engine, err = s.app.docker(ctx)
	}
	return s.engine, err
}

func (s *share) close() {
	if s.engine != nil {
		// Nothing is lost with a connection.
		_ = s.engine.Close()
	}
}

func layerTable(layers []pack.LayerPlan) string {
	var b strings.Builder
	for _, l := range layers {
		size, cached := units.HumanSize(float64(l.Size)), ""
		if l.Size < 0 {
			size = "?"
		}
		if l.Cached {
			cached = "cached"
		}
		fmt.Fprintf(&b, "%-12s %10s  %-6s  %s\n", l.Kind, size, cached, strings.TrimSpace(l.Name+"  "+l.Source))
	}
	return b.String()
}

// registry signs in with what Docker has stored.
func (a *App) registry() registry.Client {
	dir := a.env["DOCKER_CONFIG"]
	if dir == "" {
		dir = filepath.Join(a.env["HOME"], ".docker")
	}
	c := registry.Client{ConfigDir: dir}
	if cache, err := a.cacheDir(); err == nil {
		c.Sessions = filepath.Join(cache, "uploads")
	}
	return c
}
