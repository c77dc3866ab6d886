package workflow

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// graph builds a graph from lines "id: from from".
func graph(t *testing.T, lines ...string) *Graph {
	t.Helper()
	var nodes []string
	for _, l := range lines {
		id, from, _ := strings.Cut(l, ":")
		var inputs []string
		for i, f := range strings.Fields(from) {
			inputs = append(inputs, `"i`+string(rune('0'+i))+`":["`+f+`",0]`)
		}
		nodes = append(nodes, `"`+id+`":{"class_type":"N","inputs":{`+strings.Join(inputs, ",")+`}}`)
	}
	g, list := Parse("t", []byte("{"+strings.Join(nodes, ",")+"}"))
	if len(list) > 0 {
		t.Fatal(found(list))
	}
	return g
}

func ids(nodes []*Node) string {
	var s []string
	for _, n := range nodes {
		s = append(s, n.ID)
	}
	return strings.Join(s, " ")
}

func TestOrder(t *testing.T) {
	g := graph(t, "save: decode", "decode: sample vae", "sample: model x", "x: y", "y: x", "model:", "vae: gone")
	if got, want := ids(g.Order()), "model vae save decode sample x y"; got != want {
		t.Errorf("order %q, want %q", got, want)
	}
}

func TestAncestors(t *testing.T) {
	g := graph(t, "a: b", "b: c a", "c: gone", "d: c")
	want := map[string]bool{"a": true, "b": true, "c": true}
	if diff := cmp.Diff(want, g.Ancestors("a", "nobody")); diff != "" {
		t.Error(diff)
	}
}

func TestCycles(t *testing.T) {
	for _, tc := range []struct {
		lines []string
		want  []string
	}{
		{[]string{"a: b", "b: c c", "c:"}, nil},
		{[]string{"a: a"}, []string{"a→a"}},
		{[]string{"s: 3", "3: 12", "8: 3", "12: 8"}, []string{"3→8→12→3"}},
		{[]string{"a: b", "b: a", "c: d a", "d: c"}, []string{"a→b→a", "c→d→c"}},
	} {
		var got []string
		for _, c := range graph(t, tc.lines...).Cycles() {
			s := c[0].From.ID
			for i, e := range c {
				s += "→" + e.To.ID
				if e.From != c[(i+len(c)-1)%len(c)].To {
					t.Errorf("%v is not a closed walk", c)
				}
			}
			got = append(got, s)
		}
		if diff := cmp.Diff(tc.want, got); diff != "" {
			t.Errorf("%v: %s", tc.lines, diff)
		}
	}
}
