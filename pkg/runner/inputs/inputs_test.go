package inputs

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/comfyctl/comfyctl/pkg/contract"
	"github.com/comfyctl/comfyctl/pkg/runner/prompt"
)

// shelf has the file that is called "here"; looked counts fetches.
type shelf struct{ looked int }

func (s *shelf) Resolve(_ context.Context, v string, _ contract.Input, fetch bool) (*StoredFile, error) {
	if fetch {
		s.looked++
	}
	if v != "here" {
		return nil, errors.New("is not here")
	}
	return &StoredFile{SHA256: "abc", Ext: ".png"}, nil
}

func to(input string) []contract.Target { return []contract.Target{{Node: "1", Input: input}} }

func raw(s string) json.RawMessage { return json.RawMessage(s) }

func workflow() *contract.Workflow {
	return &contract.Workflow{Name: "w", Graph: raw(`{"1":{"class_type":"A","inputs":{"f":0.10,"n":1}}}`), Inputs: []contract.Input{
		{Name: "text", Type: contract.TypeString, MaxLength: 3, To: to("text")},
		{Name: "n", Type: contract.TypeInt, Min: "-5", Max: "5", To: append(to("n"), to("n2")...)},
		{Name: "big", Type: contract.TypeInt, To: to("big")},
		{Name: "f", Type: contract.TypeFloat, Min: "0", Max: "1", To: to("f")},
		{Name: "b", Type: contract.TypeBool, To: to("b")},
		{Name: "e", Type: contract.TypeEnum, Enum: []json.RawMessage{raw(`"euler"`), raw(`"ddim"`), raw(`8`)}, To: to("e")},
		{Name: "seed", Type: contract.TypeSeed, To: to("seed")},
		{Name: "small seed", Type: contract.TypeSeed, Min: "3", Max: "3", To: to("small")},
		{Name: "fixed", Type: contract.TypeSeed, Default: raw("7"), To: to("fixed")},
		{Name: "pic", Type: contract.TypeImage, To: to("pic")},
		{Name: "a/b~c", Type: contract.TypeString, Required: true, Default: raw(`"d"`), To: to("abc")},
	}}
}

func bind(t *testing.T, in string) (*Bound, string, *shelf) {
	t.Helper()
	var m map[string]json.RawMessage
	if err := json.Unmarshal([]byte(in), &m); err != nil {
		t.Fatal(err)
	}
	s := &shelf{}
	b, fields, err := Bind(t.Context(), workflow(), m, "/input", s)
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, f := range fields {
		one := f.Pointer + " " + f.Code
		if f.Suggestion != "" {
			one += " " + f.Suggestion
		}
		list = append(list, one)
	}
	return b, strings.Join(list, "; "), s
}

func TestFaults(t *testing.T) {
	for in, want := range map[string]string{
		`{"text":"äöü"}`:                  "",
		`{"text":"äöüx"}`:                 "/input/text too_long",
		`{"text":1}`:                      "/input/text wrong_type",
		`{"n":5,"f":1,"b":false}`:         "",
		`{"n":6}`:                         "/input/n out_of_range",
		`{"n":-6}`:                        "/input/n out_of_range",
		`{"n":1.0}`:                       "",
		`{"n":"1"}`:                       "/input/n wrong_type",
		`{"n":true}`:                      "/input/n wrong_type",
		`{"n":{}}`:                        "/input/n wrong_type",
		`{"f":1.0000000000000000001}`:     "/input/f out_of_range",
		`{"f":"0.5"}`:                     "/input/f wrong_type",
		`{"b":"true"}`:                    "/input/b wrong_type",
		`{"b":0}`:                         "/input/b wrong_type",
		`{"e":"eulr"}`:                    "/input/e not_in_list euler",
		`{"e":8}`:                         "",
		`{"e":"8"}`:                       "/input/e not_in_list",
		`{"seed":"18446744073709551615"}`: "",
		`{"seed":18446744073709551616}`:   "/input/seed out_of_range",
		`{"seed":-1}`:                     "/input/seed out_of_range",
		`{"seed":"abc"}`:                  "/input/seed wrong_type",
		`{"seed":1e999999999}`:            "/input/seed wrong_type",
		`{"pic":"gone"}`:                  "/input/pic bad_file",
		`{"pic":5}`:                       "/input/pic wrong_type",
		`{"sed":1,"txt":"x"}`:             "/input/sed unknown_input seed; /input/txt unknown_input text",
		`{"x/y":1}`:                       "/input/x~1y unknown_input",
		`{"n":9,"f":9,"pic":"gone"}`:      "/input/n out_of_range; /input/f out_of_range; /input/pic bad_file",
		`{"a/b~c":null,"n":null}`:         "",
		`{"a/b~c":3}`:                     "/input/a~1b~0c wrong_type",
	} {
		if _, got, _ := bind(t, in); got != want {
			t.Errorf("%s gives %q, want %q", in, got, want)
		}
	}
}

