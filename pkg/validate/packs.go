package validate

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/comfyctl/comfyctl/internal/diag"
	"github.com/comfyctl/comfyctl/pkg/service"
)

// Pack is a node pack that could be listed under `nodes:`.
type Pack struct {
	// Repo is its git URL and Ref a commit or tag of it; or Registry is its
	// id@version in the node registry.
	Repo, Ref, Registry string
}

// lines are the pack as an entry of `nodes:`.
func (p Pack) lines() []string {
	if p.Registry != "" {
		return []string{"registry: " + p.Registry}
	}
	list := []string{"repo: " + p.Repo}
	if p.Ref != "" {
		list = append(list, "ref: "+p.Ref)
	}
	return list
}

// packs checks the entries of `nodes:`, and what the lock says of them.
func (l *loader) packs() {
	s := l.plan.Service
	if branch(s.ComfyUI.Version) {
		l.at("/comfyui/version", diag.Diagnostic{Code: "CN001", Severity: diag.SeverityWarning, Message: "`comfyui` follows the branch `" + s.ComfyUI.Version + "`",
			Label: "a branch moves", Help: "write a tag such as " + l.plan.Core.Version + ", or a commit"})
	}
	for i, n := range s.Nodes {
		at := "/nodes/" + itoa(i)
		locked := l.lockedPack(n)
		l.ref(at, n, locked)
		l.install(at, n, locked)
		l.unusedPack(at, n, locked)
	}
	l.collisions()
}

func (l *loader) lockedPack(n service.NodePack) *LockedPack {
	if l.o.Lock == nil {
		return nil
	}
	key := PackKey(n.Repo, n.Registry, n.Path)
	for i := range l.o.Lock.Packs {
		if l.o.Lock.Packs[i].Key == key {
			return &l.o.Lock.Packs[i]
		}
	}
	return nil
}

var commit = regexp.MustCompile(`^[0-9a-f]{40}$`)

// branches are names that people give to branches and hardly to a tag.
var branches = []string{"main", "master", "dev", "develop", "development", "nightly", "trunk", "head", "latest", "stable", "next", "beta", "staging"}

// branch tells the name of a branch. Only a repository can say for certain;
// what looks like a release, a commit or nothing in particular is none.
func branch(ref string) bool {
	return slices.Contains(branches, strings.ToLower(ref)) || strings.Contains(ref, "/") && !strings.HasPrefix(ref, "refs/tags/")
}

// ref checks that an entry names one state of a repository.
func (l *loader) ref(at string, n service.NodePack, locked *LockedPack) {
	d := diag.Diagnostic{Code: "CN001", Severity: diag.SeverityWarning, Label: "a branch moves", Help: "write a commit or a tag"}
	if locked != nil && commit.MatchString(locked.Commit) {
		d.Help = "the lock holds commit " + locked.Commit + "; write `ref: " + locked.Commit + "` to stay there"
	}
	switch {
	case n.Repo != "" && branch(n.Ref):
		d.Message = "node pack `" + n.Repo + "` follows the branch `" + n.Ref + "`"
		if l.plan.Service.Has(at + "/ref") {
			at += "/ref"
		}
	case n.Repo != "" && n.Ref == "" && locked == nil:
		d.Message, d.Label = "node pack `"+n.Repo+"` has no `ref`", "its default branch moves"
	case n.Registry != "" && (strings.HasSuffix(n.Registry, "@latest") || strings.HasSuffix(n.Registry, "@nightly")):
		_, version, _ := strings.Cut(n.Registry, "@")
		d.Message, d.Label, d.Help = "node pack `"+n.Registry+"` has no fixed version", "`"+version+"` moves", "write a version such as @1.2.3"
		at += "/registry"
	default:
		return
	}
	l.at(at, d)
}

// install reports a script that would not run. `install: skip` in the file is
// somebody's decision.
func (l *loader) install(at string, n service.NodePack, locked *LockedPack) {
	if n.Install != "" {
		return
	}
	d := diag.Diagnostic{Code: "CN004", Severity: diag.SeverityWarning, Label: "its install script is skipped", Help: "read the script, then write `install: run` or `install: skip`"}
	switch {
	case locked != nil && len(locked.Install) > 0:
		d.Message = "node pack `" + packName(n) + "` has an install script, which is skipped"
		d.Help += "\nit would: " + strings.Join(locked.Install, "\nit would: ")
	case locked == nil && n.Path != "" && l.hasFile(filepath.Join(n.Path, "install.py")):
		d.Message = "node pack `" + n.Path + "` has an install script, which is skipped"
	default:
		return
	}
	l.at(at, d)
}

