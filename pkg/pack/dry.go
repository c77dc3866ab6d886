package pack

import (
	"context"
	"fmt"
	"os"

	"github.com/comfyctl/comfyctl/internal/cas"
	"github.com/comfyctl/comfyctl/internal/progress"
	"github.com/comfyctl/comfyctl/internal/runnerbin"
	"github.com/comfyctl/comfyctl/internal/source"
	"github.com/comfyctl/comfyctl/pkg/contract"
)

// Dry says which layers Build would make, without fetching a model, building
// an environment or writing an image. Sizes that only fetching can tell are
// -1. Sources of ComfyUI and node packs are fetched, because they are small
// and decide the rest.
func Dry(ctx context.Context, r *Recipe, o BuildOptions) ([]LayerPlan, error) {
	if err := prepare(r, &o); err != nil {
		return nil, err
	}
	copied := *r.Contract
	c := contents{contract: &copied, scratch: r.Environment == nil}
	out := []LayerPlan{}
	if r.Environment != nil {
		comfyui, err := comfyTree(ctx, r, o)
		if err != nil {
			return nil, err
		}
		nodes, err := nodeTrees(ctx, r, o, progress.Discard)
		if err != nil {
			return nil, err
		}
		if err := c.sources(comfyui, nodes); err != nil {
			return nil, err
		}
		p := dryEnvironment(ctx, r, comfyui, nodes, o)
		out = append(out, p)
	}
	unknown := []LayerPlan{}
	for _, m := range r.Models {
		if m.Load != contract.LoadBake {
			continue
		}
		p, known := dryModel(o.Store(), r, &m)
		if known {
			c.models = append(c.models, m)
		} else {
			unknown = append(unknown, p)
		}
	}
	run, err := runnerbin.Open(ctx, runnerbin.Options{Platform: r.Platform, Override: r.Runner, CacheDir: o.CacheDir})
	if err != nil {
		return nil, err
	}
	c.runner, c.origin = run.Bytes, run.Origin
	plans, err := c.layers()
	if err != nil {
		return nil, err
	}
	for i := range plans {
		p := &plans[i]
		var sum string
		if p.model != nil && p.model.SHA256 != "" {
			p.Cached = o.Store().Fact("layer", layerKey(p.model.Path, p.model.SHA256), &sum)
			if p.Cached {
				p.Digest = "sha256:" + sum
			}
		}
	}
	return append(append(out, unknown...), plans...), nil
}

// dryModel looks for a model's file without fetching it.
func dryModel(s *cas.Store, r *Recipe, m *Model) (LayerPlan, bool) {
	if size, ok := s.Has(m.SHA256); ok {
		m.File, m.Size = s.Path(m.SHA256), size
		return LayerPlan{}, true
	}
	p := LayerPlan{Kind: KindWeights, Name: m.Path, Size: -1}
	for _, src := range m.Sources {
		p.Source = src
		ref, err := source.Parse(src, r.Dir)
		if err != nil || ref.Scheme != "file" {
			continue
		}
		fi, err := os.Stat(ref.Rest)
		if err != nil || !fi.Mode().IsRegular() {
			continue
		}
		m.File, m.Size = ref.Rest, fi.Size()
		if sum, ok := s.Lookup(ref.Rest, fi); ok && m.SHA256 == "" {
			m.SHA256 = sum
		}
		return LayerPlan{}, true
	}
	return p, false
}

// dryEnvironment asks Docker, when it answers, whether the environment is there.
func dryEnvironment(ctx context.Context, r *Recipe, comfyui tree, nodes []nodeSource, o BuildOptions) LayerPlan {
	p := LayerPlan{Kind: KindEnvironment, Name: r.Environment.Base, Size: -1, Source: r.Environment.Base}
	if o.Docker == nil {
		return p
	}
	e, err := o.Docker(ctx)
	if err != nil {
		return p
	}
	base, err := e.Image(ctx, r.Environment.Base)
	if err != nil {
		return p
	}
	plan, err := planEnvironment(r.Environment, base.ID, r.Platform, comfyui, nodes)
	if err != nil {
		return p
	}
	p.Name = fmt.Sprintf("%s on %s", plan.key, r.Environment.Base)
	if img, err := e.Image(ctx, plan.tag); err == nil {
		p.Size, p.Cached = img.Size, true
	}
	return p
}
