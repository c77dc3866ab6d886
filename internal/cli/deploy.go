package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/comfyctl/comfyctl/internal/diag"
	"github.com/comfyctl/comfyctl/internal/term"
	"github.com/comfyctl/comfyctl/pkg/deploy"
)

// DeployOptions of `comfyctl deploy`.
type DeployOptions struct {
	Target, Image                                  string
	DryRun, ExitCode, NoWait, Baked, NoSmoke, Keep bool
	Wait                                           time.Duration
	GPUs                                           string
	Port                                           int
	// PortSet is true where -p was given.
	PortSet bool
	Force   bool
	Host    string
	packFlags
}

func newDeployCmd(a *App, f runFunc[DeployOptions]) *cobra.Command {
	o := &DeployOptions{}
	cmd := &cobra.Command{
		Use:               "deploy [TARGET]",
		Short:             "Plan, ask, roll out, wait for ready",
		Example:           "comfyctl deploy local\ncomfyctl deploy local --dry-run\nurl=$(comfyctl deploy local --yes)",
		GroupID:           groupShip,
		Args:              atMostOne,
		ValidArgsFunction: a.completeTargets,
		RunE: func(cmd *cobra.Command, args []string) error {
			o.Target, o.PortSet = first(args), cmd.Flags().Changed("port")
			return f(cmd.Context(), a, o)
		},
	}
	o.add(cmd)
	fl := cmd.Flags()
	fl.StringVar(&o.Image, "image", "", "deploy this image of the target's Docker instead of packing (`REF`)")
	fl.BoolVar(&o.DryRun, "dry-run", false, "show the plan, change nothing")
	fl.BoolVar(&o.ExitCode, "exit-code", false, "with --dry-run: exit 5 when something would change")
	fl.DurationVar(&o.Wait, "wait", 0, "how long to wait for ready (default: runner.timeouts.start, else 10m)")
	fl.BoolVar(&o.NoWait, "no-wait", false, "return as soon as it is started")
	fl.BoolVar(&o.Baked, "baked", false, "run the image with the models in it, as it would be shipped")
	fl.BoolVar(&o.NoSmoke, "no-smoke", false, "skip the smoke test")
	fl.BoolVar(&o.Keep, "keep-on-failure", false, "leave a release that did not get ready for a look")
	fl.StringVar(&o.GPUs, "gpus", "all", "GPUs of the container: all, none or a list such as 0,1 (`WHICH`)")
	fl.BoolVar(&o.Force, "force-unlock", false, "remove what a deploy that was killed left behind")
	fl.StringVar(&o.Host, "host", "127.0.0.1", "`ADDRESS` of this machine to publish the API on")
	fl.IntVarP(&o.Port, "port", "p", 0, "`PORT` to publish the API on; 0 takes a free one (default: the target's, else 8080)")
	return cmd
}

func first(args []string) string {
	if len(args) == 0 {
		return ""
	}
	return args[0]
}

func (a *App) completeTargets(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	s := a.localService()
	if s == nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return targetNames(s), cobra.ShellCompDirectiveNoFileComp
}

func (o *DeployOptions) validate() error {
	switch {
	case o.ExitCode && !o.DryRun:
		return usageError("bad_flags", "--exit-code goes with --dry-run", "")
	case !gpuFlag.MatchString(o.GPUs):
		return usageError("bad_flag", "--gpus is "+o.GPUs, "it takes all, none or a list of devices such as 0,1")
	case o.Image != "" && o.Baked:
		return usageError("bad_flags", "--image and --baked exclude each other", "an image that is given runs as it is")
	case o.Port < 0 || o.Port > 65535:
		return usageError("bad_flag", fmt.Sprintf("--port is %d", o.Port), "it takes 0 to 65535")
	case o.Wait < 0:
		return usageError("bad_flag", "--wait is below zero", "for example --wait 15m")
	}
	return nil
}

// deployed is the result of a deploy.
type deployed struct {
	deploy.Release
	Plan  []deploy.Action `json:"plan"`
	Notes []string        `json:"notes"`
}

func runDeploy(ctx context.Context, a *App, o *DeployOptions) error {
	if err := o.validate(); err != nil {
		return err
	}
	p, err := a.load(ctx, o.Image != "")
	if err != nil {
		return err
	}
	conf, _, err := a.chooseTarget(p.Service, o.Target)
	if err == nil && !o.DryRun {
		err = a.canAsk("deploy to " + conf.Name)
	}
	if err != nil {
		return err
	}
	at, err := a.place(ctx, p.Service, conf.Name)
	if err != nil {
		return err
	}
	err = a.deployTo(ctx, o, p, at)
	return errors.Join(err, at.close())
}

