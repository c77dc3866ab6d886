package comfy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/comfyctl/comfyctl/pkg/runner/engine"
)

// Folders are the engine's folders on this machine, as absolute paths.
type Folders struct {
	// Input and Output hold uploaded and saved files.
	Input, Output string
	// Temp holds previews. ComfyUI wipes it when it starts and insists on the
	// name, so its last element must be "temp".
	Temp string
	// User holds ComfyUI's own settings.
	User string
}

// make makes the folders that are missing.
func (f *Folders) make() error {
	for _, dir := range []string{f.Input, f.Output, f.Temp, f.User} {
		if dir == "" {
			continue
		}
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return fmt.Errorf("making an engine folder: %w", err)
		}
	}
	return nil
}

// CommandConfig says how ComfyUI is started as a child process.
type CommandConfig struct {
	// Python is the interpreter; empty means python3 from the search path.
	Python string
	// Dir is ComfyUI's folder, the one that holds main.py.
	Dir string
	// Args are added to the command line that comfy composes, at its end.
	Args []string
	// Env is the child's whole environment as KEY=value; nil inherits ours.
	Env []string
	// Host is the address to listen on; empty means 127.0.0.1.
	Host string
	// Port 0 means a free one, chosen anew at each start.
	Port int
	// Folders must not be shared with another engine. They are made if absent.
	Folders Folders
	// CPU runs everything on the processor.
	CPU bool
	// DisableMetadata keeps prompt and workflow out of the saved files.
	DisableMetadata bool
	// Preview is the method of pictures while sampling: none, auto, latent2rgb
	// or taesd. Empty means auto; they are only passed on when a prompt asks.
	Preview string
	// MaxUpload bounds one request body, in MiB; 0 means 512.
	MaxUpload int
	// ModelPaths are extra_model_paths.yaml files.
	ModelPaths []string
	// FrontEnd is a folder with an index.html to serve instead of the editor;
	// empty means a one-line page, so that the editor need not be installed.
	FrontEnd string
	// LogLines is how many log lines are remembered; 0 means 200.
	LogLines int
	// LogWriter gets the engine's output as it comes; nil drops it.
	LogWriter io.Writer
	// Log gets what happens to the process; nil drops it.
	Log *slog.Logger
	// MemoryEvents is the file in which Linux counts its kills for want of
	// memory; empty means the one of this container.
	MemoryEvents string
}

// Command is ComfyUI as a child process: python main.py …
func Command(c CommandConfig) engine.Process {
	if c.Python == "" {
		c.Python = "python3"
	}
	if c.Host == "" {
		c.Host = "127.0.0.1"
	}
	if c.Preview == "" {
		c.Preview = "auto"
	}
	if c.MemoryEvents == "" {
		c.MemoryEvents = memoryEvents
	}
	if c.MaxUpload == 0 {
		c.MaxUpload = 512
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	done := make(chan struct{})
	close(done)
	return &command{c: c, done: done, log: newLogRing(c.LogLines, c.LogWriter)}
}

// configError marks a start that cannot succeed however often it is tried.
type configError struct{ err error }

func (e *configError) Error() string { return e.err.Error() }
func (e *configError) Unwrap() error { return e.err }

// prepare makes the folders and says what cannot work.
func (c *CommandConfig) prepare() error {
	if _, err := os.Stat(filepath.Join(c.Dir, "main.py")); err != nil {
		return &configError{fmt.Errorf("finding ComfyUI: %w", err)}
	}
	f := c.Folders
	if f.Input == "" || f.Output == "" || f.Temp == "" || f.User == "" {
		return &configError{errors.New("starting ComfyUI: input, output, temp and user folders are all needed")}
	}
	if filepath.Base(f.Temp) != "temp" {
		return &configError{fmt.Errorf("starting ComfyUI: the temp folder %s must be named temp", f.Temp)}
	}
	if err := f.make(); err != nil {
		return err
	}
	if c.FrontEnd != "" {
		return nil
	}
	page := c.frontEnd()
	if err := os.MkdirAll(page, 0o755); err != nil {
		return fmt.Errorf("making an engine folder: %w", err)
	}
	const html = "<!doctype html><title>ComfyUI</title><p>This engine is driven by its runner.</p>\n"
	if err := os.WriteFile(filepath.Join(page, "index.html"), []byte(html), 0o644); err != nil {
		return fmt.Errorf("writing the engine's page: %w", err)
	}
	return nil
}

func (c *CommandConfig) frontEnd() string {
	if c.FrontEnd != "" {
		return c.FrontEnd
	}
	return filepath.Join(c.Folders.User, "frontend")
}

// arguments is the command line after the interpreter. Every flag exists from
// 0.3.64 to 0.30.2: an unknown one is fatal.
func (c *CommandConfig) arguments(port int) []string {
	a := []string{
		"main.py",
		"--listen", c.Host, "--port", strconv.Itoa(port),
		"--disable-auto-launch", "--log-stdout",
		"--input-directory", c.Folders.Input,
		"--output-directory", c.Folders.Output,
		"--temp-directory", filepath.Dir(c.Folders.Temp),
		"--user-directory", c.Folders.User,
		// The default is a file inside ComfyUI's own folder, which may be read-only.
		"--database-url", "sqlite:///:memory:",
		"--front-end-root", c.frontEnd(),
		"--max-upload-size", strconv.Itoa(c.MaxUpload),
		"--preview-method", c.Preview,
	}
	for _, p := range c.ModelPaths {
		a = append(a, "--extra-model-paths-config", p)
	}
	if c.CPU {
		a = append(a, "--cpu")
	}
	if c.DisableMetadata {
		a = append(a, "--disable-metadata")
	}
	return append(a, c.Args...)
}

// freePort asks the system for a port that nobody listens on.
func freePort(ctx context.Context, host string) (int, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		return 0, fmt.Errorf("choosing a port for the engine: %w", err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

// Remote is a ComfyUI that somebody else runs, at its base address.
func Remote(url string) engine.Process {
	return &remote{url: url}
}

// remote cannot be started or stopped; the supervisor only watches it.
type remote struct{ url string }

func (r *remote) Start(context.Context) error { return nil }
func (r *remote) URL() string                 { return r.url }
func (r *remote) Done() <-chan struct{}       { return nil }
func (r *remote) Err() error                  { return nil }
func (r *remote) Stop(context.Context) error  { return nil }

// Times of stopping a child, each counted from the step before.
const (
	interruptGrace = 5 * time.Second
	terminateGrace = 3 * time.Second
	// pipeGrace is how long a grandchild may hold the log pipe open.
	pipeGrace = 2 * time.Second
)
