package term

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/comfyctl/comfyctl/internal/progress"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func lookup(kv ...string) func(string) (string, bool) {
	env := map[string]string{"LANG": "C.UTF-8"}
	for _, e := range kv {
		k, v, _ := strings.Cut(e, "=")
		env[k] = v
	}
	return func(name string) (string, bool) { v, ok := env[name]; return v, ok }
}

func TestColours(t *testing.T) {
	for _, c := range []struct {
		env  []string
		when When
		want bool
	}{
		{nil, Auto, false}, // not a terminal
		{nil, Always, true},
		{[]string{"CLICOLOR_FORCE=1"}, Auto, true},
		{[]string{"CLICOLOR_FORCE=0"}, Auto, false},
		{[]string{"CLICOLOR_FORCE=1", "NO_COLOR=1"}, Auto, false},
		{[]string{"NO_COLOR=", "CLICOLOR_FORCE=1"}, Auto, true},
		{[]string{"NO_COLOR=1"}, Always, true}, // the flag wins
		{[]string{"CLICOLOR_FORCE=1"}, Never, false},
	} {
		con := New(Options{Stdout: &bytes.Buffer{}, Stderr: &bytes.Buffer{}, Lookup: lookup(c.env...), Color: c.when})
		if got := con.Out.Color; got != c.want {
			t.Errorf("%v %s: colour %v", c.env, c.when, got)
		}
		painted := con.Out.Paint(Bad, "x")
		if (painted != "x") != c.want || strings.Contains(painted, "38;") {
			t.Errorf("%v %s: %q; only the sixteen colours are used", c.env, c.when, painted)
		}
	}
}

func TestMarks(t *testing.T) {
	for _, c := range []struct {
		env  string
		want string
	}{{"LANG=C.UTF-8", "✓✗!·"}, {"LANG=C", "okFAILwarn-"}, {"LC_ALL=POSIX", "okFAILwarn-"}, {"ACCESSIBLE=1", "okFAILwarn-"}} {
		con := New(Options{Stdout: &bytes.Buffer{}, Stderr: &bytes.Buffer{}, Lookup: lookup(c.env)})
		got := con.Mark(con.Out, OK) + con.Mark(con.Out, Fail) + con.Mark(con.Out, Warn) + con.Mark(con.Out, Idle)
		if got != c.want {
			t.Errorf("%s: %s", c.env, got)
		}
	}
}

func TestNeverInteractiveOffTerminal(t *testing.T) {
	con := New(Options{Stdin: strings.NewReader("y\n"), Stdout: &bytes.Buffer{}, Stderr: &bytes.Buffer{}, Lookup: lookup()})
	if con.Interactive {
		t.Error("a pipe is asked")
	}
}

// TestPlainLines holds the thresholds of lines off a terminal.
func TestPlainLines(t *testing.T) {
	var b bytes.Buffer
	con := New(Options{Stdout: &bytes.Buffer{}, Stderr: &b, Lookup: lookup()})
	s := con.Steps(false)
	now := s.began
	s.now = func() time.Time { return now }
	at := func(seconds float64, e progress.Event) {
		now = s.began.Add(time.Duration(seconds * float64(time.Second)))
		s.Event(e)
	}
	load := func(done int64) progress.Event {
		return progress.Event{Step: "models", State: progress.Running, Item: "x\x1b[31m.safetensors", Done: done, Total: 1000e6}
	}
	at(0, progress.Event{Step: "check", State: progress.Done, Text: "no problems"})
	at(0, load(0))
	at(1, load(10e6))  // too soon
	at(6, load(100e6)) // the first line
	at(8, load(400e6)) // too soon after it
	at(12, load(410e6))
	at(13, load(420e6)) // gained little since
	at(23, load(430e6)) // heartbeat
	at(24, progress.Event{Step: "models", State: progress.Done, Item: "x.safetensors", Text: "1GB"})
	at(24, progress.Event{Step: "models", State: progress.Cached})
	s.Close()
	heads := strings.Split(strings.TrimSpace(b.String()), "\n")
	if strings.ContainsAny(b.String(), "\x1b\r") {
		t.Errorf("%q moves the cursor or colours", b.String())
	}
	want := []string{"[  0.0s] check: no problems", "[  6.0s] models: x�[31m.safetensors 10% 100MB/1GB", "[ 12.0s] models:", "[ 23.0s] models:", "[ 24.0s] models: x.safetensors 1GB done", "[ 24.0s] models: cached"}
	if len(heads) != len(want) {
		t.Fatalf("lines:\n%s", b.String())
	}
	for i := range want {
		if !strings.HasPrefix(heads[i], want[i]) {
			t.Errorf("line %d: %s", i, cmp.Diff(want[i], heads[i]))
		}
	}
}

func TestQuiet(t *testing.T) {
	var b bytes.Buffer
	con := New(Options{Stdout: &bytes.Buffer{}, Stderr: &b, Lookup: lookup(), Quiet: true})
	s := con.Steps(true)
	s.Event(progress.Event{Step: "check", State: progress.Done})
	con.Say("story")
	s.Close()
	if b.Len() != 0 {
		t.Errorf("quiet said %q", b.String())
	}
	con.Alert("error")
	if b.String() != "error\n" {
		t.Errorf("the error became %q", b.String())
	}
}

func TestGroups(t *testing.T) {
	var b bytes.Buffer
	con := New(Options{Stdout: &bytes.Buffer{}, Stderr: &b, Lookup: lookup()})
	s := con.Steps(true)
	s.Event(progress.Event{Step: "check", State: progress.Done, Text: "fine"})
	s.Close()
	if !strings.HasPrefix(b.String(), "::group::check\n[") || !strings.HasSuffix(b.String(), "fine\n::endgroup::\n") {
		t.Errorf("groups: %q", b.String())
	}
}

func TestConfirm(t *testing.T) {
	for in, want := range map[string]bool{"y\n": true, "YES\n": true, "\n": false, "n\n": false, "": false, "yep\n": false} {
		con := New(Options{Stdin: strings.NewReader(in), Stdout: &bytes.Buffer{}, Stderr: &bytes.Buffer{}, Lookup: lookup()})
		got, err := con.Confirm(context.Background(), "Go?")
		if err != nil || got != want {
			t.Errorf("%q: %v, %v", in, got, err)
		}
	}
}
