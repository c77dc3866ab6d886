package lock

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/comfyctl/comfyctl/internal/diag"
	"github.com/comfyctl/comfyctl/internal/fetch"
	"github.com/comfyctl/comfyctl/internal/progress"
	"github.com/comfyctl/comfyctl/pkg/catalog"
	"github.com/comfyctl/comfyctl/pkg/lock/packs"
	"github.com/comfyctl/comfyctl/pkg/lock/resolve"
	"github.com/comfyctl/comfyctl/pkg/service"
	"github.com/comfyctl/comfyctl/pkg/validate"
	"github.com/comfyctl/comfyctl/pkg/workflow"
)

// pack is a node pack on this machine.
type pack struct {
	node    *Node
	dir     string
	classes packs.Classes
}

// nodes finds, fetches and reads every node pack.
func (m *maker) nodes(ctx context.Context) error {
	uses := m.uses()
	for i, e := range m.plan.Service.Nodes {
		n, err := m.entry(i, e)
		if err != nil {
			return err
		}
		if err := m.bring(ctx, n, e.Install); err != nil {
			return err
		}
	}
	declared := m.declared(uses)
	r, err := m.resolve(ctx, uses, declared)
	if err != nil {
		return err
	}
	if len(r.Questions) > 0 {
		return m.ask(r.Questions)
	}
	if err := m.inferred(ctx, r.Choices); err != nil {
		return err
	}
	if err := m.collisions(uses); err != nil {
		return err
	}
	m.lock.Nodes = m.lock.Nodes[:0]
	for _, p := range m.packs {
		m.lock.Nodes = append(m.lock.Nodes, *p.node)
	}
	return nil
}

// uses lists the classes of all graphs that are not ComfyUI's.
func (m *maker) uses() []resolve.Use {
	inputs := map[string]map[string]bool{}
	hints := map[string]resolve.Hint{}
	for _, w := range m.plan.Workflows {
		for _, n := range w.Graph.Nodes {
			if _, core := m.plan.Core.Class(n.Class); core || n.Class == "" {
				continue
			}
			if inputs[n.Class] == nil {
				inputs[n.Class] = map[string]bool{}
			}
			for _, in := range n.Inputs {
				inputs[n.Class][in.Name] = true
			}
		}
		for _, src := range m.documents(w) {
			for class, h := range resolve.Hints(src) {
				if _, ok := hints[class]; !ok {
					hints[class] = h
				}
			}
		}
	}
	var list []resolve.Use
	for _, class := range slices.Sorted(maps.Keys(inputs)) {
		list = append(list, resolve.Use{Class: class, Inputs: slices.Sorted(maps.Keys(inputs[class])), Hint: hints[class]})
	}
	return list
}

