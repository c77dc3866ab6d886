package diag

import "testing"

func TestApply(t *testing.T) {
	src := []byte("cuont: NaN")
	for _, tt := range []struct {
		name  string
		edits []Edit
		want  string // empty: refused
	}{
		{"none", nil, "cuont: NaN"},
		{"any order", []Edit{{7, 10, "null"}, {0, 5, "count"}}, "count: null"},
		{"insert", []Edit{{0, 0, "# "}}, "# cuont: NaN"},
		{"the same twice", []Edit{{0, 5, "count"}, {0, 5, "count"}}, "count: NaN"},
		{"overlap", []Edit{{0, 5, "a"}, {3, 7, "b"}}, ""},
		{"outside", []Edit{{7, 11, "b"}}, ""},
		{"backwards", []Edit{{7, 3, "b"}}, ""},
		{"negative", []Edit{{-1, 3, "b"}}, ""},
	} {
		got, err := Apply(src, tt.edits)
		if string(got) != tt.want || (err != nil) != (tt.want == "") {
			t.Errorf("%s: %q, %v", tt.name, got, err)
		}
	}
	if string(src) != "cuont: NaN" {
		t.Errorf("the source changed: %q", src)
	}
}
