package term

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"

	"github.com/charmbracelet/lipgloss"
	"github.com/muesli/termenv"
	xterm "golang.org/x/term"

	"github.com/comfyctl/comfyctl/internal/diag"
)

// When says whether colours are used.
type When string

// The values of --color.
const (
	Auto   When = "auto"
	Always When = "always"
	Never  When = "never"
)

// Options make a Console.
type Options struct {
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	// Lookup gives the environment: NO_COLOR, CLICOLOR_FORCE, TERM, LC_ALL,
	// LC_CTYPE, LANG, ACCESSIBLE and CI are looked at.
	Lookup func(name string) (string, bool)
	// Color is Auto unless said otherwise.
	Color When
	// Quiet drops everything but errors from Stderr.
	Quiet bool
	// NoInput makes Interactive false.
	NoInput bool
}

// Console is where a command's words go. Its methods may be called from
// several goroutines.
type Console struct {
	Out, Err *Stream
	// UTF8 is true where symbols can be drawn; words stand in for them elsewhere.
	UTF8 bool
	// Interactive is true where a question can be asked: stdin and stderr are
	// terminals, CI is unset and input was not turned off.
	Interactive bool
	// Quiet drops the story; errors are still written.
	Quiet bool

	in    io.Reader
	env   func(string) string
	color When
	mu    sync.Mutex
	live  *Steps
}

// Stream is one output with its own colours.
type Stream struct {
	w   io.Writer
	r   *lipgloss.Renderer
	TTY bool
	// Color is true where colours are used.
	Color bool
	file  *os.File
}

// New looks at the streams and the environment; it asks the terminal nothing.
func New(o Options) *Console {
	get := func(name string) string {
		if o.Lookup == nil {
			return ""
		}
		v, _ := o.Lookup(name)
		return v
	}
	c := &Console{in: o.Stdin, env: get, color: o.Color, Quiet: o.Quiet}
	c.Out, c.Err = c.stream(o.Stdout), c.stream(o.Stderr)
	c.UTF8 = utf8Locale(get) && get("ACCESSIBLE") == ""
	in, ok := o.Stdin.(*os.File)
	c.Interactive = !o.NoInput && get("CI") == "" && c.Err.TTY && ok && xterm.IsTerminal(int(in.Fd()))
	return c
}

func (c *Console) stream(w io.Writer) *Stream {
	s := &Stream{w: w, r: lipgloss.NewRenderer(io.Discard)}
	if f, ok := w.(*os.File); ok && xterm.IsTerminal(int(f.Fd())) {
		s.TTY, s.file = true, f
	}
	s.Color = c.colored(s.TTY)
	profile := termenv.Ascii
	if s.Color {
		profile = termenv.ANSI
	}
	// Both are set so that the renderer never queries the terminal.
	s.r.SetColorProfile(profile)
	s.r.SetHasDarkBackground(true)
	return s
}

// colored decides for one stream: the flag, then NO_COLOR, CLICOLOR_FORCE,
// TERM=dumb, and at last whether it is a terminal.
func (c *Console) colored(tty bool) bool {
	switch {
	case c.color == Always:
		return true
	case c.color == Never, c.env("NO_COLOR") != "":
		return false
	case c.env("CLICOLOR_FORCE") != "" && c.env("CLICOLOR_FORCE") != "0":
		return true
	case c.env("TERM") == "dumb":
		return false
	}
	return tty
}

// utf8Locale reads the locale as POSIX does: LC_ALL, LC_CTYPE, LANG.
func utf8Locale(get func(string) string) bool {
	for _, name := range []string{"LC_ALL", "LC_CTYPE", "LANG"} {
		if v := get(name); v != "" {
			v = strings.ToLower(v)
			return strings.Contains(v, "utf-8") || strings.Contains(v, "utf8")
		}
	}
	return windows
}

// Width is how many columns the stream has; 80 where that is unknown.
func (s *Stream) Width() int {
	if s.file != nil {
		if w, _, err := xterm.GetSize(int(s.file.Fd())); err == nil && w > 20 {
			return w
		}
	}
	return 80
}

// Height is how many lines the stream has; 24 where that is unknown.
func (s *Stream) Height() int {
	if s.file != nil {
		if _, h, err := xterm.GetSize(int(s.file.Fd())); err == nil && h > 4 {
			return h
		}
	}
	return 24
}

// Write writes to the stream as it is.
func (s *Stream) Write(b []byte) (int, error) { return s.w.Write(b) }

// Roles of text; each has one of the terminal's own sixteen colours.
const (
	Good    = "good"
	Bad     = "error"
	Caution = "warning"
	Note    = "note"
	Dim     = "frame"
	Help    = "help"
	Bold    = "bold"
	Caret   = "caret"
)

// Paint colours text by role, where the stream has colours.
func (s *Stream) Paint(role, text string) string {
	if !s.Color {
		return text
	}
	st := s.r.NewStyle()
	switch role {
	case Good:
		st = st.Foreground(lipgloss.Color("2"))
	case Bad:
		st = st.Foreground(lipgloss.Color("1")).Bold(true)
	case Caution:
		st = st.Foreground(lipgloss.Color("3")).Bold(true)
	case Note, Help:
		st = st.Foreground(lipgloss.Color("6"))
	case Dim:
		st = st.Foreground(lipgloss.Color("8"))
	case Caret:
		st = st.Foreground(lipgloss.Color("1"))
	case Bold:
		st = st.Bold(true)
	default:
		return text
	}
	return st.Inline(true).Render(text)
}

// Mark is a status symbol or its word.
type Mark int

// The marks.
const (
	OK Mark = iota
	Fail
	Warn
	Idle
)

// Mark gives the symbol of a state in its colour, or the word for it.
func (c *Console) Mark(s *Stream, m Mark) string {
	symbol := [...]string{"✓", "✗", "!", "·"}[m]
	if !c.UTF8 {
		symbol = [...]string{"ok", "FAIL", "warn", "-"}[m]
	}
	return s.Paint([...]string{Good, Bad, Caution, Dim}[m], symbol)
}

// Say writes one line of the story to stderr, above the live region if there
// is one. Text from strangers must have gone through diag.Safe.
func (c *Console) Say(format string, args ...any) {
	if c.Quiet {
		return
	}
	c.Alert(format, args...)
}

// Alert is Say for what is written even under --quiet.
func (c *Console) Alert(format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	text := fmt.Sprintf(format, args...)
	if !strings.HasSuffix(text, "\n") {
		text += "\n"
	}
	if c.live == nil || c.live.drawn == 0 {
		fmt.Fprint(c.Err, text)
		return
	}
	// The region is drawn again below the line.
	c.live.erase()
	fmt.Fprint(c.Err, text)
	c.live.draw()
}

// Line writes a marked line of the story: mark, name, text.
func (c *Console) Line(m Mark, name, text string) {
	c.Say("  %s %s %s", c.Mark(c.Err, m), c.Err.Paint(Bold, fmt.Sprintf("%-9s", name)), diag.Safe(text))
}
