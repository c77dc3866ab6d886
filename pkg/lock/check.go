package lock

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/comfyctl/comfyctl/internal/diag"
	"github.com/comfyctl/comfyctl/pkg/validate"
)

// Check lists what a plan asks for in another way than the lock says. It needs
// no network: digests of the service file's wishes are compared, and folders
// of this machine are hashed.
func Check(ctx context.Context, p *validate.Plan, l *Lock) ([]Change, error) {
	var list []Change
	now := p.LockInputs()
	names := map[string]bool{}
	for n := range now {
		names[n] = true
	}
	for n := range l.Inputs {
		names[n] = true
	}
	for n := range names {
		path := strings.Replace(n, "/", ".", 1)
		switch was, is := l.Inputs[n], now[n]; {
		case was == "":
			list = append(list, Change{path, "", "not locked"})
		case is == "":
			list = append(list, Change{path, "locked", "no longer asked for"})
		case was != is:
			list = append(list, l.moved(p, n, path))
		}
	}
	f := Fetcher{Dir: p.Dir}
	for _, n := range l.Nodes {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if n.From != FromFolder || now["nodes/"+n.Path] == "" {
			continue
		}
		c, err := changed(f.Node(ctx, &n))
		if err != nil {
			return nil, err
		}
		if c {
			list = append(list, Change{"nodes." + n.Path, "locked " + short(n.Tree), "its files changed"})
		}
	}
	if !IsGit(l.ComfyUI.Source) && l.Inputs["comfyui"] == now["comfyui"] {
		comfy := l.ComfyUI
		c, err := changed(f.ComfyUI(ctx, &comfy))
		if err != nil {
			return nil, err
		}
		if c {
			list = append(list, Change{"comfyui", "locked " + short(l.ComfyUI.Tree), "its files changed"})
		}
	}
	slices.SortFunc(list, func(a, b Change) int { return strings.Compare(a.Path, b.Path) })
	return list, nil
}

// changed tells a folder that was changed from one that cannot be read.
func changed(_ string, _ bool, err error) (bool, error) {
	if e, ok := err.(*diag.Error); ok && e.Code == "lock_stale" { //nolint:errorlint // it is made just above
		return true, nil
	}
	return false, err
}

// moved words a change of one wish as well as the lock allows.
func (l *Lock) moved(p *validate.Plan, name, path string) Change {
	c := Change{path, "locked", "asked for in another way"}
	switch name {
	case "comfyui":
		c.From, c.To = fmt.Sprintf("%s locked", l.ComfyUI.Ref), fmt.Sprintf("%s asked for", p.Service.ComfyUI.Version)
	case "python_packages":
		c.From, c.To = strings.Join(l.Python.Asked, ", "), strings.Join(p.Service.PythonPackages, ", ")
	case "system_packages":
		c.From, c.To = strings.Join(l.System, ", "), strings.Join(p.Service.SystemPackages, ", ")
	}
	return c
}

// Facts are what the checks of a service file ask of a lock.
func (l *Lock) Facts() *validate.Locked {
	f := &validate.Locked{File: FileName, Inputs: l.Inputs, Models: map[string]validate.LockedModel{}}
	for _, n := range l.Nodes {
		p := validate.LockedPack{Key: validate.PackKey(n.URL, n.ID, n.Path), Name: n.Dir, Commit: n.Commit, Classes: slices.Concat(n.Defines, n.Classes)}
		if n.From == FromRegistry {
			p.Key = validate.PackKey("", n.ID, "")
		}
		if n.Install != nil && n.Install.Policy != "run" {
			p.Install = n.Install.Effects
		}
		f.Packs = append(f.Packs, p)
	}
	for _, m := range l.Models {
		f.Models[m.Path] = validate.LockedModel{SHA256: m.SHA256, Size: m.Size, Gated: m.Gated, Tensors: m.DTypes}
	}
	return f
}
