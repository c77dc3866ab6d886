package cli

import (
	"context"
	"path/filepath"
	"slices"
	"strings"

	"github.com/docker/go-units"

	"github.com/comfyctl/comfyctl/internal/cas"
	"github.com/comfyctl/comfyctl/internal/diag"
	"github.com/comfyctl/comfyctl/internal/progress"
	"github.com/comfyctl/comfyctl/internal/source"
	"github.com/comfyctl/comfyctl/pkg/lock"
	"github.com/comfyctl/comfyctl/pkg/validate"
)

// modelFacts finds size and hash of a model file: from the service file where
// it says them, from the hub where that publishes them, else from the bytes,
// which then stay in the cache.
func (a *App) modelFacts(ctx context.Context, p *project, m validate.Model, cache string, offline bool, on progress.Func) (lock.Model, error) {
	remote := slices.ContainsFunc(m.Sources, func(s string) bool { return strings.Contains(s, "://") })
	out := lock.Model{SHA256: strings.ToLower(m.SHA256), From: "service"}
	store := cas.Open(filepath.Join(cache, "cas"))
	if m.SHA256 != "" && remote {
		out.Size, _ = store.Has(out.SHA256)
		on(progress.Event{Step: "models", State: progress.Done, Item: m.Path, Text: "sha256 " + out.SHA256[:8] + "… from the service file"})
		return out, nil
	}
	if offline && remote {
		return out, &diag.Error{Code: "offline", Class: diag.ClassFailed, Message: "--offline: the hash of " + m.Path + " is not known", Help: "give its sha256, or run without --offline once"}
	}
	sources, err := a.modelSources()
	if err != nil {
		return out, err
	}
	if err := a.holdCache(ctx); err != nil {
		return out, err
	}
	c := source.New(store, sources)
	ev := progress.Event{Step: "models", State: progress.Running, Item: m.Path}
	w := source.Want{Path: m.Path, Sources: m.Sources, Dir: p.Dir, SHA256: m.SHA256, Auth: m.Auth, AllowPickle: m.AllowPickle,
		Progress: func(done, total int64) {
			ev.Done, ev.Total = done, total
			on(ev)
		}}
	facts, err := c.Describe(ctx, w)
	if err != nil {
		return out, err
	}
	out.SHA256, out.Size, out.From = facts.SHA256, facts.Size, "hub"
	out.License, out.Gated = facts.License, facts.Gated
	if facts.Pinned {
		out.Pinned = facts.Source
	}
	if facts.Header != nil {
		out.Params, out.DTypes = facts.Header.Params, facts.Header.Bytes
	}
	switch {
	case !remote:
		out.From = "file"
	case out.SHA256 == "":
		on(progress.Event{Step: "models", State: progress.Running, Item: m.Path, Text: units.HumanSize(float64(out.Size)) + ", fetched because nobody publishes its hash"})
		got, err := c.Fetch(ctx, w)
		if err != nil {
			return out, err
		}
		out.SHA256, out.Size, out.From = got.SHA256, got.Size, "file"
	}
	on(progress.Event{Step: "models", State: progress.Done, Item: m.Path, Text: units.HumanSize(float64(out.Size)) + " sha256 " + out.SHA256[:8] + "… from the " + out.From})
	return out, nil
}
