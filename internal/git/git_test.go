package git

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/comfyctl/comfyctl/internal/diag"
	"github.com/comfyctl/comfyctl/internal/git/gittest"
)

func code(t *testing.T, err error) string {
	t.Helper()
	var e *diag.Error
	if !errors.As(err, &e) {
		t.Fatalf("%v is not a diag.Error", err)
	}
	return e.Code
}

func files(t *testing.T, dir string) map[string]string {
	t.Helper()
	got := map[string]string{}
	err := filepath.WalkDir(dir, func(p string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, _ := filepath.Rel(dir, p)
		if d.Type()&os.ModeSymlink != 0 {
			to, err := os.Readlink(p)
			got[rel] = "-> " + to
			return err
		}
		b, err := os.ReadFile(p)
		got[rel] = string(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func TestResolve(t *testing.T) {
	root := t.TempDir()
	r := gittest.New(t, filepath.Join(root, "pack"))
	r.Write("a.py", "one")
	one := r.Commit("one")
	r.Git("tag", "-a", "v1", "-m", "v1")
	r.Git("tag", "light")
	r.Write("a.py", "two")
	two := r.Commit("two")
	r.Git("branch", "v2")
	r.Git("tag", "v2", one) // a tag and a branch of one name: the tag counts, as for git
	s := gittest.Serve(t, root, "")
	c := &Cache{Dir: t.TempDir()}
	for _, tc := range []struct {
		ref   string
		want  Resolved
		fails string
	}{
		{"", Resolved{two, true}, ""},
		{"main", Resolved{two, true}, ""},
		{"v1", Resolved{one, false}, ""},
		{"light", Resolved{one, false}, ""},
		{"v2", Resolved{one, false}, ""},
		{one[:9], Resolved{one, false}, ""},
		{two, Resolved{two, false}, ""},
		{"mian", Resolved{}, "git_ref"},
		{"--upload-pack=touch x", Resolved{}, "git_ref"},
		{"0000000", Resolved{}, "git_ref"},
	} {
		got, err := c.Resolve(t.Context(), Remote{URL: s.URL + "/pack"}, tc.ref)
		if tc.fails != "" {
			if err == nil || code(t, err) != tc.fails {
				t.Errorf("%q: %v, want %s", tc.ref, err, tc.fails)
			}
			continue
		}
		if err != nil || got != tc.want {
			t.Errorf("%q: %+v, %v, want %+v", tc.ref, got, err, tc.want)
		}
	}
}

func TestCheckout(t *testing.T) {
	root := t.TempDir()
	sub := gittest.New(t, filepath.Join(root, "sub"))
	sub.Write("s.py", "sub")
	sub.Commit("sub")
	r := gittest.New(t, filepath.Join(root, "pack"))
	r.Write("deep/a.py", "one")
	r.Write(".gitattributes", "hidden.py export-ignore\nsubst.py export-subst\n*.py text eol=crlf\n")
	r.Write("hidden.py", "kept\n")
	r.Write("subst.py", "$Format:%H$\n")
	if err := os.Symlink("deep/a.py", filepath.Join(r.Dir, "link.py")); err != nil {
		t.Fatal(err)
	}
	r.Git("submodule", "--quiet", "add", "../sub", "mods/sub")
	commit := r.Commit("one")
	r.Write("deep/a.py", "two")
	r.Git("add", "-A")
	r.Git("commit", "-q", "--amend", "-m", "forced over it")
	s := gittest.Serve(t, root, "")
	c := &Cache{Dir: t.TempDir()}
	tree, err := c.Checkout(t.Context(), Remote{URL: s.URL + "/old/pack"}, commit, "")
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"deep/a.py": "one", "hidden.py": "kept\n", "subst.py": "$Format:%H$\n", "link.py": "-> deep/a.py", "mods/sub/s.py": "sub"}
	got := files(t, tree.Dir)
	delete(got, ".gitattributes")
	delete(got, ".gitmodules")
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("files (-want +got):\n%s", d)
	}
	if tree.Hash != r.Git("rev-parse", commit+"^{tree}") || tree.Cached {
		t.Errorf("%+v", tree)
	}
	if len(tree.Submodules) != 1 || tree.Submodules[0].Path != "mods/sub" || !strings.HasSuffix(tree.Submodules[0].URL, "/sub") {
		t.Errorf("submodules %+v", tree.Submodules)
	}
	off := &Cache{Dir: c.Dir, Offline: true}
	again, err := off.Checkout(t.Context(), Remote{URL: s.URL + "/old/pack"}, commit, tree.Hash)
	if err != nil || !again.Cached || len(again.Submodules) != 1 {
		t.Errorf("again: %+v, %v", again, err)
	}
	if _, err := off.Checkout(t.Context(), Remote{URL: s.URL + "/pack"}, commit, strings.Repeat("0", 40)); err == nil || code(t, err) != "wrong_hash" {
		t.Errorf("a tree that the lock does not expect: %v", err)
	}
	if _, err := off.Checkout(t.Context(), Remote{URL: s.URL + "/pack"}, strings.Repeat("1", 40), ""); err == nil || code(t, err) != "offline" {
		t.Errorf("offline: %v", err)
	}
	if _, err := c.Checkout(t.Context(), Remote{URL: s.URL + "/pack"}, strings.Repeat("1", 40), ""); err == nil || code(t, err) != "git_fetch" {
		t.Errorf("a commit that is nowhere: %v", err)
	}
}

func TestLinksStayInside(t *testing.T) {
	for _, target := range []string{"/etc/passwd", "../x", "a/../../x"} {
		t.Run(target, func(t *testing.T) {
			r := gittest.New(t, filepath.Join(t.TempDir(), "pack"))
			if err := os.Symlink(target, filepath.Join(r.Dir, "evil")); err != nil {
				t.Fatal(err)
			}
			commit := r.Commit("evil")
			_, err := (&Cache{Dir: t.TempDir()}).Checkout(t.Context(), Remote{URL: r.Dir}, commit, "")
			if err == nil || code(t, err) != "link_escapes" {
				t.Errorf("%v", err)
			}
		})
	}
}

// A repository can name anything in its tree; git's own checks are not asked.
func TestNamesStayInside(t *testing.T) {
	for _, name := range []string{"../x", "..", ".git/config", "a/.GIT/x", "a//b", "", "./x", `a\b`} {
		if checkName(name) == nil {
			t.Errorf("%q was let in", name)
		}
	}
	for _, name := range []string{"a", "a/b.py", "..a", "a..b", ".github/x", "web/über.js"} {
		if err := checkName(name); err != nil {
			t.Error(err)
		}
	}
}

// A submodule must not reach into folders of this machine, unless its parent
// came from one.
func TestSubmoduleOfAFile(t *testing.T) {
	root := t.TempDir()
	secret := gittest.New(t, filepath.Join(root, "elsewhere"))
	secret.Write("s", "secret")
	secret.Commit("s")
	r := gittest.New(t, filepath.Join(root, "served", "pack"))
	r.Git("submodule", "--quiet", "add", secret.Dir, "sub")
	commit := r.Commit("sub")
	s := gittest.Serve(t, filepath.Join(root, "served"), "")
	if _, err := (&Cache{Dir: t.TempDir()}).Checkout(t.Context(), Remote{URL: s.URL + "/pack"}, commit, ""); err == nil || code(t, err) != "git_fetch" {
		t.Errorf("%v", err)
	}
	if _, err := (&Cache{Dir: t.TempDir()}).Checkout(t.Context(), Remote{URL: r.Dir}, commit, ""); err != nil {
		t.Errorf("from a folder: %v", err)
	}
}

func TestPrivate(t *testing.T) {
	root := t.TempDir()
	r := gittest.New(t, filepath.Join(root, "pack"))
	r.Write("a.py", "one")
	commit := r.Commit("one")
	s := gittest.Serve(t, root, "hunter2")
	for _, tc := range []struct {
		token string
		fails bool
	}{{"hunter2", false}, {"wrong", true}, {"", true}} {
		c := &Cache{Dir: t.TempDir()}
		_, err := c.Resolve(t.Context(), Remote{s.URL + "/pack", tc.token}, "main")
		if err == nil {
			_, err = c.Checkout(t.Context(), Remote{s.URL + "/pack", tc.token}, commit, "")
		}
		if !tc.fails {
			if err != nil {
				t.Error(err)
			}
			continue
		}
		var e *diag.Error
		if !errors.As(err, &e) || e.Class != diag.ClassAuth || tc.token != "" && strings.Contains(err.Error(), tc.token) {
			t.Errorf("token %q: %v", tc.token, err)
		}
	}
}

// A redirect to another host must not carry the token along.
func TestTokenStaysWithItsHost(t *testing.T) {
	root := t.TempDir()
	r := gittest.New(t, filepath.Join(root, "pack"))
	r.Write("a.py", "one")
	r.Commit("one")
	leaked := make(chan string, 10)
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if h := r.Header.Get("Authorization"); h != "" {
			leaked <- h
		}
		w.Header().Set("WWW-Authenticate", `Basic realm="git"`)
		w.WriteHeader(http.StatusUnauthorized)
	}))
	defer other.Close()
	first := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, _, ok := r.BasicAuth(); !ok {
			w.Header().Set("WWW-Authenticate", `Basic realm="git"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		http.Redirect(w, r, other.URL+r.URL.String(), http.StatusFound)
	}))
	defer first.Close()
	if _, err := (&Cache{Dir: t.TempDir()}).Resolve(t.Context(), Remote{first.URL + "/pack", "hunter2"}, "main"); err == nil {
		t.Error("it resolved")
	}
	select {
	case h := <-leaked:
		b, _ := base64.StdEncoding.DecodeString(strings.TrimPrefix(h, "Basic "))
		t.Errorf("the other host got %q", b)
	default:
	}
}

func TestLFS(t *testing.T) {
	content := strings.Repeat("weights", 100)
	sum := sha256.Sum256([]byte(content))
	oid := hex.EncodeToString(sum[:])
	pointer := fmt.Sprintf("version https://git-lfs.github.com/spec/v1\noid sha256:%s\nsize %d\n", oid, len(content))
	root := t.TempDir()
	r := gittest.New(t, filepath.Join(root, "pack.git"))
	r.Write("model.bin", pointer)
	commit := r.Commit("lfs")
	body := content
	git := gittest.Serve(t, root, "")
	store := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Ticket") != "7" {
			http.Error(w, "no", http.StatusForbidden)
			return
		}
		_, _ = w.Write([]byte(body))
	}))
	defer store.Close()
	mux := http.NewServeMux()
	mux.Handle("/", git.Config.Handler)
	mux.HandleFunc("POST /pack.git/info/lfs/objects/batch", func(w http.ResponseWriter, r *http.Request) {
		_ = json.NewEncoder(w).Encode(map[string]any{"objects": []any{map[string]any{"oid": oid, "actions": map[string]any{"download": map[string]any{"href": store.URL + "/x", "header": map[string]string{"X-Ticket": "7"}}}}}})
	})
	s := httptest.NewServer(mux)
	defer s.Close()
	tree, err := (&Cache{Dir: t.TempDir()}).Checkout(t.Context(), Remote{URL: s.URL + "/pack.git"}, commit, "")
	if err != nil {
		t.Fatal(err)
	}
	if got := files(t, tree.Dir)["model.bin"]; got != content {
		t.Errorf("model.bin is %.40q", got)
	}
	if d := cmp.Diff([]Pointer{{Path: "model.bin", SHA256: oid, Size: int64(len(content))}}, tree.LFS, cmp.AllowUnexported(Pointer{}), cmp.FilterPath(func(p cmp.Path) bool { return p.Last().String() == ".remote" }, cmp.Ignore())); d != "" {
		t.Error(d)
	}
	body = content[:len(content)-1] + "X"
	if _, err := (&Cache{Dir: t.TempDir()}).Checkout(t.Context(), Remote{URL: s.URL + "/pack.git"}, commit, ""); err == nil || code(t, err) != "wrong_hash" {
		t.Errorf("other bytes: %v", err)
	}
	if _, err := (&Cache{Dir: t.TempDir()}).Checkout(t.Context(), Remote{URL: git.URL + "/pack.git"}, commit, ""); err == nil || code(t, err) != "git_fetch" {
		t.Errorf("no LFS server: %v", err)
	}
}

func TestRelative(t *testing.T) {
	for _, tc := range []struct{ parent, sub, want string }{
		{"https://h/o/p", "../sub.git", "https://h/o/sub.git"},
		{"https://h/o/p.git", "../../x/sub", "https://h/x/sub"},
		{"git@h:o/p", "../sub", "git@h:o/sub"},
		{"/srv/p", "../sub", "/srv/sub"},
		{"https://h/o/p", "git@github.com:a/b.git", "https://github.com/a/b.git"},
		{"https://h/o/p", "ssh://git@github.com/a/b", "https://github.com/a/b"},
		{"git@h:o/p", "git@github.com:a/b.git", "git@github.com:a/b.git"},
		{"https://h/o/p", "https://x/y", "https://x/y"},
	} {
		m := &mirror{Remote: Remote{URL: tc.parent}}
		if got, err := m.relative(tc.sub); err != nil || got != tc.want {
			t.Errorf("%s in %s: %q, %v, want %q", tc.sub, tc.parent, got, err, tc.want)
		}
	}
}

func TestRedact(t *testing.T) {
	for in, want := range map[string]string{
		"https://user:secret@h/o/p": "https://…@h/o/p", "https://h/p?token=secret": "https://h/p", "https://h": "https://h", "git@h:o/p": "git@h:o/p",
	} {
		if got := Redact(in); got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
}

func FuzzPointer(f *testing.F) {
	f.Add([]byte("version https://git-lfs.github.com/spec/v1\noid sha256:0000000000000000000000000000000000000000000000000000000000000000\nsize 5\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if p, ok := parsePointer(b); ok && (len(p.SHA256) != 64 || p.Size < 0) {
			t.Errorf("%+v", p)
		}
	})
}
