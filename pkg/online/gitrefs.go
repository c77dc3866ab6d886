package online

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
)

var (
	wholeCommit = regexp.MustCompile(`^[0-9a-f]{40}$`)
	shortCommit = regexp.MustCompile(`^[0-9a-f]{7,39}$`)
	errNoGit    = errors.New("not git")
)

// gitStatus is a refusal of a git server.
type gitStatus struct {
	code int
	said string
}

// Error is the status in words.
func (e *gitStatus) Error() string { return "it says " + e.said }

// gitServer speaks git's smart protocol: version 2 where the server has it,
// which answers for the wanted refs alone, else the first one.
type gitServer struct {
	c   *checker
	url string
	v2  bool
	// refs are those that version 0 advertises, by name.
	refs map[string]string
}

const (
	// maxRefs bounds the list of refs that a server may send.
	maxRefs   = 200000
	maxPacket = 65520
)

func (g *gitServer) discover(ctx context.Context) error {
	at := g.url
	for hops := 0; hops <= maxRedirects; hops++ {
		resp, err := g.c.send(ctx, http.MethodGet, at+"/info/refs?service=git-upload-pack", http.Header{"Git-Protocol": {"version=2"}}, nil)
		if err != nil {
			return err
		}
		next, moved := movedTo(resp)
		if moved {
			_ = resp.Body.Close()
			at = next
			continue
		}
		g.url = at
		err = g.advertised(resp)
		_ = resp.Body.Close()
		return err
	}
	return fmt.Errorf("more than %d redirects", maxRedirects)
}

// movedTo is the repository's new address, where a server redirects to one.
func movedTo(resp *http.Response) (string, bool) {
	next := location(resp)
	if next == nil {
		return "", false
	}
	path, ok := strings.CutSuffix(next.Path, "/info/refs")
	if !ok {
		return "", false
	}
	u := url.URL{Scheme: next.Scheme, User: next.User, Host: next.Host, Path: path}
	return u.String(), true
}

// advertised reads the first answer: capabilities of version 2, or all refs.
func (g *gitServer) advertised(resp *http.Response) error {
	if resp.StatusCode != http.StatusOK {
		return &gitStatus{resp.StatusCode, resp.Status}
	}
	if resp.Header.Get("Content-Type") != "application/x-git-upload-pack-advertisement" {
		return errNoGit
	}
	g.refs = map[string]string{}
	r := bufio.NewReader(resp.Body)
	flushes := 0
	for {
		line, kind, err := packet(r)
		if errors.Is(err, io.EOF) && flushes > 0 {
			return nil
		}
		if err != nil {
			return errNoGit
		}
		switch {
		case kind != packetData:
			if flushes++; flushes == 2 || g.v2 {
				return nil
			}
		case line == "version 2":
			g.v2 = true
		case strings.HasPrefix(line, "#"), g.v2:
		default:
			if err := g.ref(line); err != nil {
				return err
			}
		}
	}
}

// ref keeps a line "HASH NAME", which capabilities may follow.
func (g *gitServer) ref(line string) error {
	line, _, _ = strings.Cut(line, "\x00")
	hash, name, ok := strings.Cut(line, " ")
	if !ok || !wholeCommit.MatchString(hash) {
		return errNoGit
	}
	if len(g.refs) >= maxRefs {
		return fmt.Errorf("it lists more than %d refs", maxRefs)
	}
	if name, _, _ = strings.Cut(name, " "); name != "capabilities^{}" {
		g.refs[name] = hash
	}
	return nil
}

// has reports whether the repository has a ref, and the names of branches and
// tags that it may have been meant for.
func (g *gitServer) has(ctx context.Context, ref string) (bool, []string, error) {
	if g.v2 {
		if err := g.list(ctx); err != nil {
			return false, nil, err
		}
	}
	var names []string
	found := false
	for name, hash := range g.refs {
		short := strings.TrimPrefix(strings.TrimPrefix(name, "refs/heads/"), "refs/tags/")
		names = append(names, short)
		found = found || ref != "" && (short == ref || name == ref || len(ref) >= 7 && shortOrWhole(ref) && strings.HasPrefix(hash, ref))
	}
	if found || !wholeCommit.MatchString(ref) || !g.v2 {
		// Version 0 cannot be asked for a commit that no ref names.
		return found || wholeCommit.MatchString(ref), names, nil
	}
	found, err := g.wants(ctx, ref)
	return found, names, err
}

func shortOrWhole(ref string) bool {
	return wholeCommit.MatchString(ref) || shortCommit.MatchString(ref)
}

// list asks for HEAD, branches and tags.
func (g *gitServer) list(ctx context.Context) error {
	body := line("command=ls-refs\n") + delimiter + line("ref-prefix HEAD\n") + line("ref-prefix refs/heads/\n") + line("ref-prefix refs/tags/\n") + flush
	resp, err := g.command(ctx, body)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	r := bufio.NewReader(resp.Body)
	for {
		text, kind, err := packet(r)
		if err != nil {
			return fmt.Errorf("reading the refs: %w", err)
		}
		if kind == packetFlush {
			return nil
		}
		if err := g.ref(text); err != nil {
			return err
		}
	}
}

// wants asks for a commit alone, and reads no further than whether it comes.
func (g *gitServer) wants(ctx context.Context, commit string) (bool, error) {
	body := line("command=fetch\n") + delimiter + line("want "+commit+"\n") + line("deepen 1\n") + line("done\n") + flush
	resp, err := g.command(ctx, body)
	if err != nil {
		return false, err
	}
	defer resp.Body.Close()
	text, _, err := packet(bufio.NewReader(resp.Body))
	switch {
	case err != nil:
		return false, fmt.Errorf("asking for a commit: %w", err)
	case strings.HasPrefix(text, "ERR "):
		return false, nil
	}
	return true, nil
}

func (g *gitServer) command(ctx context.Context, body string) (*http.Response, error) {
	header := http.Header{"Git-Protocol": {"version=2"}, "Content-Type": {"application/x-git-upload-pack-request"}, "Accept": {"application/x-git-upload-pack-result"}}
	resp, err := g.c.send(ctx, http.MethodPost, g.url+"/git-upload-pack", header, []byte(body))
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		_ = resp.Body.Close()
		return nil, &gitStatus{resp.StatusCode, resp.Status}
	}
	return resp, nil
}

// Packets that hold no data.
const (
	flush     = "0000"
	delimiter = "0001"
)

type packetKind int

const (
	packetData packetKind = iota
	packetFlush
	packetOther
)

// line writes one packet: four hex digits of its length, then the text.
func line(text string) string { return fmt.Sprintf("%04x%s", len(text)+4, text) }

// packet reads one packet, without its line end.
func packet(r *bufio.Reader) (string, packetKind, error) {
	var size [4]byte
	if _, err := io.ReadFull(r, size[:]); err != nil {
		return "", 0, err
	}
	n, err := strconv.ParseUint(string(size[:]), 16, 16)
	switch {
	case err != nil || n > maxPacket:
		return "", 0, errNoGit
	case n == 0:
		return "", packetFlush, nil
	case n < 4:
		return "", packetOther, nil
	}
	b := make([]byte, n-4)
	if _, err := io.ReadFull(r, b); err != nil {
		return "", 0, err
	}
	return strings.TrimSuffix(string(b), "\n"), packetData, nil
}
