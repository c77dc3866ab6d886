package lock

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"github.com/comfyctl/comfyctl/internal/cas"
	"github.com/comfyctl/comfyctl/internal/diag"
	"github.com/comfyctl/comfyctl/internal/fetch"
	"github.com/comfyctl/comfyctl/internal/git"
	"github.com/comfyctl/comfyctl/pkg/lock/packs"
)

// Fetcher brings sources to this machine: what is pinned as it is pinned, and
// what is not pinned yet as it is today.
type Fetcher struct {
	// CacheDir holds repositories, archives and the files written out of them.
	CacheDir string
	// Dir is the service file's folder; relative paths start there.
	Dir string
	// Offline asks nobody.
	Offline bool
	// Secret gives the value behind a name; nil knows none.
	Secret func(name string) (string, bool)
	// HTTP fetches archives; nil means a plain client.
	HTTP *http.Client
}

func (f *Fetcher) git() *git.Cache { return &git.Cache{Dir: f.CacheDir, Offline: f.Offline} }

// remote is a repository with the token that a secret's name stands for.
func (f *Fetcher) remote(url, auth string) (git.Remote, error) {
	if auth == "" {
		return git.Remote{URL: url}, nil
	}
	if f.Secret != nil {
		if v, ok := f.Secret(auth); ok && v != "" {
			return git.Remote{URL: url, Token: strings.TrimSpace(v)}, nil
		}
	}
	return git.Remote{}, &diag.Error{Code: "secret_missing", Class: diag.ClassAuth, Message: fmt.Sprintf("the secret %s is not set; %s needs it", auth, git.Redact(url)),
		Help: fmt.Sprintf("export %s, or set %s_FILE to a file that holds it", auth, auth)}
}

// IsGit reports whether a source is an address for git rather than a folder.
func IsGit(source string) bool {
	scheme, _, ok := strings.Cut(source, "://")
	if ok {
		return len(scheme) > 1
	}
	user, _, at := strings.Cut(source, "@")
	return at && strings.Contains(source, ":") && !strings.ContainsAny(user, `/\ `)
}

// ComfyUI brings ComfyUI's source here and fills in what pins it. Its folder
// is returned.
func (f *Fetcher) ComfyUI(ctx context.Context, c *ComfyUI) (dir string, cached bool, err error) {
	if !IsGit(c.Source) {
		dir := f.path(c.Source)
		if fi, err := os.Stat(filepath.Join(dir, "main.py")); err != nil || !fi.Mode().IsRegular() {
			return "", false, &diag.Error{Code: "comfyui_missing", Class: diag.ClassCheck, Message: "there is no ComfyUI in " + dir, Help: "comfyui.source is a git address or the folder that holds main.py"}
		}
		hash, err := packs.HashFolder(dir, packs.KeepComfyUI)
		if err == nil {
			err = same("ComfyUI in "+dir, c.Tree, hash)
		}
		c.Tree = hash
		return dir, false, err
	}
	t, err := f.tree(ctx, git.Remote{URL: c.Source}, c.Ref, &c.Commit, &c.Moves, c.Tree)
	c.Tree = t.Hash
	return t.Dir, t.Cached, err
}

// tree fetches a commit, finding out first which one it is.
func (f *Fetcher) tree(ctx context.Context, r git.Remote, ref string, commit *string, moves *bool, want string) (git.Tree, error) {
	if *commit == "" {
		res, err := f.git().Resolve(ctx, r, ref)
		if err != nil {
			return git.Tree{}, err
		}
		*commit, *moves = res.Commit, res.Moves
	}
	return f.git().Checkout(ctx, r, *commit, want)
}

// Node brings a node pack here and fills in what pins it. What is pinned must
// be found as it is pinned.
func (f *Fetcher) Node(ctx context.Context, n *Node) (dir string, cached bool, err error) {
	switch n.From {
	case FromGit:
		r, err := f.remote(n.URL, n.Auth)
		if err != nil {
			return "", false, err
		}
		t, err := f.tree(ctx, r, n.Ref, &n.Commit, &n.Moves, n.Tree)
		if err != nil {
			return "", false, err
		}
		n.Tree, n.Submodules, n.LFS = t.Hash, nil, nil
		for _, s := range t.Submodules {
			n.Submodules = append(n.Submodules, Submodule(s))
		}
		for _, p := range t.LFS {
			n.LFS = append(n.LFS, Large{p.Path, p.SHA256, p.Size})
		}
		return t.Dir, t.Cached, nil
	case FromRegistry:
		return f.archive(ctx, n)
	case FromFolder:
		dir := f.path(n.Path)
		if fi, err := os.Stat(dir); err != nil || !fi.IsDir() {
			return "", false, &diag.Error{Code: "node_pack_missing", Class: diag.ClassCheck, Err: err, Message: "the node pack " + dir + " is no folder", Help: "correct `path:` in nodes:"}
		}
		hash, err := packs.HashFolder(dir, packs.Keep)
		if err == nil {
			err = same("the node pack "+n.Path, n.Tree, hash)
		}
		n.Tree = hash
		return dir, false, err
	}
	return "", false, fmt.Errorf("fetching the node pack %s: %q is no kind of source", n.Dir, n.From)
}

func (f *Fetcher) path(p string) string {
	if filepath.IsAbs(p) {
		return p
	}
	return filepath.Join(f.Dir, filepath.FromSlash(p))
}

// same refuses a folder that changed since it was locked.
func same(what, want, got string) error {
	if want == "" || want == got {
		return nil
	}
	return &diag.Error{Code: "lock_stale", Class: diag.ClassStale, Message: what + " has changed since it was locked", Facts: [][2]string{{"locked", want}, {"now", got}}, Help: "run `comfyctl lock`"}
}

func (f *Fetcher) archive(ctx context.Context, n *Node) (string, bool, error) {
	store := cas.Open(filepath.Join(f.CacheDir, "cas"))
	size, cached := store.Has(n.SHA256)
	if !cached {
		if f.Offline {
			return "", false, &diag.Error{Code: "offline", Class: diag.ClassFailed, Message: "--offline: the archive of " + n.Dir + " is not in the cache", Help: "run without --offline once"}
		}
		c := fetch.Client{HTTP: f.HTTP, Store: store}
		b, _, err := c.Get(ctx, fetch.Request{URL: n.URL, Name: n.Dir + " " + n.Version, SHA256: n.SHA256, Size: n.Size})
		if err != nil {
			return "", false, err
		}
		n.SHA256, size = b.SHA256, b.Size
	}
	n.Size = size
	dir := filepath.Join(f.CacheDir, "src", n.SHA256)
	err := packs.Unzip(store.Path(n.SHA256), dir)
	if err != nil {
		var e *diag.Error
		if errors.As(err, &e) {
			e.Facts = append(e.Facts, [2]string{"archive", fetch.Redact(n.URL)})
		}
	}
	return dir, cached, err
}
