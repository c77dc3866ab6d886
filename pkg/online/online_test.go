package online

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/comfyctl/comfyctl/internal/diag"
	"github.com/comfyctl/comfyctl/internal/progress"
	"github.com/comfyctl/comfyctl/pkg/validate"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const graph = `{"1":{"class_type":"EmptyImage","inputs":{"width":64,"height":64,"batch_size":1,"color":0}},"2":{"class_type":"SaveImage","inputs":{"filename_prefix":"x","images":["1",0]}}}`

// plan reads a service file; what is wrong with it offline does not matter here.
func plan(t testing.TB, yaml string) *validate.Plan {
	t.Helper()
	p, _, err := validate.Load(context.Background(), validate.Options{File: "comfyctl.yaml", ReadFile: func(name string) ([]byte, error) {
		switch name {
		case "comfyctl.yaml":
			return []byte(yaml), nil
		case "w.json":
			return []byte(graph), nil
		}
		return nil, fs.ErrNotExist
	}})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func doc(rest string) string { return "name: a\nworkflow: w.json\ncomfyui: v0.3.64\n" + rest }

// told writes findings as "CODE line:column severity message (label)".
func told(list []diag.Diagnostic) []string {
	var out []string
	for _, d := range list {
		out = append(out, fmt.Sprintf("%s %d:%d %s %s (%s)", d.Code, d.Start.Line, d.Start.Column, d.Severity, d.Message, d.Label))
	}
	return out
}

func check(t testing.TB, yaml string, o Options) []string {
	t.Helper()
	list, err := Check(context.Background(), plan(t, yaml), o)
	if err != nil {
		t.Fatal(err)
	}
	return told(list)
}

func secrets(m map[string]string) func(string) (string, bool) {
	return func(name string) (string, bool) { v, ok := m[name]; return v, ok }
}

const (
	token = "hf_the_token_of_the_test"
	hash  = "6ce0161689b3853acaa03779ec93eafe75a02f4ced659bee03f50797806fa2fa"
)

// hub is Hugging Face's protocol as far as it is asked: facts in the headers of
// a redirect to a storage that must never see a token.
func hub(t testing.TB) *httptest.Server {
	storage := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		t.Error("the storage was asked: the facts are in the hub's own answer")
	}))
	t.Cleanup(storage.Close)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodHead || r.Header.Get("Accept-Encoding") != "identity" {
			t.Errorf("%s %s %v", r.Method, r.URL, r.Header)
		}
		signedIn := r.Header.Get("Authorization") == "Bearer "+token
		fail := func(status int, code, text string) {
			w.Header().Set("X-Error-Code", code)
			w.Header().Set("X-Error-Message", text)
			w.WriteHeader(status)
		}
		switch r.URL.EscapedPath() {
		case "/o/r/resolve/main/sub/a%20b.safetensors":
			w.Header().Set("X-Repo-Commit", strings.Repeat("a", 40))
			w.Header().Set("X-Linked-Size", "1234")
			w.Header().Set("X-Linked-Etag", `"`+hash+`"`)
			w.Header().Set("X-Xet-Hash", strings.Repeat("b", 64))
			http.Redirect(w, r, storage.URL+"/signed?X-Amz-Signature=x", http.StatusFound)
		case "/old/r/resolve/main/x.safetensors":
			http.Redirect(w, r, "/o/r/resolve/main/sub/a%20b.safetensors", http.StatusTemporaryRedirect)
		case "/o/small/resolve/main/x.json":
			w.Header().Set("X-Repo-Commit", strings.Repeat("a", 40))
			w.Header().Set("Content-Length", "7")
		case "/o/gated/resolve/main/x.safetensors":
			if signedIn {
				fail(403, "GatedRepo", "Access to model o/gated is restricted")
			} else {
				fail(401, "GatedRepo", "Access to model o/gated is restricted")
			}
		case "/o/private/resolve/main/x.safetensors":
			if !signedIn {
				fail(401, "RepoNotFound", "Invalid username or password.")
				return
			}
			w.Header().Set("X-Repo-Commit", strings.Repeat("a", 40))
		case "/o/r/resolve/v9/x.safetensors":
			fail(404, "RevisionNotFound", "Invalid rev id: v9")
		default:
			fail(404, "EntryNotFound", "Entry not found")
		}
	}))
	t.Cleanup(s.Close)
	return s
}

