package docker

import (
	"context"
	"errors"
	"fmt"
	"time"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"

	"github.com/comfyctl/comfyctl/internal/diag"
	"github.com/comfyctl/comfyctl/internal/progress"
	"github.com/comfyctl/comfyctl/pkg/deploy"
)

// Apply implements deploy.Target.
func (t *Target) Apply(ctx context.Context, p *deploy.Plan, on progress.Func) (*deploy.Release, error) {
	now, err := t.look(ctx)
	if err != nil {
		return nil, err
	}
	d := t.desire(p.Spec)
	if err := t.moved(p, now); err != nil {
		return nil, err
	}
	if now.serving != nil && now.serving.State == "running" && now.serving.Labels[labelSpec] == d.hash {
		return t.keep(ctx, p, now, on)
	}
	candidate := ""
	switch {
	case t.resumes(now, d):
		candidate = now.next.ID
	case now.next != nil:
		if err := t.clearNext(ctx, p.Spec, now.next); err != nil {
			return nil, err
		}
	}
	if candidate == "" {
		if err := t.portFree(ctx, p.Spec, now); err != nil {
			return nil, err
		}
		// Made before anything is stopped: what Docker refuses costs no downtime.
		if candidate, err = t.create(ctx, p, now, d); err != nil {
			return nil, err
		}
	}
	if err := t.rollOut(ctx, p, now, candidate, on); err != nil {
		return nil, t.putBack(ctx, p, now, candidate, err)
	}
	// From here on the new release stands; an interrupt must not part it from
	// its name.
	return t.accept(context.WithoutCancel(ctx), now, candidate)
}

// moved is an error where the target is not as it was when it was planned.
func (t *Target) moved(p *deploy.Plan, now *standing) error {
	before, is := "", ""
	if p.Before != nil {
		before = p.Before.ID
	}
	if now.serving != nil {
		is = now.serving.ID
	}
	if before == is {
		return nil
	}
	return &diag.Error{Code: "target_moved", Class: diag.ClassStale, Message: "target " + t.Name + " has changed since this was planned", Help: "run the deploy again"}
}

// keep sees that what runs is ready, and removes what other deploys left.
func (t *Target) keep(ctx context.Context, p *deploy.Plan, now *standing, on progress.Func) (*deploy.Release, error) {
	if now.next != nil {
		if err := t.clearNext(ctx, p.Spec, now.next); err != nil {
			return nil, err
		}
	}
	if err := t.await(ctx, p.Spec, now.serving.ID, on); err != nil {
		return nil, err
	}
	if err := t.sweep(ctx, now); err != nil {
		return nil, err
	}
	return t.release(ctx, now.serving.ID)
}

// clearNext removes a candidate that a killed deploy left. A young one belongs
// to a deploy that is going on.
func (t *Target) clearNext(ctx context.Context, s *deploy.Spec, c *container.Summary) error {
	age := time.Since(time.Unix(c.Created, 0))
	if age < cutOff(s) && !s.Force {
		e := busy(name(*c))
		e.Facts = append(e.Facts, [2]string{"since", age.Round(time.Second).String()})
		if by := c.Labels[labelBy]; by != "" {
			e.Facts = append(e.Facts, [2]string{"by", by})
		}
		return e
	}
	return t.remove(ctx, c.ID, name(*c))
}

func busy(candidate string) *diag.Error {
	return &diag.Error{Code: "deploy_running", Class: diag.ClassFailed, Retryable: true, Message: "another deploy to this target is going on: container " + candidate + " is starting",
		Help: "wait for it; if it was killed, --force-unlock removes what it left"}
}

func (t *Target) create(ctx context.Context, p *deploy.Plan, now *standing, d desired) (string, error) {
	d.config.Labels[labelRelease] = p.Release
	if p.Spec.By != "" {
		d.config.Labels[labelBy] = p.Spec.By
	}
	if p.Spec.Wait {
		// One that dies while it starts stays dead, so that its exit code can be
		// read; accept turns restarts on.
		d.host.RestartPolicy = container.RestartPolicy{Name: container.RestartPolicyDisabled}
	}
	if p.Spec.Port == 0 && now.serving != nil {
		// A port that Docker chose once stays the service's.
		for _, published := range now.serving.Ports {
			if fmt.Sprint(published.PrivatePort) == apiPort.Port() && published.PublicPort > 0 {
				d.host.PortBindings[apiPort][0].HostPort = fmt.Sprint(published.PublicPort)
			}
		}
	}
	made, err := t.Engine.ContainerCreate(ctx, d.config, d.host, nil, nil, t.base()+endNext)
	switch {
	case cerrdefs.IsConflict(err):
		return "", busy(t.base() + endNext)
	case err != nil:
		return "", explainStart(err, p.Spec)
	}
	return made.ID, nil
}

