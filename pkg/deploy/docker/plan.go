package docker

import (
	"context"
	"fmt"
	"strconv"
	"time"

	cerrdefs "github.com/containerd/errdefs"

	"github.com/comfyctl/comfyctl/internal/diag"
	"github.com/comfyctl/comfyctl/pkg/deploy"
)

// Plan implements deploy.Target.
func (t *Target) Plan(ctx context.Context, s *deploy.Spec) (*deploy.Plan, error) {
	now, err := t.look(ctx)
	if err != nil {
		return nil, err
	}
	d := t.desire(s)
	p := &deploy.Plan{Spec: s, Release: "v" + strconv.Itoa(now.last+1), Notes: notes(s, d)}
	there, err := t.volume(ctx)
	if err != nil {
		return nil, err
	}
	if !there {
		p.Add(deploy.Create, "volume "+t.base(), "", "")
	}
	if err := t.planContainer(ctx, p, now, d); err != nil {
		return nil, err
	}
	if c := now.next; c != nil && !t.resumes(now, d) {
		p.Add(deploy.Remove, "container "+name(*c), c.Labels[labelRelease], "")
	}
	for _, c := range now.rest {
		p.Add(deploy.Remove, "container "+name(c), c.Labels[labelRelease], "")
	}
	return p, nil
}

func notes(s *deploy.Spec, d desired) []string {
	var list []string
	if d.gpu == "cpu" {
		why := "this machine gives containers no GPU"
		if s.NoGPU {
			why = "no GPU is used, as asked"
		}
		list = append(list, why+": ComfyUI runs on the CPU, slowly")
	}
	if len(s.Mounts) > 0 {
		list = append(list, "models are bind-mounted, so this is not the image that would be pushed; --baked runs that one")
	}
	return list
}

func (t *Target) planContainer(ctx context.Context, p *deploy.Plan, now *standing, d desired) error {
	what, to := "container "+t.base(), short(p.Spec.ImageDigest)
	old := now.serving
	if old == nil {
		if t.resumes(now, d) {
			p.Release = now.next.Labels[labelRelease]
			p.Notes = append(p.Notes, "a deploy of just this was cut off; it is taken up where it stands")
		}
		p.Add(deploy.Create, what, "", to)
		return nil
	}
	var err error
	if p.Before, err = t.release(ctx, old.ID); err != nil {
		return err
	}
	from := old.Labels[labelDigest]
	switch {
	case old.State == "running" && old.Labels[labelSpec] == d.hash:
		p.Release = old.Labels[labelRelease]
		p.Add(deploy.Keep, what, "", to)
		return nil
	case old.State != "running":
		p.Add(deploy.Change, what, old.State, to)
		return nil
	case from == p.Spec.ImageDigest:
		p.Add(deploy.Change, "settings of "+what, old.Labels[labelRelease], p.Release)
	default:
		p.Add(deploy.Change, what, short(from), to)
	}
	p.Notes = append(p.Notes, "one container holds the port: it does not answer from the stop of "+old.Labels[labelRelease]+" until "+p.Release+" listens")
	return nil
}

// resumes reports whether the candidate of a first deploy that was cut off is
// just what is wanted.
func (t *Target) resumes(now *standing, d desired) bool {
	return now.serving == nil && now.next != nil && now.next.State == "running" && now.next.Labels[labelSpec] == d.hash
}

// volume reports whether the volume of the state is there. One of another
// service or target is an error.
func (t *Target) volume(ctx context.Context) (bool, error) {
	v, err := t.Engine.VolumeInspect(ctx, t.base())
	switch {
	case cerrdefs.IsNotFound(err):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("looking at volume %s: %w", t.base(), err)
	case v.Labels[labelService] != "" && !t.owns(v.Labels):
		return false, &diag.Error{Code: "name_taken", Class: diag.ClassFailed,
			Message: fmt.Sprintf("volume %s belongs to service %s on target %s", t.base(), v.Labels[labelService], v.Labels[labelTarget]),
			Help:    "rename the service or the target"}
	}
	return true, nil
}

// cutOff is how old a candidate must be before it counts as left behind by a
// deploy that was killed.
func cutOff(s *deploy.Spec) time.Duration {
	return readyLimit(s) + time.Duration(*grace(s))*time.Second + 10*time.Minute
}
