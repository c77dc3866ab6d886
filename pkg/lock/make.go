package lock

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/comfyctl/comfyctl/internal/diag"
	"github.com/comfyctl/comfyctl/internal/progress"
	"github.com/comfyctl/comfyctl/pkg/lock/feed"
	"github.com/comfyctl/comfyctl/pkg/lock/python"
	"github.com/comfyctl/comfyctl/pkg/service"
	"github.com/comfyctl/comfyctl/pkg/validate"
)

// DefaultComfyUI is where ComfyUI comes from.
const DefaultComfyUI = "https://github.com/Comfy-Org/ComfyUI"

// TorchIndex is below which each build of torch has its index.
const TorchIndex = "https://download.pytorch.org/whl"

// Defaults of a service file that says nothing.
const (
	defaultPython   = "3.12"
	defaultCUDA     = "cu128"
	DefaultPlatform = "linux/amd64"
)

// Options say how a lock is made.
type Options struct {
	Fetcher
	// Old is the lock so far; what nothing has changed about stays as it is.
	Old *Lock
	// Update names what is chosen anew although nothing changed: comfyui,
	// python, a pack's folder, a package, a model's path; "*" is everything.
	Update []string
	// Platform is os/arch; empty means linux/amd64.
	Platform string
	Progress progress.Func
	// Feeds are where packs are looked up.
	Feeds Feeds
	// Base gives the digest of an image; nil leaves it open.
	Base func(ctx context.Context, image string) (string, error)
	// Model gives size and hash of a model file; nil leaves open what the service
	// file does not say.
	Model func(ctx context.Context, m validate.Model) (Model, error)
	// Index, Extra and CA are for Python packages, TorchIndex is below which each
	// build of torch has its index.
	Index, CA, TorchIndex string
	Extra                 []string
}

// Feeds are addresses or files; an empty one is not asked.
type Feeds struct {
	Map, Stats, Registry string
}

// DefaultFeeds are the public ones.
func DefaultFeeds() Feeds {
	const raw = "https://raw.githubusercontent.com/Comfy-Org/ComfyUI-Manager/main/"
	return Feeds{Map: raw + "extension-node-map.json", Stats: raw + "github-stats.json", Registry: "https://api.comfy.org"}
}

// maker makes one lock.
type maker struct {
	o    Options
	plan *validate.Plan
	lock *Lock
	feed *feed.Client
	reg  *feed.Registry
	// packs are the node packs of lock.Nodes, in the same order.
	packs []pack
	// comfyui is the folder of ComfyUI's source.
	comfyui string
}

// Make locks a plan.
func Make(ctx context.Context, p *validate.Plan, o Options) (*Lock, error) {
	if o.Progress == nil {
		o.Progress = progress.Discard
	}
	m := &maker{o: o, plan: p, lock: &Lock{Version: Version, Packer: Packer, Platform: cmp.Or(o.Platform, DefaultPlatform), Inputs: p.LockInputs(),
		System: slices.Clone(p.Service.SystemPackages), Wheels: []Wheel{}, Nodes: []Node{}, Models: []Model{}}}
	m.o.Dir = p.Dir
	m.feed = &feed.Client{HTTP: o.HTTP, Dir: o.CacheDir, Offline: o.Offline}
	if o.Feeds.Registry != "" {
		m.reg = &feed.Registry{Client: m.feed, Base: strings.TrimSuffix(o.Feeds.Registry, "/")}
	}
	for _, step := range []func(context.Context) error{m.engine, m.base, m.nodes, m.models, m.python} {
		if err := step(ctx); err != nil {
			return nil, err
		}
	}
	m.lock.sort()
	return m.lock, nil
}

// fresh reports whether something is to be chosen anew: by its names, or
// because what is asked for has changed.
func (m *maker) fresh(input string, names ...string) bool {
	if m.o.Old == nil || input != "" && m.o.Old.Inputs[input] != m.lock.Inputs[input] {
		return true
	}
	return m.updates(names...)
}

func (m *maker) updates(names ...string) bool {
	return slices.ContainsFunc(m.o.Update, func(u string) bool {
		return u == "*" || slices.ContainsFunc(names, func(n string) bool { return n != "" && strings.EqualFold(u, n) })
	})
}

func (m *maker) done(step, item, text string, cached bool) {
	state := progress.Done
	if cached {
		state = progress.Cached
	}
	m.o.Progress(progress.Event{Step: step, State: state, Item: item, Text: text})
}

func (m *maker) warn(item, text string) {
	m.o.Progress(progress.Event{Step: "nodes", State: progress.Warned, Item: item, Text: text})
}

func (m *maker) engine(ctx context.Context) error {
	s := m.plan.Service.ComfyUI
	c := ComfyUI{Source: cmp.Or(s.Source, DefaultComfyUI), Ref: s.Version}
	if c.Ref == "" {
		c.Ref = tag(m.plan.Core.Version)
	}
	if !m.fresh("comfyui", "comfyui") && IsGit(c.Source) {
		c = m.o.Old.ComfyUI
	}
	m.o.Progress(progress.Event{Step: "comfyui", State: progress.Running, Item: c.Ref})
	if !IsGit(c.Source) {
		c.Ref = ""
	}
	dir, cached, err := m.o.ComfyUI(ctx, &c)
	if err != nil {
		return err
	}
	m.comfyui, m.lock.ComfyUI = dir, c
	m.done("comfyui", c.Ref, "→ "+short(cmp.Or(c.Commit, c.Tree))+moving(c.Ref, c.Moves), cached)
	return nil
}

