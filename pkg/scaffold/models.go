package scaffold

import (
	"fmt"
	"path"
	"slices"
	"sort"
	"strings"

	"github.com/comfyctl/comfyctl/pkg/catalog"
	"github.com/comfyctl/comfyctl/pkg/hardware"
	"github.com/comfyctl/comfyctl/pkg/scaffold/from"
	"github.com/comfyctl/comfyctl/pkg/workflow"
)

// needed lists the model files that the graph names, once each.
func (w *writer) needed() []string {
	var list []string
	for _, n := range w.g.Nodes {
		for _, in := range n.Inputs {
			if in.Link != nil || in.Kind != workflow.String || in.Text == "" {
				continue
			}
			for _, file := range catalog.ModelFiles(n.Class, in.Name, in.Text) {
				if !slices.Contains(list, file) {
					list = append(list, file)
				}
			}
		}
	}
	return list
}

// models lists what the graph needs, then what else came with the service.
func (w *writer) models() {
	w.strangers()
	w.report.Models = w.needed()
	if len(w.report.Models) == 0 && !slices.ContainsFunc(w.from.Models, w.wanted) {
		w.spare()
		w.unplaced()
		return
	}
	w.line("")
	w.line("models:")
	for _, p := range w.report.Models {
		m := w.known(p)
		if len(m.Sources) == 0 && w.o.SourceOf != nil {
			if s := w.o.SourceOf(p); s != "" {
				m.Sources = []string{s}
			}
		}
		w.model(p, m)
	}
	for _, m := range w.from.Models {
		if w.wanted(m) && !w.listed(m) {
			w.report.Models = append(w.report.Models, m.Path)
			w.model(m.Path, m)
		}
	}
	w.spare()
	w.unplaced()
}

