package pack

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/docker/go-units"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/comfyctl/comfyctl/internal/cas"
	"github.com/comfyctl/comfyctl/internal/diag"
	"github.com/comfyctl/comfyctl/internal/dockerengine"
	"github.com/comfyctl/comfyctl/internal/layer"
	"github.com/comfyctl/comfyctl/internal/progress"
	"github.com/comfyctl/comfyctl/internal/runnerbin"
	"github.com/comfyctl/comfyctl/internal/source"
	"github.com/comfyctl/comfyctl/pkg/contract"
	"github.com/comfyctl/comfyctl/pkg/lock/packs"
)

// DefaultPlatform is what images are made for when a recipe does not say.
const DefaultPlatform = "linux/amd64"

// BuildOptions say how an image is made, not what is in it.
type BuildOptions struct {
	// CacheDir holds the content store, sources and compiled runners.
	CacheDir string
	Progress progress.Func
	// Docker builds environments. It is called only for a recipe that has one.
	Docker func(ctx context.Context) (*dockerengine.Engine, error)
	// BuildNetwork is "", host or none.
	BuildNetwork string
	// Credentials sign in to the registry of a base image; nil tries without.
	Credentials func(image string) (*dockerengine.Credentials, error)
	// NoCache builds the environment again and takes nothing from its cache.
	NoCache bool
	// Created is the time in the image's config; zero means 1970, so that
	// equal recipes give equal digests.
	Created time.Time

	// Index are the addresses of package indexes, which may hold the password
	// that their files are fetched with.
	Index []string
	// Sources say how models are fetched; their secrets and their client are
	// those of node packs and Python packages too.
	Sources source.Options
}

// Store is the content store in the cache.
func (o BuildOptions) Store() *cas.Store { return cas.Open(filepath.Join(o.CacheDir, "cas")) }

// Built is a made image.
type Built struct {
	Image v1.Image
	// Layers say what is in it, lowest first, without the environment's.
	Layers []LayerPlan
	// Environment is the key of the environment, empty for a stub.
	Environment string
	// Reproducible is true where packing again gives the same digest anywhere.
	Reproducible bool
	Contract     *contract.Contract
	// environmentID is the environment's image in Docker.
	environmentID string
}

// Build fetches the models, makes the environment and appends the layers. It
// changes r: models get their files, sizes and hashes.
func Build(ctx context.Context, r *Recipe, o BuildOptions) (*Built, error) {
	if err := prepare(r, &o); err != nil {
		return nil, err
	}
	c, env, err := gather(ctx, r, o)
	if err != nil {
		return nil, err
	}
	plans, err := c.layers()
	if err != nil {
		return nil, err
	}
	made := make([]v1.Layer, len(plans))
	var total int64
	for i := range plans {
		if made[i], err = plans[i].make(ctx, o.Store(), o.Progress); err != nil {
			return nil, err
		}
		total += plans[i].Size
	}
	img, err := assemble(c.contract, env.image, r.Platform, plans, made, o.Created)
	if err != nil {
		return nil, err
	}
	layers := len(plans)
	if env.image != nil {
		layers += len(env.image.layers)
	}
	o.Progress(progress.Event{Step: "image", State: progress.Done, Text: fmt.Sprintf("%d layers, %s", layers, units.HumanSize(float64(total+env.size)))})
	return &Built{Image: img, Layers: plans, Environment: env.key, Reproducible: env.image == nil, Contract: c.contract, environmentID: env.id}, nil
}

// prepare fills in defaults and refuses what cannot be packed.
func prepare(r *Recipe, o *BuildOptions) error {
	if o.Progress == nil {
		o.Progress = progress.Discard
	}
	if o.Created.IsZero() {
		o.Created = time.Unix(0, 0)
	}
	o.Created = o.Created.UTC()
	if r.Platform == "" {
		r.Platform = DefaultPlatform
	}
	if r.Contract == nil {
		return fmt.Errorf("packing: the recipe has no contract")
	}
	for _, m := range r.Models {
		if m.Load == contract.LoadStart {
			return &diag.Error{Code: "load_unsupported", Class: diag.ClassCheck,
				Message: "load: start is not in this version yet (" + m.Path + ")",
				Help:    "use `load: bake` to put the model into the image, or `load: mount` for a folder of the target"}
		}
	}
	if (r.Environment == nil) != (r.Contract.Engine.Kind == contract.EngineStub) {
		return fmt.Errorf("packing: an engine of kind %q goes with an environment only if it is %s", r.Contract.Engine.Kind, contract.EngineComfyUI)
	}
	if r.Environment == nil {
		return nil
	}
	return checkEnvironment(r.Environment)
}