func (a *App) deployTo(ctx context.Context, o *DeployOptions, p *project, at *place) error {
	spec, err := a.spec(ctx, o, p, at)
	if err != nil {
		return err
	}
	plan, err := at.Plan(ctx, spec)
	if err != nil {
		return err
	}
	a.showPlan(at, plan)
	a.reply.data = deployed{Plan: plan.Actions, Notes: append([]string{}, plan.Notes...), Release: deploy.Release{Service: p.Service.Name, Target: at.name, Release: plan.Release, Image: spec.Image, Digest: spec.ImageDigest}}
	if o.DryRun {
		if o.ExitCode && plan.Changes() {
			return &diag.Error{Code: "would_change", Class: diag.ClassStale, Message: "the deploy would change " + at.name}
		}
		return nil
	}
	if plan.Changes() {
		if err := a.confirm(ctx, "Deploy to "+at.name+"?", at); err != nil {
			return err
		}
	}
	if !o.NoSmoke {
		spec.Verify = func(ctx context.Context, url string) error { return a.smoke(ctx, p, url) }
	}
	on, done := a.steps()
	r, err := at.Apply(ctx, plan, on)
	done()
	if err != nil {
		return err
	}
	a.reply.data = deployed{Release: *r, Plan: plan.Actions, Notes: append([]string{}, plan.Notes...)}
	if o.NoSmoke {
		a.console().Line(term.Warn, "smoke", "skipped")
	}
	a.console().Line(term.OK, "release", fmt.Sprintf("%s %s", r.Release, r.State))
	for key, value := range map[string]string{"url": r.URL, "release": r.Release, "image": r.Image, "digest": r.Digest} {
		if err := a.output(key, value); err != nil {
			return err
		}
	}
	return a.print(r.URL)
}

func (a *App) showPlan(at *place, plan *deploy.Plan) {
	con := a.console()
	con.Say("  Plan for %s (docker, %s)", at.name, diag.Safe(at.engine.Host()))
	for _, act := range plan.Actions {
		text := act.Resource
		switch {
		case act.From != "" && act.To != "":
			text += "  " + act.From + " → " + act.To
		case act.To != "":
			text += "  " + act.To
		}
		con.Say("    %s %s", act.Op, diag.Safe(text))
	}
	if !plan.Changes() {
		con.Say("    no change")
	}
	for _, n := range plan.Notes {
		con.Say("    %s %s", con.Mark(con.Err, term.Warn), diag.Safe(n))
	}
	con.Say("  Cost: nothing beyond this machine")
}

// canAsk says before any work that an answer will be needed and cannot be had.
func (a *App) canAsk(what string) error {
	if a.flags.Yes || a.console().Interactive {
		return nil
	}
	return usageError("needs_yes", what+" asks first and there is no terminal", "pass --yes, or --dry-run to see the plan")
}

// confirm asks; a protected environment wants its name typed.
func (a *App) confirm(ctx context.Context, question string, at *place) error {
	if a.flags.Yes {
		return nil
	}
	var yes bool
	var err error
	if at.protected {
		var text string
		text, err = a.console().Ask(ctx, question+" Type "+a.flags.Env+":")
		yes = text == a.flags.Env
	} else {
		yes, err = a.console().Confirm(ctx, question)
	}
	if err != nil {
		return err
	}
	if !yes {
		return &diag.Error{Code: "declined", Class: diag.ClassFailed, Message: "nothing was changed"}
	}
	return nil
}

// smoke runs the tests tagged smoke, else the first one, against a release
// before it counts.
func (a *App) smoke(ctx context.Context, p *project, url string) error {
	o := &TestOptions{URL: url, Timeout: 10 * time.Minute, Parallel: 1}
	for _, t := range p.Service.Tests {
		for _, tag := range t.Tags {
			if tag == "smoke" {
				o.Tags = []string{"smoke"}
			}
		}
	}
	switch {
	case len(p.Service.Tests) == 0:
		a.console().Line(term.Warn, "smoke", "there are no tests:, so nothing was called")
		return nil
	case len(o.Tags) == 0:
		o.Names = []string{p.Service.Tests[0].Name}
	}
	quiet := *a
	quiet.quietCases = true
	list, err := quiet.testAll(ctx, o, p, url)
	if err != nil {
		return err
	}
	for _, v := range list {
		if v.Outcome == failed {
			return fmt.Errorf("smoke test %q: %s", v.Name, strings.Join(v.Failures, "; "))
		}
	}
	return nil
}
