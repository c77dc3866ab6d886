package cli

import (
	"context"

	"github.com/spf13/cobra"
)

// DoctorOptions of `comfyctl doctor`.
type DoctorOptions struct{}

func newDoctorCmd(a *App, f runFunc[DoctorOptions]) *cobra.Command {
	o := &DoctorOptions{}
	return &cobra.Command{
		Use:     "doctor",
		Short:   "Check Docker, GPU, disk and tools",
		Example: "comfyctl doctor\ncomfyctl doctor -o json",
		GroupID: groupHelp,
		Args:    noArgs,
		RunE:    run(a, o, f),
	}
}

func runDoctor(ctx context.Context, a *App, _ *DoctorOptions) error { return nil }
