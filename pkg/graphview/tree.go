package graphview

import (
	"bufio"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/comfyctl/comfyctl/internal/diag"
)

// TreeStyle says how a tree is drawn.
type TreeStyle struct {
	// ASCII draws without box characters and arrows.
	ASCII bool
	// Paint colours text by role: error, warning, note, frame, bold. Nil paints
	// nothing.
	Paint func(role, text string) string
}

// signs are the characters of a tree.
type signs struct{ branch, last, pipe, from, to, err, warn string }

var (
	unicodeSigns = signs{"├─ ", "└─ ", "│  ", "←", "▸", "✗", "!"}
	asciiSigns   = signs{"|- ", "`- ", "|  ", "<-", ">", "x", "!"}
)

// gap stands between a node and its marks.
const gap = "          "

// Tree writes the graph as a tree: what nobody takes from is at the root, what
// a node takes from hangs below it. A node that several take from is drawn
// once; later ones refer to it.
func (v *View) Tree(w io.Writer, st TreeStyle) error {
	t := &tree{v: v, s: unicodeSigns, paint: st.Paint, w: bufio.NewWriter(w), index: map[string]*Node{}, links: map[string][]Link{}, drawn: map[string]bool{}, open: map[string]bool{}}
	if st.ASCII {
		t.s = asciiSigns
	}
	if t.paint == nil {
		t.paint = func(_, text string) string { return text }
	}
	taken := map[string]bool{}
	for i := range v.Nodes {
		t.index[v.Nodes[i].ID] = &v.Nodes[i]
	}
	for _, l := range v.Links {
		t.links[l.To] = append(t.links[l.To], l)
		taken[l.From] = true
	}
	for _, list := range t.links {
		slices.SortStableFunc(list, func(a, b Link) int { return strings.Compare(a.Input, b.Input) })
	}
	for _, root := range v.Nodes {
		if !taken[root.ID] {
			t.root(root.ID)
		}
	}
	// What is left lies on cycles or behind them.
	for _, n := range v.Nodes {
		if !t.drawn[n.ID] {
			t.root(n.ID)
		}
	}
	return t.w.Flush()
}

type tree struct {
	v     *View
	s     signs
	paint func(role, text string) string
	w     *bufio.Writer
	index map[string]*Node
	links map[string][]Link
	drawn map[string]bool
	open  map[string]bool // on the way from the root to here
}

func (t *tree) root(id string) {
	t.line("", "", id)
	t.below(id, "")
}

func (t *tree) below(id, prefix string) {
	t.drawn[id], t.open[id] = true, true
	defer delete(t.open, id)
	list := t.links[id]
	for i, l := range list {
		branch, next := t.s.branch, t.s.pipe
		if i == len(list)-1 {
			branch, next = t.s.last, "   "
		}
		head := t.paint("frame", prefix+branch) + diag.Safe(l.Input) + " " + t.paint("frame", t.s.from) + " "
		switch {
		case t.open[l.From]:
			t.line(head, "  "+t.paint("error", "(cycle)"), l.From)
		case t.drawn[l.From]:
			t.line(head, "  "+t.paint("frame", "(above)"), l.From)
		default:
			t.line(head, "", l.From)
			t.below(l.From, prefix+next)
		}
	}
}

// line writes one node. A reference to one that is drawn elsewhere has no
// marks.
func (t *tree) line(head, reference, id string) {
	n := t.index[id]
	text := diag.Safe(n.label())
	if n.Missing {
		text = t.paint("error", text)
	}
	if reference == "" {
		if marks := t.marks(n); len(marks) > 0 {
			reference = gap + strings.Join(marks, "  ")
		}
	}
	// A failed write shows when the buffer is flushed.
	_, _ = fmt.Fprintln(t.w, strings.ReplaceAll(head+text+reference, "\t", " "))
}

func (t *tree) marks(n *Node) []string {
	var list []string
	for _, p := range n.Params {
		list = append(list, t.paint("note", diag.Safe(p.Input+t.s.to+p.Name)))
	}
	if n.Pack != "" {
		list = append(list, t.paint("frame", "["+diag.Safe(n.Pack)+"]"))
	}
	var seen []string
	for _, p := range n.Problems {
		sign := t.s.warn
		if p.Severity == diag.SeverityError {
			sign = t.s.err
		}
		if text := sign + " " + p.Code; p.Severity != diag.SeverityNote && !slices.Contains(seen, text) {
			seen = append(seen, text)
			list = append(list, t.paint(string(p.Severity), text))
		}
	}
	return list
}
