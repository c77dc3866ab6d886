package pack

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/comfyctl/comfyctl/internal/diag"
	"github.com/comfyctl/comfyctl/internal/layer"
)

// tree is a source folder on this machine.
type tree struct {
	dir    string
	commit string // of a git source
	cached bool
}

var scpLike = regexp.MustCompile(`^[A-Za-z0-9_.-]+@[A-Za-z0-9_.-]+:`)

// isGit reports whether a source is an address for git rather than a folder.
func isGit(source string) bool {
	scheme, _, ok := strings.Cut(source, "://")
	return ok && len(scheme) > 1 || scpLike.MatchString(source)
}

// gitTree brings the files of a git source at ref into the cache.
func gitTree(ctx context.Context, source, ref, cache string) (tree, error) {
	if strings.HasPrefix(source, "-") || strings.HasPrefix(ref, "-") || strings.ContainsAny(ref, " \n:^~?*[\\") {
		return tree{}, &diag.Error{Code: "git_ref", Class: diag.ClassCheck, Message: fmt.Sprintf("%q is no branch, tag or commit", ref), Help: "write a tag, a branch or 40 hex digits"}
	}
	if ref == "" {
		ref = "HEAD"
	}
	sum := sha256.Sum256([]byte(source))
	repo := filepath.Join(cache, "git", hex.EncodeToString(sum[:8])+".git")
	g := gitRepo{dir: repo, url: source}
	if _, err := os.Stat(filepath.Join(repo, "HEAD")); err != nil {
		if err := os.MkdirAll(repo, 0o755); err != nil {
			return tree{}, fmt.Errorf("making the cache of sources: %w", err)
		}
		if _, err := g.run(ctx, "init", "--quiet", "--bare"); err != nil {
			return tree{}, err
		}
	}
	commit, err := g.commit(ctx, ref)
	if err != nil {
		return tree{}, err
	}
	dir := filepath.Join(cache, "trees", commit)
	if _, err := os.Stat(dir); err == nil {
		return tree{dir: dir, commit: commit, cached: true}, nil
	}
	return tree{dir: dir, commit: commit}, g.extract(ctx, commit, dir)
}

// gitRepo is a bare repository that holds what was fetched from one address.
type gitRepo struct{ dir, url string }

func (g gitRepo) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "git", append([]string{"-C", g.dir}, args...)...)
	cmd.Env = append(cmd.Environ(), "GIT_TERMINAL_PROMPT=0", "GIT_DIR="+g.dir, "LC_ALL=C")
	return cmd
}

func (g gitRepo) run(ctx context.Context, args ...string) (string, error) {
	cmd := g.command(ctx, args...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if errors.Is(err, exec.ErrNotFound) {
		return "", &diag.Error{Code: "git_missing", Class: diag.ClassFailed, Err: err, Message: "git is needed to fetch " + redactGit(g.url), Help: "install git, or give a folder in place of the address"}
	}
	if err != nil {
		return "", fmt.Errorf("running git %s: %s: %w", args[0], strings.TrimSpace(strings.ReplaceAll(stderr.String(), g.url, redactGit(g.url))), err)
	}
	return strings.TrimSpace(string(out)), nil
}

var fullCommit = regexp.MustCompile(`^[0-9a-f]{40}$`)

// commit fetches ref and says which commit it is. A commit that is here
// already is not asked for again.
func (g gitRepo) commit(ctx context.Context, ref string) (string, error) {
	if fullCommit.MatchString(ref) {
		if _, err := g.run(ctx, "cat-file", "-e", ref+"^{commit}"); err == nil {
			return ref, nil
		}
	}
	if _, err := g.run(ctx, "fetch", "--quiet", "--depth=1", "--no-tags", "--", g.url, ref); err != nil {
		var e *diag.Error
		if errors.As(err, &e) || ctx.Err() != nil {
			return "", err
		}
		return "", &diag.Error{Code: "git_fetch", Class: diag.ClassFailed, Retryable: true, Err: err,
			Message: fmt.Sprintf("cannot fetch %s at %s", redactGit(g.url), ref),
			Help:    "check address and ref; `git fetch` of it must work here without a question"}
	}
	return g.run(ctx, "rev-parse", "FETCH_HEAD^{commit}")
}

// extract writes the files of a commit to dir, which appears when complete.
func (g gitRepo) extract(ctx context.Context, commit, dir string) error {
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return fmt.Errorf("making the cache of sources: %w", err)
	}
	tmp, err := os.MkdirTemp(filepath.Dir(dir), "new-")
	if err != nil {
		return fmt.Errorf("making the cache of sources: %w", err)
	}
	defer os.RemoveAll(tmp)
	cmd := g.command(ctx, "archive", "--format=tar", commit)
	out, err := cmd.StdoutPipe()
	if err != nil {
		return fmt.Errorf("running git archive: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("running git archive: %w", err)
	}
	err = unpack(tmp, out)
	if werr := cmd.Wait(); err == nil {
		err = werr
	}
	if err != nil {
		return fmt.Errorf("unpacking %s: %w", redactGit(g.url), err)
	}
	if err := os.Rename(tmp, dir); err != nil {
		if _, serr := os.Stat(dir); serr == nil { // another process was faster
			return nil
		}
		return fmt.Errorf("keeping a source: %w", err)
	}
	return nil
}

// unpack writes a tar under dir; nothing in it can lead out of dir.
func unpack(dir string, r io.Reader) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	tr := tar.NewReader(r)
	for {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		name := path.Clean(h.Name)
		if name == "." || h.Typeflag == tar.TypeXGlobalHeader {
			continue
		}
		if err := root.MkdirAll(path.Dir(name), 0o755); err != nil {
			return err
		}
		switch h.Typeflag {
		case tar.TypeDir:
			err = root.MkdirAll(name, 0o755)
		case tar.TypeSymlink:
			err = root.Symlink(h.Linkname, name)
		case tar.TypeReg:
			err = writeFile(root, name, fs.FileMode(h.Mode)&0o777, tr)
		}
		if err != nil {
			return err
		}
	}
}