func moving(ref string, moves bool) string {
	switch {
	case !moves:
		return ""
	case ref == "":
		return "   its default branch moves; pinned here"
	}
	return "   `" + ref + "` moves; pinned here"
}

// tag is a release's name in ComfyUI's repository.
func tag(version string) string {
	if version != "" && !strings.HasPrefix(version, "v") {
		return "v" + version
	}
	return version
}

func (m *maker) base(ctx context.Context) error {
	b := Base{Image: m.plan.Service.Build.Base}
	switch {
	case b.Image == "" || b.Image == "rootfs" || m.o.Base == nil:
	case m.o.Old != nil && m.o.Old.Base.Image == b.Image && m.o.Old.Base.Digest != "" && !m.updates("base", b.Image):
		b = m.o.Old.Base
	case m.o.Offline:
		return &diag.Error{Code: "offline", Class: diag.ClassFailed, Message: "--offline: the digest of the base image " + b.Image + " is not known", Help: "run without --offline once"}
	default:
		var err error
		if b.Digest, err = m.o.Base(ctx, b.Image); err != nil {
			return err
		}
		m.done("base", b.Image, short(strings.TrimPrefix(b.Digest, "sha256:")), false)
	}
	m.lock.Base = b
	return nil
}

func (m *maker) models(ctx context.Context) error {
	for _, want := range m.plan.Models {
		have := Model{Path: want.Path, SHA256: strings.ToLower(want.SHA256), Auth: want.Auth, Load: want.Load, From: "service"}
		for _, s := range want.Sources {
			have.Sources = append(have.Sources, public(s))
		}
		var old *Model
		if m.o.Old != nil {
			old = m.o.Old.Model(want.Path)
		}
		switch {
		case old != nil && old.SHA256 != "" && !local(want.Sources) && !m.fresh("models/"+want.Path, "models", want.Path):
			have = *old
			have.Load, have.Auth = want.Load, want.Auth
		case len(want.Sources) == 0 || m.o.Model == nil:
			// A mounted model is the target's; the service file's word stands.
		default:
			got, err := m.o.Model(ctx, want)
			if err != nil {
				return err
			}
			got.Path, got.Sources, got.Auth, got.Load = have.Path, have.Sources, have.Auth, have.Load
			have = got
		}
		if have.SHA256 == "" {
			have.From = ""
		}
		m.lock.Models = append(m.lock.Models, have)
	}
	return nil
}

func local(sources []string) bool {
	return slices.ContainsFunc(sources, func(s string) bool { return !strings.Contains(s, "://") })
}

// python resolves the packages of ComfyUI, all node packs and the service file
// at once.
func (m *maker) python(ctx context.Context) error {
	s := m.plan.Service
	m.lock.Python = Python{Version: cmp.Or(s.Build.Python, defaultPython), Torch: cmp.Or(s.Build.Torch, TorchFor(s.GPU)), Asked: s.PythonPackages}
	list, repos, err := m.requirements()
	if err != nil {
		return err
	}
	if len(repos) > 0 {
		return repositories(repos)
	}
	p := &m.lock.Python
	p.Requirements = digest(list, p, m.lock.Platform)
	if old := m.o.Old; old != nil && old.Python.Requirements == p.Requirements && !m.updates("python") && !m.updatesWheel() {
		p.Resolver, m.lock.Wheels = old.Python.Resolver, old.Wheels
		m.lock.Notes = old.Notes
		m.done("python", "", m.pythonText(), true)
		return nil
	}
	if len(list) == 0 && p.Torch == "system" {
		return nil
	}
	m.o.Progress(progress.Event{Step: "python", State: progress.Running, Text: fmt.Sprintf("%d requirements", len(list))})
	tool, err := python.FindTool(ctx, m.o.CacheDir, !m.o.Offline)
	if err != nil {
		return err
	}
	o := python.Options{Tool: tool, Python: p.Version, Platform: m.lock.Platform, Torch: p.Torch, TorchIndex: m.o.TorchIndex, Index: m.o.Index, Extra: m.o.Extra, CA: m.o.CA, Offline: m.o.Offline}
	for _, r := range python.Given(s.PythonPackages, "service", m.plan.File).Requirements {
		o.Build = append(o.Build, r.Name)
		o.Overrides = append(o.Overrides, r)
	}
	if m.o.Old != nil && !m.updates("python") {
		o.Prefer = slices.DeleteFunc(slices.Clone(m.o.Old.Wheels), func(w Wheel) bool { return m.updates(w.Name) })
	}
	r, err := python.Compile(ctx, list, o)
	if err != nil {
		return err
	}
	p.Resolver, m.lock.Wheels = "uv "+tool.Version, r.Packages
	m.lock.Notes = append(m.lock.Notes, r.Notes...)
	m.done("python", "", m.pythonText(), false)
	return nil
}

func (m *maker) updatesWheel() bool {
	return slices.ContainsFunc(m.o.Old.Wheels, func(w Wheel) bool { return m.updates(w.Name) })
}

func (m *maker) pythonText() string {
	text := "torch of the base image"
	for _, w := range m.lock.Wheels {
		if w.Name == "torch" {
			text = "torch " + w.Version
		}
	}
	return fmt.Sprintf("%s … %d packages", text, len(m.lock.Wheels))
}

// TorchFor follows from the GPU: a service without one gets the CPU's build.
func TorchFor(g service.GPU) string {
	if g.None || g.Count == 0 {
		return "cpu"
	}
	return defaultCUDA
}
