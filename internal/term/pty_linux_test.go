package term

import (
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/comfyctl/comfyctl/internal/progress"
)

// terminal opens a pseudo-terminal of 100 columns: what is written to tty is
// read from screen.
func terminal(t *testing.T) (screen, tty *os.File) {
	t.Helper()
	screen, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = screen.Close() })
	if err := unix.IoctlSetPointerInt(int(screen.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(screen.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	tty, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tty.Close() })
	if err := unix.IoctlSetWinsize(int(tty.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 30, Col: 100}); err != nil {
		t.Fatal(err)
	}
	return screen, tty
}

// TestTerminal draws a region on a terminal: it is redrawn in place, leaves
// one line a step, and asks the terminal nothing.
func TestTerminal(t *testing.T) {
	screen, tty := terminal(t)
	con := New(Options{Stdin: tty, Stdout: tty, Stderr: tty, Lookup: lookup("TERM=xterm-256color")})
	if !con.Interactive || !con.Err.Color || con.Err.Width() != 100 {
		t.Fatalf("interactive %v, colour %v, width %d", con.Interactive, con.Err.Color, con.Err.Width())
	}
	seen := make(chan string)
	go func() {
		var b strings.Builder
		buf := make([]byte, 4096)
		for !strings.Contains(b.String(), "the end") {
			n, err := screen.Read(buf)
			b.Write(buf[:n])
			if err != nil && err != io.EOF {
				break
			}
		}
		seen <- b.String()
	}()
	s := con.Steps(false)
	s.Event(progress.Event{Step: "models", State: progress.Running, Item: "a.safetensors", Done: 50e6, Total: 100e6})
	for range 3 {
		time.Sleep(redraw)
		con.Say("a line above")
	}
	s.Event(progress.Event{Step: "models", State: progress.Done, Text: "100MB"})
	s.Close()
	con.Say("the end")
	got := <-seen
	for _, bad := range []string{"\x1b]", "\x1b[6n", "\x1b[c", "38;2", "38;5"} {
		if strings.Contains(got, bad) {
			t.Errorf("the output holds %q: %q", bad, got)
		}
	}
	for _, want := range []string{"a.safetensors", "50%", "\x1b[1A\x1b[J", "a line above", "100MB"} {
		if !strings.Contains(got, want) {
			t.Errorf("the output lacks %q: %q", want, got)
		}
	}
	if last := got[strings.LastIndex(got, "\x1b[J")+3:]; strings.Contains(last, "50%") || !strings.Contains(last, "100MB") {
		t.Errorf("what stays on the screen: %q", last)
	}
	if off := New(Options{Stdin: tty, Stdout: tty, Stderr: tty, Lookup: lookup("CI=true")}); off.Interactive {
		t.Error("CI is asked")
	}
}
