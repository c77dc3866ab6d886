package diag

import (
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "add new ids to the golden list")

var quotedID = regexp.MustCompile(`"(C[YWMNSLDO]\d{3})"`)

// Every id that the source gives a finding is in the catalogue, and every one
// of the catalogue is given by the source.
func TestEveryRuleIsRaised(t *testing.T) {
	raised := map[string]string{}
	for _, root := range []string{"../../pkg", "../../internal", "../../cmd"} {
		err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
			if err != nil || e.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") || strings.HasPrefix(path, "../../internal/diag/rules") {
				return err
			}
			src, err := os.ReadFile(path)
			for _, m := range quotedID.FindAllSubmatch(src, -1) {
				raised[string(m[1])] = path
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for id, path := range raised {
		if _, ok := Lookup(id); !ok {
			t.Errorf("%s raises %s, which is not in the catalogue", path, id)
		}
	}
	for _, r := range Rules() {
		if raised[r.ID] == "" {
			t.Errorf("nothing raises %s", r.ID)
		}
	}
}

// Ids are never taken back or given another meaning: the list only grows.
func TestIDsAreAppendOnly(t *testing.T) {
	golden := filepath.Join("testdata", "ids.txt")
	b, err := os.ReadFile(golden)
	if err != nil && !*update {
		t.Fatal(err)
	}
	old := strings.Split(strings.TrimSpace(string(b)), "\n")
	var now []string
	for _, r := range Rules() {
		now = append(now, r.ID)
	}
	for _, o := range old {
		if o != "" && !slices.Contains(now, o) {
			t.Errorf("%q is gone; an id keeps its meaning for ever", o)
		}
	}
	if slices.Equal(old, now) {
		return
	}
	if !*update {
		t.Errorf("the catalogue has new ids; run go test ./internal/diag -update and look at the diff")
		return
	}
	if err := os.WriteFile(golden, []byte(strings.Join(now, "\n")+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
}

// Every page has a reason and examples, in the style of headlines.
func TestPages(t *testing.T) {
	for i, r := range Rules() {
		if i > 0 && Rules()[i-1].ID == r.ID {
			t.Errorf("%s is there twice", r.ID)
		}
		if r.Why == "" || r.Bad == "" || r.Good == "" || r.Mend == "" {
			t.Errorf("%s lacks a reason, an example or a remedy", r.ID)
		}
		if strings.HasSuffix(r.Title, ".") || strings.ContainsAny(r.Title[:1], "ABCDEFGHIJKLMNOPQRSTUVWXYZ") && !strings.HasPrefix(r.Title, "NaN") && !strings.HasPrefix(r.Title, "YAML") {
			t.Errorf("%s: %q is no headline", r.ID, r.Title)
		}
	}
}