func TestHub(t *testing.T) {
	h := hub(t)
	model := func(source, more string) string {
		return doc("models:\n  - path: checkpoints/x.safetensors\n    source: " + source + "\n    load: mount\n" + more)
	}
	lock := func(sum string, size int64) *validate.Locked {
		return &validate.Locked{Models: map[string]validate.LockedModel{"checkpoints/x.safetensors": {SHA256: sum, Size: size}}}
	}
	for name, tc := range map[string]struct {
		yaml string
		o    Options
		want []string
	}{
		"there":           {model("hf://o/r/sub/a b.safetensors", ""), Options{}, nil},
		"there, by url":   {model(h.URL+"/o/r/blob/main/sub/a%20b.safetensors?download=true", ""), Options{}, nil},
		"renamed":         {model("hf://old/r/x.safetensors", "    sha256: "+hash), Options{}, nil},
		"small":           {model("hf://o/small/x.json", ""), Options{Lock: lock("", 7)}, nil},
		"small, changed":  {model("hf://o/small/x.json", ""), Options{Lock: lock("", 8)}, []string{"CO002 6:13 error `checkpoints/x.safetensors` has 7 bytes (7B) there, the lock says 8 bytes (8B) (another size)"}},
		"other hash":      {model("hf://o/r/sub/a b.safetensors", "    sha256: "+strings.Repeat("0", 64)), Options{}, []string{"CO002 6:13 error `checkpoints/x.safetensors` has another sha256 there than the service file says (sha256 " + hash + ")"}},
		"other lock":      {model("hf://o/r/sub/a b.safetensors", ""), Options{Lock: lock(strings.Repeat("0", 64), 1234)}, []string{"CO002 6:13 error `checkpoints/x.safetensors` has another sha256 there than the lock says (sha256 " + hash + ")"}},
		"no file":         {model("hf://o/r/nope.safetensors", ""), Options{}, []string{"CO001 6:13 error `checkpoints/x.safetensors` is not at " + h.URL + "/o/r/resolve/main/nope.safetensors (Entry not found)"}},
		"no revision":     {model("hf://o/r/x.safetensors@v9", ""), Options{}, []string{"CO001 6:13 error `checkpoints/x.safetensors` is not at " + h.URL + "/o/r/resolve/v9/x.safetensors (Invalid rev id: v9)"}},
		"gated":           {model("hf://o/gated/x.safetensors", ""), Options{}, []string{"CM006 6:13 error `checkpoints/x.safetensors` comes from a gated repository, and no secret is named (asks for an account that accepted its terms)"}},
		"gated, known":    {model("hf://o/gated/x.safetensors", ""), Options{Known: []diag.Diagnostic{{Code: "CM006", Pointer: "/models/0/source"}}}, nil},
		"terms":           {model("hf://o/gated/x.safetensors", "    auth: HF_TOKEN"), Options{Secret: secrets(map[string]string{"HF_TOKEN": token + "\n"})}, []string{"CO004 6:13 error the account of `HF_TOKEN` is not let in to `checkpoints/x.safetensors` (a gated repository)"}},
		"private":         {model("hf://o/private/x.safetensors", ""), Options{}, []string{"CO004 6:13 error not allowed to fetch `checkpoints/x.safetensors` (Invalid username or password.)"}},
		"private, signed": {model("hf://o/private/x.safetensors", "    auth: HF_TOKEN"), Options{Secret: secrets(map[string]string{"HF_TOKEN": token})}, nil},
		"no secret":       {model("hf://o/private/x.safetensors", "    auth: HF_TOKEN"), Options{}, []string{"CO005 8:11 error the secret `HF_TOKEN` is not set (fetching the model asks for it)"}},
	} {
		tc.o.HFEndpoint = h.URL
		if diff := cmp.Diff(tc.want, check(t, tc.yaml, tc.o)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

// TestPlain asks an ordinary server, which knows ranges and sends pages in
// place of files.
func TestPlain(t *testing.T) {
	busy := 0
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/model":
			http.ServeContent(w, r, "model", time.Time{}, strings.NewReader(strings.Repeat("x", 5000)))
		case "/norange":
			w.Header().Set("Content-Length", "5000")
			_, _ = w.Write([]byte(strings.Repeat("x", 5000)))
		case "/page":
			_, _ = w.Write([]byte("\n<!DOCTYPE html><html>sign in"))
		case "/json":
			w.Header().Set("Content-Type", "application/json")
			_, _ = w.Write([]byte(`{"error":"x"}`))
		case "/empty":
			http.ServeContent(w, r, "empty", time.Time{}, strings.NewReader(""))
		case "/loop":
			http.Redirect(w, r, "/loop", http.StatusFound)
		case "/busy":
			if busy++; busy == 1 {
				w.WriteHeader(http.StatusServiceUnavailable)
				return
			}
			_, _ = w.Write([]byte("model"))
		case "/down":
			w.WriteHeader(http.StatusBadGateway)
		case "/private":
			w.WriteHeader(http.StatusForbidden)
		default:
			http.NotFound(w, r)
		}
	}))
	defer s.Close()
	closed := httptest.NewServer(http.NotFoundHandler())
	closed.Close()
	for path, want := range map[string][]string{
		"/model": nil, "/norange": nil, "/busy": nil,
		"/page":    {"CO001 error " + s.URL + "/page gives a web page, not `checkpoints/x.safetensors` (not a file)"},
		"/json":    {"CO001 error " + s.URL + "/json gives JSON, not `checkpoints/x.safetensors` (not a file)"},
		"/empty":   {"CO001 error " + s.URL + "/empty gives an empty file, not `checkpoints/x.safetensors` (not a file)"},
		"/loop":    {"CO006 warning " + s.URL + "/loop did not answer (more than 10 redirects)"},
		"/down":    {"CO006 warning " + s.URL + "/down did not answer (it says 502 Bad Gateway)"},
		"/private": {"CO004 error not allowed to fetch `checkpoints/x.safetensors` (403 Forbidden)"},
		"/gone":    {"CO001 error `checkpoints/x.safetensors` is not at " + s.URL + "/gone (404 Not Found)"},
	} {
		got := check(t, doc("models: [{ path: checkpoints/x.safetensors, load: mount, source: \""+s.URL+path+"\" }]\n"), Options{})
		for i := range got {
			code, rest, _ := strings.Cut(got[i], " ")
			_, rest, _ = strings.Cut(rest, " ")
			got[i] = code + " " + rest
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", path, diff)
		}
	}
	// A second source that works makes the first one's fault a warning.
	got := check(t, doc("models: [{ path: checkpoints/x.safetensors, load: mount, source: [\""+s.URL+"/gone\", \""+s.URL+"/model\"] }]\n"), Options{})
	if len(got) != 1 || !strings.Contains(got[0], "warning") {
		t.Errorf("%q", got)
	}
	// Nobody there, and a password in the address that must not be shown.
	got = check(t, doc("models: [{ path: checkpoints/x.safetensors, load: mount, source: \""+strings.Replace(closed.URL, "http://", "http://me:geheim@", 1)+"/x?token=geheim\" }, { path: checkpoints/y.safetensors, load: mount, source: s3://b/y }]\n"), Options{})
	if len(got) != 2 || !strings.HasPrefix(got[0], "CO006") || !strings.Contains(got[0], "refused") || strings.Contains(got[0], "geheim") || !strings.Contains(got[1], "note `s3://` sources") {
		t.Errorf("%q", got)
	}
}

