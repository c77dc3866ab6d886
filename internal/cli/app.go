package cli

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/comfyctl/comfyctl/internal/diag"
	"github.com/comfyctl/comfyctl/internal/progress"
	"github.com/comfyctl/comfyctl/internal/term"
)

// App is what every command shares: streams, environment, global flags, and
// the reply that becomes stdout. What costs something is made when first asked
// for.
type App struct {
	in          io.Reader
	out, errOut io.Writer
	env         map[string]string
	flags       globalFlags
	began       time.Time

	con     *term.Console
	command string // the verb, as in the envelope
	reply   reply
	// sources are the files that findings point into, for their frames.
	sources func(file string) []byte
	// quietError is set where the command has shown its error itself.
	quietError bool
	// quietCases keeps verdicts of the smoke test off stdout.
	quietCases bool
	logRecords []map[string]any
	// heldCache gives the content store back.
	heldCache func() error
	// stdinSecret is what NAME_FILE=- stands for, once it was read.
	stdinSecret *string
	// outLock keeps lines of ndjson whole.
	outLock *sync.Mutex
}

// reply is what a command answers with.
type reply struct {
	data  any
	diags []diag.Diagnostic
}

func newApp(in io.Reader, out, errOut io.Writer, env []string) *App {
	a := &App{in: in, out: out, errOut: errOut, env: map[string]string{}, began: time.Now(), flags: globalFlags{Output: formatText}, outLock: &sync.Mutex{}}
	for _, kv := range env {
		if name, value, ok := strings.Cut(kv, "="); ok {
			a.env[name] = value
		}
	}
	return a
}

// lookup gives a variable of the environment.
func (a *App) lookup(name string) (string, bool) {
	v, ok := a.env[name]
	return v, ok
}

// ci reports whether this runs in continuous integration.
func (a *App) ci() bool { return a.env["CI"] != "" && a.env["CI"] != "false" }

// github reports whether GitHub's workflow commands are wanted.
func (a *App) github() bool {
	return a.env["GITHUB_ACTIONS"] == "true" && !a.flags.NoCI && a.flags.Output == formatText
}

// console is where words go; it follows the global flags.
func (a *App) console() *term.Console {
	if a.con == nil {
		a.con = term.New(term.Options{Stdin: a.in, Stdout: a.out, Stderr: a.errOut, Lookup: a.lookup,
			Color: term.When(a.flags.Color), Quiet: a.flags.Quiet, NoInput: a.flags.NoInput})
	}
	return a.con
}

// dir is the folder that comfyctl acts in: -C, or the working directory.
func (a *App) dir() (string, error) {
	wd, err := os.Getwd()
	if err != nil {
		return "", failure("no_working_directory", "the working directory is gone", "", err)
	}
	if a.flags.Dir == "" {
		return wd, nil
	}
	d := a.flags.Dir
	if !filepath.IsAbs(d) {
		d = filepath.Join(wd, d)
	}
	if st, err := os.Stat(d); err != nil || !st.IsDir() {
		return "", usageError("no_such_directory", "`"+a.flags.Dir+"` is not a folder", "-C takes the folder to act in")
	}
	return filepath.Clean(d), nil
}

// path makes an argument absolute, as seen from dir.
func (a *App) path(name string) (string, error) {
	if filepath.IsAbs(name) {
		return name, nil
	}
	d, err := a.dir()
	if err != nil {
		return "", err
	}
	return filepath.Join(d, name), nil
}

// shown is a path as people see it: relative to the folder acted in where it
// lies below it.
func (a *App) shown(path string) string {
	d, err := a.dir()
	if err != nil {
		return path
	}
	rel, err := filepath.Rel(d, path)
	if err != nil || strings.HasPrefix(rel, "..") {
		return path
	}
	return rel
}

// machine reports whether stdout is for programs.
func (a *App) machine() bool { return a.flags.Output != formatText }

// print writes result text to stdout; programs get the envelope instead.
func (a *App) print(text string) error {
	if a.machine() {
		return nil
	}
	if !strings.HasSuffix(text, "\n") {
		text += "\n"
	}
	_, err := io.WriteString(a.out, text)
	return err
}

// steps draws progress until the function returned with it is called. Under
// -o ndjson the events are lines of stdout instead.
func (a *App) steps() (progress.Func, func()) {
	if a.flags.Output == formatNDJSON {
		return a.eventLine, func() {}
	}
	s := a.console().Steps(a.github())
	var once sync.Once
	return s.Event, func() { once.Do(s.Close) }
}

// runFunc is the shape of every verb's run function.
type runFunc[T any] func(ctx context.Context, a *App, o *T) error

// run adapts a verb to cobra: it names the command for the envelope.
func run[T any](a *App, o *T, f runFunc[T]) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, _ []string) error { return f(cmd.Context(), a, o) }
}