func packName(n service.NodePack) string {
	for _, s := range []string{n.Repo, n.Registry} {
		if s != "" {
			return s
		}
	}
	return n.Path
}

// hasFile reports whether a file is there, by its name beside the service file.
func (l *loader) hasFile(name string) bool {
	st, err := os.Stat(l.beside(name))
	return err == nil && !st.IsDir()
}

// beside is where a name of the service file lies on disk.
func (l *loader) beside(name string) string {
	if filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(l.plan.Dir, filepath.FromSlash(name))
}

// unusedPack reports a pack none of whose classes is in a graph. What a pack
// defines is known from the lock, or from its `classes:`.
func (l *loader) unusedPack(at string, n service.NodePack, locked *LockedPack) {
	classes := n.Classes
	if locked != nil {
		classes = slices.Concat(classes, locked.Classes)
	}
	if len(classes) == 0 || len(l.plan.Workflows) < len(l.refs()) {
		return
	}
	for _, c := range classes {
		if l.uses(c) {
			return
		}
	}
	l.at(at, diag.Diagnostic{Code: "CN002", Severity: diag.SeverityWarning, Message: "node pack `" + packName(n) + "` is never used",
		Label: "no graph has one of its " + plural(len(classes), "class", "classes"), Help: "remove it"})
}

// uses reports whether some graph has a node of that class.
func (l *loader) uses(class string) bool {
	for _, w := range l.plan.Workflows {
		for _, n := range w.Graph.Nodes {
			if n.Class == class {
				return true
			}
		}
	}
	return false
}

// collisions reports classes that two packs of the lock define. ComfyUI's own
// are not at risk: it keeps those.
func (l *loader) collisions() {
	if l.o.Lock == nil {
		return
	}
	owned := map[string]bool{}
	for _, n := range l.plan.Service.Nodes {
		for _, c := range n.Classes {
			owned[c] = true
		}
	}
	first := map[string]*LockedPack{}
	for i := range l.o.Lock.Packs {
		p := &l.o.Lock.Packs[i]
		clash := map[*LockedPack][]string{}
		for _, c := range slices.Compact(slices.Sorted(slices.Values(p.Classes))) {
			_, core := l.plan.Core.Class(c)
			switch other := first[c]; {
			case core || owned[c]:
			case other == nil:
				first[c] = p
			default:
				clash[other] = append(clash[other], c)
			}
		}
		for j := range i {
			if other := &l.o.Lock.Packs[j]; clash[other] != nil {
				l.collision(p, other, clash[other])
			}
		}
	}
}

func (l *loader) collision(p, other *LockedPack, classes []string) {
	d := diag.Diagnostic{Code: "CN003", Severity: diag.SeverityWarning, Message: fmt.Sprintf("node packs `%s` and `%s` both define `%s`", other.Name, p.Name, classes[0]),
		Label: "ComfyUI keeps the one that it happens to load last", Help: fmt.Sprintf("say which pack owns it: `classes: [%s]` in its entry of `nodes:`", strings.Join(classes, ", "))}
	if len(classes) > 1 {
		d.Message += fmt.Sprintf(" and %d more", len(classes)-1)
	}
	if slices.ContainsFunc(classes, l.uses) {
		d.Severity = diag.SeverityError
	}
	at, there := l.packAt(p)
	d.Span, d.Pointer = l.plan.Service.At(at), at
	if before, ok := l.packAt(other); ok && there {
		d.Related = []diag.Related{{Span: l.plan.Service.At(before), Label: "the other one"}}
	}
	l.add(d)
}

// packAt is the entry of `nodes:` that a locked pack is for; one that was found
// for a class has none.
func (l *loader) packAt(p *LockedPack) (string, bool) {
	for i, n := range l.plan.Service.Nodes {
		if PackKey(n.Repo, n.Registry, n.Path) == p.Key {
			return "/nodes/" + itoa(i), true
		}
	}
	return "/nodes", false
}
