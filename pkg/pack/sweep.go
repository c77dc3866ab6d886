package pack

import (
	"context"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/comfyctl/comfyctl/pkg/contract"
)

// sweep removes images of the same service that lost their last name, as a new
// one takes it: nobody finds them any more, and each may hold gigabytes. One
// that a container uses, running or not, stays, and so does one that came from
// or went to a registry, or that never had a name: another pack may be about to
// give it one.
func (d Docker) sweep(ctx context.Context, id string, img v1.Image) error {
	cfg, err := img.ConfigFile()
	if err != nil {
		return err
	}
	service, ok := serviceOf(cfg.Config.Labels)
	if !ok {
		return nil
	}
	list, err := d.Engine.Images(ctx, map[string]string{contract.Label: ""})
	if err != nil {
		return err
	}
	for _, i := range list {
		name, ours := serviceOf(i.Labels)
		if !ours || name != service || i.ID == id || len(i.Tags) > 0 || len(i.Digests) > 0 || i.Tagged.IsZero() {
			continue
		}
		// Docker itself refuses where a container uses it, however new; that, and
		// whatever else keeps it there, is no failure of packing.
		_ = d.Engine.RemoveImage(ctx, i.ID, false)
	}
	return nil
}

// serviceOf is the service that an image was packed from.
func serviceOf(labels map[string]string) (string, bool) {
	text, ok := labels[contract.Label]
	if !ok {
		return "", false
	}
	c, err := contract.Decode([]byte(text))
	if err != nil {
		return "", false
	}
	return c.Name, true
}
