package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/comfyctl/comfyctl/internal/diag"
	"github.com/comfyctl/comfyctl/internal/term"
)

// DestroyOptions of `comfyctl destroy`.
type DestroyOptions struct {
	Target                 string
	KeepData, DryRun, Stub bool
	Confirm                string
}

func newDestroyCmd(a *App, f runFunc[DestroyOptions]) *cobra.Command {
	o := &DestroyOptions{}
	cmd := &cobra.Command{
		Use:               "destroy [TARGET]",
		Short:             "Remove everything deploy made",
		Example:           "comfyctl destroy local\ncomfyctl destroy local --confirm portrait\ncomfyctl destroy --stub",
		SuggestFor:        []string{"rm", "delete", "down", "stop"},
		GroupID:           groupShip,
		Args:              atMostOne,
		ValidArgsFunction: a.completeTargets,
		RunE: func(cmd *cobra.Command, args []string) error {
			o.Target = first(args)
			return f(cmd.Context(), a, o)
		},
	}
	fl := cmd.Flags()
	fl.BoolVar(&o.KeepData, "keep-data", false, "leave the volume with jobs and outputs")
	fl.BoolVar(&o.DryRun, "dry-run", false, "list what would go")
	fl.BoolVar(&o.Stub, "stub", false, "end what `run --detach` left running here")
	fl.StringVar(&o.Confirm, "confirm", "", "the service's `NAME`, in place of typing it")
	return cmd
}

func runDestroy(ctx context.Context, a *App, o *DestroyOptions) error {
	if o.Stub {
		return a.stopDetached(ctx)
	}
	s, err := a.serviceOnly()
	if err != nil {
		return err
	}
	con := a.console()
	typed := o.Confirm == s.Name
	switch {
	case o.DryRun, typed:
	case o.Confirm != "":
		return usageError("wrong_name", fmt.Sprintf("--confirm is %q, the service is %q", o.Confirm, s.Name), "")
	case !con.Interactive:
		return usageError("needs_confirm", "destroy wants the service's name typed and there is no terminal", "pass --confirm "+s.Name+", or --dry-run to see what would go")
	}
	p, err := a.place(ctx, s, o.Target)
	if err != nil {
		return err
	}
	defer func() { _ = p.close() }()
	list, err := p.Observe(ctx)
	if err != nil {
		return err
	}
	for _, r := range list {
		con.Say("    - release %s (%s)", r.Release, r.State)
	}
	if o.KeepData {
		con.Say("    the volume stays")
	} else {
		con.Say("    - the volume with jobs and outputs")
	}
	a.reply.data = map[string]any{"target": p.name, "releases": list, "removed": []string{}}
	if o.DryRun {
		return nil
	}
	if !typed {
		text, err := con.Ask(ctx, "Type "+s.Name+" to destroy it:")
		if err != nil {
			return err
		}
		if text != s.Name {
			return &diag.Error{Code: "declined", Class: diag.ClassFailed, Message: "nothing was removed"}
		}
	}
	gone, err := p.Destroy(ctx, o.KeepData)
	a.reply.data = map[string]any{"target": p.name, "removed": append([]string{}, gone...)}
	for _, g := range gone {
		con.Line(term.OK, "removed", g)
	}
	if err != nil {
		return failure("not_all_removed", "not everything could be removed", "run it again", err)
	}
	if o.KeepData {
		con.Say("  nothing runs on %s any more; the volume with jobs and outputs is kept", p.name)
	} else {
		con.Say("  nothing is left on %s", p.name)
	}
	return nil
}
