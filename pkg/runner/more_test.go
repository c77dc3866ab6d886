package runner

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/comfyctl/comfyctl/pkg/contract"
	"github.com/comfyctl/comfyctl/pkg/runner/engine"
	"github.com/comfyctl/comfyctl/pkg/runner/jobs"
)

func TestRetryGivesOneNewJob(t *testing.T) {
	s := start(t, t.TempDir(), &fake{run: draws}, "")
	a := s.do("POST", create, `{"input":{"prompt":"x"}}`)
	b := s.do("POST", a.at("links.self")+"/retry", "")
	c := s.do("POST", a.at("links.self")+"/retry", "")
	if b.status != 201 || b.at("id") == a.at("id") || c.at("id") != b.at("id") || b.at("input.seed") != a.at("input.seed") {
		t.Errorf("%s\n%s\n%s", a.body, b.body, c.body)
	}
	// Seeds and values are the same; only the place of the saved file differs.
	graph := func(p engine.Prompt) string {
		return regexp.MustCompile(`job_\w+`).ReplaceAllString(string(p.Graph), "JOB")
	}
	if len(s.fake.seen) != 2 || graph(s.fake.seen[0]) != graph(s.fake.seen[1]) {
		t.Errorf("%d runs", len(s.fake.seen))
	}
}

func TestDeleteErasesInputs(t *testing.T) {
	dir := t.TempDir()
	s := start(t, dir, &fake{run: draws}, "")
	uri := "data:image/png;base64," + base64.StdEncoding.EncodeToString(picture(9, 9))
	body := `{"input":{"prompt":"x","photo":"` + uri + `"}}`
	a, b := s.do("POST", create, body), s.do("POST", create, body)
	hash := strings.TrimPrefix(a.at("input.photo"), "sha256:")
	blob := filepath.Join(dir, "files", "blobs", hash)
	for i, j := range []answer{a, b} {
		if _, err := os.Stat(blob); err != nil {
			t.Errorf("gone before the last job that uses it: %v", err)
		}
		if d := s.do("DELETE", j.at("links.self"), ""); d.status != 204 {
			t.Errorf("%d: %d %s", i, d.status, d.body)
		}
	}
	if _, err := os.Stat(blob); !os.IsNotExist(err) {
		t.Errorf("the input is still there: %v", err)
	}
	if got := s.do("POST", create, `{"input":{"prompt":"x","photo":"sha256:`+hash+`"}}`); got.status != 422 {
		t.Errorf("%d %s", got.status, got.body)
	}
}

func TestCallersAreApart(t *testing.T) {
	s := start(t, t.TempDir(), &fake{run: draws}, "ann ck_ann\nbob ck_bob\nroot:admin ck_root\nprom:metrics ck_prom\n")
	key := func(name string) []string { return []string{"X-API-Key", "ck_" + name} }
	a := s.do("POST", create, `{"input":{"prompt":"x"}}`, key("ann")...)
	if a.status != 201 {
		t.Fatalf("%d %s", a.status, a.body)
	}
	self := a.at("links.self")
	for _, tt := range []struct {
		method, path, who string
		status            int
	}{
		{"GET", self, "ann", 200}, {"GET", self, "root", 200}, {"GET", self, "bob", 404},
		{"GET", self + "/events", "bob", 404}, {"GET", self + "/logs", "bob", 404}, {"GET", a.at("outputs.0.url"), "bob", 404},
		{"POST", self + "/cancel", "bob", 404}, {"POST", self + "/retry", "bob", 404}, {"DELETE", self, "bob", 404},
		{"GET", self + "?debug=true", "ann", 403}, {"GET", self + "?debug=true", "root", 200},
		{"GET", "/metrics", "ann", 403}, {"GET", "/metrics", "root", 200}, {"GET", "/metrics", "prom", 200}, {"GET", self, "prom", 403},
	} {
		if got := s.do(tt.method, tt.path, "", key(tt.who)...); got.status != tt.status {
			t.Errorf("%+v: %d %s", tt, got.status, got.body)
		}
	}
	for who, n := range map[string]int{"ann": 1, "bob": 0, "root": 1} {
		if l := s.do("GET", "/v1/jobs", "", key(who)...); len(l.json["data"].([]any)) != n {
			t.Errorf("%s sees %s", who, l.body)
		}
	}
	stolen := s.do("POST", create, `{"input":{"prompt":"x","photo":"`+a.at("outputs.0.url")+`"}}`, key("bob")...)
	if stolen.status != 422 {
		t.Errorf("another caller's output as an input: %d", stolen.status)
	}
}

