package resolve

import (
	"encoding/json"
	"fmt"
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"
)

// Map is the public map from classes to repositories, in the shape of
// ComfyUI-Manager's extension-node-map.json, with what its github-stats.json
// adds.
type Map struct {
	packs   []*mapPack
	byKey   map[string]*mapPack
	byClass map[string][]*mapPack
	// marked are those with an anchored pattern, owners those that a class is
	// preempted by.
	marked []*mapPack
	owners map[string][]*mapPack
	// bare are class names by what is left of them without marks.
	bare map[string][]string
	// Notes say what in the data could not be used.
	Notes []string
}

// mapPack is one entry: a repository and the classes that it claims.
type mapPack struct {
	URL, Key, Title string
	classes         map[string]bool
	preempts        map[string]bool
	pattern         *regexp.Regexp
	// anchored patterns state a naming convention; others match by chance.
	anchored bool
	// signed patterns carry the repository's own name, such as (rgthree).
	signed  bool
	stars   int
	updated string
}

type mapMeta struct {
	Title    string   `json:"title"`
	TitleAux string   `json:"title_aux"`
	Pattern  string   `json:"nodename_pattern"`
	Preempts []string `json:"preemptions"`
}

// ParseMap reads a map. Entries that cannot be read and patterns that Go's
// regular expressions lack are left out with a note; an error is a file of
// another shape.
func ParseMap(b []byte) (*Map, error) {
	var raw map[string]json.RawMessage
	if err := json.Unmarshal(b, &raw); err != nil {
		return nil, fmt.Errorf("reading the map of node packs: %w", err)
	}
	m := &Map{byKey: map[string]*mapPack{}, byClass: map[string][]*mapPack{}, owners: map[string][]*mapPack{}, bare: map[string][]string{}}
	for _, repo := range sortedKeys(raw) {
		if err := m.add(repo, raw[repo]); err != nil {
			m.Notes = append(m.Notes, fmt.Sprintf("the map's entry %s is left out: %v", repo, err))
		}
	}
	for _, class := range sortedKeys(m.byClass) {
		m.bare[bare(class)] = append(m.bare[bare(class)], class)
	}
	if len(m.packs) == 0 && len(raw) > 0 {
		return nil, fmt.Errorf("reading the map of node packs: none of its %d entries can be read", len(raw))
	}
	return m, nil
}

func (m *Map) add(repo string, raw json.RawMessage) error {
	var parts []json.RawMessage
	if err := json.Unmarshal(raw, &parts); err != nil || len(parts) == 0 {
		return fmt.Errorf("it is not a list of classes and a description")
	}
	var classes []string
	if err := json.Unmarshal(parts[0], &classes); err != nil {
		return fmt.Errorf("its classes are not a list of names")
	}
	var meta mapMeta
	if len(parts) > 1 {
		if err := json.Unmarshal(parts[1], &meta); err != nil {
			return fmt.Errorf("its description cannot be read")
		}
	}
	key := Key(repo)
	p := m.byKey[key]
	if p == nil {
		p = &mapPack{URL: repo, Key: key, Title: meta.Title, classes: map[string]bool{}, preempts: map[string]bool{}}
		m.packs, m.byKey[key] = append(m.packs, p), p
	}
	if p.Title == "" {
		p.Title = meta.TitleAux
	}
	for _, c := range classes {
		if c != "" && !p.classes[c] {
			p.classes[c] = true
			m.byClass[c] = append(m.byClass[c], p)
		}
	}
	for _, c := range meta.Preempts {
		if !p.preempts[c] {
			p.preempts[c] = true
			m.owners[c] = append(m.owners[c], p)
		}
	}
	if meta.Pattern == "" {
		return nil
	}
	re, err := regexp.Compile(meta.Pattern)
	if err != nil {
		m.Notes = append(m.Notes, fmt.Sprintf("the pattern %q of %s is not used: %v", meta.Pattern, repo, err))
		return nil
	}
	if p.pattern, p.anchored, p.signed = re, false, false; !slices.Contains(m.marked, p) {
		m.marked = append(m.marked, p)
	}
	p.anchored, p.signed = reading(meta.Pattern, key)
	return nil
}

// reading says whether a pattern is bound to the beginning or the end of a
// name in all its alternatives, and whether its fixed text is in key.
func reading(pattern, key string) (anchored, signed bool) {
	re, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		return false, false
	}
	anchored = bound(re.Simplify())
	text := strings.ToLower(strings.Trim(literal(re), " ()[]-_^$"))
	return anchored, len(text) >= 3 && strings.Contains(key, text)
}

func bound(re *syntax.Regexp) bool {
	switch re.Op {
	case syntax.OpBeginText, syntax.OpEndText, syntax.OpBeginLine, syntax.OpEndLine:
		return true
	case syntax.OpCapture:
		return bound(re.Sub[0])
	case syntax.OpConcat:
		return len(re.Sub) > 1 && (bound(re.Sub[0]) || bound(re.Sub[len(re.Sub)-1]))
	case syntax.OpAlternate:
		return !slices.ContainsFunc(re.Sub, func(s *syntax.Regexp) bool { return !bound(s) })
	}
	return false
}

// literal is the longest run of fixed text.
func literal(re *syntax.Regexp) string {
	if re.Op == syntax.OpLiteral {
		return string(re.Rune)
	}
	best := ""
	for _, s := range re.Sub {
		if l := literal(s); len(l) > len(best) {
			best = l
		}
	}
	return best
}

// AddStats reads github-stats.json, which orders the candidates of a question.
func (m *Map) AddStats(b []byte) error {
	var raw map[string]struct {
		Stars   int    `json:"stars"`
		Updated string `json:"last_update"`
	}
	if err := json.Unmarshal(b, &raw); err != nil {
		return fmt.Errorf("reading the popularity of node packs: %w", err)
	}
	for _, repo := range sortedKeys(raw) {
		if p := m.byKey[Key(repo)]; p != nil {
			p.stars = raw[repo].Stars
			p.updated, _, _ = strings.Cut(raw[repo].Updated, " ")
		}
	}
	return nil
}

// Classes lists the class names that a repository claims, sorted; ok is false
// where the map does not know it.
func (m *Map) Classes(repo string) (names []string, ok bool) {
	if m == nil {
		return nil, false
	}
	p := m.byKey[Key(repo)]
	if p == nil {
		return nil, false
	}
	return sortedKeys(p.classes), true
}

// claim is why an entry of the map is a candidate for a class.
type claim struct {
	pack                     *mapPack
	exact, preempts, pattern bool
}

// claims lists the packs that claim a class, without ComfyUI itself, and
// whether ComfyUI is among them.
func (m *Map) claims(class string) (list []claim, core bool) {
	if m == nil {
		return nil, false
	}
	seen := map[*mapPack]bool{}
	for _, p := range slices.Concat(m.byClass[class], m.owners[class], m.marked) {
		c := claim{pack: p, exact: p.classes[class], preempts: p.preempts[class], pattern: p.anchored && p.pattern.MatchString(class)}
		switch {
		case seen[p] || !c.exact && !c.preempts && !c.pattern:
		case isCore(p.Key):
			core = true
		default:
			list = append(list, c)
		}
		seen[p] = true
	}
	return list, core
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// Only is the one repository that claims a class by its exact name, or "" where
// none or several do, ComfyUI itself left out.
func (m *Map) Only(class string) string {
	only := ""
	for _, p := range m.byClass[class] {
		if isCore(p.Key) {
			continue
		}
		if only != "" {
			return ""
		}
		only = p.URL
	}
	return only
}