func TestBind(t *testing.T) {
	b, faults, s := bind(t, `{"text":"é","n":2,"big":123456789012345678901234567890,"f":0.30,"seed":9007199254740993,"pic":"here"}`)
	if faults != "" || s.looked != 1 {
		t.Fatalf("%s, %d looks", faults, s.looked)
	}
	want := `{"text":"é","n":2,"big":123456789012345678901234567890,"f":0.30,"seed":"9007199254740993","small seed":3,"fixed":7,"pic":"sha256:abc","a/b~c":"d"}`
	if diff := cmp.Diff(want, string(b.Input)); diff != "" {
		t.Error(diff)
	}
	g, err := prompt.Decode(b.Graph)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for k, v := range g["1"].Inputs {
		got[k] = string(v)
	}
	if diff := cmp.Diff(map[string]string{"text": `"é"`, "n": "2", "n2": "2", "big": "123456789012345678901234567890", "f": "0.30", "seed": "9007199254740993",
		"small": "3", "fixed": "7", "abc": `"d"`}, got); diff != "" {
		t.Error(diff)
	}
	if len(b.Files) != 1 || b.Files[0].SHA256 != "abc" || b.Files[0].To[0] != [2]string{"1", "pic"} {
		t.Errorf("%+v", b.Files)
	}
}

// Nothing is fetched for a request that is refused anyway.
func TestNoFetchForNothing(t *testing.T) {
	if _, faults, s := bind(t, `{"n":9,"pic":"here"}`); faults != "/input/n out_of_range" || s.looked != 0 {
		t.Errorf("%s, %d looks", faults, s.looked)
	}
}

func TestDrawnSeeds(t *testing.T) {
	seen := map[string]bool{}
	for range 50 {
		s := string(drawSeed(contract.Input{}))
		if len(s) > 16 || s > "9007199254740991" && len(s) == 16 {
			t.Errorf("%s is not below 2^53", s)
		}
		seen[s] = true
	}
	if len(seen) < 49 {
		t.Errorf("%d different seeds in 50", len(seen))
	}
	for _, in := range []contract.Input{{Min: "10", Max: "12"}, {Min: "18446744073709551615", Max: "18446744073709551615"}} {
		if n := json.Number(drawSeed(in)); limit(n).Cmp(limit(in.Min)) < 0 || limit(n).Cmp(limit(in.Max)) > 0 {
			t.Errorf("%s is not in %s..%s", n, in.Min, in.Max)
		}
	}
}

func FuzzBind(f *testing.F) {
	f.Add(`{"n":1,"f":1e5,"seed":"3","e":8,"pic":"here"}`)
	f.Add(`{"seed":1e400}`)
	f.Fuzz(func(t *testing.T, in string) {
		var m map[string]json.RawMessage
		if json.Unmarshal([]byte(in), &m) != nil {
			return
		}
		b, fields, err := Bind(context.Background(), workflow(), m, "/input", &shelf{})
		if err != nil {
			t.Fatal(err)
		}
		if len(fields) == 0 && (!json.Valid(b.Input) || !json.Valid(b.Graph)) {
			t.Errorf("%s became %s", in, b.Input)
		}
	})
}
