package cli

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/comfyctl/comfyctl/internal/client"
	"github.com/comfyctl/comfyctl/pkg/service"
)

func portrait() *client.Workflow {
	return &client.Workflow{Summary: client.Summary{Name: "portrait"}, Inputs: client.Schema{
		Order: []string{"prompt", "steps", "guidance", "sampler", "seed", "photo"},
		Properties: map[string]client.Property{
			"prompt":   {Kind: "text", MaxLength: 5, Examples: []json.RawMessage{json.RawMessage(`"fox"`)}},
			"steps":    {Kind: "int", Minimum: "1", Maximum: "50", Default: json.RawMessage("20")},
			"guidance": {Kind: "float", Minimum: "1", Maximum: "15", Step: "0.5"},
			"sampler":  {Kind: "enum", Enum: []json.RawMessage{json.RawMessage(`"euler"`), json.RawMessage(`"max"`)}},
			"seed":     {Kind: "seed", Minimum: "0", Random: true},
			"photo":    {Kind: "image", File: true},
		},
	}}
}

func axis(name string, values ...string) service.Axis {
	a := service.Axis{Name: name}
	for _, v := range values {
		a.Values = append(a.Values, json.RawMessage(v))
	}
	return a
}

func TestExpand(t *testing.T) {
	for _, c := range []struct {
		name string
		test service.Test
		want []string
	}{
		{"plain", service.Test{Name: "t"}, []string{"t"}},
		{"words and values", service.Test{Name: "t", Matrix: service.Matrix{Axes: []service.Axis{axis("steps", `"min"`, `"max"`, "8", `"default"`)}}},
			[]string{"t [steps=1]", "t [steps=50]", "t [steps=8]", "t [steps=default]"}},
		{"every combination", service.Test{Name: "t", Matrix: service.Matrix{Axes: []service.Axis{axis("steps", `"min"`, "2"), axis("sampler", `"samples"`)}}},
			[]string{"t [steps=1 sampler=euler]", "t [steps=1 sampler=max]", "t [steps=2 sampler=euler]", "t [steps=2 sampler=max]"}},
		{"a value that is a word", service.Test{Name: "t", Matrix: service.Matrix{Axes: []service.Axis{axis("sampler", `"max"`)}}}, []string{"t [sampler=max]"}},
		{"quarters", service.Test{Name: "t", Matrix: service.Matrix{Axes: []service.Axis{axis("steps", `"samples"`), axis("guidance", `"samples"`)}}},
			[]string{"t [steps=13 guidance=4.5]", "t [steps=13 guidance=8]", "t [steps=13 guidance=11.5]",
				"t [steps=25 guidance=4.5]", "t [steps=25 guidance=8]", "t [steps=25 guidance=11.5]",
				"t [steps=37 guidance=4.5]", "t [steps=37 guidance=8]", "t [steps=37 guidance=11.5]"}},
		{"auto", service.Test{Name: "t", Input: service.Arguments{{Name: "prompt", Value: json.RawMessage(`"x"`)}}, Matrix: service.Matrix{Auto: true}},
			[]string{"t [steps=default]", "t [steps=1]", "t [steps=50]", "t [steps=13]", "t [steps=25]", "t [steps=37]",
				"t [guidance=1]", "t [guidance=15]", "t [guidance=4.5]", "t [guidance=8]", "t [guidance=11.5]",
				"t [sampler=euler]", "t [sampler=max]", "t [seed=default]", "t [seed=0]", "t [seed=9007199254740991]"}},
	} {
		cases, err := expand(&c.test, 0, portrait())
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		var got []string
		for _, tc := range cases {
			got = append(got, tc.Name)
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s: %s", c.name, diff)
		}
	}
}

func TestExpandDefaultLeavesInputOut(t *testing.T) {
	cases, err := expand(&service.Test{Input: service.Arguments{{Name: "steps", Value: json.RawMessage("3")}},
		Matrix: service.Matrix{Axes: []service.Axis{axis("steps", `"default"`, `"max"`)}}}, 0, portrait())
	if err != nil {
		t.Fatal(err)
	}
	want := []map[string]json.RawMessage{{}, {"steps": json.RawMessage("50")}}
	if diff := cmp.Diff(want, []map[string]json.RawMessage{cases[0].Input, cases[1].Input}); diff != "" {
		t.Error(diff)
	}
}

func TestExpandRefuses(t *testing.T) {
	many := make([]string, 30)
	for i := range many {
		many[i] = "1"
	}
	for _, c := range []struct {
		axes []service.Axis
		want string
	}{
		{[]service.Axis{axis("step", "1")}, "which is no input"},
		{[]service.Axis{axis("photo", `"max"`)}, "which has none"},
		{[]service.Axis{axis("steps")}, "has no value"},
		{[]service.Axis{axis("steps", many...), axis("guidance", many...)}, "more than 200 cases"},
	} {
		_, err := expand(&service.Test{Name: "t", Matrix: service.Matrix{Axes: c.axes}}, 0, portrait())
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: error %v", c.axes, err)
		}
	}
}

func TestLiteral(t *testing.T) {
	p := portrait().Inputs.Properties
	for _, c := range []struct{ key, text, want string }{
		{"steps", "12", "12"}, {"steps", "1.5", ""}, {"steps", "a", ""}, {"steps", "", ""}, {"steps", "true", ""},
		{"guidance", "7.5", "7.5"}, {"guidance", "1e1", "1e1"}, {"guidance", "NaN", ""},
		{"prompt", "a <b> & \"c\"", `"a <b> & \"c\""`}, {"prompt", "12", `"12"`},
		{"sampler", "euler", `"euler"`}, {"sampler", "eular", ""},
		{"seed", "18446744073709551615", `"18446744073709551615"`}, {"seed", "random", "null"}, {"seed", "-1", ""},
		{"photo", "https://example.com/x.png", `"https://example.com/x.png"`}, {"photo", "cat.png", ""},
	} {
		got, err := literal(c.key, c.text, p[c.key])
		if (err != nil) != (c.want == "") || string(got) != c.want {
			t.Errorf("%s=%s: %s, %v", c.key, c.text, got, err)
		}
	}
}

func TestFileNamesAreHarmless(t *testing.T) {
	for in, want := range map[string]string{"image": "image", "../../etc/passwd": "______etc_passwd", "": "output", "a b\x1b[0m": "a_b__0m"} {
		if got := fileName(in); got != want {
			t.Errorf("%q became %q, want %q", in, got, want)
		}
	}
}