// documents are the texts that may hold hints: the graph's own, and the
// editor's save beside it in a picture or video.
func (m *maker) documents(w validate.Workflow) [][]byte {
	list := [][]byte{w.Graph.Source}
	rel, err := filepath.Rel(filepath.Dir(m.plan.File), w.File)
	if err != nil || filepath.IsAbs(w.File) {
		rel = w.File
	}
	f, err := os.Open(m.o.path(rel))
	if err != nil {
		return list
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil {
		if save := workflow.Saved(f, info.Size()); save != nil {
			list = append(list, save)
		}
	}
	return list
}

// entry is the pack of an entry of `nodes:`, pinned as it was where nothing
// about it changed.
func (m *maker) entry(i int, e service.NodePack) (*Node, error) {
	n := &Node{Owns: e.Classes, Rule: resolve.RuleService, Auth: e.Auth}
	switch {
	case e.Repo != "":
		n.From, n.URL, n.Ref, n.Dir = FromGit, e.Repo, e.Ref, resolve.Name(e.Repo)
	case e.Registry != "":
		id, version, _ := strings.Cut(e.Registry, "@")
		n.From, n.ID, n.Ref, n.Dir = FromRegistry, id, version, id
		if version != "latest" && version != "nightly" {
			n.Version = version
		}
	case e.Path != "":
		abs, err := filepath.Abs(m.o.path(e.Path))
		if err != nil {
			return nil, fmt.Errorf("finding the node pack %s: %w", e.Path, err)
		}
		n.From, n.Path, n.Dir = FromFolder, e.Path, filepath.Base(abs)
	default:
		return nil, fmt.Errorf("nodes: entry %d names no pack", i+1)
	}
	if m.o.Old == nil || n.From == FromFolder || m.fresh("nodes/"+validate.PackKey(e.Repo, e.Registry, e.Path), "nodes", n.Dir, n.ID, n.URL) {
		return n, nil
	}
	for _, old := range m.o.Old.Nodes {
		if old.From == n.From && old.Dir == n.Dir && !old.Inferred && old.URL != "" && (n.URL == "" || old.URL == anonymous(n.URL)) {
			pin(n, old)
		}
	}
	return n, nil
}

// pin takes over what an earlier lock pinned.
func pin(n *Node, old Node) {
	n.URL, n.Commit, n.Tree, n.Moves = old.URL, old.Commit, old.Tree, old.Moves
	n.Version, n.SHA256, n.Size = old.Version, old.SHA256, old.Size
}

// bring fetches a pack, reads it and adds it.
func (m *maker) bring(ctx context.Context, n *Node, install string) error {
	if !safeName(n.Dir) || slices.ContainsFunc(m.packs, func(p pack) bool { return strings.EqualFold(p.node.Dir, n.Dir) }) {
		return &diag.Error{Code: "node_name", Class: diag.ClassCheck, Message: fmt.Sprintf("two node packs want the folder %q, or it is no name", n.Dir), Help: "remove one of them from nodes:"}
	}
	if n.From == FromRegistry {
		var err error
		if n, err = m.release(ctx, n); err != nil {
			return err
		}
	}
	m.o.Progress(progress.Event{Step: "nodes", State: progress.Running, Item: n.Dir})
	dir, cached, err := m.o.Node(ctx, n)
	if err != nil {
		return err
	}
	p := pack{node: n, dir: dir}
	if p.classes, err = packs.Scan(dir); err != nil {
		return fmt.Errorf("reading the node pack %s: %w", n.Dir, err)
	}
	n.Defines = p.classes.Defined
	if err := m.scripts(n, dir, install); err != nil {
		return err
	}
	if n.URL = anonymous(n.URL); n.From == FromGit || n.From == FromRegistry {
		m.done("nodes", n.Dir, strings.TrimSpace(n.Version+" → "+short(cmp.Or(n.Commit, n.SHA256)))+moving(n.Ref, n.Moves), cached)
	} else {
		m.done("nodes", n.Dir, "folder "+n.Path, cached)
	}
	m.packs = append(m.packs, p)
	return nil
}

// anonymous is an address without user and password: the lock is no place for
// them.
func anonymous(address string) string {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" {
		return address
	}
	u.User, u.RawQuery = nil, ""
	return u.String()
}

// release finds the archive of a registry's pack; nightly means its repository.
func (m *maker) release(ctx context.Context, n *Node) (*Node, error) {
	if n.URL != "" && n.SHA256 != "" {
		return n, nil
	}
	if m.reg == nil {
		return n, &diag.Error{Code: "pack_unknown", Class: diag.ClassUsage, Message: "no node registry is configured, and " + n.Dir + " comes from one", Help: "give the pack's `repo:`, or --node-registry"}
	}
	if n.Ref == "nightly" {
		node, err := m.reg.Node(ctx, n.ID)
		if err != nil {
			return n, err
		}
		n.From, n.URL, n.Ref = FromGit, node.Repository, ""
		return n, nil
	}
	v, err := m.reg.Release(ctx, n.ID, n.Version)
	if err != nil {
		return n, err
	}
	n.Version, n.URL = v.Version, v.DownloadURL
	return n, nil
}