// TestTokenStaysHome: a redirect to another host, port or scheme does not get
// the token, and http to another machine is not asked at all.
func TestTokenStaysHome(t *testing.T) {
	var mu sync.Mutex
	seen := map[string]string{}
	record := func(name string, next http.HandlerFunc) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			mu.Lock()
			seen[name+r.URL.Path] = r.Header.Get("Authorization")
			mu.Unlock()
			next(w, r)
		}
	}
	other := httptest.NewTLSServer(record("other", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("model")) }))
	defer other.Close()
	plain := httptest.NewServer(record("plain", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("model")) }))
	defer plain.Close()
	home := httptest.NewTLSServer(record("home", func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/away":
			http.Redirect(w, r, other.URL+"/x", http.StatusFound)
		case "/down":
			http.Redirect(w, r, plain.URL+"/x", http.StatusFound)
		case "/here":
			http.Redirect(w, r, "/x", http.StatusFound)
		default:
			_, _ = w.Write([]byte("model"))
		}
	}))
	defer home.Close()
	o := Options{Transport: home.Client().Transport, Secret: secrets(map[string]string{"T": "geheim"})}
	for path, want := range map[string]string{"/away": "", "/here": "", "/down": "CO006"} {
		got := check(t, doc("models: [{ path: checkpoints/x.safetensors, auth: T, load: mount, source: \""+home.URL+path+"\" }]\n"), o)
		if strings.Join(got, "") != "" && want == "" || want != "" && (len(got) != 1 || !strings.HasPrefix(got[0], want)) {
			t.Errorf("%s: %q", path, got)
		}
	}
	got := check(t, doc("models: [{ path: checkpoints/x.safetensors, auth: T, load: mount, source: \"http://models.example.com/x\" }]\n"), o)
	if len(got) != 1 || !strings.Contains(got[0], "CO004") || !strings.Contains(got[0], "not sent over http") {
		t.Errorf("%q", got)
	}
	mu.Lock()
	defer mu.Unlock()
	want := map[string]string{"home/away": "Bearer geheim", "home/here": "Bearer geheim", "home/x": "Bearer geheim", "home/down": "Bearer geheim", "other/x": ""}
	if diff := cmp.Diff(want, seen); diff != "" {
		t.Error(diff)
	}
}

