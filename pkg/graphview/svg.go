package graphview

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/mattn/go-runewidth"

	"github.com/comfyctl/comfyctl/internal/diag"
)

const (
	charWidth  = 6.7 // of the monospaced 11px font
	lineHeight = 15.0
	headHeight = 22.0
	boxPad     = 10.0
	margin     = 16.0
	maxColumns = 34 // of text in a box
)

// style colours the drawing by the reader's preference. Everything is below
// one class, so that a page can hold the drawing.
const style = `.comfyctl-graph{--bg:#fff;--box:#f7f8fa;--edge:#c4cad4;--ink:#1f2430;--soft:#5c6574;--wire:#9aa3b2;--param:#1d5fc2;--bad:#c0392b;--warn:#9a6700;--out:#1f7a4d}` +
	`@media(prefers-color-scheme:dark){.comfyctl-graph{--bg:#14171d;--box:#1e232c;--edge:#3a4250;--ink:#e6e9ef;--soft:#9aa3b2;--wire:#667080;--param:#7fb0ff;--bad:#ff7b6b;--warn:#e3b341;--out:#5bd197}}` +
	`.comfyctl-graph .bg{fill:var(--bg)}.comfyctl-graph text{font:11px ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace;fill:var(--ink);white-space:pre}` +
	`.comfyctl-graph .h{font-weight:600}.comfyctl-graph .s{fill:var(--soft)}.comfyctl-graph .p{fill:var(--param)}.comfyctl-graph .e{fill:var(--bad)}.comfyctl-graph .w{fill:var(--warn)}.comfyctl-graph .o{fill:var(--out)}` +
	`.comfyctl-graph rect.b{fill:var(--box);stroke:var(--edge)}.comfyctl-graph .error>rect.b{stroke:var(--bad);stroke-width:2}.comfyctl-graph .warning>rect.b{stroke:var(--warn);stroke-width:2}.comfyctl-graph .output>rect.b{stroke:var(--out);stroke-width:2}.comfyctl-graph .missing>rect.b{stroke-dasharray:4 3}` +
	`.comfyctl-graph path{fill:none;stroke:var(--wire);stroke-width:1.5}.comfyctl-graph path.back{stroke:var(--bad);stroke-dasharray:4 3}.comfyctl-graph circle{fill:var(--wire)}`

// row is a line of text in a box; port is the input that a link ends at.
type row struct{ class, text, port string }

// SVG draws the graph in layers from left to right, as one file without
// scripts or references that follows the reader's light or dark scheme.
func (v *View) SVG(w io.Writer) error {
	l := arrange(v)
	rows := v.rows()
	for i := range l.cells {
		if c := &l.cells[i]; c.node >= 0 {
			c.w, c.h = boxSize(rows[c.node])
		}
	}
	l.untangle()
	width, height := l.settle()
	var b strings.Builder
	v.open(&b, width+2*margin, height+2*margin)
	for _, wire := range l.wires {
		v.wire(&b, l, rows, wire)
	}
	for i := range v.Nodes {
		v.box(&b, &l.cells[i], &v.Nodes[i], rows[i])
	}
	b.WriteString("</svg>\n")
	_, err := io.WriteString(w, b.String())
	return err
}

// open writes what comes before the links. Ids are made from the graph, so
// that a page can hold several drawings.
func (v *View) open(b *strings.Builder, width, height float64) {
	sum := sha256.New()
	for _, n := range v.Nodes {
		fmt.Fprintf(sum, "%q %q\n", n.ID, n.Class)
	}
	id := "g" + hex.EncodeToString(sum.Sum(nil)[:4])
	name := v.Name
	if name == "" {
		name = "workflow"
	}
	fmt.Fprintf(b, `<svg xmlns="http://www.w3.org/2000/svg" class="comfyctl-graph" viewBox="0 0 %s %s" width="%s" height="%s" role="img" aria-labelledby="%s-t %s-d">`,
		num(width), num(height), num(width), num(height), id, id)
	fmt.Fprintf(b, "\n<title id=\"%s-t\">Graph of %s</title>\n<desc id=\"%s-d\">%s</desc>\n<style>%s</style>\n<rect class=\"bg\" width=\"100%%\" height=\"100%%\"/>\n",
		id, escape(name), id, escape(v.describe()), style)
}

// describe is the graph in words.
func (v *View) describe() string {
	var list []string
	for i := range v.Nodes {
		if n := &v.Nodes[i]; n.Output {
			list = append(list, n.label())
		}
	}
	text := fmt.Sprintf("%d nodes, %d links", len(v.Nodes), len(v.Links))
	if len(list) > 0 {
		text += "; results come from " + strings.Join(list, ", ")
	}
	return text + "."
}

