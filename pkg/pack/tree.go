package pack

import (
	"cmp"
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/comfyctl/comfyctl/internal/diag"
	"github.com/comfyctl/comfyctl/internal/git"
	"github.com/comfyctl/comfyctl/internal/progress"
	"github.com/comfyctl/comfyctl/pkg/lock"
	"github.com/comfyctl/comfyctl/pkg/lock/resolve"
)

// tree is a source folder on this machine.
type tree struct {
	dir string
	// pin is the commit, or the version of an archive; text says where it is
	// from.
	pin, text string
	cached    bool
}

// nodeSource is a node pack's source and the name of its folder.
type nodeSource struct {
	name string
	tree tree
}

func fetcher(r *Recipe, o BuildOptions) *lock.Fetcher {
	return &lock.Fetcher{CacheDir: o.CacheDir, Dir: r.Dir, Secret: o.Sources.Secret, HTTP: o.Sources.HTTP}
}

// comfyTree brings ComfyUI's source to this machine: as locked, or as it is
// today.
func comfyTree(ctx context.Context, r *Recipe, o BuildOptions) (tree, error) {
	src := lock.ComfyUI{Source: r.Environment.ComfyUI.Source, Ref: r.Environment.ComfyUI.Version}
	if r.Environment.Lock != nil {
		src = r.Environment.Lock.ComfyUI
	}
	dir, cached, err := fetcher(r, o).ComfyUI(ctx, &src)
	t := tree{dir: dir, pin: src.Commit, text: git.Redact(src.Source), cached: cached}
	if src.Commit != "" {
		t.text += "@" + src.Commit
	}
	return t, err
}

// nodeTrees brings every node pack to this machine.
func nodeTrees(ctx context.Context, r *Recipe, o BuildOptions, report progress.Func) ([]nodeSource, error) {
	list, err := wanted(r)
	if err != nil {
		return nil, err
	}
	out := []nodeSource{}
	f := fetcher(r, o)
	for _, n := range list {
		dir, cached, err := f.Node(ctx, &n)
		if err != nil {
			return nil, err
		}
		s := nodeSource{name: n.Dir, tree: tree{dir: dir, pin: cmp.Or(n.Commit, n.Version), cached: cached}}
		switch n.From {
		case lock.FromFolder:
			s.tree.text = n.Path
		case lock.FromRegistry:
			s.tree.text = n.ID + "@" + n.Version
		default:
			s.tree.text = git.Redact(n.URL) + "@" + n.Commit
		}
		report(progress.Event{Step: "nodes", State: state(cached), Item: n.Dir, Text: shortCommit(s.tree.pin)})
		out = append(out, s)
	}
	return out, nil
}

// wanted lists the node packs: those of the lock, else those of the recipe.
func wanted(r *Recipe) ([]lock.Node, error) {
	if r.Environment.Lock != nil {
		return slices.Clone(r.Environment.Lock.Nodes), nil
	}
	var list []lock.Node
	seen := map[string]bool{}
	for _, p := range r.Environment.Nodes {
		n := lock.Node{Dir: nodeName(p), From: lock.FromGit, URL: p.Repo, Ref: p.Ref, Path: p.Path, Auth: p.Auth}
		if p.Path != "" {
			n.From = lock.FromFolder
		}
		if n.Dir == "" || n.Dir == "." || n.Dir == ".." || strings.ContainsAny(n.Dir, `/\`) || seen[strings.ToLower(n.Dir)] {
			return nil, &diag.Error{Code: "node_name", Class: diag.ClassCheck, Message: fmt.Sprintf("two node packs want the folder %q, or it is no name", n.Dir), Help: "remove one of them from nodes:"}
		}
		seen[strings.ToLower(n.Dir)] = true
		list = append(list, n)
	}
	return list, nil
}

func shortCommit(c string) string { return c[:min(len(c), 7)] }

func inDir(dir, p string) string {
	if filepath.IsAbs(p) {
		return p
	}
	return filepath.Join(dir, filepath.FromSlash(p))
}

// nodeName is the folder of a node pack under custom_nodes.
func nodeName(n NodePack) string {
	switch {
	case n.Name != "":
		return n.Name
	case n.Path != "":
		abs, err := filepath.Abs(filepath.FromSlash(n.Path))
		if err != nil {
			return filepath.Base(n.Path)
		}
		return filepath.Base(abs)
	}
	return resolve.Name(n.Repo)
}