// built is an environment that is ready to have layers on top.
type readyEnvironment struct {
	image *environmentImage
	key   string
	id    string
	size  int64
}

// gather brings everything to this machine that goes into the image.
func gather(ctx context.Context, r *Recipe, o BuildOptions) (contents, readyEnvironment, error) {
	copied := *r.Contract
	c := contents{contract: &copied, scratch: r.Environment == nil}
	var env readyEnvironment
	if r.Environment != nil {
		var err error
		if env, err = gatherEnvironment(ctx, r, &c, o); err != nil {
			return c, env, err
		}
	}
	err := Models(ctx, r, ModelOptions{Store: o.Store(), Sources: o.Sources, Progress: o.Progress})
	if err != nil {
		return c, env, err
	}
	copied.Models = []contract.Model{}
	for _, m := range r.Models {
		copied.Models = append(copied.Models, contract.Model{Path: m.Path, SHA256: m.SHA256, Size: m.Size, Load: m.Load})
		if m.Load == contract.LoadBake {
			c.models = append(c.models, m)
		}
	}
	run, err := runnerbin.Open(ctx, runnerbin.Options{Platform: r.Platform, Override: r.Runner, CacheDir: o.CacheDir})
	if err != nil {
		return c, env, err
	}
	c.runner, c.origin = run.Bytes, run.Origin
	o.Progress(progress.Event{Step: "service", State: progress.Done, Text: "runner " + run.Origin})
	return c, env, nil
}

// gatherEnvironment fetches the sources, then builds what they need.
func gatherEnvironment(ctx context.Context, r *Recipe, c *contents, o BuildOptions) (readyEnvironment, error) {
	var env readyEnvironment
	comfyui, err := comfyTree(ctx, r, o)
	if err != nil {
		return env, err
	}
	o.Progress(progress.Event{Step: "comfyui", State: state(comfyui.cached), Item: c.contract.Engine.Version, Text: shortCommit(comfyui.pin)})
	nodes, err := nodeTrees(ctx, r, o, o.Progress)
	if err != nil {
		return env, err
	}
	if err := c.sources(comfyui, nodes); err != nil {
		return env, err
	}
	if o.Docker == nil {
		return env, &diag.Error{Code: "docker_unavailable", Class: diag.ClassFailed, Message: "this environment must be built by Docker", Help: "start Docker, or pack with --engine stub"}
	}
	e, err := o.Docker(ctx)
	if err != nil {
		return env, err
	}
	baseID, err := findBase(ctx, e, r.Environment.Base, lockedBase(r.Environment), r.Platform, o)
	if err != nil {
		return env, err
	}
	o.Progress(progress.Event{Step: "base", State: progress.Cached, Item: r.Environment.Base})
	plan, err := planEnvironment(r.Environment, baseID, r.Platform, comfyui, nodes)
	if err != nil {
		return env, err
	}
	img, cached, err := buildEnvironment(ctx, e, plan, r.Platform, o)
	if err != nil {
		return env, err
	}
	o.Progress(progress.Event{Step: "environment", State: state(cached), Item: plan.key, Text: units.HumanSize(float64(img.Size))})
	env.key, env.id, env.size = plan.key, img.ID, img.Size
	env.image, err = newEnvironmentImage(ctx, e, img, plan, o.Store(), o.Progress)
	c.contract.Engine.Python, c.contract.Engine.Dir = pythonPath, contract.ComfyUIPath
	return env, err
}

func lockedBase(e *Environment) string {
	if e.Lock == nil {
		return ""
	}
	return e.Lock.Base.Digest
}

// sources turns the trees into files of the image.
func (c *contents) sources(comfyui tree, nodes []nodeSource) error {
	var err error
	c.comfySrc = comfyui.text
	if c.comfyui, err = layer.Tree(comfyui.dir, contract.ComfyUIPath[1:], packs.KeepComfyUI); err != nil {
		return packs.Escapes(err)
	}
	for _, n := range nodes {
		entries, err := layer.Tree(n.tree.dir, strings.Join([]string{contract.ComfyUIPath[1:], "custom_nodes", n.name}, "/"), packs.Keep)
		if err != nil {
			return packs.Escapes(err)
		}
		c.nodes = append(c.nodes, nodeTree{name: n.name, source: n.tree.text, entries: entries})
	}
	return nil
}