func TestListing(t *testing.T) {
	s := start(t, t.TempDir(), &fake{run: draws}, "")
	var ids []string
	for _, c := range []string{"1", "2", "2"} {
		ids = append(ids, s.do("POST", create, `{"input":{"prompt":"x"},"metadata":{"customer":"`+c+`"}}`).at("id"))
	}
	list := func(query string) []string {
		l := s.do("GET", "/v1/jobs?"+query, "")
		got := []string{}
		for i := range l.json["data"].([]any) {
			got = append(got, l.at("data."+string(rune('0'+i))+".id"))
		}
		return got
	}
	for query, want := range map[string][]string{
		"metadata.customer=2":                {ids[2], ids[1]},
		"metadata.customer=2&workflow=other": {},
		"status=succeeded":                   {ids[2], ids[1], ids[0]},
		"limit=1":                            {ids[2]},
		"limit=1&cursor=" + ids[2]:           {ids[1]},
		"since=2999-01-01T00:00:00Z":         {},
		"metadata.customer=1&status=failed":  {},
		"metadata.customer%27--=1":           {},
		"workflow=portrait&status=succeeded&since=2001-01-01T00:00:00Z": {ids[2], ids[1], ids[0]},
	} {
		if diff := cmp.Diff(want, list(query)); diff != "" {
			t.Errorf("%s: %s", query, diff)
		}
	}
	for _, query := range []string{"status=done", "limit=0", "limit=x", "since=yesterday", "state=queued"} {
		if a := s.do("GET", "/v1/jobs?"+query, ""); a.status != 400 {
			t.Errorf("%s: %d", query, a.status)
		}
	}
}

func TestInlineData(t *testing.T) {
	s := start(t, t.TempDir(), &fake{run: draws}, "")
	a := s.do("POST", create, `{"input":{"prompt":"x"},"outputs":{"mode":"data"}}`)
	if b, err := base64.StdEncoding.DecodeString(a.at("outputs.0.data")); err != nil || !bytes.Equal(b, picture(8, 6)) {
		t.Errorf("%v %s", err, a.body)
	}
	s.fake.mu.Lock()
	s.fake.file = make([]byte, 4<<20+1)
	s.fake.mu.Unlock()
	a = s.do("POST", create, `{"input":{"prompt":"x"},"outputs":{"mode":"data"}}`)
	if a.status != 422 || a.at("code") != "outputs_too_large" || a.at("hint") == "" {
		t.Errorf("%d %.300s", a.status, a.body)
	}
}

func TestPathsAndMethods(t *testing.T) {
	s := start(t, t.TempDir(), &fake{run: draws}, "")
	for _, tt := range []struct {
		method, path string
		status       int
		says         string
	}{
		{"GET", "/v1/workflows/portrait/jobs", 405, "takes POST"},
		{"PUT", "/v1/jobs", 405, "takes GET and HEAD"},
		{"DELETE", "/healthz", 405, "takes GET"},
		{"POST", "/v1/batches", 404, "batches are not served"},
		{"GET", "/v1/nothing", 404, "nothing at /v1/nothing"},
		{"POST", "/prompt", 404, "nothing at /prompt"},
		{"GET", "/", 404, "nothing at /"},
	} {
		a := s.do(tt.method, tt.path, "")
		if a.status != tt.status || !strings.Contains(a.at("message"), tt.says) || (tt.status == 405) != (a.header.Get("Allow") != "") {
			t.Errorf("%+v: %d %s", tt, a.status, a.body)
		}
	}
	if a := s.do("GET", "/v1/jobs/job_x", "", "X-Request-Id", "mine-1"); a.header.Get("X-Request-Id") != "mine-1" || a.at("request_id") != "mine-1" {
		t.Errorf("%s", a.body)
	}
	if a := s.do("POST", create, `{"input":{"prompt":"x"}}`, "Sec-Fetch-Site", "cross-site"); a.status != 403 {
		t.Errorf("a form of another site: %d", a.status)
	}
}

func TestLogsAndTraceback(t *testing.T) {
	s := start(t, t.TempDir(), &fake{run: func(_ context.Context, _ engine.Prompt, on func(engine.Event)) (*engine.Result, error) {
		on(engine.Event{Kind: engine.EventLog, Text: "loading a model\n"})
		on(engine.Event{Kind: engine.EventLog, Text: strings.Repeat("é", 3000)})
		return nil, &engine.RunError{NodeID: "3", ExceptionType: "ValueError", Message: "bad", Traceback: []string{"line 7"}}
	}}, "")
	a := s.do("POST", create, `{"input":{"prompt":"x"}}`)
	lines := strings.Split(string(s.do("GET", a.at("links.self")+"/logs", "").body), "\n")
	if len(lines) != 3 || lines[0] != "loading a model" || len(lines[1]) > 2010 || strings.Contains(lines[1], "\ufffd") {
		t.Errorf("%d lines: %.80q", len(lines), lines)
	}
	if d := s.do("GET", a.at("links.self")+"?debug=true", ""); d.at("error.traceback.0") != "line 7" || d.at("error.node.class_type") != "KSampler" {
		t.Errorf("%s", d.body)
	}
}

