package resolve

import (
	"cmp"
	"regexp"
	"slices"
	"strings"
)

// Rules, as the lock records them: why a pack was taken.
const (
	RuleService    = "service"    // the service file lists the class for it
	RuleScan       = "scan"       // a pack of the service file defines it
	RuleLock       = "lock"       // the lock had it
	RuleCNR        = "cnr_id"     // the graph names its registry id
	RuleAux        = "aux_id"     // the graph names its repository
	RuleMap        = "map"        // the only one that claims the class
	RuleRegistry   = "registry"   // the registry names it alone
	RulePreemption = "preemption" // it owns the class by its own claim
	RulePattern    = "pattern"    // the class carries its mark
	RuleSignature  = "signature"  // the only one whose class has these inputs
	RuleCover      = "cover"      // another class needs it anyway
)

// Use is a class that the graphs use.
type Use struct {
	Class string
	// Inputs are the names that the graph sets on nodes of the class.
	Inputs []string
	Hint   Hint
}

// Pack is a repository, a registry id, or both.
type Pack struct {
	Repo, Registry string
	// Version is of Registry, Commit of Repo; empty leaves it open.
	Version, Commit string
}

// Same reports whether both name one pack.
func (p Pack) Same(o Pack) bool {
	return p.Repo != "" && Key(p.Repo) == Key(o.Repo) || p.Registry != "" && strings.EqualFold(p.Registry, o.Registry)
}

// Candidate is a pack that may own a class, and what is known of it.
type Candidate struct {
	Pack
	Title   string
	Stars   int
	Updated string // a date
	// Rule says where it comes from.
	Rule string
	// Preempts is set where the pack claims the class as its own.
	Preempts bool
	// Inputs are those that its class declares; nil where nobody knows.
	Inputs []string

	exact, pattern, signed bool
}

// Input is what Resolve decides from.
type Input struct {
	Uses []Use
	// Core reports whether ComfyUI itself has a class.
	Core func(class string) bool
	// Declared gives the pack of the service file that owns a class, and
	// whether that is by its own word (RuleService) or by a scan (RuleScan).
	Declared map[string]Choice
	// Locked gives the pack that an earlier lock chose.
	Locked map[string]Choice
	// Map is the public map; nil where there is none.
	Map *Map
	// Registry holds the registry's candidates by class.
	Registry map[string][]Candidate
	// Needed are packs that are installed whatever Resolve says.
	Needed []Pack
}

// Choice is the pack of a class.
type Choice struct {
	Class string
	Pack  Pack
	Rule  string
	// Candidates is how many packs claimed the class.
	Candidates int
}

// Question is a class that nobody can place without asking.
type Question struct {
	Class string
	// Candidates are in the order in which they would be suggested; none where
	// nothing claims the class.
	Candidates []Candidate
	// Near are similar names of known classes, for a class without candidates.
	Near []string
	// Core is set where ComfyUI has the class in another release, Subgraph where
	// the class is the id of a subgraph that was never expanded.
	Core, Subgraph bool
}

// Result is what Resolve found, sorted by class.
type Result struct {
	Choices   []Choice
	Questions []Question
}

// editorOnly are node types that the editor draws and no pack registers.
var editorOnly = map[string]bool{"Note": true, "MarkdownNote": true, "PrimitiveNode": true, "Reroute": true, "GetNode": true, "SetNode": true}