// TestSecrets names each one that is not set, once.
func TestSecrets(t *testing.T) {
	got := check(t, doc("secrets: [A, B]\nbuild: { secrets: [A, C] }\nrunner: { webhooks: { secret: D, events: [job.succeeded] } }\nauth: [{ type: api-key, keys: E }]\n"), Options{Secret: secrets(map[string]string{"B": "x", "E": " "})})
	want := []string{
		"CO005 4:11 error the secret `A` is not set (neither A nor A_FILE is in the environment)",
		"CO005 5:23 error the secret `C` is not set (the build asks for it)",
		"CO005 6:31 error the secret `D` is not set (webhooks are signed with it)",
		"CO005 7:31 error the secret `E` is not set (the API's keys are in it)",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// TestSilence: a server that says nothing is given up, and a cancelled check
// ends at once.
func TestSilence(t *testing.T) {
	arrived, release := make(chan struct{}, 10), make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		arrived <- struct{}{}
		select {
		case <-release:
		case <-r.Context().Done():
		}
	}))
	defer s.Close()
	defer close(release)
	yaml := doc("models: [{ path: checkpoints/x.safetensors, load: mount, source: \"" + s.URL + "/x\" }]\nnodes: [{ repo: \"" + s.URL + "/r\", ref: v1 }]\n")
	got := check(t, yaml, Options{Timeout: 200 * time.Millisecond})
	if len(got) != 2 || !strings.Contains(got[0], "it said nothing in time") || !strings.Contains(got[1], "it said nothing in time") {
		t.Errorf("%q", got)
	}
	for len(arrived) > 0 {
		<-arrived
	}
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		<-arrived
		cancel()
	}()
	if _, err := Check(ctx, plan(t, yaml), Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

// TestProgress: each question begins and ends once, at most as many at a time
// as were asked for.
func TestProgress(t *testing.T) {
	s := httptest.NewServer(http.NotFoundHandler())
	defer s.Close()
	var models []string
	for i := range 9 {
		models = append(models, fmt.Sprintf("{ path: checkpoints/%d.safetensors, load: mount, source: \"%s/%d\" }", i, s.URL, i))
	}
	var mu sync.Mutex
	open, most, ended := 0, 0, 0
	o := Options{Parallel: 3, Progress: func(e progress.Event) {
		mu.Lock()
		defer mu.Unlock()
		if e.State == progress.Running {
			open++
			most = max(most, open)
		} else {
			open--
			ended++
		}
	}}
	list, err := Check(context.Background(), plan(t, doc("models: ["+strings.Join(models, ", ")+"]\n")), o)
	if err != nil || len(list) != 9 || open != 0 || ended != 9 || most > 3 {
		t.Errorf("%v, %d findings, %d open, %d ended, %d at a time", err, len(list), open, ended, most)
	}
	for i, d := range list {
		if d.Pointer != fmt.Sprintf("/models/%d/source/0", i) {
			t.Errorf("finding %d is about %s", i, d.Pointer)
		}
	}
}
