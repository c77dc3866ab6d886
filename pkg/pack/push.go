package pack

import (
	"context"
	"fmt"

	"github.com/docker/go-units"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/comfyctl/comfyctl/internal/diag"
	"github.com/comfyctl/comfyctl/internal/progress"
	"github.com/comfyctl/comfyctl/internal/registry"
)

// Registry sends an image to a registry.
type Registry struct {
	Client registry.Client
	// Refs name the image; all must be in one repository.
	Refs     []string
	Progress progress.Func
}

// Publish sends the image once and gives it every tag. The reference is
// REPOSITORY@DIGEST.
func (r Registry) Publish(ctx context.Context, img v1.Image) (string, error) {
	if len(r.Refs) == 0 {
		return "", &diag.Error{Code: "image_name", Class: diag.ClassUsage, Message: "nothing says where to push to", Help: "name it, such as ghcr.io/acme/portrait, or set `image:` of the target"}
	}
	tags, err := r.tags()
	if err != nil {
		return "", err
	}
	rep := reporter(r.Progress, "push", 0)
	ref, err := r.Client.Push(ctx, tags[0], img, func(p registry.Progress) {
		rep.e.Total = p.Total
		rep.e.Text = fmt.Sprintf("%s of %s to send", units.HumanSize(float64(p.Sending)), units.HumanSize(float64(p.Total)))
		rep.add(p.Done - rep.e.Done)
	})
	if err != nil {
		return "", err
	}
	for _, t := range tags[1:] {
		if err := r.Client.Tag(ctx, t, img); err != nil {
			return "", err
		}
	}
	rep.done(ref)
	return ref, nil
}

func (r Registry) tags() ([]name.Tag, error) {
	out := []name.Tag{}
	for _, s := range r.Refs {
		ref, err := registry.Parse(s)
		if err != nil {
			return nil, err
		}
		t, ok := ref.(name.Tag)
		if !ok {
			return nil, &diag.Error{Code: "image_name", Class: diag.ClassUsage, Message: fmt.Sprintf("%q names a digest; a push makes one", s), Help: "give a name, or a name and a tag"}
		}
		if len(out) > 0 && t.Context() != out[0].Context() {
			return nil, &diag.Error{Code: "image_name", Class: diag.ClassUsage, Message: fmt.Sprintf("%s and %s are two repositories", out[0].Context(), t.Context()), Help: "push to one of them at a time"}
		}
		out = append(out, t)
	}
	return out, nil
}
