package docker

import (
	"context"
	"fmt"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
)

// stopSoon is how many seconds a container has to end when it is destroyed:
// what it would still finish is thrown away with it.
const stopSoon = 20

// Destroy implements deploy.Target.
func (t *Target) Destroy(ctx context.Context, keepData bool) ([]string, error) {
	list, err := t.list(ctx)
	if err != nil {
		return nil, err
	}
	gone := []string{}
	for _, c := range list {
		if c.State == "running" {
			// A stop with a full drain where the jobs are kept.
			o := container.StopOptions{}
			if !keepData {
				soon := stopSoon
				o.Timeout = &soon
			}
			if err := t.Engine.ContainerStop(ctx, c.ID, o); err != nil && !cerrdefs.IsNotFound(err) {
				return gone, fmt.Errorf("stopping container %s: %w", name(c), err)
			}
		}
		if err := t.remove(ctx, c.ID, name(c)); err != nil {
			return gone, err
		}
		gone = append(gone, "container "+name(c))
	}
	if keepData {
		return gone, nil
	}
	there, err := t.volume(ctx)
	if err != nil || !there {
		return gone, err
	}
	switch err := t.Engine.VolumeRemove(ctx, t.base(), false); {
	case err == nil:
		gone = append(gone, "volume "+t.base())
	case !cerrdefs.IsNotFound(err):
		return gone, fmt.Errorf("removing volume %s: %w", t.base(), err)
	}
	return gone, nil
}
