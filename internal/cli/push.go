package cli

import (
	"context"

	"github.com/spf13/cobra"
)

// PushOptions of `comfyctl push`.
type PushOptions struct {
	Ref  string
	Tags []string
	packFlags
}

func newPushCmd(a *App, f runFunc[PushOptions]) *cobra.Command {
	o := &PushOptions{}
	cmd := &cobra.Command{
		Use:     "push [REF]",
		Short:   "Pack, then send to a registry",
		Example: "comfyctl push registry.example.com/portrait:1.4\ncomfyctl push registry.example.com/portrait --tag latest",
		GroupID: groupBuild,
		Args:    atMostOne,
		RunE: func(cmd *cobra.Command, args []string) error {
			o.Ref = first(args)
			return f(cmd.Context(), a, o)
		},
	}
	o.add(cmd)
	cmd.Flags().StringArrayVar(&o.Tags, "tag", nil, "another `TAG` for it; may be repeated")
	return cmd
}

// runPush packs again; what did not change comes from the cache, and layers
// that the registry has are not sent.
func runPush(ctx context.Context, a *App, o *PushOptions) error {
	p, err := a.load(ctx, false)
	if err != nil {
		return err
	}
	ref := o.Ref
	for _, t := range p.Service.Targets {
		if ref == "" && t.Image != "" {
			ref = t.Image
		}
	}
	if ref == "" {
		return usageError("missing_reference", "nothing says where to push to", "comfyctl push registry.example.com/"+p.Service.Name+":1.0, or `image:` of a target")
	}
	repo, _ := splitTag(ref)
	refs := []string{ref}
	for _, t := range o.Tags {
		refs = append(refs, repo+":"+t)
	}
	return a.pack(ctx, &PackOptions{Tags: refs, packFlags: o.packFlags}, p)
}

// splitTag takes the tag off a reference.
func splitTag(ref string) (repo, tag string) {
	for i := len(ref) - 1; i >= 0 && ref[i] != '/'; i-- {
		if ref[i] == ':' {
			return ref[:i], ref[i+1:]
		}
	}
	return ref, ""
}
