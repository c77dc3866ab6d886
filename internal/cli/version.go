package cli

import (
	"context"
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// VersionOptions of `comfyctl version`: there are none.
type VersionOptions struct{}

// build is what is known about this binary.
type build struct {
	Version string `json:"version"`
	Commit  string `json:"commit"`
	Date    string `json:"date"`
	Go      string `json:"go"`
	OS      string `json:"os"`
	Arch    string `json:"arch"`
	Dirty   bool   `json:"dirty"`
}

func newVersionCmd(a *App) *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Say which comfyctl this is",
		Example: "comfyctl version\ncomfyctl version -o json",
		GroupID: groupHelp,
		Args:    noArgs,
		RunE:    run(a, &VersionOptions{}, runVersion),
	}
}

func runVersion(_ context.Context, a *App, _ *VersionOptions) error {
	b := buildInfo()
	a.reply.data = b
	text := fmt.Sprintf("comfyctl %s (%s, %s/%s)", b.Version, b.Go, b.OS, b.Arch)
	if b.Commit != "" {
		text = fmt.Sprintf("comfyctl %s (%.12s, %s, %s/%s)", b.Version, b.Commit, b.Go, b.OS, b.Arch)
	}
	return a.print(text)
}

func buildInfo() build {
	b := build{Version: version, Go: runtime.Version(), OS: runtime.GOOS, Arch: runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return b
	}
	if b.Version == "dev" && info.Main.Version != "" && info.Main.Version != "(devel)" {
		b.Version = info.Main.Version
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			b.Commit = s.Value
		case "vcs.time":
			b.Date = s.Value
		case "vcs.modified":
			b.Dirty = s.Value == "true"
		}
	}
	return b
}