// unplaced shows the files that nodes of packs name: their folders are not
// known here.
func (w *writer) unplaced() {
	var lines []string
	for _, n := range w.g.Nodes {
		if !slices.Contains(w.report.Nodes, n.Class) {
			continue
		}
		for _, in := range n.Inputs {
			base := path.Base(strings.ReplaceAll(in.Text, `\`, "/"))
			if in.Kind != workflow.String || strings.Contains(in.Name, "prefix") || !hardware.WeightsFile(in.Text) ||
				slices.ContainsFunc(w.report.Models, func(have string) bool { return path.Base(have) == base }) {
				continue
			}
			if l := oneLine(fmt.Sprintf("#   %s   (%s of node %s, %s)", in.Text, in.Name, n.ID, n.Class)); !slices.Contains(lines, l) {
				lines = append(lines, l)
			}
		}
	}
	if len(lines) == 0 {
		return
	}
	w.line("# Nodes of packs name these files; list each under `models:` with its folder and source:")
	for _, l := range lines {
		w.line("%s", l)
	}
	w.todo("folder and source of " + count(len(lines), "file") + " that nodes of packs name")
}

func (w *writer) model(p string, m from.Model) {
	if len(m.Sources) == 0 {
		w.line("  - path: %s   # TODO: source, where the file comes from", scalar(p))
		w.todo("source of " + p)
	} else {
		w.line("  - path: %s", scalar(p))
	}
	switch len(m.Sources) {
	case 0:
	case 1:
		w.line("    source: %s", scalar(m.Sources[0]))
	default:
		w.line("    source:")
		for _, s := range m.Sources {
			w.line("      - %s", scalar(s))
		}
	}
	if m.SHA256 != "" {
		w.line("    sha256: %s", scalar(m.SHA256))
	}
}

// known is what came with the service about a model that the graph needs.
func (w *writer) known(need string) from.Model {
	for _, m := range w.from.Models {
		if catalog.SameFile(m.Path, need) {
			return m
		}
	}
	return from.Model{}
}

func (w *writer) listed(m from.Model) bool {
	return slices.ContainsFunc(w.report.Models, func(need string) bool { return catalog.SameFile(m.Path, need) })
}

// wanted says whether a model that came along belongs to this graph: a node
// names it, or a pack may, whose loaders are not known.
func (w *writer) wanted(m from.Model) bool {
	if w.listed(m) {
		return true
	}
	base := path.Base(m.Path)
	for _, n := range w.g.Nodes {
		for _, in := range n.Inputs {
			if in.Kind == workflow.String && strings.HasSuffix(strings.ReplaceAll(in.Text, `\`, "/"), base) || in.Kind == workflow.Object && strings.Contains(string(in.Raw), base) {
				return true
			}
		}
	}
	return len(w.report.Nodes) > 0 && !m.Unused
}

// spare reports the models that were left out.
func (w *writer) spare() {
	var names []string
	for _, m := range w.from.Models {
		if !w.wanted(m) {
			names = append(names, m.Path)
		}
	}
	if len(names) > 0 {
		w.lose("the workflow names none of them", count(len(names), "model")+": "+short(names))
	}
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// short lists the first few.
func short(list []string) string {
	if len(list) > 4 {
		return strings.Join(list[:4], ", ") + " …"
	}
	return strings.Join(list, ", ")
}

// strangers finds the classes that are not ComfyUI's own.
func (w *writer) strangers() {
	for _, n := range w.g.Nodes {
		if _, ok := w.c.Class(n.Class); !ok && n.Class != "" && !slices.Contains(w.report.Nodes, n.Class) {
			w.report.Nodes = append(w.report.Nodes, n.Class)
		}
	}
	sort.Strings(w.report.Nodes)
}

func (w *writer) nodes() {
	var packs []string
	for _, p := range w.packs() {
		packs = append(packs, packName(p))
	}
	if len(w.report.Nodes) == 0 {
		if len(packs) > 0 {
			w.lose("all nodes of the workflow are ComfyUI's own", count(len(packs), "node pack")+": "+short(packs))
		}
		return
	}
	w.line("")
	if len(packs) > 0 {
		w.report.Packs = packs
		w.line("# The packs that came along; these node classes are theirs or are missing:")
	} else {
		w.line("# These node classes are not part of ComfyUI; list the packs that have them:")
	}
	for _, c := range w.report.Nodes {
		w.line("#   %s", oneLine(c))
	}
	if len(packs) == 0 {
		w.line("# nodes:")
		w.line("#   - repo: https://github.com/OWNER/PACK")
		w.line("#     ref: COMMIT")
		w.todo("node packs of " + strings.Join(w.report.Nodes, ", "))
		return
	}
	w.line("nodes:")
	for _, p := range w.packs() {
		switch {
		case p.Repo == "":
			w.line("  - registry: %s", scalar(packName(p)))
		case p.Ref == "":
			w.line("  - repo: %s", scalar(p.Repo))
		default:
			w.line("  - repo: %s", scalar(p.Repo))
			w.line("    ref: %s", scalar(p.Ref))
		}
	}
}

// packs are those that came along, without the ones whose only nodes were
// taken out of the graph.
func (w *writer) packs() (list []from.Pack) {
	for _, p := range w.from.Packs {
		needed := len(p.Marks) == 0
		for _, c := range w.report.Nodes {
			needed = needed || slices.ContainsFunc(p.Marks, func(m string) bool { return strings.HasPrefix(c, m) })
		}
		if needed {
			list = append(list, p)
		}
	}
	return list
}

func packName(p from.Pack) string {
	switch {
	case p.Repo != "":
		return p.Repo
	case p.Version != "":
		return p.Registry + "@" + p.Version
	}
	return p.Registry
}

// packages writes what else is to be installed.
func (w *writer) packages() {
	for _, list := range []struct {
		key   string
		names []string
	}{{"system_packages", w.from.System}, {"python_packages", w.from.Packages}} {
		if len(list.names) == 0 {
			continue
		}
		w.line("")
		w.line("%s:", list.key)
		for _, n := range list.names {
			w.line("  - %s", scalar(n))
		}
	}
}