func writeFile(root *os.Root, name string, mode fs.FileMode, r io.Reader) error {
	f, err := root.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, mode)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, r)
	return errors.Join(err, f.Close())
}

// redactGit is an address without what is in front of its host.
func redactGit(url string) string {
	scheme, rest, ok := strings.Cut(url, "://")
	if !ok {
		return url
	}
	host, tail, _ := strings.Cut(rest, "/")
	if i := strings.LastIndexByte(host, '@'); i >= 0 {
		host = "…@" + host[i+1:]
	}
	return scheme + "://" + host + "/" + tail
}

// leftOut are folders and files that no image needs.
var leftOut = map[string]bool{
	".git": true, ".github": true, ".gitlab": true, ".svn": true, ".hg": true, ".idea": true, ".vscode": true,
	"__pycache__": true, ".pytest_cache": true, ".mypy_cache": true, ".ruff_cache": true, ".cache": true, ".ipynb_checkpoints": true,
	".venv": true, "venv": true, ".tox": true, ".DS_Store": true, "Thumbs.db": true,
}

// keepSource accepts the files of a node pack.
func keepSource(rel string, _ bool) bool {
	base := path.Base(rel)
	return !leftOut[base] && !strings.HasSuffix(base, ".pyc") && !strings.HasSuffix(base, ".pyo")
}

// keepComfyUI accepts the files of ComfyUI itself: a folder that somebody works
// in also holds their models, pictures and node packs.
func keepComfyUI(rel string, dir bool) bool {
	if !keepSource(rel, dir) {
		return false
	}
	top, rest, deeper := strings.Cut(rel, "/")
	switch top {
	case "input", "output", "temp", "user":
		return false
	case "models":
		// The folders are what loaders list; configs are part of the source.
		return dir || strings.HasPrefix(rest, "configs/")
	case "custom_nodes":
		return !deeper && dir || deeper && !dir && !strings.Contains(rest, "/")
	}
	return true
}

func hasMain(dir string) bool {
	fi, err := os.Stat(filepath.Join(dir, "main.py"))
	return err == nil && fi.Mode().IsRegular()
}

// escapes explains a link that would carry a file of this machine into the
// image.
func escapes(err error) error {
	var e *layer.EscapeError
	if !errors.As(err, &e) {
		return err
	}
	return &diag.Error{Code: "link_escapes", Class: diag.ClassCheck, Err: err,
		Message: "a link would put a file from outside into the image", Facts: [][2]string{{"link", e.Path}, {"to", e.Target}},
		Help: "replace the link by the file, or remove it"}
}