var subgraphID = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$`)

// EditorOnly reports whether a type is drawn by the editor alone: such types
// are never looked up.
func EditorOnly(class string) bool {
	return editorOnly[class] || strings.HasPrefix(class, "workflow/") || strings.HasPrefix(class, "workflow>")
}

// Resolve places every class that is not ComfyUI's own.
func Resolve(in Input) Result {
	var r Result
	open := []Question{}
	needed := slices.Clone(in.Needed)
	for _, u := range in.Uses {
		if in.Core != nil && in.Core(u.Class) || EditorOnly(u.Class) {
			continue
		}
		if subgraphID.MatchString(u.Class) {
			r.Questions = append(r.Questions, Question{Class: u.Class, Subgraph: true})
			continue
		}
		c, q := in.one(u)
		if q != nil {
			open = append(open, *q)
			continue
		}
		r.Choices = append(r.Choices, c)
		needed = append(needed, c.Pack)
	}
	for _, q := range open {
		c, ok := settle(q, needed)
		if ok {
			r.Choices = append(r.Choices, c)
			continue
		}
		if len(q.Candidates) == 0 && !q.Core {
			q.Near = in.Map.near(q.Class)
		}
		r.Questions = append(r.Questions, q)
	}
	slices.SortFunc(r.Choices, func(a, b Choice) int { return cmp.Compare(a.Class, b.Class) })
	slices.SortFunc(r.Questions, func(a, b Question) int { return cmp.Compare(a.Class, b.Class) })
	return r
}

// one places a class by itself, or asks.
func (in Input) one(u Use) (Choice, *Question) {
	for _, known := range []map[string]Choice{in.Declared, in.Locked} {
		if c, ok := known[u.Class]; ok {
			return c, nil
		}
	}
	list, core := in.candidates(u.Class)
	take := func(p Pack, rule string) (Choice, *Question) {
		return Choice{Class: u.Class, Pack: p, Rule: rule, Candidates: len(list)}, nil
	}
	if c, ok := in.hinted(u, list); ok {
		return take(c.Pack, c.Rule)
	}
	if repo := u.Hint.Repo(); repo != "" {
		// A repository that only the graph knows is a stranger's word.
		list = append(list, Candidate{Pack: Pack{Repo: repo, Commit: commitOf(u.Hint.Ver)}, Rule: RuleAux})
	}
	left, rule := narrow(u, list)
	if len(left) == 1 && left[0].Rule != RuleAux {
		return take(left[0].Pack, cmp.Or(rule, left[0].Rule))
	}
	suggest(u, left)
	return Choice{}, &Question{Class: u.Class, Candidates: left, Core: core && len(left) == 0}
}

// hinted is the pack that the graph itself names, where somebody else knows
// that pack too.
func (in Input) hinted(u Use, list []Candidate) (Candidate, bool) {
	h := u.Hint
	if h.CNR != "" {
		p := Pack{Registry: h.CNR}
		if commit := commitOf(h.Ver); commit != "" {
			p.Commit = commit
		} else {
			p.Version = versionOf(h.Ver)
		}
		for _, c := range list {
			if strings.EqualFold(c.Registry, h.CNR) || c.Registry == "" && strings.EqualFold(Name(c.Repo), h.CNR) {
				p.Repo = c.Repo
			}
		}
		return Candidate{Pack: p, Rule: RuleCNR}, true
	}
	repo := h.Repo()
	if repo == "" {
		return Candidate{}, false
	}
	known := in.Map != nil && in.Map.byKey[Key(repo)] != nil
	known = known || slices.ContainsFunc(list, func(c Candidate) bool { return Key(c.Repo) == Key(repo) })
	return Candidate{Pack: Pack{Repo: repo, Commit: commitOf(h.Ver)}, Rule: RuleAux}, known
}

var (
	commitForm  = regexp.MustCompile(`^[0-9a-f]{40}$`)
	versionForm = regexp.MustCompile(`^[0-9]+(\.[0-9A-Za-z.+-]+)?$`)
)

func commitOf(ver string) string {
	if commitForm.MatchString(ver) {
		return ver
	}
	return ""
}

func versionOf(ver string) string {
	if versionForm.MatchString(ver) && len(ver) < 40 {
		return ver
	}
	return ""
}

// candidates joins what map and registry say of a class.
func (in Input) candidates(class string) ([]Candidate, bool) {
	claims, core := in.Map.claims(class)
	list := []Candidate{}
	for _, c := range claims {
		p := c.pack
		list = append(list, Candidate{Pack: Pack{Repo: p.URL}, Title: p.Title, Stars: p.stars, Updated: p.updated, Rule: RuleMap,
			Preempts: c.preempts, exact: c.exact, pattern: c.pattern, signed: c.pattern && p.signed})
	}
	for _, c := range in.Registry[class] {
		i := slices.IndexFunc(list, func(have Candidate) bool { return have.Same(c.Pack) })
		if i < 0 {
			c.Rule, c.exact = RuleRegistry, true
			list = append(list, c)
			continue
		}
		have := &list[i]
		have.Registry, have.Version = c.Registry, c.Version
		have.Preempts = have.Preempts || c.Preempts
		have.Stars = max(have.Stars, c.Stars)
		if have.Inputs == nil {
			have.Inputs = c.Inputs
		}
	}
	return list, core
}

// narrow keeps the candidates with the strongest claim.
func narrow(u Use, list []Candidate) ([]Candidate, string) {
	if len(list) < 2 {
		rule := ""
		if len(list) == 1 && list[0].pattern && !list[0].exact {
			rule = RulePattern
		}
		return list, rule
	}
	for _, step := range []struct {
		rule string
		keep func(Candidate) bool
	}{
		{RulePreemption, func(c Candidate) bool { return c.Preempts }},
		{RulePattern, func(c Candidate) bool { return c.signed && c.exact }},
		{RulePattern, func(c Candidate) bool { return c.signed }},
		{RuleSignature, func(c Candidate) bool { return c.Inputs == nil || fits(u.Inputs, c.Inputs) }},
	} {
		left := slices.DeleteFunc(slices.Clone(list), func(c Candidate) bool { return !step.keep(c) })
		if len(left) == 1 {
			return left, step.rule
		}
		if len(left) > 0 {
			list = left
		}
	}
	return list, ""
}

func fits(used, declared []string) bool {
	for _, name := range used {
		if !slices.Contains(declared, name) {
			return false
		}
	}
	return true
}

// settle places an open class by the packs that are needed anyway.
func settle(q Question, needed []Pack) (Choice, bool) {
	var hit []Candidate
	for _, c := range q.Candidates {
		if c.Rule != RuleAux && slices.ContainsFunc(needed, c.Same) {
			hit = append(hit, c)
		}
	}
	if len(hit) == 1 {
		return Choice{Class: q.Class, Pack: hit[0].Pack, Rule: RuleCover, Candidates: len(q.Candidates)}, true
	}
	return Choice{}, false
}

// suggest orders the candidates of a question: those whose inputs are known to
// fit, then by stars, then the one changed last.
func suggest(u Use, list []Candidate) {
	known := func(c Candidate) int {
		if c.Inputs != nil && fits(u.Inputs, c.Inputs) {
			return 0
		}
		return 1
	}
	slices.SortStableFunc(list, func(a, b Candidate) int {
		return cmp.Or(cmp.Compare(known(a), known(b)), cmp.Compare(b.Stars, a.Stars), cmp.Compare(b.Updated, a.Updated), cmp.Compare(Key(a.Repo), Key(b.Repo)))
	})
}
