package service

import (
	"testing"

	"github.com/comfyctl/comfyctl/internal/diag"
)

func TestRemove(t *testing.T) {
	const head = "name: a\nworkflow: w\n"
	for _, tt := range []struct{ name, src, ptr, want string }{ // want is empty where it is refused
		{"first", head + "models:\n  # one\n  - path: a/b.c   # b\n    source: x\n\n  # two\n  - path: a/d.e\ngpu: none\n", "/models/0", head + "models:\n  # one\n\n  # two\n  - path: a/d.e\ngpu: none\n"},
		{"last", head + "models:\n- path: a/b.c\n- path: a/d.e\n  # in it\n  source: x\n# then\ngpu: none\n", "/models/1", head + "models:\n- path: a/b.c\n# then\ngpu: none\n"},
		{"at the end", head + "models:\n- path: a/b.c\n- path: a/d.e", "/models/1", head + "models:\n- path: a/b.c\n"},
		{"the only one", head + "models:\n- path: a/b.c\n", "/models/0", ""},
		{"in brackets", head + "models: [{ path: a/b.c }, { path: a/d.e }]\n", "/models/0", ""},
		{"not there", head, "/models/0", ""},
		{"a list in a list", head + "models:\n- path: a/b.c\n  source:\n  - x\n  - y\n- path: a/d.e\n", "/models/0", head + "models:\n- path: a/d.e\n"},
	} {
		s, found := Parse("f", []byte(tt.src), Options{})
		if len(found) > 0 {
			t.Fatalf("%s: %v", tt.name, found)
		}
		_, edit, ok := s.Remove(tt.ptr)
		if !ok {
			if tt.want != "" {
				t.Errorf("%s: refused", tt.name)
			}
			continue
		}
		got, err := diag.Apply([]byte(tt.src), []diag.Edit{edit})
		if err != nil || string(got) != tt.want {
			t.Errorf("%s: %q, %v", tt.name, got, err)
		}
		if again, found := Parse("f", got, Options{}); len(found) > 0 || len(again.Models) != len(s.Models)-1 {
			t.Errorf("%s: %v, %d models", tt.name, found, len(again.Models))
		}
	}
}