func (m *maker) scripts(n *Node, dir, install string) error {
	policy := cmp.Or(install, "skip")
	s, ok, err := packs.InstallScript(dir)
	if err != nil {
		return err
	}
	if n.Install = nil; ok {
		n.Install = &Script{s.SHA256, policy, s.Effects}
		if policy == "skip" {
			m.warn(n.Dir, "its install script is skipped; it "+strings.Join(s.Effects, ", "))
		}
	}
	if s, ok, err = packs.StartScript(dir); err != nil {
		return err
	}
	if n.Prestart = nil; ok {
		n.Prestart = &Script{s.SHA256, "run", s.Effects}
	}
	n.ForComfyUI = packs.RequiresComfyUI(dir)
	if have := cmp.Or(m.lock.ComfyUI.Ref, m.plan.Service.ComfyUI.Version, m.plan.Core.Version); !packs.Satisfies(have, n.ForComfyUI) {
		m.warn(n.Dir, "it asks for ComfyUI "+n.ForComfyUI+", the service has "+have+"; classes may be missing")
	}
	return nil
}

// declared places classes by the packs of the service file.
func (m *maker) declared(uses []resolve.Use) map[string]resolve.Choice {
	out := map[string]resolve.Choice{}
	for _, u := range uses {
		for _, p := range m.packs {
			c := resolve.Choice{Class: u.Class, Pack: packOf(p.node), Candidates: 1}
			switch _, taken := out[u.Class]; {
			case slices.Contains(p.node.Owns, u.Class):
				c.Rule = resolve.RuleService
				out[u.Class] = c
			case !taken && p.classes.Defines(u.Class):
				c.Rule = resolve.RuleScan
				out[u.Class] = c
			}
		}
	}
	return out
}

func packOf(n *Node) resolve.Pack {
	p := resolve.Pack{Registry: n.ID, Version: n.Version}
	switch n.From {
	case FromGit:
		p.Repo, p.Commit = n.URL, n.Commit
	case FromFolder:
		p.Repo = "folder:" + n.Dir // is the same as nothing else
	}
	return p
}

// resolve asks the old lock, the graph's hints, the map and the registry.
func (m *maker) resolve(ctx context.Context, uses []resolve.Use, declared map[string]resolve.Choice) (resolve.Result, error) {
	in := resolve.Input{Uses: uses, Declared: declared, Locked: m.locked(uses)}
	for _, p := range m.packs {
		in.Needed = append(in.Needed, packOf(p.node))
	}
	open := []resolve.Use{}
	for _, u := range uses {
		_, a := declared[u.Class]
		_, b := in.Locked[u.Class]
		if !a && !b && !resolve.EditorOnly(u.Class) {
			open = append(open, u)
		}
	}
	if len(open) > 0 {
		if err := m.lookUp(ctx, &in, open); err != nil {
			return resolve.Result{}, err
		}
	} else if m.o.Old != nil {
		m.lock.Sources = m.o.Old.Sources
	}
	r := resolve.Resolve(in)
	// A pack of the service file that makes its classes up while it starts is
	// the likeliest owner of a class that nobody claims.
	r.Questions = slices.DeleteFunc(r.Questions, func(q resolve.Question) bool {
		if q.Subgraph || len(q.Candidates) > 0 {
			return false
		}
		for _, p := range m.packs {
			if p.classes.Mentions(q.Class) {
				r.Choices = append(r.Choices, resolve.Choice{Class: q.Class, Pack: packOf(p.node), Rule: resolve.RuleScan, Candidates: 1})
				return true
			}
		}
		return false
	})
	return r, nil
}

// locked places classes as the old lock did, where that pack was found for a
// class and nothing asks for another.
func (m *maker) locked(uses []resolve.Use) map[string]resolve.Choice {
	out := map[string]resolve.Choice{}
	for _, u := range uses {
		n := m.o.Old.NodeOf(u.Class)
		if n != nil && n.Inferred && !m.updates("nodes", n.Dir, n.ID, n.URL) {
			out[u.Class] = resolve.Choice{Class: u.Class, Pack: packOf(n), Rule: n.Rule, Candidates: n.Candidates}
		}
	}
	return out
}