// rollOut stops what serves and starts the candidate. It returns when that is
// ready.
func (t *Target) rollOut(ctx context.Context, p *deploy.Plan, now *standing, candidate string, on progress.Func) error {
	if old := now.serving; old != nil && old.State == "running" {
		on(progress.Event{Step: "stop", State: progress.Running, Text: old.Labels[labelRelease] + ", letting its jobs end"})
		if err := t.Engine.ContainerStop(ctx, old.ID, container.StopOptions{}); err != nil {
			return fmt.Errorf("stopping container %s: %w", name(*old), err)
		}
		on(progress.Event{Step: "stop", State: progress.Done, Text: old.Labels[labelRelease]})
	}
	on(progress.Event{Step: "start", State: progress.Running, Text: p.Release})
	if err := t.Engine.ContainerStart(ctx, candidate, container.StartOptions{}); err != nil {
		return explainStart(err, p.Spec)
	}
	on(progress.Event{Step: "start", State: progress.Done, Text: p.Release + " as container " + t.base()})
	if !p.Spec.Wait {
		return nil
	}
	if err := t.await(ctx, p.Spec, candidate, on); err != nil {
		return err
	}
	always := container.UpdateConfig{RestartPolicy: container.RestartPolicy{Name: container.RestartPolicyUnlessStopped}}
	if _, err := t.Engine.ContainerUpdate(ctx, candidate, always); err != nil {
		return fmt.Errorf("letting container %s restart: %w", t.base(), err)
	}
	return ctx.Err()
}

// accept gives a candidate that is ready the name of the one that serves.
func (t *Target) accept(ctx context.Context, now *standing, candidate string) (*deploy.Release, error) {
	if old := now.serving; old != nil {
		if err := t.remove(ctx, old.ID, name(*old)); err != nil {
			return nil, err
		}
	}
	if err := t.Engine.ContainerRename(ctx, candidate, t.base()); err != nil {
		return nil, fmt.Errorf("naming container %s: %w", t.base(), err)
	}
	if err := t.sweep(ctx, now); err != nil {
		return nil, err
	}
	return t.release(ctx, candidate)
}

func (t *Target) sweep(ctx context.Context, now *standing) error {
	for _, c := range now.rest {
		if err := t.remove(ctx, c.ID, name(c)); err != nil {
			return err
		}
	}
	return nil
}

// remove ends a container for good. Its anonymous volumes go with it, the
// state's has a name and stays.
func (t *Target) remove(ctx context.Context, id, called string) error {
	err := t.Engine.ContainerRemove(ctx, id, container.RemoveOptions{Force: true, RemoveVolumes: true})
	if err != nil && !cerrdefs.IsNotFound(err) {
		return fmt.Errorf("removing container %s: %w", called, err)
	}
	return nil
}

// putBack removes a candidate that failed, or keeps it for a look, and starts
// the release before it.
func (t *Target) putBack(ctx context.Context, p *deploy.Plan, now *standing, candidate string, cause error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 3*time.Minute)
	defer cancel()
	var state []string
	soon := 10
	err := t.Engine.ContainerStop(ctx, candidate, container.StopOptions{Timeout: &soon})
	if err == nil && p.Spec.KeepOnFailure {
		if err = t.sweep(ctx, now); err == nil {
			err = t.Engine.ContainerRename(ctx, candidate, t.base()+endFailed)
		}
		state = append(state, "container "+t.base()+endFailed+" was kept for a look")
	} else if err == nil || cerrdefs.IsNotFound(err) {
		err = t.remove(ctx, candidate, t.base()+endNext)
	}
	if err != nil {
		state = append(state, fmt.Sprintf("container %s could not be cleared away: %v", t.base()+endNext, err))
	}
	switch old := now.serving; {
	case old == nil:
		state = append(state, "nothing of "+t.Service+" runs on target "+t.Name)
	case old.State != "running":
		state = append(state, p.Before.Release+" is stopped, as it was")
	default:
		if err := t.Engine.ContainerStart(ctx, old.ID, container.StartOptions{}); err != nil {
			state = append(state, fmt.Sprintf("%s could not be started again: %v", p.Before.Release, err))
		} else {
			state = append(state, p.Before.Release+" was started again; nothing was lost")
		}
	}
	return withState(p, cause, state)
}

// withState adds to a failed deploy what stands now.
func withState(p *deploy.Plan, cause error, state []string) error {
	var e *diag.Error
	if !errors.As(cause, &e) {
		e = &diag.Error{Code: "deploy_failed", Class: diag.ClassFailed, Message: "release " + p.Release + " was not deployed", Err: cause}
	} else {
		c := *e
		e = &c
	}
	for _, s := range state {
		e.Facts = append(e.Facts, [2]string{"state", s})
	}
	return e
}
