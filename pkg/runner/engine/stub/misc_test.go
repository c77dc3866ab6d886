package stub_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// shapeOnly are answers about the machine: only keys and types are compared.
var shapeOnly = map[string]string{
	"GET /system_stats":     "memory, versions and devices are the machine's",
	"GET /api/system_stats": "memory, versions and devices are the machine's",
	"GET /internal/logs":    "the log's lines are the server's own",
}

// misc compares the answers of the other routes with http_misc.json.
func (r *rig) misc(t *testing.T) {
	b, err := os.ReadFile(filepath.Join(recordings(t), "http_misc.json"))
	if err != nil {
		t.Fatal(err)
	}
	var all map[string]struct {
		Status int     `json:"status"`
		Kind   *string `json:"content_type"`
		Body   string  `json:"body"`
	}
	if err := json.Unmarshal(b, &all); err != nil {
		t.Fatal(err)
	}
	// Calls that only ask come first, for some of the others delete.
	for _, verb := range []string{"GET ", "POST "} {
		for call, want := range all {
			if !strings.HasPrefix(call, verb) {
				continue
			}
			res := (&rig{t, r.stub, r.http}).misCall(call)
			if res.status != want.Status {
				t.Errorf("%s: %d, recorded %d", call, res.status, want.Status)
			}
			if verb == "GET " && res.kind != text(want.Kind) {
				t.Errorf("%s: %q, recorded %q", call, res.kind, text(want.Kind))
			}
			compareBody(t, call, want.Body, string(res.body))
		}
	}
}

func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

func (r *rig) misCall(call string) reply {
	method, rest, _ := strings.Cut(call, " ")
	path, body, _ := strings.Cut(rest, " ")
	switch call {
	case "POST /upload/image":
		return r.upload(path, "in.png", pngBytes(r.t, testPicture(4, 4)), nil)
	case "POST /upload/image traversal":
		return r.upload(path, "..%2F..%2Fevil.png", pngBytes(r.t, testPicture(4, 4)), nil)
	}
	return r.do(method, path, "", []byte(body))
}

func compareBody(t *testing.T, call, want, got string) {
	t.Helper()
	if !strings.HasPrefix(want, "{") && !strings.HasPrefix(want, "[") && !strings.HasPrefix(want, `"`) {
		if want != got {
			t.Errorf("%s: %q, recorded %q", call, got, want)
		}
		return
	}
	if call == "GET /internal/logs" { // the recording keeps its beginning only
		if _, ok := decode(t, []byte(got)).(string); !ok {
			t.Errorf("%s: no JSON string", call)
		}
		return
	}
	w, g := plain(decode(t, []byte(want))), plain(decode(t, []byte(got)))
	if shapeOnly[call] != "" {
		w, g = shape(w), shape(g)
	}
	dropProse(w)
	dropProse(g)
	if diff := cmp.Diff(w, g); diff != "" {
		t.Errorf("%s (-recorded +stub): %s", call, diff)
	}
}

// shape replaces values by the names of their types; null stays open.
func shape(v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := map[string]any{}
		for k, e := range v {
			out[k] = shape(e)
			if strings.HasSuffix(k, "_version") {
				out[k] = "text or null"
			}
		}
		return out
	case []any:
		if len(v) == 0 {
			return "list"
		}
		if _, ok := v[0].(map[string]any); ok {
			return []any{shape(v[0])}
		}
		return "list"
	case string:
		return "text"
	case json.Number:
		return "number"
	}
	return v
}

// dropProse takes out what people read.
func dropProse(v any) {
	m, ok := v.(map[string]any)
	if !ok {
		return
	}
	for _, k := range []string{"display_name", "description", "category", "output_tooltips"} {
		delete(m, k)
	}
	for _, e := range m {
		dropProse(e)
	}
}
