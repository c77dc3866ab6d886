package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"strings"

	"github.com/comfyctl/comfyctl/internal/diag"
	"github.com/comfyctl/comfyctl/pkg/contract"
	"github.com/comfyctl/comfyctl/pkg/runner/boot"
)

const usage = `usage: comfy-runner [serve] [flags]   serve the contract (process 1 of an image)
       comfy-runner healthcheck       exit 0 when the runner on this machine is ready
       comfy-runner gpucheck          say which GPU devices this container sees
       comfy-runner version

Settings come from flags first, then from the environment: PORT,
COMFYCTL_IMAGE_DIGEST, COMFYCTL_AUTH (off or api-key), COMFYCTL_KEYS (lines
"NAME[:TIER] KEY"), COMFYCTL_LOG (json or text); NAME_FILE names a file that
holds the value of NAME.

`

// run is the whole program but for the process around it.
func run(ctx context.Context, args []string, stdout, stderr io.Writer, environ []string) int {
	env := environment(environ)
	verb := "serve"
	if len(args) > 0 && !strings.HasPrefix(args[0], "-") {
		verb, args = args[0], args[1:]
	}
	var err error
	switch verb {
	case "serve":
		err = serve(ctx, args, stderr, env)
	case "healthcheck":
		err = healthcheck(ctx, args, stdout, env)
	case "gpucheck":
		err = gpucheck(stdout, os.DirFS("/"))
	case "version":
		fmt.Fprintln(stdout, version)
	case "help":
		fmt.Fprint(stdout, usage)
	default:
		fmt.Fprintf(stderr, "error: there is no verb `%s`\n\n%s", verb, usage)
		return 2
	}
	switch {
	case err == nil || errors.Is(err, flag.ErrHelp):
		return 0
	case errors.Is(err, errUsage):
		return 2
	}
	fmt.Fprintf(stderr, "error: %v\n", err)
	var e *diag.Error
	if errors.As(err, &e) && e.Help != "" {
		fmt.Fprintf(stderr, "  help: %s\n", e.Help)
	}
	return 1
}

// errUsage marks a command line that the flag package has complained about.
var errUsage = errors.New("wrong command line")

type settings struct {
	contract, state, listen, admin, engine, log string
	pace                                        float64
}

func parse(args []string, stderr io.Writer, env lookup) (settings, error) {
	var s settings
	f := flag.NewFlagSet("comfy-runner", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.Usage = func() {
		fmt.Fprint(stderr, usage)
		f.PrintDefaults()
	}
	f.StringVar(&s.contract, "contract", contract.Path, "the contract to serve")
	f.StringVar(&s.state, "state", contract.StatePath, "folder of jobs, files and outputs")
	f.StringVar(&s.listen, "listen", "", "address of the API (default \":PORT\", else the contract's port on every address)")
	f.StringVar(&s.admin, "admin", "127.0.0.1:9090", "address of the admin API; empty for none")
	f.StringVar(&s.engine, "engine-url", "", "a ComfyUI that runs already, in place of the contract's engine")
	f.StringVar(&s.log, "log", env.or("COMFYCTL_LOG", "json"), "json or text")
	f.Float64Var(&s.pace, "pace", 1, "timing of the stub engine; 0 is as fast as possible")
	if err := f.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return s, err
		}
		return s, errUsage
	}
	if f.NArg() > 0 || s.log != "json" && s.log != "text" {
		f.Usage()
		return s, errUsage
	}
	return s, nil
}

func serve(ctx context.Context, args []string, stderr io.Writer, env lookup) error {
	s, err := parse(args, stderr, env)
	if err != nil {
		return err
	}
	reap()
	log := slog.New(slog.NewJSONHandler(stderr, nil))
	if s.log == "text" {
		log = slog.New(slog.NewTextHandler(stderr, nil))
	}
	b, err := os.ReadFile(s.contract)
	if err != nil {
		return fmt.Errorf("reading the contract: %w", err)
	}
	c, err := contract.Decode(b)
	if err != nil {
		return err
	}
	api, admin, err := listen(ctx, s, c, env)
	if err != nil {
		return err
	}
	keys, _ := env.secret("COMFYCTL_KEYS")
	log.Info("starting", "version", version, "service", c.Name, "engine", c.Engine.Kind, "address", api.Addr().String())
	return boot.Run(ctx, boot.Options{
		Contract: c, StateDir: s.state, API: api, Admin: admin, EngineURL: s.engine, Pace: s.pace,
		ImageDigest: env.or("COMFYCTL_IMAGE_DIGEST", ""), Version: version, Auth: env.or("COMFYCTL_AUTH", ""), Keys: keys,
		Secrets: env.secret, Environ: env.list, EngineLog: &lineLog{log: log}, Log: log,
	})
}

func listen(ctx context.Context, s settings, c *contract.Contract, env lookup) (api, admin net.Listener, err error) {
	var lc net.ListenConfig
	addr := s.listen
	if addr == "" {
		port := c.Runner.Port
		if port == 0 {
			port = 8080
		}
		addr = ":" + env.or("PORT", fmt.Sprint(port))
	}
	if api, err = lc.Listen(ctx, "tcp", addr); err != nil {
		return nil, nil, fmt.Errorf("listening on %s: %w", addr, err)
	}
	if s.admin == "" {
		return api, nil, nil
	}
	if admin, err = lc.Listen(ctx, "tcp", s.admin); err != nil {
		_ = api.Close()
		return nil, nil, fmt.Errorf("listening on %s for the admin API: %w", s.admin, err)
	}
	return api, admin, nil
}