// lookUp reads the map and asks the registry about classes.
func (m *maker) lookUp(ctx context.Context, in *resolve.Input, open []resolve.Use) error {
	var failed error
	if m.o.Feeds.Map != "" {
		var err error
		if in.Map, err = m.readMap(ctx); err != nil {
			failed = err
		}
	}
	if m.reg != nil {
		err := m.askRegistry(ctx, in, open)
		if err != nil && (in.Map == nil || ctx.Err() != nil) {
			return err
		}
		if err != nil {
			m.warn("registry", "does not answer; the map alone decides")
		}
	} else if in.Map == nil && failed != nil {
		return failed
	}
	if failed != nil {
		m.warn("map", "cannot be read; the registry alone decides")
	}
	return nil
}

func (m *maker) readMap(ctx context.Context) (*resolve.Map, error) {
	a, err := m.feed.Get(ctx, m.o.Feeds.Map)
	if err != nil {
		return nil, err
	}
	if a.Status != 200 {
		return nil, &diag.Error{Code: "feed_failed", Class: diag.ClassFailed, Message: "the map of node packs is not there: " + public(m.o.Feeds.Map), Help: "give another one with --node-map"}
	}
	pm, err := resolve.ParseMap(a.Body)
	if err != nil {
		return nil, &diag.Error{Code: "feed_failed", Class: diag.ClassFailed, Err: err, Message: "the map of node packs at " + public(m.o.Feeds.Map) + " is none", Help: "give another one with --node-map"}
	}
	m.lock.Sources = append(m.lock.Sources, Feed{"map", feedName(m.o.Feeds.Map), a.SHA256})
	if a.Stale {
		m.warn("map", "cannot be reached; the one in the cache decides")
	}
	if m.o.Feeds.Stats == "" {
		return pm, nil
	}
	// Popularity only orders suggestions: a lock can be made without it.
	if a, err = m.feed.Get(ctx, m.o.Feeds.Stats); err == nil && a.Status == 200 {
		err = pm.AddStats(a.Body)
	}
	if err != nil && ctx.Err() != nil {
		return nil, err
	}
	return pm, nil
}

// feedName is an address without secrets, or a file without its folders: these
// belong to one machine.
func feedName(address string) string {
	if scheme, _, ok := strings.Cut(address, "://"); ok && scheme != "file" {
		return public(address)
	}
	return filepath.Base(address)
}

// public is an address without what may be secret in it.
func public(address string) string {
	if !strings.Contains(address, "://") {
		return address
	}
	return fetch.Redact(address)
}

func (m *maker) askRegistry(ctx context.Context, in *resolve.Input, open []resolve.Use) error {
	in.Registry = map[string][]resolve.Candidate{}
	for _, u := range open {
		n, ok, err := m.reg.Of(ctx, u.Class)
		var d *diag.Error
		if errors.As(err, &d) && d.Code == "pack_refused" {
			continue
		}
		if err != nil {
			return err
		}
		if !ok {
			continue
		}
		c := resolve.Candidate{Pack: resolve.Pack{Repo: n.Repository, Registry: n.ID}, Title: n.Name, Stars: n.Stars, Preempts: slices.Contains(n.Preempts, u.Class)}
		if n.Latest != nil {
			if c.Inputs, err = m.reg.Inputs(ctx, n.ID, n.Latest.Version, u.Class); err != nil {
				return err
			}
		}
		in.Registry[u.Class] = append(in.Registry[u.Class], c)
	}
	return nil
}

// inferred fetches the packs that were found for classes, and says for each
// pack which classes it gives.
func (m *maker) inferred(ctx context.Context, choices []resolve.Choice) error {
	for _, c := range choices {
		p := m.packFor(c.Pack)
		if p == nil {
			n, err := m.found(ctx, c)
			if err != nil {
				return err
			}
			if p = m.packNamed(n); p == nil {
				if err := m.bring(ctx, n, ""); err != nil {
					return fmt.Errorf("fetching the pack of %s: %w", c.Class, err)
				}
				p = &m.packs[len(m.packs)-1]
			}
		}
		p.node.Classes = append(p.node.Classes, c.Class)
		if p.node.Inferred {
			p.node.Candidates = max(p.node.Candidates, c.Candidates)
			if !p.classes.Mentions(c.Class) && c.Rule != resolve.RulePattern {
				m.warn(p.node.Dir, "its source does not name `"+c.Class+"`, which it was taken for by "+c.Rule)
			}
		}
	}
	return nil
}

