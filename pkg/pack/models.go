package pack

import (
	"context"
	"fmt"
	"io"
	"path"
	"strings"

	"github.com/docker/go-units"

	"github.com/comfyctl/comfyctl/internal/cas"
	"github.com/comfyctl/comfyctl/internal/diag"
	"github.com/comfyctl/comfyctl/internal/layer"
	"github.com/comfyctl/comfyctl/internal/progress"
	"github.com/comfyctl/comfyctl/internal/source"
	"github.com/comfyctl/comfyctl/pkg/contract"
)

// ModelOptions say how Models finds the bytes.
type ModelOptions struct {
	Store *cas.Store
	// All finds those with load mount and start too, as a local run does.
	All bool
	// Sources say how files are fetched.
	Sources  source.Options
	Progress progress.Func
}

// stepModels is the name of the step in progress events.
const stepModels = "models"

// Models finds the file of every baked model of r, fetching what is not on
// this machine, and fills in File, Size and SHA256. A file that has another
// hash than the recipe says, or that cannot be a model, is an error.
func Models(ctx context.Context, r *Recipe, o ModelOptions) error {
	if o.Progress == nil {
		o.Progress = progress.Discard
	}
	c := source.New(o.Store, o.Sources)
	seen := map[string]bool{}
	for i := range r.Models {
		m := &r.Models[i]
		if err := checkPath(m.Path, seen); err != nil {
			return err
		}
		if m.Load != contract.LoadBake && !o.All {
			continue
		}
		if err := bring(ctx, c, r.Dir, m, o); err != nil {
			o.Progress(progress.Event{Step: stepModels, State: progress.Failed, Item: m.Path})
			return err
		}
	}
	return nil
}

func checkPath(p string, seen map[string]bool) error {
	if p == "" || path.IsAbs(p) || path.Clean(p) != p || p == "." || strings.HasPrefix(p, "../") || strings.Contains(p, `\`) {
		return &diag.Error{Code: "model_path", Class: diag.ClassCheck, Message: fmt.Sprintf("%q is no path under ComfyUI's models folder", p), Help: "write it like checkpoints/model.safetensors"}
	}
	if seen[p] {
		return &diag.Error{Code: "model_path", Class: diag.ClassCheck, Message: fmt.Sprintf("two models want to be %s", p), Help: "remove one of them"}
	}
	seen[p] = true
	return nil
}

// bring finds one model. Whenever its bytes pass by, the digest of its layer is
// computed with its hash, so that nothing reads them again.
func bring(ctx context.Context, c *source.Client, dir string, m *Model, o ModelOptions) error {
	var sum *layer.FileSum
	ev := progress.Event{Step: stepModels, State: progress.Running, Item: m.Path}
	got, err := c.Fetch(ctx, source.Want{
		Path: m.Path, Sources: m.Sources, Dir: dir, SHA256: m.SHA256, Auth: m.Auth, AllowPickle: m.AllowPickle,
		Also: func(size int64) (w io.Writer, err error) {
			sum, err = layer.NewFileSum(imagePath(m.Path), size)
			return sum, err
		},
		Progress: func(done, total int64) {
			ev.Done, ev.Total = done, total
			o.Progress(ev)
		},
	})
	if err != nil {
		return err
	}
	if sum != nil && !got.Cached {
		digest, err := sum.Sum()
		if err != nil {
			return err
		}
		if err := rememberLayer(o.Store, m.Path, got.SHA256, digest); err != nil {
			return err
		}
	}
	m.File, m.Size, m.SHA256 = got.File, got.Size, got.SHA256
	o.Progress(progress.Event{Step: stepModels, State: state(got.Cached), Item: m.Path, Text: units.HumanSize(float64(m.Size)), Done: m.Size, Total: m.Size})
	return nil
}

func state(cached bool) progress.State {
	if cached {
		return progress.Cached
	}
	return progress.Done
}
