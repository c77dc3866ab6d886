package lock

import (
	"cmp"
	"encoding/json"
	"slices"
	"strings"
)

// Change is one difference between two locks, or between a lock and what is
// asked for.
type Change struct {
	// Path names the thing: comfyui, nodes.rgthree-comfy, wheels.numpy.
	Path string `json:"path"`
	// From and To are short texts; empty means that it is not there.
	From string `json:"from"`
	To   string `json:"to"`
}

// Diff lists what a new lock changes, sorted by path. Old may be nil.
func Diff(old, now *Lock) []Change {
	if old == nil {
		old = &Lock{}
	}
	var list []Change
	add := func(path, from, to string) {
		if from == to {
			return
		}
		c := Change{path, shown(from), shown(to)}
		if c.From == c.To {
			c.To += ", other facts"
		}
		list = append(list, c)
	}
	add("platform", old.Platform, now.Platform)
	add("comfyui", old.ComfyUI.text(), now.ComfyUI.text())
	add("base", old.Base.text(), now.Base.text())
	add("python", old.Python.text(), now.Python.text())
	each(old.System, now.System, func(s string) (string, string) { return "system." + s, "asked for" }, add)
	each(old.Wheels, now.Wheels, func(w Wheel) (string, string) { return "wheels." + w.Name, wheelText(w) }, add)
	each(old.Nodes, now.Nodes, func(n Node) (string, string) { return "nodes." + n.Dir, n.text() }, add)
	each(old.Models, now.Models, func(m Model) (string, string) { return "models." + m.Path, m.text() }, add)
	slices.SortStableFunc(list, func(a, b Change) int { return cmp.Compare(rankOf(a.Path), rankOf(b.Path)) })
	return list
}

// rankOf keeps the order of the file.
func rankOf(path string) int {
	head, _, _ := strings.Cut(path, ".")
	return slices.Index([]string{"platform", "comfyui", "base", "python", "system", "nodes", "wheels", "models"}, head)
}

func each[T any](old, now []T, entry func(T) (string, string), add func(path, from, to string)) {
	was, is := map[string]string{}, map[string]string{}
	var paths []string
	for _, v := range old {
		p, text := entry(v)
		was[p] = text
		paths = append(paths, p)
	}
	for _, v := range now {
		p, text := entry(v)
		is[p] = text
		paths = append(paths, p)
	}
	slices.Sort(paths)
	for _, p := range slices.Compact(paths) {
		add(p, was[p], is[p])
	}
}

func short(hash string) string { return hash[:min(len(hash), 7)] }

func (c ComfyUI) text() string {
	if c.Tree == "" {
		return ""
	}
	return strings.TrimSpace(c.Ref + " → " + short(cmp.Or(c.Commit, c.Tree)))
}

func (b Base) text() string {
	return strings.TrimSpace(b.Image + " " + short(strings.TrimPrefix(b.Digest, "sha256:")))
}

func (p Python) text() string {
	if p.Version == "" {
		return ""
	}
	return strings.TrimSpace(p.Version + " torch " + p.Torch + " " + strings.Join(p.Asked, " "))
}

func wheelText(w Wheel) string { return w.Version + " " + short(w.SHA256) }

// text says what a pack is pinned to. What else changed shows as "changed".
func (n Node) text() string {
	pin := short(cmp.Or(n.Commit, n.SHA256, n.Tree))
	if n.Version != "" {
		pin = n.Version + " " + pin
	}
	rest := n
	rest.Commit, rest.SHA256, rest.Tree, rest.Version = "", "", "", ""
	b, err := json.Marshal(rest)
	if err != nil {
		return pin
	}
	return pin + detail(string(b))
}

// detail is a tail that makes texts of different facts differ; nobody sees it.
func detail(s string) string { return "\x00" + s }

func shown(text string) string {
	text, _, _ = strings.Cut(text, "\x00")
	return text
}

func (m Model) text() string {
	b, err := json.Marshal([]any{m.Sources, m.Auth, m.Load})
	if err != nil {
		return short(m.SHA256)
	}
	return cmp.Or(short(m.SHA256), "no hash") + detail(string(b))
}
