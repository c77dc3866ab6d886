package pack

import (
	"fmt"
	"strings"

	"github.com/comfyctl/comfyctl/internal/diag"
	"github.com/comfyctl/comfyctl/pkg/contract"
	"github.com/comfyctl/comfyctl/pkg/lock"
	"github.com/comfyctl/comfyctl/pkg/validate"
)

// PlanOptions say how a checked service becomes a recipe.
type PlanOptions struct {
	// Engine is contract.EngineComfyUI or contract.EngineStub.
	Engine   string
	Platform string
	// Runner is a comfy-runner to use in place of the built-in one.
	Runner string
	// Models, when not empty, overrules every model's load.
	Models string
	// Packer is comfyctl's version, for the contract.
	Packer string
	// Pip are pip's settings by the name of their environment variable. Those
	// that mean this machine, such as a cache folder, are passed over.
	Pip map[string]string
	// Lock pins everything; nil takes it as it is today.
	Lock *lock.Lock
	// Proxy is used where build.proxy says nothing.
	Proxy string
}

// FromPlan is the recipe of a service that has passed its checks.
func FromPlan(p *validate.Plan, o PlanOptions) (*Recipe, error) {
	r := &Recipe{Contract: p.Contract(o.Engine, o.Packer), Dir: p.Dir, Platform: o.Platform, Runner: o.Runner}
	for _, m := range p.Models {
		load := m.Load
		if o.Models != "" {
			load = o.Models
		}
		want := Model{Path: m.Path, Sources: m.Sources, SHA256: m.SHA256, Auth: m.Auth, Load: load, AllowPickle: m.AllowPickle}
		if o.Lock != nil {
			if l := o.Lock.Model(m.Path); l != nil && l.SHA256 != "" {
				want.SHA256 = l.SHA256
			}
		}
		r.Models = append(r.Models, want)
	}
	if o.Engine == contract.EngineStub {
		return r, nil
	}
	var err error
	r.Environment, err = environmentOf(p, o)
	return r, err
}

func environmentOf(p *validate.Plan, o PlanOptions) (*Environment, error) {
	s := p.Service
	e := &Environment{
		Base: s.Build.Base, Python: s.Build.Python, Torch: s.Build.Torch,
		SystemPackages: s.SystemPackages, PythonPackages: s.PythonPackages,
		Proxy: s.Build.Proxy, Pip: pipSettings(o.Pip),
		ComfyUI: ComfyUI{Source: s.ComfyUI.Source, Version: s.ComfyUI.Version},
	}
	if e.ComfyUI.Source == "" {
		e.ComfyUI.Source = lock.DefaultComfyUI
	}
	if e.ComfyUI.Version == "" {
		e.ComfyUI.Version = tag(p.Catalog.Version)
	}
	if e.Proxy == "" {
		e.Proxy = o.Proxy
	}
	if e.CA = o.Pip["PIP_CERT"]; s.Build.CA != "" {
		e.CA = inDir(p.Dir, s.Build.CA)
	}
	if e.Torch == "" {
		e.Torch = lock.TorchFor(s.GPU)
	}
	if len(s.Build.Secrets) > 0 {
		return nil, unsupported("build.secrets", "put what they are for into pip's own settings in the environment, such as PIP_INDEX_URL")
	}
	for _, n := range s.Nodes {
		if n.Registry != "" && o.Lock == nil {
			return nil, &diag.Error{Code: "lock_needed", Class: diag.ClassStale, Message: "only a lock says which archive registry: " + n.Registry + " is", Help: "run `comfyctl lock`"}
		}
		e.Nodes = append(e.Nodes, NodePack{Path: n.Path, Repo: n.Repo, Ref: n.Ref, Auth: n.Auth, Install: n.Install})
	}
	if o.Lock != nil {
		e.Lock, e.Python, e.Torch = o.Lock, o.Lock.Python.Version, o.Lock.Python.Torch
	}
	return e, nil
}

func unsupported(what, help string) error {
	return &diag.Error{Code: "not_supported", Class: diag.ClassCheck, Message: fmt.Sprintf("%s is not in this version yet", what), Help: help}
}

// tag is a release's name in ComfyUI's repository.
func tag(version string) string {
	if version != "" && !strings.HasPrefix(version, "v") {
		return "v" + version
	}
	return version
}
