package git

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/comfyctl/comfyctl/internal/diag"
)

// Tree is the files of a commit on this machine.
type Tree struct {
	Dir    string `json:"-"`
	Commit string `json:"commit"`
	// Hash is git's hash of the commit's tree. It covers submodules by their
	// commits and LFS files by their digests.
	Hash       string      `json:"tree"`
	Submodules []Submodule `json:"submodules,omitempty"`
	LFS        []Pointer   `json:"lfs,omitempty"`
	Cached     bool        `json:"-"`
}

// Submodule is a repository inside of another.
type Submodule struct {
	Path   string `json:"path"`
	URL    string `json:"url"`
	Commit string `json:"commit"`
}

// Limits of what one repository may unpack to.
const (
	maxEntries    = 200_000
	maxBytes      = 8 << 30
	maxSubmodules = 5 // deep
)

// Checkout writes the files of a commit out, or finds them written already. A
// hash that is not empty must be that of the commit's tree.
func (c *Cache) Checkout(ctx context.Context, r Remote, commit, hash string) (Tree, error) {
	dir := filepath.Join(c.Dir, "src", commit)
	t, err := c.written(dir)
	if err != nil {
		var m *mirror
		if m, err = c.mirror(ctx, r, false); err != nil {
			return Tree{}, err
		}
		if err = m.fetch(ctx, commit); err == nil {
			t, err = m.checkout(ctx, commit, dir)
		}
	}
	if err != nil {
		return Tree{}, err
	}
	if hash != "" && hash != t.Hash {
		return Tree{}, &diag.Error{Code: "wrong_hash", Class: diag.ClassCheck, Message: fmt.Sprintf("commit %s of %s has another tree than the lock says", commit, Redact(r.URL)),
			Facts: [][2]string{{"expected", hash}, {"got", t.Hash}}, Help: "somebody changed the lock, or the cache is damaged"}
	}
	return t, nil
}

// written reads what an earlier run left; the record is written last.
func (c *Cache) written(dir string) (Tree, error) {
	var t Tree
	b, err := os.ReadFile(dir + ".json")
	if err == nil {
		err = json.Unmarshal(b, &t)
	}
	if err == nil {
		_, err = os.Stat(dir)
	}
	t.Dir, t.Cached = dir, true
	return t, err
}

func (m *mirror) checkout(ctx context.Context, commit, dir string) (Tree, error) {
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return Tree{}, fmt.Errorf("making the cache of sources: %w", err)
	}
	tmp, err := os.MkdirTemp(filepath.Dir(dir), "new-")
	if err != nil {
		return Tree{}, fmt.Errorf("making the cache of sources: %w", err)
	}
	defer os.RemoveAll(tmp)
	root, err := os.OpenRoot(tmp)
	if err != nil {
		return Tree{}, fmt.Errorf("making the cache of sources: %w", err)
	}
	defer root.Close()
	t := Tree{Dir: dir, Commit: commit}
	w := &writer{root: root, tree: &t}
	if err := w.commit(ctx, m, commit, "", 0); err != nil {
		return Tree{}, err
	}
	if err := m.large(ctx, root, t.LFS); err != nil {
		return Tree{}, err
	}
	if t.Hash, err = m.run(ctx, "rev-parse", commit+"^{tree}"); err != nil {
		return Tree{}, err
	}
	record, err := json.Marshal(t)
	if err != nil {
		return Tree{}, fmt.Errorf("keeping a source: %w", err)
	}
	if err := os.Rename(tmp, dir); err != nil {
		if _, serr := os.Stat(dir); serr != nil {
			return Tree{}, fmt.Errorf("keeping a source: %w", err)
		} // another process was faster
	}
	if err := os.WriteFile(tmp+".json", record, 0o644); err != nil {
		return Tree{}, fmt.Errorf("keeping a source: %w", err)
	}
	if err := os.Rename(tmp+".json", dir+".json"); err != nil {
		return Tree{}, fmt.Errorf("keeping a source: %w", err)
	}
	return t, nil
}

// writer writes trees below a folder, which nothing can lead out of.
type writer struct {
	root    *os.Root
	tree    *Tree
	entries int
	bytes   int64
}

// entry is a line of ls-tree.
type entry struct {
	mode, kind, hash, name string
	size                   int64
}

func (w *writer) commit(ctx context.Context, m *mirror, commit, prefix string, depth int) error {
	list, err := m.entries(ctx, commit)
	if err != nil {
		return err
	}
	var blobs []entry
	var links []entry
	for _, e := range list {
		if err := checkName(e.name); err != nil {
			return fmt.Errorf("unpacking %s: %w", Redact(m.URL), err)
		}
		w.entries++
		w.bytes += e.size
		if w.entries > maxEntries || w.bytes > maxBytes {
			return &diag.Error{Code: "source_too_big", Class: diag.ClassCheck, Message: Redact(m.URL) + " unpacks to more than a node pack may hold", Help: fmt.Sprintf("at most %d files and %d GiB", maxEntries, maxBytes>>30)}
		}
		switch {
		case e.kind == "blob":
			blobs = append(blobs, e)
		case e.mode == "160000":
			links = append(links, e)
		}
	}
	if err := w.blobs(ctx, m, blobs, prefix); err != nil {
		return err
	}
	if len(links) == 0 {
		return nil
	}
	return w.submodules(ctx, m, commit, prefix, links, depth)
}

