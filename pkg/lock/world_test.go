package lock

import (
	"context"
	"errors"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/comfyctl/comfyctl/internal/diag"
	"github.com/comfyctl/comfyctl/internal/git/gittest"
	"github.com/comfyctl/comfyctl/internal/progress"
	"github.com/comfyctl/comfyctl/pkg/lock/locktest"
	"github.com/comfyctl/comfyctl/pkg/validate"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("net/http.(*persistConn).readLoop"), goleak.IgnoreTopFunction("net/http.(*persistConn).writeLoop"))
}

// world is a service and everything around it that a lock asks.
type world struct {
	t     *testing.T
	root  string // of the repositories that are served
	git   *httptest.Server
	feeds *locktest.Feeds
	dir   string // of the service
	o     Options
	packs map[string]locktest.Pack
	said  []string
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, root: t.TempDir(), feeds: locktest.NewFeeds(t), dir: t.TempDir(), packs: map[string]locktest.Pack{}}
	w.git = gittest.Serve(t, w.root, "")
	w.o = Options{Fetcher: Fetcher{CacheDir: t.TempDir()}, Progress: func(e progress.Event) {
		if e.State == progress.Warned {
			w.said = append(w.said, e.Item+": "+e.Text)
		}
	}}
	w.write("ComfyUI/main.py", "print('comfy')")
	return w
}

func (w *world) write(name, text string) {
	w.t.Helper()
	p := filepath.Join(w.dir, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
		w.t.Fatal(err)
	}
	if err := os.WriteFile(p, []byte(text), 0o644); err != nil {
		w.t.Fatal(err)
	}
}

// repo makes a repository of a node pack that defines classes, and returns its
// address.
func (w *world) repo(name string, classes ...string) (*gittest.Repo, string) {
	w.t.Helper()
	r := gittest.New(w.t, filepath.Join(w.root, filepath.FromSlash(name)))
	r.Write("__init__.py", mappings(classes))
	r.Commit("one")
	return r, w.git.URL + "/" + name
}

func mappings(classes []string) string {
	text := "NODE_CLASS_MAPPINGS = {\n"
	for _, c := range classes {
		text += fmt.Sprintf("    %q: object,\n", c)
	}
	return text + "}\n"
}

// claim puts a pack into the public map.
func (w *world) claim(repo string, p locktest.Pack) {
	w.packs[repo] = p
	w.o.Feeds.Map = w.feeds.Set(w.t, "map.json", locktest.Map(w.packs))
	w.o.Feeds.Stats = w.feeds.Set(w.t, "stats.json", locktest.Stats(w.packs))
}

// service writes a service whose graph has nodes of the given classes.
func (w *world) service(extra string, classes ...string) {
	w.t.Helper()
	nodes := []string{`"1":{"class_type":"EmptyImage","inputs":{"width":64,"height":64,"batch_size":1,"color":0}}`, `"2":{"class_type":"SaveImage","inputs":{"images":["1",0],"filename_prefix":"x"}}`}
	for i, c := range classes {
		nodes = append(nodes, fmt.Sprintf(`"%d":{"class_type":%q,"inputs":{"value":1}}`, 10+i, c))
	}
	w.write("workflow_api.json", "{"+strings.Join(nodes, ",\n")+"}")
	w.write("comfyctl.yaml", "name: test\nworkflow: workflow_api.json\ncomfyui: { version: v0.3.64, source: ./ComfyUI }\ngpu: none\nbuild: { torch: system }\n"+extra)
}

func (w *world) plan() *validate.Plan {
	w.t.Helper()
	p, list, err := validate.Load(context.Background(), validate.Options{Dir: w.dir, Stub: true})
	if err != nil || p.Service == nil {
		w.t.Fatal(err, list)
	}
	for _, d := range list {
		if strings.HasPrefix(d.Code, "CY0") && d.Severity == diag.SeverityError {
			w.t.Fatal(d.Code, d.Message)
		}
	}
	return p
}

// lock makes a lock, which must succeed.
func (w *world) lock() *Lock {
	w.t.Helper()
	l, err := w.try()
	if err != nil {
		w.t.Fatalf("%v%s", err, facts(err))
	}
	return l
}

func (w *world) try() (*Lock, error) {
	w.said = nil
	return Make(context.Background(), w.plan(), w.o)
}

func facts(err error) string {
	var d *diag.Error
	if !errors.As(err, &d) {
		return ""
	}
	text := ""
	for _, f := range d.Facts {
		text += "\n  = " + f[0] + ": " + f[1]
	}
	return text + "\n  = help: " + d.Help
}

// fails makes a lock, which must fail with that code, and returns the error.
func (w *world) fails(code string) *diag.Error {
	w.t.Helper()
	_, err := w.try()
	var d *diag.Error
	if !errors.As(err, &d) || d.Code != code {
		w.t.Fatalf("%v%s\nwant %s", err, facts(err), code)
	}
	return d
}

// node is the pack in that folder.
func node(t *testing.T, l *Lock, dir string) Node {
	t.Helper()
	i := slices.IndexFunc(l.Nodes, func(n Node) bool { return n.Dir == dir })
	if i < 0 {
		t.Fatalf("no pack in %s: %+v", dir, l.Nodes)
	}
	return l.Nodes[i]
}

func encode(t *testing.T, l *Lock) string {
	t.Helper()
	b, err := l.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