func TestTimeLimits(t *testing.T) {
	release := make(chan struct{})
	s := start(t, t.TempDir(), &fake{run: holds(release)}, "")
	first := s.do("POST", create, `{"input":{"prompt":"x"},"queue":{"timeout_s":600}}`, "Prefer", "respond-async")
	waits := s.do("POST", create, `{"input":{"prompt":"x"},"queue":{"max_wait_s":0.01}}`)
	if waits.at("status") != "expired" || waits.at("error.code") != "expired" || waits.at("attempts") != "0" {
		t.Errorf("%s", waits.body)
	}
	close(release)
	if a := s.do("GET", first.at("links.self")+"?wait=10", ""); a.at("status") != "succeeded" {
		t.Errorf("%s", a.body)
	}
	s.fake.mu.Lock()
	s.fake.run = holds(nil)
	s.fake.mu.Unlock()
	a := s.do("POST", create, `{"input":{"prompt":"x"},"queue":{"timeout_s":0.02}}`)
	if a.at("status") != "failed" || a.at("error.code") != "timeout" {
		t.Errorf("%s", a.body)
	}
}

func TestOneRunnerPerState(t *testing.T) {
	dir := t.TempDir()
	s := start(t, dir, &fake{run: draws}, "")
	if _, err := New(t.Context(), Config{Contract: theContract(), Executor: s.fake, StateDir: dir}); err == nil || !strings.Contains(err.Error(), "is in use") {
		t.Errorf("a second runner got in: %v", err)
	}
	s.stop()
	start(t, dir, &fake{run: draws}, "").stop()
}

func TestFirstKeyIsShownOnce(t *testing.T) {
	dir := t.TempDir()
	var keys [2]string
	for i := range keys {
		var log bytes.Buffer
		s, err := New(t.Context(), Config{Contract: theContract(), Executor: &fake{}, StateDir: dir, Auth: AuthKey, Log: slog.New(slog.NewTextHandler(&log, nil))})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		keys[i] = regexp.MustCompile(`ck_\w+`).FindString(log.String())
	}
	kept, err := os.ReadFile(filepath.Join(dir, "keys"))
	if err != nil {
		t.Fatal(err)
	}
	if keys[0] == "" || keys[1] != "" || bytes.Contains(kept, []byte(keys[0])) {
		t.Errorf("shown: %q; kept: %s", keys, kept)
	}
}

func TestKeysOfASecret(t *testing.T) {
	c := theContract()
	c.Auth = &[]contract.Auth{{Type: "api-key", Keys: "API_KEYS"}}
	config := Config{Contract: c, Executor: &fake{}, Auth: AuthKey}
	for _, tt := range []struct {
		name, want string
		secret     *string
	}{
		{"not set", "`API_KEYS`, which holds the API keys, is not set", nil},
		{"not keys", "line 1 is not NAME and KEY", new(string)},
	} {
		config.StateDir = t.TempDir()
		config.Secrets = func(string) (string, bool) {
			if tt.secret == nil {
				return "", false
			}
			return "nonsense", true
		}
		if _, err := New(t.Context(), config); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}

func TestBrokenContracts(t *testing.T) {
	for _, tt := range []struct {
		name, want string
		change     func(w *contract.Workflow)
	}{
		{"no inputs", "it has no inputs", func(w *contract.Workflow) { w.Graph = json.RawMessage(`{"9":{"class_type":"SaveImage"}}`) }},
		{"no such target", "writes node 77", func(w *contract.Workflow) { w.Inputs[0].To[0].Node = "77" }},
		{"no such output", "reads node 78", func(w *contract.Workflow) { w.Outputs[0].Node = "78" }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := theContract()
			tt.change(&c.Workflows[0])
			if _, err := New(t.Context(), Config{Contract: c, Executor: &fake{}, StateDir: t.TempDir()}); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v", err)
			}
		})
	}
}

