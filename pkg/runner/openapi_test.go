package runner

import (
	"bytes"
	"encoding/json"
	"regexp"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// schemas compiles the document's schemas, so that replies can be held
// against them.
func schemas(t *testing.T, doc []byte) func(name string) *jsonschema.Schema {
	t.Helper()
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(doc))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020)
	if err := c.AddResource("doc.json", v); err != nil {
		t.Fatal(err)
	}
	return func(name string) *jsonschema.Schema {
		s, err := c.Compile("doc.json#/components/schemas/" + name)
		if err != nil {
			t.Fatalf("schema %s: %v", name, err)
		}
		return s
	}
}

func fits(t *testing.T, s *jsonschema.Schema, what string, body []byte) {
	t.Helper()
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(body))
	if err == nil {
		err = s.Validate(v)
	}
	if err != nil {
		t.Errorf("%s does not fit its schema: %v\n%s", what, err, body)
	}
}

// Replies fit the document that describes them.
func TestRepliesFitOpenAPI(t *testing.T) {
	s := start(t, t.TempDir(), &fake{run: draws}, "")
	doc := s.do("GET", "/openapi.json", "").body
	schema := schemas(t, doc)
	job := s.do("POST", create, `{"input":{"prompt":"a fox"},"metadata":{"customer":"42"}}`)
	fits(t, schema("Job"), "a job", job.body)
	fits(t, schema("Problem"), "a refusal", s.do("POST", create, `{"input":{"steps":0}}`).body)
	fits(t, schema("Problem"), "a wrong path", s.do("GET", "/v1/nothing", "").body)
	for _, body := range []string{`{"prompt":"x"}`, `{"prompt":"x","seed":"18446744073709551615","steps":3}`} {
		fits(t, schema("Input_portrait"), "an input", []byte(body))
	}
	for _, body := range []string{`{}`, `{"prompt":"x","steps":51}`, `{"prompt":"x","other":1}`, `{"prompt":"x","seed":"-1"}`} {
		v, _ := jsonschema.UnmarshalJSON(strings.NewReader(body))
		if schema("Input_portrait").Validate(v) == nil {
			t.Errorf("the schema takes %s, which the service refuses", body)
		}
	}
}

// The document holds together: references lead somewhere, path parameters are
// declared, operations have names of their own and answers with descriptions.
func TestOpenAPIHoldsTogether(t *testing.T) {
	s := start(t, t.TempDir(), &fake{run: draws}, "")
	raw := s.do("GET", "/openapi.json", "").body
	var doc struct {
		OpenAPI string
		Info    struct{ Title, Version string }
		Paths   map[string]map[string]struct {
			OperationID string
			Parameters  []struct{ Name, In string }
			Responses   map[string]struct{ Description string }
		}
		Components struct{ Schemas map[string]json.RawMessage }
	}
	if err := json.Unmarshal(raw, &doc); err != nil {
		t.Fatal(err)
	}
	if doc.OpenAPI != "3.1.0" || doc.Info.Title == "" || doc.Info.Version == "" {
		t.Errorf("%+v", doc.Info)
	}
	for _, m := range regexp.MustCompile(`"\$ref": "#/components/schemas/([^"]+)"`).FindAllStringSubmatch(string(raw), -1) {
		if doc.Components.Schemas[m[1]] == nil {
			t.Errorf("a reference leads to no schema: %s", m[0])
		}
	}
	seen := map[string]string{}
	for path, ops := range doc.Paths {
		for method, op := range ops {
			where := method + " " + path
			if op.OperationID == "" || seen[op.OperationID] != "" {
				t.Errorf("%s has the operation id %q, like %q", where, op.OperationID, seen[op.OperationID])
			}
			seen[op.OperationID] = where
			for _, m := range regexp.MustCompile(`\{([^}]+)\}`).FindAllStringSubmatch(path, -1) {
				found := false
				for _, p := range op.Parameters {
					found = found || p.Name == m[1] && p.In == "path"
				}
				if !found {
					t.Errorf("%s does not declare {%s}", where, m[1])
				}
			}
			if len(op.Responses) == 0 {
				t.Errorf("%s has no answers", where)
			}
			for code, r := range op.Responses {
				if r.Description == "" {
					t.Errorf("%s: answer %s has no description", where, code)
				}
			}
			// What is described is served.
			real := strings.NewReplacer("{id}", "x", "{name}", "x", "{sha256}", "x", "{code}", "queue_full").Replace(path)
			if a := s.do(strings.ToUpper(method), real, ""); a.at("code") == "not_found" && strings.HasPrefix(a.at("message"), "there is nothing") || a.status == 405 {
				t.Errorf("%s is not served: %d", where, a.status)
			}
		}
	}
}
