package service

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"gopkg.in/yaml.v3"

	"github.com/comfyctl/comfyctl/internal/diag"
)

var update = flag.Bool("update", false, "write the committed schema")

// variants are the annotated file, and the same with its commented workflows
// in place of the one.
func variants(t testing.TB) map[string][]byte {
	t.Helper()
	src := string(full(t))
	head, tail, ok := strings.Cut(src, "# Several workflows in one service")
	if !ok {
		t.Fatal("the annotated file shows no service with several workflows")
	}
	_, tail, _ = strings.Cut(tail, "\n")
	several := head + strings.ReplaceAll(strings.TrimPrefix(tail, "# "), "\n# ", "\n")
	several = strings.Replace(several, "\nworkflow: ", "\nx-workflow: ", 1)
	return map[string][]byte{"one": []byte(src), "several": []byte(several)}
}

// keys lists the pointers of the schema's own keys in a decoded file, with the
// field that each one fills.
func keys(s *Service) map[string]string {
	out := map[string]string{}
	var walk func(v reflect.Value, at string)
	walk = func(v reflect.Value, at string) {
		switch {
		case v.Kind() == reflect.Pointer:
			if !v.IsNil() {
				walk(v.Elem(), at)
			}
		case v.Type() == reflect.TypeFor[Inputs](), v.Type() == reflect.TypeFor[AuthList]():
			walk(v.FieldByName("List"), at)
		case v.Kind() == reflect.Slice:
			for i := range v.Len() {
				step := strconv.Itoa(i)
				if v.Type().Elem().Kind() == reflect.Struct {
					if f := v.Index(i).FieldByName("Name"); f.IsValid() && v.Type() != reflect.TypeFor[[]Test]() {
						step = f.String()
					}
				}
				walk(v.Index(i), pointer(at, step))
			}
		case v.Kind() == reflect.Struct:
			for _, f := range fields(v.Type()) {
				here := pointer(at, f.key)
				if s.Has(here) {
					out[here] = v.Type().Name() + "." + f.key
				}
				walk(v.Field(f.index), here)
			}
		}
	}
	walk(reflect.ValueOf(s).Elem(), "")
	return out
}

// The annotated file is accepted whole, and shows every key that there is.
func TestAnnotatedFile(t *testing.T) {
	shown := map[string]bool{}
	for name, src := range variants(t) {
		s, found := Parse("comfyctl.yaml", src, Options{})
		if len(found) > 0 {
			t.Fatalf("%s: findings: %+v", name, found)
		}
		for _, f := range keys(s) {
			shown[f] = true
		}
	}
	seen := map[reflect.Type]bool{}
	var walk func(rt reflect.Type)
	walk = func(rt reflect.Type) {
		for rt.Kind() == reflect.Pointer || rt.Kind() == reflect.Slice {
			rt = rt.Elem()
		}
		if rt.Kind() != reflect.Struct || seen[rt] {
			return
		}
		seen[rt] = true
		for _, f := range fields(rt) {
			if name := rt.Name() + "." + f.key; !shown[name] {
				t.Errorf("%s is not in the annotated file", name)
			}
			if rt.Field(f.index).Tag.Get("desc") == "" {
				t.Errorf("%s.%s has no description", rt.Name(), f.key)
			}
			walk(rt.Field(f.index).Type)
		}
		if f, ok := rt.FieldByName("List"); ok {
			walk(f.Type)
		}
	}
	walk(reflect.TypeFor[Service]())
	if len(shown) < 150 {
		t.Errorf("only %d keys", len(shown))
	}
}

// Every key, misspelt once, is found where it stands, by us and by editors.
func TestEveryKeyMisspelt(t *testing.T) {
	schema := compiled(t)
	tried := 0
	for _, src := range variants(t) {
		s, _ := Parse("comfyctl.yaml", src, Options{})
		for at := range keys(s) {
			span := s.KeyAt(at)
			key := at[strings.LastIndexByte(at, '/')+1:]
			if string(src[span.Start.Offset:span.End.Offset]) != key {
				continue // a short form
			}
			changed, err := diag.Apply(src, []diag.Edit{{Start: span.End.Offset, End: span.End.Offset, Text: "zz"}})
			if err != nil {
				t.Fatal(err)
			}
			tried++
			_, found := Parse("comfyctl.yaml", changed, Options{})
			seen := false
			for _, d := range found {
				seen = seen || d.Code == "CY001" && d.Start == span.Start
			}
			if !seen {
				t.Errorf("%szz goes unseen: %v", at, codes(found))
			}
			if schema.Validate(asJSON(t, changed)) == nil {
				t.Errorf("%szz passes the schema", at)
			}
		}
	}
	if tried < 200 {
		t.Errorf("only %d keys tried", tried)
	}
}