// rows are the lines of every box: head, title, pack, linked inputs, inputs of
// callers, results, problems.
func (v *View) rows() [][]row {
	rows := make([][]row, len(v.Nodes))
	index := make(map[string]int, len(v.Nodes))
	for i := range v.Nodes {
		n := &v.Nodes[i]
		index[n.ID] = i
		head := n.ID + " " + n.Class
		if n.Missing {
			head = n.ID + " is missing"
		}
		rows[i] = append(rows[i], row{"h", head, ""})
		if n.Title != "" && n.Title != n.Class {
			rows[i] = append(rows[i], row{"s", n.Title, ""})
		}
		if n.Pack != "" {
			rows[i] = append(rows[i], row{"s", "from " + n.Pack, ""})
		}
	}
	for _, l := range v.Links {
		at := index[l.To]
		rows[at] = append(rows[at], row{"", l.Input, l.Input})
	}
	for i := range v.Nodes {
		n := &v.Nodes[i]
		for _, p := range n.Params {
			rows[i] = append(rows[i], row{"p", p.Input + " ▸ " + p.Name, ""})
		}
		for _, r := range n.Results {
			rows[i] = append(rows[i], row{"o", "▸ " + r, ""})
		}
		for _, p := range n.Problems {
			if p.Severity != diag.SeverityNote {
				rows[i] = append(rows[i], row{string(p.Severity)[:1], p.Code, ""})
			}
		}
	}
	return rows
}

func boxSize(rows []row) (w, h float64) {
	columns := 8
	for _, r := range rows {
		columns = max(columns, runewidth.StringWidth(fit(r.text)))
	}
	return float64(columns)*charWidth + 2*boxPad, headHeight + float64(len(rows)-1)*lineHeight + 8
}

// fit cuts text to the width of a box.
func fit(s string) string { return runewidth.Truncate(oneLine(s), maxColumns, "…") }

func (v *View) box(b *strings.Builder, c *cell, n *Node, rows []row) {
	class := "node"
	if p := n.worst(); p != nil {
		class += " " + string(p.Severity)
	}
	if n.Missing {
		class += " missing error"
	}
	if n.Output {
		class += " output"
	}
	x, y := margin+c.x, margin+c.y
	fmt.Fprintf(b, "<g class=\"%s\" data-node=\"%s\"><title>%s</title><rect class=\"b\" x=\"%s\" y=\"%s\" width=\"%s\" height=\"%s\" rx=\"6\"/>", class, escape(n.ID), escape(v.tip(n)), num(x), num(y), num(c.w), num(c.h))
	for i, r := range rows {
		attr := ""
		if r.class != "" {
			attr = ` class="` + r.class + `"`
		}
		fmt.Fprintf(b, "<text%s x=\"%s\" y=\"%s\">%s</text>", attr, num(x+boxPad), num(y+rowY(i)+4), escape(fit(r.text)))
		if r.port != "" {
			fmt.Fprintf(b, "<circle cx=\"%s\" cy=\"%s\" r=\"2.5\"/>", num(x), num(y+rowY(i)))
		}
	}
	b.WriteString("</g>\n")
}

// rowY is the middle of a row below the top of its box.
func rowY(i int) float64 {
	if i == 0 {
		return headHeight/2 + 1
	}
	return headHeight + float64(i)*lineHeight - lineHeight/2
}

// tip is what a pointer over the box shows: nothing is cut there.
func (v *View) tip(n *Node) string {
	list := []string{n.label()}
	for _, p := range n.Problems {
		list = append(list, fmt.Sprintf("%s %s: %s", p.Severity, p.Code, p.Message))
	}
	return strings.Join(list, "\n")
}

// wire draws a link from the head of its box through its waypoints to the row
// of the input.
func (v *View) wire(b *strings.Builder, l *layout, rows [][]row, w wire) {
	link := v.Links[w.link]
	from, to := &l.cells[w.from], &l.cells[w.to]
	x, y := margin+from.x+from.w, margin+from.y+rowY(0)
	endX, endY := margin+to.x, margin+to.y+rowY(portRow(rows[w.to], link.Input))
	var d strings.Builder
	fmt.Fprintf(&d, "M%s %s", num(x), num(y))
	curve := func(nx, ny float64) {
		bend := max(20, (nx-x)/2)
		if nx < x {
			bend = 60
		}
		fmt.Fprintf(&d, "C%s %s %s %s %s %s", num(x+bend), num(y), num(nx-bend), num(ny), num(nx), num(ny))
		x, y = nx, ny
	}
	for _, at := range w.via {
		c := &l.cells[at]
		curve(margin+c.x, margin+c.y)
		x = margin + c.x + c.w
		fmt.Fprintf(&d, "H%s", num(x))
	}
	curve(endX, endY)
	class := ""
	if w.back {
		class = ` class="back"`
	}
	name := link.From + " → " + link.To + " " + link.Input
	if link.Type != "" {
		name += " (" + link.Type + ")"
	}
	fmt.Fprintf(b, "<path%s d=\"%s\"><title>%s</title></path>\n", class, d.String(), escape(name))
}

func portRow(rows []row, port string) int {
	for i, r := range rows {
		if r.port == port {
			return i
		}
	}
	return 0
}

// num writes a length with at most one decimal.
func num(f float64) string {
	return strings.TrimSuffix(strconv.FormatFloat(f, 'f', 1, 64), ".0")
}

// escape makes a stranger's text fit for XML, attributes included.
func escape(s string) string {
	var b strings.Builder
	// A strings.Builder takes every write.
	_ = xml.EscapeText(&b, []byte(diag.Safe(s)))
	return b.String()
}
