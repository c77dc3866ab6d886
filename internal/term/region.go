package term

import (
	"fmt"
	"strings"
	"time"

	"github.com/docker/go-units"
	"github.com/mattn/go-runewidth"

	"github.com/comfyctl/comfyctl/internal/diag"
	"github.com/comfyctl/comfyctl/internal/progress"
)

const (
	eraseDown = "\x1b[J"
	lineStart = "\r"
	stepWidth = 9  // columns of a step's name
	timeAt    = 72 // where the elapsed time of a line ends
	barWidth  = 20
)

// erase removes the region from the screen. The lock is held.
func (s *Steps) erase() {
	if s.drawn == 0 {
		return
	}
	fmt.Fprintf(s.c.Err, "%s\x1b[%dA%s", lineStart, s.drawn, eraseDown)
	s.drawn = 0
}

// draw puts the region on the screen: what runs, at most as many lines as fit.
// The lock is held.
func (s *Steps) draw() {
	if !s.animated() {
		return
	}
	limit := max(1, s.c.Err.Height()-2)
	now := s.now()
	var b strings.Builder
	for i, st := range s.steps {
		if i == limit {
			break
		}
		b.WriteString(s.line(st, now) + "\n")
		s.drawn++
	}
	fmt.Fprint(s.c.Err, b.String())
}

var wheel = [...]string{"◐", "◓", "◑", "◒"}

// line is one step in one line that never wraps.
func (s *Steps) line(st *step, now time.Time) string {
	con := s.c
	mark := con.Mark(con.Err, Idle)
	switch st.state {
	case progress.Done, progress.Cached:
		mark = con.Mark(con.Err, OK)
	case progress.Warned:
		mark = con.Mark(con.Err, Warn)
	case progress.Failed:
		mark = con.Mark(con.Err, Fail)
	case progress.Running:
		if con.UTF8 {
			mark = wheel[int(now.Sub(s.began)/(2*redraw))%len(wheel)]
		}
	}
	text := facts(st.last)
	took := fmt.Sprintf("%.1fs", now.Sub(st.began).Seconds())
	switch st.state {
	case progress.Cached:
		took = "cached"
	case progress.Running:
		took = ""
		if st.last.Total > 0 {
			text = con.bar(st.last) + strings.TrimSuffix(st.rate.text(st.last), "\n")
		}
	}
	width := min(con.Err.Width()-1, 100)
	room := width - stepWidth - 5
	end := min(timeAt, width) - stepWidth - 5 - len(took)
	if took != "" {
		room = max(end-1, 10)
	}
	text = runewidth.Truncate(text, room, "…")
	if took != "" {
		text += strings.Repeat(" ", max(1, end-runewidth.StringWidth(text))) + con.Err.Paint(Dim, took)
	}
	name := con.Err.Paint(Bold, runewidth.FillRight(runewidth.Truncate(diag.Safe(st.name), stepWidth, "…"), stepWidth))
	return "  " + mark + " " + name + " " + text
}

// bar draws an item's name, how far it is, and the numbers.
func (c *Console) bar(e progress.Event) string {
	full, empty := "━", "─"
	if !c.UTF8 {
		full, empty = "#", "-"
	}
	part := min(1, float64(e.Done)/float64(e.Total))
	n := int(part*barWidth + 0.5)
	name := ""
	if e.Item != "" {
		name = diag.Safe(e.Item) + "  "
	}
	if e.Unit == "%" {
		return name + strings.Repeat(full, n) + strings.Repeat(empty, barWidth-n) + fmt.Sprintf(" %.0f%%", part*100)
	}
	return name + strings.Repeat(full, n) + strings.Repeat(empty, barWidth-n) + fmt.Sprintf(" %.0f%%  %s", part*100, amount(e))
}

// facts puts an event in words: item, percent, amount, text.
func facts(e progress.Event) string {
	var f []string
	if e.Item != "" {
		f = append(f, diag.Safe(e.Item))
	}
	if e.Total > 0 && e.State == progress.Running {
		f = append(f, fmt.Sprintf("%d%%", min(100, e.Done*100/e.Total)))
		if e.Unit != "%" {
			f = append(f, amount(e))
		}
	}
	if e.Text != "" {
		f = append(f, diag.Safe(e.Text))
	}
	return strings.Join(f, " ")
}

func amount(e progress.Event) string {
	if e.Unit != "" {
		return fmt.Sprintf("%d/%d %s", e.Done, e.Total, e.Unit)
	}
	return units.HumanSize(float64(e.Done)) + "/" + units.HumanSize(float64(e.Total))
}

// rate is how fast an item goes, over the last seconds.
type rate struct {
	item string
	at   time.Time
	done int64
	per  float64 // a second
}

func (r *rate) add(now time.Time, e progress.Event) {
	if e.Item != r.item || r.at.IsZero() || e.Done < r.done {
		*r = rate{item: e.Item, at: now, done: e.Done}
		return
	}
	if d := now.Sub(r.at); d >= time.Second {
		speed := float64(e.Done-r.done) / d.Seconds()
		if r.per == 0 {
			r.per = speed
		}
		r.per = 0.7*r.per + 0.3*speed
		r.at, r.done = now, e.Done
	}
}

// text is the speed and the time left, where they are known.
func (r *rate) text(e progress.Event) string {
	if r.per <= 0 || e.Total <= 0 {
		return ""
	}
	left := time.Duration(float64(e.Total-e.Done) / r.per * float64(time.Second)).Round(time.Second)
	if e.Unit != "" {
		return fmt.Sprintf("  %s left", left)
	}
	return fmt.Sprintf("  %s/s  %s left", units.HumanSize(r.per), left)
}
