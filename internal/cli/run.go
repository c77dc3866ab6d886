package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/comfyctl/comfyctl/internal/diag"
	"github.com/comfyctl/comfyctl/internal/term"
	"github.com/comfyctl/comfyctl/pkg/contract"
	"github.com/comfyctl/comfyctl/pkg/runner/boot"
	"github.com/comfyctl/comfyctl/pkg/validate"
)

// RunOptions of `comfyctl run`.
type RunOptions struct {
	Stub, Watch, Open, Detach bool
	Host, EngineURL, GPUs     string
	Port                      int
	// PortSet is true where -p was given.
	PortSet bool
}

func newRunCmd(a *App, f runFunc[RunOptions]) *cobra.Command {
	o := &RunOptions{}
	cmd := &cobra.Command{
		Use:        "run",
		Short:      "Serve it here, on Docker or the stub engine",
		Example:    "comfyctl run --stub\ncomfyctl run --stub --watch --open\ncomfyctl run --engine-url http://127.0.0.1:8188\nurl=$(comfyctl run --stub --detach -p 0)",
		Aliases:    []string{"dev"},
		SuggestFor: []string{"serve", "start", "up"},
		GroupID:    groupTry,
		Args:       noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			o.PortSet = cmd.Flags().Changed("port")
			o.Watch = o.Watch || cmd.CalledAs() == "dev"
			return f(cmd.Context(), a, o)
		},
	}
	fl := cmd.Flags()
	fl.BoolVar(&o.Stub, "stub", false, "simulate the engine: pictures are placeholders, no model runs")
	fl.StringVar(&o.EngineURL, "engine-url", "", "use the ComfyUI that runs at `URL`")
	fl.StringVar(&o.GPUs, "gpus", "all", "GPUs of the container: all, none or a list such as 0,1 (`WHICH`)")
	fl.BoolVar(&o.Watch, "watch", false, "serve the new graph when a file is saved (--stub, --engine-url)")
	fl.StringVar(&o.Host, "host", "127.0.0.1", "`ADDRESS` to listen on")
	fl.IntVarP(&o.Port, "port", "p", 8080, "`PORT` to listen on; 0 takes a free one")
	fl.BoolVar(&o.Open, "open", false, "open the page in a browser")
	fl.BoolVar(&o.Detach, "detach", false, "print the URL and leave it running")
	return cmd
}

func (o *RunOptions) validate() error {
	switch {
	case o.Stub && o.EngineURL != "":
		return usageError("bad_flags", "--stub and --engine-url exclude each other", "keep one of them")
	case o.Port < 0 || o.Port > 65535:
		return usageError("bad_flag", fmt.Sprintf("--port is %d", o.Port), "it takes 0 to 65535")
	case o.Detach && o.Watch:
		return usageError("bad_flags", "--watch needs the foreground, --detach leaves it", "keep one of them")
	case o.Detach && !o.Stub && o.EngineURL == "":
		return usageError("bad_flags", "--detach goes with --stub or --engine-url", "comfyctl deploy local --yes leaves the image running")
	case !gpuFlag.MatchString(o.GPUs):
		return usageError("bad_flag", "--gpus is "+o.GPUs, "it takes all, none or a list of devices such as 0,1")
	case o.Watch && !o.Stub && o.EngineURL == "":
		return usageError("bad_flags", "--watch needs --stub or --engine-url", "an image is packed anew for each change: comfyctl deploy local")
	}
	return nil
}

func runRun(ctx context.Context, a *App, o *RunOptions) error {
	if err := o.validate(); err != nil {
		return err
	}
	p, err := a.load(ctx, o.Stub)
	if err != nil {
		return err
	}
	if !o.PortSet && a.env["COMFYCTL_PORT"] == "" && p.Service.Runner.Port > 0 {
		o.Port = p.Service.Runner.Port
	}
	if !o.Stub && o.EngineURL == "" {
		return a.runDocker(ctx, o, p)
	}
	if o.Detach {
		return a.detach(ctx, o, p)
	}
	return a.runHere(ctx, o, p)
}

// runHere serves in this process until the context ends.
func (a *App) runHere(ctx context.Context, o *RunOptions, p *project) error {
	api, err := listen(ctx, o.Host, o.Port)
	if err != nil {
		return err
	}
	at := "http://" + reachable(api.Addr())
	kind, engineText := contract.EngineStub, "stub · pictures are placeholders; no model runs"
	if o.EngineURL != "" {
		kind, engineText = contract.EngineComfyUI, "ComfyUI at "+o.EngineURL
	}
	con := a.console()
	mark := term.OK
	if o.Stub {
		mark = term.Warn
	}
	con.Line(mark, "engine", engineText)
	state := filepath.Join(p.Dir, stateDir)
	reload := make(chan *contract.Contract)
	began := time.Now()
	bo := boot.Options{
		Contract: p.Contract(kind, version), StateDir: filepath.Join(state, "run"), API: api, EngineURL: o.EngineURL, Pace: 1, Version: version,
		Secrets: a.secret, Log: a.logger(slog.LevelInfo), Reload: reload,
	}
	var readyErr error
	bo.OnReady = func() { readyErr = a.serving(ctx, o, p, state, at, kind, time.Since(began)) }
	serve, stop := context.WithCancel(ctx)
	defer stop()
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		if o.Watch {
			a.watch(serve, p, kind, reload)
		}
	}()
	go func() {
		<-serve.Done()
		var s signalError
		if errors.As(context.Cause(ctx), &s) {
			con.Say("stopping, waiting for a running job up to %s; again to stop now", drainTime(p))
		}
	}()
	err = boot.Run(serve, bo)
	stop()
	<-watched
	err = errors.Join(err, readyErr)
	err = errors.Join(err, forgetRunning(state))
	if err != nil {
		return failure("runner_failed", "the service ended", "", err)
	}
	return nil
}