func (m *maker) packFor(p resolve.Pack) *pack {
	for i := range m.packs {
		if packOf(m.packs[i].node).Same(p) {
			return &m.packs[i]
		}
	}
	return nil
}

func (m *maker) packNamed(n *Node) *pack {
	for i := range m.packs {
		if have := m.packs[i].node; have.From == n.From && have.URL == n.URL && have.ID == n.ID {
			return &m.packs[i]
		}
	}
	return nil
}

// found is the node of a choice: pinned as the old lock has it, else an archive
// of the registry where the graph names a version, else the repository.
func (m *maker) found(ctx context.Context, c resolve.Choice) (*Node, error) {
	if m.o.Old != nil {
		for _, old := range m.o.Old.Nodes {
			if old.Inferred && packOf(&old).Same(c.Pack) && !m.updates("nodes", old.Dir, old.ID, old.URL) {
				n := old
				n.Classes, n.Owns = nil, nil
				return &n, nil
			}
		}
	}
	n := &Node{Rule: c.Rule, Candidates: c.Candidates, Inferred: true, ID: c.Pack.Registry}
	repo := c.Pack.Repo
	if resolve.IsFile(repo) {
		return nil, &diag.Error{Code: "pack_is_file", Class: diag.ClassCheck, Message: fmt.Sprintf("%s comes from a single file, %s, not from a pack", c.Class, repo), Help: "put the file into a folder of its own as __init__.py and list that folder under `nodes:` with `path:`"}
	}
	if n.ID != "" && m.reg != nil && (c.Pack.Version != "" || c.Pack.Commit == "" && repo == "") {
		n.From, n.Version, n.Ref, n.Dir = FromRegistry, c.Pack.Version, c.Pack.Version, n.ID
		if _, err := m.release(ctx, n); err == nil || repo == "" {
			return n, err
		}
		m.warn(n.ID, "the registry does not answer; its repository is taken")
		n.Version = ""
	}
	if repo == "" {
		node, err := m.reg.Node(ctx, n.ID)
		if err != nil {
			return nil, err
		}
		repo = node.Repository
	}
	n.From, n.URL, n.Commit, n.Ref, n.Dir = FromGit, repo, c.Pack.Commit, c.Pack.Commit, resolve.Name(repo)
	return n, nil
}

// collisions finds classes of the graphs that two packs define: ComfyUI would
// keep the one that it happens to load last.
func (m *maker) collisions(uses []resolve.Use) error {
	e := &diag.Error{Code: "class_collision", Class: diag.ClassCheck, Message: "two node packs define a class that a workflow uses"}
	for _, u := range uses {
		var definers []string
		owned := false
		for _, p := range m.packs {
			if p.classes.Defines(u.Class) {
				definers = append(definers, p.node.Dir)
			}
			owned = owned || slices.Contains(p.node.Owns, u.Class)
		}
		if len(definers) > 1 && !owned {
			e.Facts = append(e.Facts, [2]string{u.Class, strings.Join(definers, ", ")})
		}
	}
	if len(e.Facts) == 0 {
		return nil
	}
	e.Help = "ComfyUI keeps the one that it happens to load last; leave one pack out of `nodes:`, or say which owns it with `classes: [" + e.Facts[0][0] + "]` in its entry"
	return e
}

// releaseWith is a built-in release of ComfyUI that has a class, or "".
func releaseWith(class string) string {
	for _, v := range catalog.Versions() {
		c, err := catalog.For(v)
		if err != nil {
			continue
		}
		if _, ok := c.Class(class); ok {
			return v
		}
	}
	return ""
}
