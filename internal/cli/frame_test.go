package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/spf13/cobra"

	"github.com/comfyctl/comfyctl/internal/diag"
)

// TestExitCodes asserts the table over every command: each is called wrongly,
// without a service file, and with a file that is not there.
func TestExitCodes(t *testing.T) {
	type call struct {
		args []string
		want int
	}
	calls := []call{
		{[]string{}, codeOK},
		{[]string{"version"}, codeOK},
		{[]string{"doctor"}, codeOK},
		{[]string{"help"}, codeOK},
		{[]string{"help", "exit-codes"}, codeOK},
		{[]string{"help", "nothing-such"}, codeUsage},
		{[]string{"completion", "bash"}, codeOK},
		{[]string{"completion"}, codeUsage},
		{[]string{"completion", "csh"}, codeUsage},
		{[]string{"call", "--url", "http://127.0.0.1:1", "x=1"}, codeFailed},
		{[]string{"call", "--url", "ftp://x"}, codeUsage},
		{[]string{"call", "--repeat", "0"}, codeUsage},
		{[]string{"no-such-command"}, codeUsage},
		{[]string{"lock"}, codeUsage},
		{[]string{"-C", "/nonexistent", "version"}, codeUsage},
	}
	for _, name := range []string{"validate", "run", "test", "pack", "push", "deploy", "status", "logs", "destroy", "graph"} {
		if commandOf(name) == nil {
			continue
		}
		args := []string{name}
		switch name {
		case "deploy", "destroy":
			args = append(args, "--yes")
		case "run", "test":
			args = append(args, "--stub")
		}
		calls = append(calls, call{args, codeUsage}, call{append(args, "-f", "missing.yaml"), codeUsage})
	}
	for _, c := range newRoot(newApp(nil, nil, nil, nil)).Commands() {
		calls = append(calls, call{[]string{c.Name(), "--no-such-flag"}, codeUsage})
	}
	for _, c := range calls {
		code, _, stderr := invoke(t, c.args...)
		if code != c.want {
			t.Errorf("comfyctl %s: exit %d, want %d\n%s", strings.Join(c.args, " "), code, c.want, stderr)
		}
		if code != 0 && stderr == "" {
			t.Errorf("comfyctl %s failed without a word", strings.Join(c.args, " "))
		}
	}
}

func commandOf(name string) *cobra.Command {
	for _, c := range newRoot(newApp(nil, nil, nil, nil)).Commands() {
		if c.Name() == name {
			return c
		}
	}
	return nil
}

// TestExitCode maps errors, wrapped or not, and signals.
func TestExitCode(t *testing.T) {
	stopped := func(s os.Signal) context.Context {
		ctx, cancel := context.WithCancelCause(context.Background())
		cancel(signalError{s})
		return ctx
	}
	plain := context.Background()
	for _, c := range []struct {
		ctx  context.Context
		err  error
		want int
	}{
		{plain, nil, 0},
		{plain, errors.New("x"), 1},
		{plain, &diag.Error{Class: diag.ClassFailed}, 1},
		{plain, fmt.Errorf("doing: %w", &diag.Error{Class: diag.ClassUsage}), 2},
		{plain, &diag.Error{Class: diag.ClassCheck}, 3},
		{plain, &diag.Error{Class: diag.ClassAuth}, 4},
		{plain, &diag.Error{Class: diag.ClassStale}, 5},
		{plain, &diag.Error{Class: diag.ClassTimeout}, 6},
		{stopped(os.Interrupt), context.Canceled, 130},
		{stopped(syscall.SIGTERM), context.Canceled, 143},
		{stopped(os.Interrupt), nil, 0},
	} {
		if got := exitCode(c.ctx, c.err); got != c.want {
			t.Errorf("exitCode(%v) = %d, want %d", c.err, got, c.want)
		}
	}
}

// TestEnvelopeOnEveryCommand calls each command wrongly: stdout must still be
// one JSON document, and the last line of ndjson must be the result.
func TestEnvelopeOnEveryCommand(t *testing.T) {
	for _, c := range newRoot(newApp(nil, nil, nil, nil)).Commands() {
		name := c.Name()
		code, stdout, _ := invoke(t, name, "-o", "json", "--no-such-flag")
		e := envelopeOf(t, []byte(stdout))
		if code != codeUsage || e.OK || e.Error == nil || e.Error.Code != "unknown_flag" || e.Command != name {
			t.Errorf("%s: exit %d, %s", name, code, stdout)
		}
		code, stdout, _ = invoke(t, name, "-o", "ndjson", "-f", "missing.yaml")
		lines := strings.Split(strings.TrimSpace(stdout), "\n")
		var last envelope
		if err := json.Unmarshal([]byte(lines[len(lines)-1]), &last); err != nil || last.Type != "result" || last.OK != (code == 0) {
			t.Errorf("%s -o ndjson: %v, exit %d, %s", name, err, code, stdout)
		}
	}
}

// TestHelpHasExamples keeps examples first and real.
func TestHelpHasExamples(t *testing.T) {
	for _, c := range newRoot(newApp(nil, nil, nil, nil)).Commands() {
		if c.Example == "" || c.GroupID == "" {
			t.Errorf("%s has no example or no group", c.Name())
		}
		for _, line := range strings.Split(c.Example, "\n") {
			if !strings.Contains(line, "comfyctl "+c.Name()) && !strings.Contains(line, "comfyctl "+strings.Join(c.Aliases, "")) {
				t.Errorf("%s: example %q is of another command", c.Name(), line)
			}
		}
		code, stdout, _ := invoke(t, "help", c.Name())
		if code != 0 || !strings.Contains(stdout, "Examples") || strings.Index(stdout, "Examples") > strings.Index(stdout, "Usage") {
			t.Errorf("help of %s: exit %d\n%s", c.Name(), code, stdout)
		}
	}
}

// TestHelpOfEveryRule keeps rule pages reachable.
func TestHelpOfEveryRule(t *testing.T) {
	for _, r := range diag.Rules() {
		code, stdout, stderr := invoke(t, "help", strings.ToLower(r.ID))
		if code != 0 || !strings.Contains(stdout, r.Title) || stderr != "" {
			t.Errorf("help %s: exit %d, %q", r.ID, code, stderr)
		}
	}
}

// TestFlagPrecedence: the command line wins over the variable, which wins over
// the configuration file.
func TestFlagPrecedence(t *testing.T) {
	home := t.TempDir()
	dir := home + "/.config/comfyctl"
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(dir+"/config.yaml", []byte("output: json\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	out := func(env []string, args ...string) string {
		var stdout, stderr bytes.Buffer
		Main(context.Background(), append([]string{"version"}, args...), strings.NewReader(""), &stdout, &stderr, append(env, "HOME="+home))
		return stdout.String() + stderr.String()
	}
	for _, c := range []struct {
		env  []string
		args []string
		want string
	}{
		{nil, nil, `{"schema"`},
		{[]string{"COMFYCTL_OUTPUT=ndjson"}, nil, `{"type":"result"`},
		{[]string{"COMFYCTL_OUTPUT=ndjson"}, []string{"-o", "text"}, "comfyctl "},
		{[]string{"COMFYCTL_COLOR=blue"}, nil, `error[bad_variable]`},
	} {
		if got := out(c.env, c.args...); !strings.Contains(got, c.want) {
			t.Errorf("%v %v: %s", c.env, c.args, got)
		}
	}
}