func drainTime(p *project) time.Duration {
	if d := p.Service.Runner.Timeouts.Drain; d.Set {
		return d.Duration
	}
	return 2 * time.Minute
}

// reachable is an address that clients on this machine can use.
func reachable(addr net.Addr) string {
	tcp, ok := addr.(*net.TCPAddr)
	if !ok {
		return addr.String()
	}
	if tcp.IP.IsUnspecified() {
		return net.JoinHostPort("127.0.0.1", fmt.Sprint(tcp.Port))
	}
	return tcp.String()
}

// serving says what is served once it is ready, and leaves word of it beside
// the service file.
func (a *App) serving(ctx context.Context, o *RunOptions, p *project, state, at, kind string, took time.Duration) error {
	a.reply.data = map[string]any{"url": at, "engine": kind, "service": p.Service.Name}
	b, err := json.Marshal(running{URL: at, PID: os.Getpid(), Engine: kind})
	if err != nil {
		return fmt.Errorf("writing the address: %w", err)
	}
	if err := writeAtomic(runningFile(state), append(b, '\n')); err != nil {
		return fmt.Errorf("writing the address: %w", err)
	}
	con := a.console()
	con.Line(term.OK, "ready", fmt.Sprintf("in %.1fs", took.Seconds()))
	if p.Service.Runner.Playground == nil || *p.Service.Runner.Playground {
		con.Say("  %-11s %s/", "page", at)
	}
	con.Say("  %-11s %s/v1/workflows/%s/jobs    docs  /docs    openapi  /openapi.json", "api", at, p.Workflows[0].Name)
	con.Say("  %-11s comfyctl call %s", "try", example(p))
	con.Say("  Ctrl-C stops it")
	a.line(map[string]any{"type": "ready", "url": at, "engine": kind})
	if o.Open {
		if err := openBrowser(ctx, at+"/"); err != nil {
			con.Say("  the browser did not open: %s", diag.Safe(err.Error()))
		}
	}
	return a.print(at)
}

// example is arguments of `call` that would work.
func example(p *project) string {
	var parts []string
	for _, in := range p.Workflows[0].Inputs {
		if !in.Required && in.Example == nil {
			continue
		}
		switch {
		case in.Type == contract.TypeImage || in.Type == contract.TypeMask || in.Type == contract.TypeVideo || in.Type == contract.TypeAudio || in.Type == contract.TypeFile:
			parts = append(parts, in.Name+"=@FILE")
		case in.Example != nil:
			parts = append(parts, in.Name+"="+shellQuote(in.Example))
		default:
			parts = append(parts, in.Name+"=…")
		}
	}
	if len(p.Workflows) > 1 {
		parts = append(parts, "-w "+p.Workflows[0].Name)
	}
	return diag.Safe(strings.Join(parts, " "))
}

func shellQuote(raw json.RawMessage) string {
	var s string
	if json.Unmarshal(raw, &s) != nil {
		return string(raw)
	}
	if strings.ContainsAny(s, " \"'$`\\!&|;<>()*?[]#~") || s == "" {
		return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "$", `\$`, "`", "\\`").Replace(s) + `"`
	}
	return s
}

// watchEvery is how often files are looked at.
const watchEvery = 300 * time.Millisecond

// watch serves the new graph when the service file or a workflow changes. A
// file with errors keeps the old graph.
func (a *App) watch(ctx context.Context, p *project, kind string, reload chan<- *contract.Contract) {
	last := stamp(p)
	t := time.NewTicker(watchEvery)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		now := stamp(p)
		if now == last {
			continue
		}
		last = now
		next, list, err := a.check(ctx, p.abs(p.File), validate.Options{Stub: kind == contract.EngineStub})
		con := a.console()
		switch {
		case err != nil:
			a.showError(err)
		case diag.HasErrors(list):
			a.showError(a.refuse(p.abs(p.File), list))
			con.Line(term.Warn, "watch", "the old graph is served")
		default:
			p = next
			last = stamp(p)
			select {
			case reload <- p.Contract(kind, version):
				con.Line(term.OK, "watch", "the new graph is served")
			case <-ctx.Done():
			}
		}
	}
}

// stamp changes when a watched file does.
func stamp(p *project) string {
	var b strings.Builder
	for _, f := range p.Files() {
		if st, err := os.Stat(p.abs(f)); err == nil {
			fmt.Fprintf(&b, "%s %d %d\n", f, st.Size(), st.ModTime().UnixNano())
		}
	}
	return b.String()
}
