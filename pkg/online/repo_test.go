package online

import (
	"bufio"
	"errors"
	"io"
	"net/http"
	"net/http/cgi"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// git runs git in a folder and returns what it says.
func git(t testing.TB, dir string, args ...string) string {
	t.Helper()
	cmd := exec.Command("git", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@example.com", "GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@example.com", "GIT_CONFIG_GLOBAL=/dev/null")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("git %v: %v\n%s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}

// backend is git's own HTTP server over a folder, with protocol 2 or without.
func backend(t testing.TB, root string, v2 bool) http.Handler {
	t.Helper()
	path, err := exec.LookPath("git")
	if err != nil {
		t.Fatal(err)
	}
	h := &cgi.Handler{Path: path, Args: []string{"http-backend"}, Env: []string{"GIT_PROJECT_ROOT=" + root, "GIT_HTTP_EXPORT_ALL=1"}, Stderr: io.Discard}
	if v2 {
		h.Env = append(h.Env, "GIT_PROTOCOL=version=2")
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !v2 {
			r.Header.Del("Git-Protocol")
		}
		h.ServeHTTP(w, r)
	})
}

// TestRepo asks git's own server, in both protocols.
func TestRepo(t *testing.T) {
	if _, err := exec.LookPath("git"); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("git is missing")
		}
		t.Skip("git is missing")
	}
	root := t.TempDir()
	work := filepath.Join(root, "work")
	git(t, root, "init", "-q", "-b", "trunk", work)
	git(t, work, "commit", "-q", "--allow-empty", "-m", "one")
	first := git(t, work, "rev-parse", "HEAD")
	git(t, work, "commit", "-q", "--allow-empty", "-m", "two")
	git(t, work, "tag", "v1.2")
	git(t, work, "tag", "-a", "-m", "x", "v1.3")
	git(t, root, "clone", "-q", "--bare", work, "pack.git")
	git(t, root, "init", "-q", "--bare", "empty.git")
	absent := strings.Repeat("a", 40)
	for _, v2 := range []bool{true, false} {
		h := backend(t, root, v2)
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			switch {
			case strings.HasPrefix(r.URL.Path, "/page"):
				_, _ = w.Write([]byte("<html>"))
			case strings.HasPrefix(r.URL.Path, "/old/"):
				http.Redirect(w, r, strings.Replace(r.URL.String(), "/old/", "/", 1), http.StatusMovedPermanently)
			case strings.HasPrefix(r.URL.Path, "/busy"):
				w.WriteHeader(http.StatusBadGateway)
			default:
				h.ServeHTTP(w, r)
			}
		}))
		where := s.URL + "/pack.git"
		for name, tc := range map[string]struct{ repo, ref, want string }{
			"branch":        {where, "trunk", ""},
			"tag":           {where, "v1.2", ""},
			"annotated tag": {where, "v1.3", ""},
			"full name":     {where, "refs/tags/v1.2", ""},
			"default":       {where, "", ""},
			"tip":           {where, git(t, work, "rev-parse", "HEAD"), ""},
			"older commit":  {where, first, ""},
			"moved":         {s.URL + "/old/pack.git", "v1.2", ""},
			"no such tag":   {where, "v1.4", "CO003 error " + where + " has no branch, tag or commit `v1.4` (not there)"},
			"no commit":     {where, absent, "CO003 error " + where + " has no branch, tag or commit `" + absent + "` (not there)"},
			"short":         {where, first[:10], "CO006 note whether " + where + " has the commit `" + first[:10] + "` cannot be asked (not a whole commit)"},
			"no repository": {s.URL + "/nope.git", "v1", "CO003 error there is no repository at " + s.URL + "/nope.git, or it is private (404 Not Found)"},
			"empty":         {s.URL + "/empty.git", "", "CO003 error " + s.URL + "/empty.git is empty (no branch)"},
			"a page":        {s.URL + "/page", "v1", "CO003 error " + s.URL + "/page is no git repository (answers, but not as git does)"},
			"busy":          {s.URL + "/busy", "v1", "CO006 warning " + s.URL + "/busy did not answer (it says 502 Bad Gateway)"},
		} {
			if !v2 && name == "no commit" {
				tc.want = "" // which version 0 cannot tell
			}
			entry := "{ repo: \"" + tc.repo + "\""
			if tc.ref != "" {
				entry += ", ref: \"" + tc.ref + "\""
			}
			got := ""
			for _, line := range check(t, doc("nodes: ["+entry+" }]\n"), Options{}) {
				code, rest, _ := strings.Cut(line, " ")
				_, rest, _ = strings.Cut(rest, " ")
				got += code + " " + rest
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("%s, version 2 %v: %s", name, v2, diff)
			}
		}
		// ComfyUI itself, and where the finding stands.
		got := check(t, doc("")+"", Options{})
		if got != nil {
			t.Errorf("%q", got)
		}
		got = check(t, strings.Replace(doc(""), "comfyui: v0.3.64", "comfyui: { version: v9, source: \""+where+"\" }", 1), Options{})
		if len(got) != 1 || !strings.HasPrefix(got[0], "CO003 3:21 error") {
			t.Errorf("%q", got)
		}
		s.Close()
	}
}

func FuzzPacket(f *testing.F) {
	f.Add([]byte("001e# service=git-upload-pack\n0000000eversion 2\n0000"))
	f.Add([]byte("0000003f" + strings.Repeat("a", 40) + " refs/heads/main\x00caps\n0000"))
	f.Add([]byte("zzzz"))
	f.Add([]byte("0003"))
	f.Fuzz(func(t *testing.T, b []byte) {
		g := &gitServer{}
		err := g.advertised(&http.Response{StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {"application/x-git-upload-pack-advertisement"}}, Body: io.NopCloser(strings.NewReader(string(b)))})
		if err == nil && g.v2 && len(g.refs) > 0 {
			t.Errorf("version 2 advertises no refs: %v", g.refs)
		}
		r := bufio.NewReader(strings.NewReader(string(b)))
		for {
			text, kind, err := packet(r)
			if err != nil {
				if !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, errNoGit) {
					t.Error(err)
				}
				return
			}
			if kind != packetData && text != "" {
				t.Errorf("%d %q", kind, text)
			}
		}
	})
}
