package dockerengine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/docker/docker/api/types/build"
)

// BuildOptions say what to build. The context is a plain tar: no session is
// opened, so there are no secrets, no SSH and no credentials for bases.
type BuildOptions struct {
	Context    io.Reader
	Dockerfile string // name inside Context
	Tags       []string
	Args       map[string]string
	Labels     map[string]string
	Platform   string
	NoCache    bool
	// Network is "", "host" or "none", for RUN.
	Network string
	// OnStep is told when a step starts (done false) and ends; OnLog gets the
	// output of steps by line. Both may be nil.
	OnStep func(name string, cached, done bool)
	OnLog  func(line string)
}

// BuildError is a build that failed in one of its steps.
type BuildError struct {
	Step string   // such as "RUN pip install …"
	Log  []string // its last lines
	Err  error
}

// Error names the step; its log is for the caller to show.
func (e *BuildError) Error() string {
	if e.Step == "" {
		return "building the image: " + e.Err.Error()
	}
	return "building the image, at `" + e.Step + "`: " + e.Err.Error()
}

// Unwrap returns the cause.
func (e *BuildError) Unwrap() error { return e.Err }

// Build runs BuildKit and returns the image's id. A failing step is a
// *BuildError with the step's last lines.
func (e *Engine) Build(ctx context.Context, o BuildOptions) (string, error) {
	args := map[string]*string{}
	for k, v := range o.Args {
		args[k] = &v
	}
	r, err := e.api.ImageBuild(ctx, o.Context, build.ImageBuildOptions{
		Version: build.BuilderBuildKit, Dockerfile: o.Dockerfile, Tags: o.Tags, BuildArgs: args, Labels: o.Labels,
		Platform: o.Platform, NoCache: o.NoCache, NetworkMode: o.Network, Remove: true, ForceRemove: true,
	})
	if err != nil {
		return "", fmt.Errorf("building the image: %w", err)
	}
	defer r.Body.Close()
	tr := newTrace(o.OnStep, o.OnLog)
	id := ""
	err = messages(r.Body, func(m message) {
		switch m.ID {
		case "moby.buildkit.trace":
			var b []byte
			if json.Unmarshal(m.Aux, &b) == nil {
				tr.feed(b)
			}
		case "moby.image.id":
			var v struct{ ID string }
			if json.Unmarshal(m.Aux, &v) == nil {
				id = v.ID
			}
		}
		if m.Stream != "" && o.OnLog != nil {
			o.OnLog(strings.TrimRight(m.Stream, "\n"))
		}
	})
	switch {
	case ctx.Err() != nil:
		return "", fmt.Errorf("building the image: %w", context.Cause(ctx))
	case err != nil:
		step, log := tr.failed()
		return "", &BuildError{Step: step, Log: log, Err: err}
	case id == "":
		return "", &BuildError{Err: errors.New("Docker named no image at the end; is BuildKit switched off in it?")} //nolint:staticcheck // the name of a product
	}
	return id, nil
}
