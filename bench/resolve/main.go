// Command resolve measures how many node classes of a folder of workflows find
// their pack without a question, and whether any finds a wrong one:
//
//	go run ./bench/resolve -map extension-node-map.json -stats github-stats.json FOLDER
//
// A choice is called wrong where the map has exactly one claimant and another
// was chosen, or where the editor wrote a registry id or repository down and
// the choice without that hint is another pack. The first kind is listed with
// its rule: a pack can own a class by a pattern while another copies its name.
package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/comfyctl/comfyctl/pkg/catalog"
	"github.com/comfyctl/comfyctl/pkg/lock/resolve"
	"github.com/comfyctl/comfyctl/pkg/workflow"
)

func main() {
	mapFile := flag.String("map", "", "extension-node-map.json (`FILE`)")
	stats := flag.String("stats", "", "github-stats.json (`FILE`), to order suggestions")
	verbose := flag.Bool("v", false, "list every class with its pack")
	flag.Parse()
	if *mapFile == "" || flag.NArg() == 0 {
		flag.Usage()
		os.Exit(2)
	}
	if err := measure(os.Stdout, *mapFile, *stats, flag.Args(), *verbose); err != nil {
		fmt.Fprintln(os.Stderr, "resolve:", err)
		os.Exit(1)
	}
}

// tally sums one way of counting up.
type tally struct {
	total, taken, asked, none int
	rules                     map[string]int
	wrong                     map[string]string
}

func measure(w io.Writer, mapFile, stats string, folders []string, verbose bool) error {
	m, err := readMap(mapFile, stats)
	if err != nil {
		return err
	}
	core, err := coreClasses()
	if err != nil {
		return err
	}
	files, err := workflows(folders)
	if err != nil {
		return err
	}
	plain, hinted := newTally(), newTally()
	distinct := map[string]bool{}
	whole, withCustom := 0, 0
	for _, f := range files {
		uses := uses(f.src, core)
		if len(uses) == 0 {
			continue
		}
		withCustom++
		blind := slices.Clone(uses)
		for i := range blind {
			blind[i].Hint = resolve.Hint{}
		}
		isCore := func(c string) bool { return core[c] }
		r := resolve.Resolve(resolve.Input{Uses: blind, Core: isCore, Map: m})
		plain.count(f.name, m, uses, r)
		if len(r.Questions) == 0 {
			whole++
		}
		hinted.count(f.name, m, nil, resolve.Resolve(resolve.Input{Uses: uses, Core: isCore, Map: m}))
		for _, u := range uses {
			distinct[u.Class] = true
		}
		if verbose {
			list(w, f.name, r)
		}
	}
	fmt.Fprintf(w, "%d files, %d with classes that are not ComfyUI's; %d distinct such classes\n", len(files), withCustom, len(distinct))
	fmt.Fprintf(w, "files without a question: %d (%d%%)\n", whole, 100*whole/max(withCustom, 1))
	plain.print(w, "by map alone, class uses by file")
	hinted.print(w, "with the graph's own hints")
	return nil
}

func readMap(mapFile, stats string) (*resolve.Map, error) {
	b, err := os.ReadFile(mapFile)
	if err != nil {
		return nil, err
	}
	m, err := resolve.ParseMap(b)
	if err != nil || stats == "" {
		return m, err
	}
	if b, err = os.ReadFile(stats); err != nil {
		return nil, err
	}
	return m, m.AddStats(b)
}

// coreClasses are those of every built-in release.
func coreClasses() (map[string]bool, error) {
	core := map[string]bool{}
	for _, v := range catalog.Versions() {
		c, err := catalog.For(v)
		if err != nil {
			return nil, err
		}
		for _, n := range c.Names() {
			core[n] = true
		}
	}
	return core, nil
}

type file struct {
	name string
	src  []byte
}

func workflows(folders []string) ([]file, error) {
	var list []file
	for _, dir := range folders {
		names, err := filepath.Glob(filepath.Join(dir, "*.json"))
		if err != nil {
			return nil, err
		}
		for _, n := range names {
			b, err := os.ReadFile(n)
			if err != nil {
				return nil, err
			}
			list = append(list, file{filepath.Base(n), b})
		}
	}
	if len(list) == 0 {
		return nil, errors.New("no *.json in " + strings.Join(folders, ", "))
	}
	return list, nil
}