// checkName refuses names that would leave the folder, or be git's own.
func checkName(name string) error {
	for part := range strings.SplitSeq(name, "/") {
		if part == "" || part == "." || part == ".." || strings.EqualFold(part, ".git") || strings.ContainsAny(part, "\\\x00") {
			return fmt.Errorf("%q is no name of a file", name)
		}
	}
	return nil
}

func (m *mirror) entries(ctx context.Context, commit string) ([]entry, error) {
	var out bytes.Buffer
	if err := m.pipe(ctx, nil, &out, "ls-tree", "-r", "-z", "-l", "--full-tree", commit); err != nil {
		return nil, err
	}
	var list []entry
	for line := range strings.SplitSeq(strings.TrimSuffix(out.String(), "\x00"), "\x00") {
		if line == "" {
			continue
		}
		meta, name, ok := strings.Cut(line, "\t")
		f := strings.Fields(meta)
		if !ok || len(f) != 4 {
			return nil, fmt.Errorf("reading a tree of %s: %q", Redact(m.URL), line)
		}
		e := entry{mode: f[0], kind: f[1], hash: f[2], name: name}
		if f[3] != "-" {
			var err error
			if e.size, err = strconv.ParseInt(f[3], 10, 64); err != nil {
				return nil, fmt.Errorf("reading a tree of %s: %w", Redact(m.URL), err)
			}
		}
		list = append(list, e)
	}
	return list, nil
}

// blobs writes files out of one `git cat-file`.
func (w *writer) blobs(ctx context.Context, m *mirror, list []entry, prefix string) error {
	if len(list) == 0 {
		return nil
	}
	ask := strings.Builder{}
	for _, e := range list {
		ask.WriteString(e.hash + "\n")
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	pr, pw := io.Pipe()
	done := make(chan error, 1)
	go func() {
		err := m.pipe(ctx, strings.NewReader(ask.String()), pw, "cat-file", "--batch")
		pw.CloseWithError(err)
		done <- err
	}()
	err := w.receive(bufio.NewReaderSize(pr, 1<<16), list, prefix, m)
	if err != nil {
		cancel()
		pr.CloseWithError(err)
		<-done
		return fmt.Errorf("unpacking %s: %w", Redact(m.URL), err)
	}
	return errors.Join(<-done, pr.Close())
}

func (w *writer) receive(r *bufio.Reader, list []entry, prefix string, m *mirror) error {
	for _, e := range list {
		head, err := r.ReadString('\n')
		if err != nil {
			return err
		}
		f := strings.Fields(head)
		if len(f) != 3 || f[0] != e.hash || f[1] != "blob" {
			return fmt.Errorf("%s: git says %q", e.name, strings.TrimSpace(head))
		}
		size, err := strconv.ParseInt(f[2], 10, 64)
		if err != nil || size != e.size {
			return fmt.Errorf("%s: git says %q", e.name, strings.TrimSpace(head))
		}
		if err := w.file(io.LimitReader(r, size), e, path.Join(prefix, e.name), m); err != nil {
			return err
		}
		if _, err := r.Discard(1); err != nil {
			return err
		}
	}
	return nil
}

func (w *writer) file(r io.Reader, e entry, name string, m *mirror) error {
	if err := w.root.MkdirAll(path.Dir(name), 0o755); err != nil {
		return err
	}
	if e.mode == "120000" {
		target, err := io.ReadAll(r)
		if err != nil {
			return err
		}
		if err := Inside(name, string(target)); err != nil {
			return err
		}
		return w.root.Symlink(string(target), name)
	}
	mode := fs.FileMode(0o644)
	if e.mode == "100755" {
		mode = 0o755
	}
	if e.size <= maxPointer {
		b, err := io.ReadAll(r)
		if err != nil {
			return err
		}
		if p, ok := parsePointer(b); ok {
			p.Path, p.remote = name, m
			w.tree.LFS = append(w.tree.LFS, p)
		}
		r = bytes.NewReader(b)
	}
	f, err := w.root.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, mode)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, r)
	return errors.Join(err, f.Close())
}

// Inside refuses the target of a link that leads out of its tree, because it
// would put a file of this machine into an image.
func Inside(name, target string) error {
	to := path.Join(path.Dir(name), target)
	if path.IsAbs(target) || to == ".." || strings.HasPrefix(to, "../") || strings.Contains(target, "\\") {
		return &diag.Error{Code: "link_escapes", Class: diag.ClassCheck, Message: "a link would put a file from outside into the image",
			Facts: [][2]string{{"link", name}, {"to", target}}, Help: "take another commit of the pack, or a copy without the link"}
	}
	return nil
}