func TestReload(t *testing.T) {
	s := start(t, t.TempDir(), &fake{run: draws}, "")
	c := theContract()
	c.Workflows[0].Version = "2"
	c.Workflows[0].Inputs[0].MaxLength = 3
	if err := s.server.Reload(c); err != nil {
		t.Fatal(err)
	}
	if a := s.do("POST", create, `{"input":{"prompt":"a fox"}}`); a.status != 422 {
		t.Errorf("%d", a.status)
	}
	if a := s.do("GET", "/v1/workflows/portrait@2", ""); a.status != 200 || a.at("version") != "2" {
		t.Errorf("%s", a.body)
	}
	c = theContract()
	c.Workflows[0].Graph = json.RawMessage(`{}`)
	if err := s.server.Reload(c); err == nil {
		t.Error("a broken contract is taken")
	}
	if a := s.do("GET", "/v1/workflows/portrait", ""); a.at("version") != "2" {
		t.Errorf("a refused contract changed something: %s", a.body)
	}
}

func TestWarmUp(t *testing.T) {
	c := theContract()
	c.Runner.Warmup = true
	c.Workflows[0].Inputs[0].Example = json.RawMessage(`"a fox"`)
	f := &fake{run: draws}
	s := startWith(t, t.TempDir(), f, Config{Contract: c})
	if len(f.seen) != 1 || !strings.Contains(string(f.seen[0].Graph), "a fox") {
		t.Errorf("%d runs before ready", len(f.seen))
	}
	if l := s.do("GET", "/v1/jobs", ""); len(l.json["data"].([]any)) != 0 {
		t.Errorf("%s", l.body)
	}
}

// The text of a job whose runner died at each attempt says so, and the job is
// not tried for ever.
func TestJobThatKillsTheRunner(t *testing.T) {
	dir := t.TempDir()
	s := start(t, dir, &fake{run: holds(nil)}, "")
	a := s.do("POST", create, `{"input":{"prompt":"x"}}`, "Prefer", "respond-async")
	for s.do("GET", a.at("links.self"), "").at("status") != "running" {
		time.Sleep(time.Millisecond)
	}
	rec, err := s.server.store.Get(t.Context(), a.at("id"))
	if err != nil {
		t.Fatal(err)
	}
	s.stop()
	s = startWith(t, dir, &fake{stage: engine.StageStarting}, Config{Contract: theContract()})
	rec.Job.Status, rec.Job.Attempts, rec.Run.Takes = "running", 3, 9
	if err := s.server.store.Apply(t.Context(), rec, jobs.Effects{}); err != nil {
		t.Fatal(err)
	}
	s.stop()
	s = start(t, dir, &fake{run: draws}, "")
	if g := s.do("GET", a.at("links.self")+"?wait=10", ""); g.at("status") != "failed" || g.at("error.code") != "engine_lost" {
		t.Errorf("%s", g.body)
	}
}

func TestAdminListener(t *testing.T) {
	s := start(t, t.TempDir(), &fake{run: draws}, "me ck_1")
	rec := newRecorder()
	for path, status := range map[string]int{"/metrics": 200, "/healthz": 200, "/readyz": 200, "/v1/jobs": 404} {
		rec.reset()
		req, _ := http.NewRequest("GET", path, nil)
		s.server.api.Admin().ServeHTTP(rec, req)
		if rec.status != status {
			t.Errorf("%s: %d", path, rec.status)
		}
	}
}

type recorder struct {
	status int
	header http.Header
}

func newRecorder() *recorder                    { return &recorder{} }
func (r *recorder) reset()                      { r.status, r.header = 0, http.Header{} }
func (r *recorder) Header() http.Header         { return r.header }
func (r *recorder) WriteHeader(s int)           { r.status = s }
func (r *recorder) Write(b []byte) (int, error) { r.status = max(r.status, 200); return len(b), nil }

func TestMeasuredAndLimits(t *testing.T) {
	s := start(t, t.TempDir(), &fake{run: draws}, "")
	if w := s.do("GET", "/v1/workflows/portrait", ""); w.at("measured") != "<nil>" || w.at("limits.body_bytes") != "4096" || w.at("limits.job_s") != "300" {
		t.Errorf("%s", w.body)
	}
	s.do("POST", create, `{"input":{"prompt":"x"}}`)
	if w := s.do("GET", "/v1/workflows/portrait", ""); w.at("measured.runs") != "1" {
		t.Errorf("%s", w.body)
	}
	if v := s.do("POST", "/v1/workflows/portrait/validate", `{"input":{"prompt":"x"}}`); v.at("estimate.wait_ms") != "0" || v.at("valid") != "true" || v.at("input.steps") != "20" {
		t.Errorf("%s", v.body)
	}
}
