package diag

import (
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/mattn/go-runewidth"
)

// Style says how findings are drawn. The zero Style is plain text.
type Style struct {
	// Paint colours text by role: error, warning, note, frame, help, bold. Nil
	// paints nothing.
	Paint func(role, text string) string
	// Width is how many columns a source line may take; 0 means 100.
	Width int
	// Max is how many findings are drawn; 0 means 20, below 0 all.
	Max int
}

func (s Style) paint(role, text string) string {
	if s.Paint == nil {
		return text
	}
	return s.Paint(role, text)
}

// Render writes findings as frames: headline, place, source line, caret, help.
// src gives the bytes of a file, or nil where they are not at hand.
func Render(w io.Writer, list []Diagnostic, src func(file string) []byte, st Style) error {
	limit := st.Max
	if limit == 0 {
		limit = 20
	}
	for i, d := range list {
		if limit > 0 && i == limit {
			_, err := fmt.Fprintf(w, "… and %d more (`-o json` has all)\n\n", len(list)-i)
			return err
		}
		var b strings.Builder
		render(&b, &d, src, st)
		b.WriteByte('\n')
		if _, err := io.WriteString(w, b.String()); err != nil {
			return err
		}
	}
	return nil
}

func render(b *strings.Builder, d *Diagnostic, src func(string) []byte, st Style) {
	head := string(d.Severity)
	if d.Code != "" {
		head += "[" + d.Code + "]"
	}
	fmt.Fprintf(b, "%s%s\n", st.paint(string(d.Severity), head), st.paint("bold", ": "+Safe(d.Message)))
	gutter := gutterOf(d)
	frame(b, d.Span, d.Label, '^', gutter, src, st)
	for _, r := range d.Related {
		frame(b, r.Span, r.Label, '-', gutter, src, st)
	}
	pad := strings.Repeat(" ", gutter)
	note := func(key, value string) {
		lines := strings.Split(strings.TrimRight(Safe(value), "\n"), "\n")
		fmt.Fprintf(b, "%s %s %s\n", pad, st.paint("frame", "="), st.paint("help", key+":")+" "+lines[0])
		for _, l := range lines[1:] {
			fmt.Fprintf(b, "%s   %s%s\n", pad, strings.Repeat(" ", len(key)+2), l)
		}
	}
	if n := d.Node; n != nil {
		text := n.ID
		if n.Class != "" {
			text += " " + n.Class
		}
		if n.Title != "" && n.Title != n.Class {
			text += " " + strconv.Quote(n.Title)
		}
		note("node", text)
	}
	if d.Help != "" {
		note("help", d.Help)
	}
	if d.Fix != nil && d.Fix.Safe {
		note("fix", d.Fix.Title+" (`comfyctl validate --fix`)")
	}
	if d.Code != "" {
		note("more", "comfyctl help "+d.Code)
	}
}

// gutterOf is the width of the line numbers of all places of a finding.
func gutterOf(d *Diagnostic) int {
	last := d.Start.Line
	for _, r := range d.Related {
		last = max(last, r.Start.Line)
	}
	return len(strconv.Itoa(last))
}

// frame writes one place.
func frame(b *strings.Builder, s Span, label string, mark rune, gutter int, src func(string) []byte, st Style) {
	if s.File == "" {
		return
	}
	pad := strings.Repeat(" ", gutter)
	if s.Start.Line == 0 {
		fmt.Fprintf(b, "%s%s %s\n", pad, st.paint("frame", "-->"), Safe(s.File))
		return
	}
	num := fmt.Sprintf("%*d", gutter, s.Start.Line)
	column := ""
	if s.Start.Column > 0 {
		column = ":" + strconv.Itoa(s.Start.Column)
	}
	fmt.Fprintf(b, "%s%s %s:%d%s\n", pad, st.paint("frame", "-->"), Safe(s.File), s.Start.Line, column)
	var text []byte
	if src != nil {
		text = src(s.File)
	}
	line, ok := lineOf(text, s.Start.Line)
	if !ok {
		return
	}
	from := min(max(s.Start.Column-1, 0), len(line))
	to := len(line)
	if s.End.Line == s.Start.Line && s.End.Column > 0 {
		to = min(max(s.End.Column-1, from), len(line))
	}
	line, from, to = window(line, from, to, st.Width)
	shown := []rune(Safe(strings.ReplaceAll(string(line), "\t", " ")))
	before := runewidth.StringWidth(string(shown[:min(from, len(shown))]))
	carets := max(1, runewidth.StringWidth(string(shown[min(from, len(shown)):min(to, len(shown))])))
	bar := st.paint("frame", "|")
	fmt.Fprintf(b, "%s %s\n", pad, bar)
	fmt.Fprintf(b, "%s %s %s\n", st.paint("frame", num), bar, strings.TrimRight(string(shown), " \r"))
	if s.Start.Column == 0 { // nobody knows where on the line
		fmt.Fprintf(b, "%s %s\n", pad, bar)
		return
	}
	point := strings.Repeat(string(mark), carets)
	if label != "" {
		point += " " + Safe(label)
	}
	fmt.Fprintf(b, "%s %s %s%s\n", pad, bar, strings.Repeat(" ", before), st.paint("caret", point))
	fmt.Fprintf(b, "%s %s\n", pad, bar)
}

// lineOf gives the characters of a 1-based line.
func lineOf(src []byte, line int) ([]rune, bool) {
	if src == nil {
		return nil, false
	}
	from := Offset(src, line, 1)
	rest := string(src[from:])
	if i := strings.IndexByte(rest, '\n'); i >= 0 {
		rest = rest[:i]
	}
	return []rune(strings.TrimSuffix(rest, "\r")), true
}

// window cuts a long line around [from, to), with … where something is left
// out, so that a workflow exported as one line can be shown.
func window(line []rune, from, to, width int) ([]rune, int, int) {
	if width <= 0 {
		width = 100
	}
	if len(line) <= width {
		return line, from, to
	}
	to = min(to, from+width/2)
	start := max(0, from-(width-(to-from))/2)
	end := min(len(line), start+width)
	start = max(0, end-width)
	cut := append([]rune{}, line[start:end]...)
	if start > 0 {
		cut[0] = '…'
	}
	if end < len(line) {
		cut[len(cut)-1] = '…'
	}
	return cut, from - start, to - start
}