// asJSON is a YAML file as an editor's checker sees it.
func asJSON(t testing.TB, src []byte) any {
	t.Helper()
	var v any
	if err := yaml.Unmarshal(src, &v); err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	out, err := jsonschema.UnmarshalJSON(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func compiled(t testing.TB) *jsonschema.Schema {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(Schema()))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("schema.json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// The published schema is the one that the types give.
func TestCommittedSchema(t *testing.T) {
	const file = "../../docs/schema/v1.json"
	if *update {
		if err := os.WriteFile(file, Schema(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(b, Schema()) {
		t.Errorf("%s is not what the types give; run go test ./pkg/service -update and commit it", file)
	}
}

// Editors and we agree on what a file may hold.
func TestSchemaAgrees(t *testing.T) {
	schema := compiled(t)
	const head = "name: a\nworkflow: w.json\n"
	good := []string{head, "name: a\nworkflows: { b: b.json, c: { file: c.json } }\n", head + "x-any: { a: [1] }\n",
		head + "comfyui: 0.3\n", head + "comfyui: { version: v0.3.64 }\n", head + "gpu: 16GB\n", head + "gpu: L4:2\n", head + "gpu: none\n", head + "gpu: { type: l4 }\n",
		head + "models: [{ a/b.c: ./x }, { path: d/e.f, source: [./x, https://y] }]\n", head + "nodes: [{ path: ./n }]\n",
		head + "inputs: auto\n", head + "inputs: { a: 6.text, b: [3.seed, 4.seed], c: { to: 5.x, default: [1, 2] } }\n", head + "outputs: { a: 9, b: \"57:8\", c: { from: 9 } }\n",
		head + "auth: none\n", head + "auth: [{ type: api-key }]\n", head + "scaling: 3\n", head + "scaling: 0..4\n", head + "scaling: { max: 2 }\n",
		head + "budget: { monthly: 20, stop_at: $30.5 }\n", head + "rollout: { canary: { weight: 0.1 } }\n", head + "runner: { timeouts: { job: 1h30m } }\n",
		head + "build: { python: 3.10 }\n", head + "nodes: [{ repo: r, ref: 12345678 }]\n", head + "checks: { CM004: off }\n", head + "targets: { a: { type: docker, x-b: 1 } }\n",
		head + "environments: { p: { target: a, targets: { a: { ttl: 1h }, b: null }, scaling: { max: 9 }, auth: null } }\n",
		head + "tests: [{ name: a, matrix: auto }, { name: b, matrix: { x: samples, y: [min, 3] } }]\n"}
	bad := []string{"name: a\n", "workflow: w\n", "name: A b\nworkflow: w\n", head + "zebra: 1\n", head + "gpu: { cuont: 1 }\n", head + "gpu: \"16 apples\"\n",
		head + "models: [{ source: ./x }]\n", head + "models: [{ path: x }]\n", head + "nodes: [{ repo: a, path: b }]\n", head + "nodes: [{ ref: a }]\n",
		head + "inputs: { a: { type: text } }\n", head + "inputs: { a: { to: 6.text, type: novel } }\n", head + "auth: all\n", head + "auth: [{ type: magic }]\n",
		head + "runner: { port: 0 }\n", head + "runner: { port: http }\n", head + "runner: { timeouts: { job: 5 } }\n", head + "runner: { limits: { body: 5 } }\n",
		head + "runner: { compat: [nothing] }\n", head + "limits: { tiers: { a: { rate: fast } } }\n", head + "rollout: { canary: { weight: lots } }\n",
		head + "budget: { monthly: a lot }\n", head + "scaling: many\n", head + "checks: { CM004: loud }\n", head + "targets: { a: { host: b } }\n",
		head + "environments: { p: { zebra: 1 } }\n", head + "environments: { p: { scaling: { mni: 1 } } }\n", head + "environments: { p: { models: [{ source: x }] } }\n",
		head + "runner: { warmup: maybe }\n", head + "tests: [{ name: a, matrix: some }]\n", head + "gpu: { x-note: 1 }\n", head + "requires: 0.4\n"}
	for _, v := range variants(t) {
		good = append(good, string(v))
	}
	for i, src := range append(good, bad...) {
		want := i < len(good)
		if _, found := Parse("f", []byte(src), Options{}); (len(found) == 0) != want {
			t.Errorf("%q: we find %+v", src, found)
		}
		if err := schema.Validate(asJSON(t, []byte(src))); (err == nil) != want {
			t.Errorf("%q: the schema says %v", src, err)
		}
	}
}
