package git

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/comfyctl/comfyctl/internal/diag"
)

// Resolved is a commit, and how it was asked for.
type Resolved struct {
	Commit string // 40 hex digits
	// Moves is set where the same words may mean another commit tomorrow: a
	// branch, or nothing at all.
	Moves bool
}

var (
	fullCommit  = regexp.MustCompile(`^[0-9a-f]{40}$`)
	shortCommit = regexp.MustCompile(`^[0-9a-f]{7,39}$`)
)

// IsCommit reports whether a ref is a whole commit hash.
func IsCommit(ref string) bool { return fullCommit.MatchString(ref) }

// Resolve says which commit a branch, a tag or the beginning of a hash means;
// an empty ref is the remote's default branch. A whole hash costs no request.
func (c *Cache) Resolve(ctx context.Context, r Remote, ref string) (Resolved, error) {
	if IsCommit(ref) {
		return Resolved{Commit: ref}, nil
	}
	if strings.HasPrefix(ref, "-") || strings.ContainsAny(ref, " \n:^~?*[\\") || strings.Contains(ref, "..") {
		return Resolved{}, &diag.Error{Code: "git_ref", Class: diag.ClassCheck, Message: fmt.Sprintf("%q is no branch, tag or commit", ref), Help: "write a tag, a branch or 40 hex digits"}
	}
	m, err := c.mirror(ctx, r, false)
	if err != nil {
		return Resolved{}, err
	}
	if c.Offline {
		return Resolved{}, offline("which commit " + shown(ref) + " of " + Redact(r.URL) + " is")
	}
	out, err := m.run(ctx, "ls-remote", "--quiet", "--", r.URL)
	if err != nil {
		return Resolved{}, m.fetchError(ctx, shown(ref), err)
	}
	refs := map[string]string{}
	for line := range strings.Lines(out) {
		if hash, name, ok := strings.Cut(strings.TrimSpace(line), "\t"); ok {
			refs[name] = hash
		}
	}
	if ref == "" {
		ref = "HEAD"
	}
	for _, name := range []string{ref, "refs/tags/" + ref + "^{}", "refs/tags/" + ref, "refs/heads/" + ref} {
		if hash, ok := refs[name]; ok {
			return Resolved{Commit: hash, Moves: !strings.HasPrefix(name, "refs/tags/")}, nil
		}
	}
	if shortCommit.MatchString(ref) {
		return m.abbreviated(ctx, ref)
	}
	return Resolved{}, &diag.Error{Code: "git_ref", Class: diag.ClassCheck,
		Message: fmt.Sprintf("%s has no branch, tag or commit %q", Redact(r.URL), ref), Help: nearRefs(ref, refs)}
}

func shown(ref string) string {
	if ref == "" {
		return "the default branch"
	}
	return ref
}

func nearRefs(ref string, refs map[string]string) string {
	names := []string{}
	for name := range refs {
		name = strings.TrimSuffix(name, "^{}")
		for _, p := range []string{"refs/tags/", "refs/heads/"} {
			if short, ok := strings.CutPrefix(name, p); ok {
				names = append(names, short)
			}
		}
	}
	if best := diag.Suggest(ref, names); best != "" {
		return "did you mean `" + best + "`?"
	}
	return "write a tag, a branch or 40 hex digits"
}

// abbreviated completes the beginning of a hash, for which the history is
// needed.
func (m *mirror) abbreviated(ctx context.Context, ref string) (Resolved, error) {
	if err := m.fetchAll(ctx); err != nil {
		return Resolved{}, m.fetchError(ctx, ref, err)
	}
	out, err := m.run(ctx, "rev-parse", "--verify", "--quiet", ref+"^{commit}")
	if err != nil {
		return Resolved{}, &diag.Error{Code: "git_ref", Class: diag.ClassCheck,
			Message: fmt.Sprintf("%s has no commit that begins with %s, or several", Redact(m.URL), ref), Help: "write all 40 hex digits"}
	}
	return Resolved{Commit: out}, nil
}

func (m *mirror) has(ctx context.Context, commit string) bool {
	_, err := m.run(ctx, "cat-file", "-e", commit+"^{commit}")
	return err == nil
}

// fetch brings a commit here, without its history. Servers that give no single
// commits are asked for everything.
func (m *mirror) fetch(ctx context.Context, commit string) error {
	if m.has(ctx, commit) {
		return nil
	}
	if m.cache.Offline {
		return offline("commit " + commit[:12] + " of " + Redact(m.URL))
	}
	_, err := m.run(ctx, "fetch", "--quiet", "--depth=1", "--no-tags", "--no-write-fetch-head", "--", m.URL, commit)
	if err != nil {
		var e *diag.Error
		if errors.As(err, &e) || ctx.Err() != nil {
			return err
		}
		if ferr := m.fetchAll(ctx); ferr != nil {
			return m.fetchError(ctx, commit, err)
		}
	}
	if !m.has(ctx, commit) {
		return m.fetchError(ctx, commit, errors.New("the repository does not have that commit"))
	}
	return nil
}

func (m *mirror) fetchAll(ctx context.Context) error {
	args := []string{"fetch", "--quiet", "--no-write-fetch-head", "--force"}
	if out, err := m.run(ctx, "rev-parse", "--is-shallow-repository"); err == nil && out == "true" {
		args = append(args, "--unshallow")
	}
	_, err := m.run(ctx, append(args, "--", m.URL, "+refs/*:refs/*")...)
	return err
}

func offline(what string) error {
	return &diag.Error{Code: "offline", Class: diag.ClassFailed, Message: "--offline: " + what + " is not in the cache", Help: "run without --offline once"}
}

// fetchError tells a refused sign-in from everything else.
func (m *mirror) fetchError(ctx context.Context, ref string, err error) error {
	var d *diag.Error
	if errors.As(err, &d) || ctx.Err() != nil {
		return err
	}
	e := &diag.Error{Code: "git_fetch", Class: diag.ClassFailed, Retryable: true, Err: err,
		Message: fmt.Sprintf("cannot fetch %s at %s", Redact(m.URL), ref),
		Help:    "check address and ref; a commit that its branch was moved away from may be gone"}
	said := err.Error()
	for _, sign := range []string{"Authentication failed", "could not read Username", "could not read Password", "returned error: 401", "returned error: 403", "Permission denied", "Repository not found", "terminal prompts disabled"} {
		if strings.Contains(said, sign) {
			e.Class, e.Retryable = diag.ClassAuth, false
			e.Help = "the repository is private or not there: give the pack `auth:` with the name of a secret that holds a token, or sign in with git itself"
		}
	}
	return e
}
