package cli

import (
	"context"

	"github.com/comfyctl/comfyctl/pkg/deploy"
)

func (a *App) runDocker(_ context.Context, _ *RunOptions, _ *project) error {
	return failure("not_there", "running on Docker is not part of this build", "comfyctl run --stub", nil)
}

func (a *App) startPacked(_ context.Context, _ *project) (string, func() error, error) {
	return "", nil, failure("not_there", "testing the packed image is not part of this build", "comfyctl test --stub, or --url", nil)
}

func (a *App) spec(_ context.Context, _ *DeployOptions, _ *project, _ *place) (*deploy.Spec, error) {
	return nil, failure("not_there", "deploying is not part of this build", "", nil)
}
