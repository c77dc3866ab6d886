package git

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/comfyctl/comfyctl/internal/diag"
)

// Remote is a repository to fetch from.
type Remote struct {
	// URL is anything that git fetches from: https, ssh, file or a path.
	URL string
	// Token signs in to the host of an http URL; empty leaves it to git's own
	// credential helpers.
	Token string
}

// Cache holds bare repositories and the files written out of them.
type Cache struct {
	Dir string
	// Offline refuses to ask a remote for anything.
	Offline bool
}

// mirror is the bare repository for one remote.
type mirror struct {
	Remote
	cache *Cache
	dir   string
	// inner is set for submodules: their addresses are not the user's words.
	inner bool
}

func (c *Cache) mirror(ctx context.Context, r Remote, inner bool) (*mirror, error) {
	if strings.HasPrefix(r.URL, "-") || strings.ContainsAny(r.URL, "\n\r\x00") || strings.Contains(r.URL, "::") {
		return nil, &diag.Error{Code: "git_ref", Class: diag.ClassCheck, Message: fmt.Sprintf("%q is no address of a repository", r.URL), Help: "write it like https://HOST/OWNER/REPOSITORY"}
	}
	sum := sha256.Sum256([]byte(r.URL))
	m := &mirror{Remote: r, cache: c, dir: filepath.Join(c.Dir, "git", hex.EncodeToString(sum[:8])+".git"), inner: inner}
	if _, err := os.Stat(filepath.Join(m.dir, "HEAD")); err == nil {
		return m, nil
	}
	if err := os.MkdirAll(m.dir, 0o755); err != nil {
		return nil, fmt.Errorf("making the cache of sources: %w", err)
	}
	// No template: it could bring hooks.
	_, err := m.run(ctx, "init", "--quiet", "--bare", "--template=")
	return m, err
}

// protocols that an address may use; files only where the user names one.
func (m *mirror) protocols() string {
	if m.inner && !isFile(m.URL) {
		return "https:http:ssh"
	}
	return "https:http:ssh:git:file"
}

func isFile(address string) bool {
	return strings.HasPrefix(address, "file://") || filepath.IsAbs(address)
}

// credential answers git's question for a password, for one host alone: the
// value is in the environment of git and of nothing else.
const credential = `!f() { test "$1" = get && printf 'username=x-access-token\npassword=%s\n' "$COMFYCTL_GIT_TOKEN"; }; f` //nolint:gosec // it holds none

func (m *mirror) command(ctx context.Context, args ...string) *exec.Cmd {
	settings := []string{"-c", "gc.auto=0", "-c", "maintenance.auto=false", "-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false",
		"-c", "fetch.recurseSubmodules=false", "-c", "submodule.recurse=false", "-c", "advice.detachedHead=false"}
	cmd := exec.CommandContext(ctx, "git", append(settings, args...)...)
	cmd.Dir = m.dir
	cmd.Env = append(cmd.Environ(), "GIT_TERMINAL_PROMPT=0", "GIT_ASKPASS=", "SSH_ASKPASS=", "GIT_DIR="+m.dir, "GIT_LFS_SKIP_SMUDGE=1",
		"GIT_NO_REPLACE_OBJECTS=1", "GIT_OPTIONAL_LOCKS=0", "GIT_ALLOW_PROTOCOL="+m.protocols(), "LC_ALL=C")
	if host := m.host(); m.Token != "" && host != "" {
		cmd.Env = append(cmd.Env, "COMFYCTL_GIT_TOKEN="+m.Token, "GIT_CONFIG_COUNT=2",
			"GIT_CONFIG_KEY_0=credential."+host+".helper", "GIT_CONFIG_VALUE_0=", // forgets the user's own helpers
			"GIT_CONFIG_KEY_1=credential."+host+".helper", "GIT_CONFIG_VALUE_1="+credential)
	}
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 5 * time.Second
	return cmd
}

// host is scheme and host of an http address, or "".
func (m *mirror) host() string {
	u, err := url.Parse(m.URL)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" {
		return ""
	}
	return u.Scheme + "://" + u.Host
}

// commandError is what git said when it failed.
type commandError struct {
	verb, said string
	err        error
}

func (e *commandError) Error() string {
	if e.said == "" {
		return fmt.Sprintf("running git %s: %v", e.verb, e.err)
	}
	return fmt.Sprintf("running git %s: %s", e.verb, e.said)
}

func (e *commandError) Unwrap() error { return e.err }

// run gives the output of a git command, without the line end.
func (m *mirror) run(ctx context.Context, args ...string) (string, error) {
	var out bytes.Buffer
	err := m.pipe(ctx, nil, &out, args...)
	return strings.TrimSpace(out.String()), err
}

// lockTries bounds how often a command waits for another process's lock.
const lockTries = 20

func (m *mirror) pipe(ctx context.Context, in io.Reader, out io.Writer, args ...string) error {
	for try := 0; ; try++ {
		var stderr bytes.Buffer
		cmd := m.command(ctx, args...)
		cmd.Stdin, cmd.Stdout, cmd.Stderr = in, out, &stderr
		err := cmd.Run()
		switch {
		case err == nil:
			return nil
		case errors.Is(err, exec.ErrNotFound):
			return &diag.Error{Code: "git_missing", Class: diag.ClassFailed, Err: err, Message: "git is needed to fetch " + Redact(m.URL), Help: "install git, or give a folder in place of the address"}
		case ctx.Err() != nil:
			return context.Cause(ctx)
		}
		said := strings.TrimSpace(m.hide(stderr.String()))
		if try < lockTries && in == nil && strings.Contains(said, ".lock") && strings.Contains(said, "File exists") {
			select {
			case <-time.After(250 * time.Millisecond):
				continue
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
		return &commandError{verb: args[0], said: said, err: err}
	}
}

// hide takes address and token out of what git says.
func (m *mirror) hide(text string) string {
	text = strings.ReplaceAll(text, m.URL, Redact(m.URL))
	if m.Token != "" {
		text = strings.ReplaceAll(text, m.Token, "…")
	}
	return text
}

// Redact is an address without what is in front of its host, and without a
// query, which may hold a token.
func Redact(address string) string {
	scheme, rest, ok := strings.Cut(address, "://")
	if !ok {
		return address
	}
	rest, _, _ = strings.Cut(rest, "?")
	host, tail, slash := strings.Cut(rest, "/")
	if i := strings.LastIndexByte(host, '@'); i >= 0 {
		host = "…@" + host[i+1:]
	}
	if slash {
		tail = "/" + tail
	}
	return scheme + "://" + host + tail
}
