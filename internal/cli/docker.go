package cli

import (
	"context"

	"github.com/comfyctl/comfyctl/internal/dockerengine"
	"github.com/comfyctl/comfyctl/pkg/deploy"
)

// docker connects to the Docker Engine that the environment names.
func (a *App) docker(ctx context.Context) (*dockerengine.Engine, error) {
	return dockerengine.New(ctx, dockerengine.WithEnv(a.lookup))
}

func (a *App) runDocker(ctx context.Context, _ *RunOptions, _ *project) error {
	e, err := a.docker(ctx)
	if err != nil {
		return err
	}
	defer e.Close()
	return failure("not_there", "running on Docker is not part of this build", "comfyctl run --stub", nil)
}

func (a *App) startPacked(ctx context.Context, _ *project) (string, func() error, error) {
	e, err := a.docker(ctx)
	if err != nil {
		return "", nil, err
	}
	defer e.Close()
	return "", nil, failure("not_there", "testing the packed image is not part of this build", "comfyctl test --stub, or --url", nil)
}

func (a *App) spec(_ context.Context, _ *DeployOptions, _ *project, _ *place) (*deploy.Spec, error) {
	return nil, failure("not_there", "deploying is not part of this build", "", nil)
}