// uses lists the classes of a workflow in either format.
func uses(src []byte, core map[string]bool) []resolve.Use {
	inputs := map[string]map[string]bool{}
	if g, _ := workflow.Parse("", src); g != nil {
		for _, n := range g.Nodes {
			names := map[string]bool{}
			for _, in := range n.Inputs {
				names[in.Name] = true
			}
			inputs[n.Class] = names
		}
	} else {
		for _, class := range editorClasses(src) {
			inputs[class] = nil
		}
	}
	hints := resolve.Hints(src)
	var list []resolve.Use
	for _, class := range slices.Sorted(maps.Keys(inputs)) {
		if class == "" || core[class] || resolve.EditorOnly(class) || isID(class) {
			continue
		}
		list = append(list, resolve.Use{Class: class, Inputs: slices.Sorted(maps.Keys(inputs[class])), Hint: hints[class]})
	}
	return list
}

func isID(class string) bool { return len(class) == 36 && strings.Count(class, "-") == 4 }

// editorClasses are the node types of an editor save, subgraphs included.
func editorClasses(src []byte) []string {
	type graph struct {
		Nodes []struct {
			Type string `json:"type"`
		} `json:"nodes"`
	}
	var doc struct {
		graph
		Definitions struct {
			Subgraphs []graph `json:"subgraphs"`
		} `json:"definitions"`
	}
	if json.Unmarshal(src, &doc) != nil {
		return nil
	}
	var list []string
	for _, g := range append(doc.Definitions.Subgraphs, doc.graph) {
		for _, n := range g.Nodes {
			list = append(list, n.Type)
		}
	}
	return list
}

func newTally() *tally { return &tally{rules: map[string]int{}, wrong: map[string]string{}} }

// count adds a result. Where uses are given, their hints are the truth.
func (t *tally) count(name string, m *resolve.Map, uses []resolve.Use, r resolve.Result) {
	for _, c := range r.Choices {
		t.total++
		t.taken++
		t.rules[c.Rule]++
		if only := m.Only(c.Class); uses != nil && only != "" && resolve.Key(only) != resolve.Key(c.Pack.Repo) {
			t.wrong[c.Class+"\x00map"] = fmt.Sprintf("%s: %s by %s, the map's only exact claim is %s", c.Class, c.Pack.Repo, c.Rule, only)
		}
		i := slices.IndexFunc(uses, func(u resolve.Use) bool { return u.Class == c.Class })
		if i >= 0 && !agrees(uses[i].Hint, c.Pack.Repo) {
			t.wrong[c.Class+"\x00hint"] = fmt.Sprintf("%s: %s by %s, the editor wrote %s%s (%s)", c.Class, c.Pack.Repo, c.Rule, uses[i].Hint.CNR, uses[i].Hint.Aux, name)
		}
	}
	for _, q := range r.Questions {
		t.total++
		if len(q.Candidates) > 0 {
			t.asked++
		} else {
			t.none++
		}
	}
}

// agrees compares a repository with what the editor wrote down. Registry ids
// are mostly the repository's name with other marks.
func agrees(h resolve.Hint, repo string) bool {
	if h.Aux != "" && strings.HasSuffix(resolve.Key(repo), "/"+strings.ToLower(h.Aux)) {
		return true
	}
	if h.CNR == "" {
		return h.Repo() == ""
	}
	plain := strings.NewReplacer("-", "", "_", "", ".", "", "comfyui", "")
	return plain.Replace(strings.ToLower(h.CNR)) == plain.Replace(strings.ToLower(resolve.Name(repo)))
}

func (t *tally) print(w io.Writer, title string) {
	share := func(n int) string { return fmt.Sprintf("%d (%d%%)", n, 100*n/max(t.total, 1)) }
	fmt.Fprintf(w, "\n%s: %d\n  resolved %s, asked %s, unknown %s\n", title, t.total, share(t.taken), share(t.asked), share(t.none))
	rules := slices.SortedFunc(maps.Keys(t.rules), func(a, b string) int { return cmp.Compare(t.rules[b], t.rules[a]) })
	for _, r := range rules {
		fmt.Fprintf(w, "    %-11s %d\n", r, t.rules[r])
	}
	fmt.Fprintf(w, "  differing from the only claim or from the editor's note: %d\n", len(t.wrong))
	for _, k := range slices.Sorted(maps.Keys(t.wrong)) {
		fmt.Fprintf(w, "    %s\n", t.wrong[k])
	}
}

func list(w io.Writer, name string, r resolve.Result) {
	for _, c := range r.Choices {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", name, c.Class, c.Rule, c.Pack.Repo)
	}
	for _, q := range r.Questions {
		var repos []string
		for _, c := range q.Candidates {
			repos = append(repos, c.Repo)
		}
		fmt.Fprintf(w, "%s\t%s\t?\t%s\n", name, q.Class, strings.Join(append(repos, q.Near...), " "))
	}
}
