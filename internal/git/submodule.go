package git

import (
	"bytes"
	"context"
	"fmt"
	"net/url"
	"path"
	"regexp"
	"strings"

	"github.com/comfyctl/comfyctl/internal/diag"
)

// submodules writes the repositories that a tree links to.
func (w *writer) submodules(ctx context.Context, m *mirror, commit, prefix string, links []entry, depth int) error {
	if depth >= maxSubmodules {
		return fmt.Errorf("unpacking %s: submodules in submodules, more than %d deep", Redact(m.URL), maxSubmodules)
	}
	urls, err := m.moduleURLs(ctx, commit)
	if err != nil {
		return err
	}
	for _, l := range links {
		at := path.Join(prefix, l.name)
		address, ok := urls[l.name]
		if !ok {
			// A link that .gitmodules does not name is an empty folder for git too.
			if err := w.root.MkdirAll(at, 0o755); err != nil {
				return err
			}
			continue
		}
		if address, err = m.relative(address); err != nil {
			return err
		}
		r := Remote{URL: address}
		if sub := (&mirror{Remote: r}); sub.host() != "" && sub.host() == m.host() {
			r.Token = m.Token
		}
		if isFile(address) && !isFile(m.URL) {
			return &diag.Error{Code: "git_fetch", Class: diag.ClassCheck, Message: fmt.Sprintf("submodule %s of %s points at a folder of this machine", l.name, Redact(m.URL)), Help: "take another commit of the pack"}
		}
		sub, err := m.cache.mirror(ctx, r, true)
		if err == nil {
			err = sub.fetch(ctx, l.hash)
		}
		if err != nil {
			return fmt.Errorf("fetching submodule %s of %s: %w", l.name, Redact(m.URL), err)
		}
		w.tree.Submodules = append(w.tree.Submodules, Submodule{Path: at, URL: Redact(address), Commit: l.hash})
		if err := w.root.MkdirAll(at, 0o755); err != nil {
			return err
		}
		if err := w.commit(ctx, sub, l.hash, at, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// moduleURLs reads .gitmodules of a commit: path → url.
func (m *mirror) moduleURLs(ctx context.Context, commit string) (map[string]string, error) {
	var out bytes.Buffer
	err := m.pipe(ctx, nil, &out, "config", "--blob", commit+":.gitmodules", "-z", "--get-regexp", `^submodule\..*\.(path|url)$`)
	if err != nil {
		if ctx.Err() != nil {
			return nil, err
		}
		return map[string]string{}, nil // no such file
	}
	paths, urls := map[string]string{}, map[string]string{}
	for item := range strings.SplitSeq(out.String(), "\x00") {
		key, value, _ := strings.Cut(item, "\n")
		if name, ok := strings.CutSuffix(key, ".path"); ok {
			paths[name] = value
		}
		if name, ok := strings.CutSuffix(key, ".url"); ok {
			urls[name] = value
		}
	}
	byPath := map[string]string{}
	for name, p := range paths {
		byPath[strings.TrimSuffix(p, "/")] = urls[name]
	}
	return byPath, nil
}

var scpLike = regexp.MustCompile(`^(?:[A-Za-z0-9_.-]+@)?([A-Za-z0-9_.-]+):([^/].*)$`)

// relative reads a submodule's address, which may be relative to that of its
// parent. Public repositories are often named by ssh, for which a build
// machine has no key: where the parent came over https, so does the submodule.
func (m *mirror) relative(address string) (string, error) {
	if strings.HasPrefix(address, "./") || strings.HasPrefix(address, "../") {
		if u, err := url.Parse(m.URL); err == nil && u.Scheme != "" {
			u.Path = path.Join(u.Path, address)
			return u.String(), nil
		}
		if isFile(m.URL) {
			return path.Join(m.URL, address), nil
		}
		if head, tail, ok := strings.Cut(m.URL, ":"); ok {
			return head + ":" + path.Join(tail, address), nil
		}
		return "", fmt.Errorf("reading .gitmodules of %s: %q leads nowhere", Redact(m.URL), address)
	}
	if strings.HasPrefix(m.URL, "https://") {
		if s := scpLike.FindStringSubmatch(address); s != nil && !strings.Contains(address, "://") {
			return "https://" + s[1] + "/" + s[2], nil
		}
		if u, err := url.Parse(address); err == nil && u.Scheme == "ssh" {
			return "https://" + u.Hostname() + u.Path, nil
		}
	}
	return address, nil
}
