package docker

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/mount"
	"github.com/docker/docker/pkg/stdcopy"
	"github.com/docker/go-connections/nat"

	"github.com/comfyctl/comfyctl/internal/diag"
	"github.com/comfyctl/comfyctl/internal/progress"
	"github.com/comfyctl/comfyctl/pkg/contract"
	"github.com/comfyctl/comfyctl/pkg/deploy"
)

// apiPort is where the runner listens inside the container.
const apiPort = nat.Port("8080/tcp")

// compose writes a spec as Docker takes it, but for the release's number.
func (t *Target) compose(s *deploy.Spec) (*container.Config, *container.HostConfig, string) {
	env := map[string]string{"PORT": "8080", "COMFYCTL_IMAGE_DIGEST": s.ImageDigest}
	maps.Copy(env, s.RunnerEnv)
	maps.Copy(env, s.Secrets)
	if loopback(s.Host) && s.Contract.Auth == nil {
		env["COMFYCTL_AUTH"] = "off" // inside, the runner cannot see that only this machine reaches it
	}
	drain := int(s.Contract.Runner.Timeouts.DrainMS/1000) + 30
	if s.Contract.Runner.Timeouts.DrainMS == 0 {
		drain = 150
	}
	gpu := "none"
	var devices []container.DeviceRequest
	switch {
	case s.Contract.GPU.Count == 0:
	case s.NoGPU || !t.HasGPU:
		gpu = "cpu"
	default:
		gpu = strconv.Itoa(s.Contract.GPU.Count)
		devices = []container.DeviceRequest{{Count: s.Contract.GPU.Count, Capabilities: [][]string{{"gpu"}}}}
	}
	c := &container.Config{Image: s.Image, ExposedPorts: nat.PortSet{apiPort: {}}, StopTimeout: &drain,
		Labels: map[string]string{labelService: t.Service, labelEnv: t.Env, labelTarget: t.Name, labelDigest: s.ImageDigest,
			labelBaked: strconv.FormatBool(len(s.Mounts) == 0), labelGPU: gpu}}
	if d, err := s.Contract.Digest(); err == nil {
		c.Labels[labelContract] = d
	}
	for _, k := range slices.Sorted(maps.Keys(env)) {
		c.Env = append(c.Env, k+"="+env[k])
	}
	port := ""
	if s.Port > 0 {
		port = strconv.Itoa(s.Port)
	}
	host := s.Host
	if host == "" {
		host = "127.0.0.1"
	}
	pids := int64(4096)
	h := &container.HostConfig{
		PortBindings:   nat.PortMap{apiPort: {{HostIP: host, HostPort: port}}},
		RestartPolicy:  container.RestartPolicy{Name: container.RestartPolicyUnlessStopped},
		ReadonlyRootfs: true, Tmpfs: map[string]string{"/tmp": "rw,nosuid,nodev"},
		CapDrop: []string{"ALL"}, SecurityOpt: []string{"no-new-privileges"},
		ShmSize:   1 << 30,
		LogConfig: container.LogConfig{Type: "local", Config: map[string]string{"max-size": "50m", "max-file": "5"}},
		Mounts:    []mount.Mount{{Type: mount.TypeVolume, Source: t.base(), Target: contract.StatePath}},
		Resources: container.Resources{PidsLimit: &pids, DeviceRequests: devices},
	}
	for _, m := range s.Mounts {
		h.Mounts = append(h.Mounts, mount.Mount{Type: mount.TypeBind, Source: m.Source, Target: m.Target, ReadOnly: true})
	}
	hash := specHash(c, h)
	c.Labels[labelSpec] = hash
	return c, h, gpu
}

func loopback(host string) bool {
	return host == "" || host == "127.0.0.1" || host == "::1" || host == "localhost"
}

// Plan implements deploy.Target.
func (t *Target) Plan(ctx context.Context, s *deploy.Spec) (*deploy.Plan, error) {
	list, err := t.list(ctx)
	if err != nil {
		return nil, err
	}
	c, _, gpu := t.compose(s)
	p := &deploy.Plan{Spec: s, Release: "v1"}
	add := func(op deploy.Op, what, from, to string) {
		p.Actions = append(p.Actions, deploy.Action{Op: op, Resource: what, From: from, To: to})
	}
	if gpu == "cpu" {
		p.Notes = append(p.Notes, "this machine gives containers no GPU: ComfyUI runs on the CPU, slowly")
	}
	if len(s.Mounts) > 0 {
		p.Notes = append(p.Notes, "models are bind-mounted, so this is not the image that would be pushed; --baked runs that one")
	}
	if len(list) == 0 {
		add(deploy.Create, "volume "+t.base(), "", "")
		add(deploy.Create, "container "+t.base(), "", short(s.ImageDigest))
		return p, nil
	}
	p.Release = "v" + strconv.Itoa(number(list[0].Labels)+1)
	if p.Before, err = t.release(ctx, list[0].ID); err != nil {
		return nil, err
	}
	old := list[0].Labels
	if old[labelSpec] == c.Labels[labelSpec] && list[0].State == "running" && name(list[0]) == t.base() {
		p.Release = old[labelRelease]
		add(deploy.Keep, "container "+t.base(), "", short(s.ImageDigest))
		return p, nil
	}
	from, to := old[labelDigest], s.ImageDigest
	if from == to {
		add(deploy.Change, "settings of container "+t.base(), old[labelRelease], p.Release)
	} else {
		add(deploy.Change, "container "+t.base(), short(from), short(to))
	}
	p.Notes = append(p.Notes, "one container holds the port: it does not answer from the stop of "+old[labelRelease]+" until "+p.Release+" listens")
	return p, nil
}

func short(digest string) string {
	if len(digest) > 19 {
		return digest[:19]
	}
	return digest
}

// Apply implements deploy.Target.
func (t *Target) Apply(ctx context.Context, p *deploy.Plan, on progress.Func) (*deploy.Release, error) {
	list, err := t.list(ctx)
	if err != nil {
		return nil, err
	}
	s := p.Spec
	if !p.Changes() && len(list) > 0 {
		return t.await(ctx, s, list[0].ID, on)
	}
	c, h, _ := t.compose(s)
	c.Labels[labelRelease] = p.Release
	old, err := t.stepAside(ctx, list, on)
	if err != nil {
		return nil, err
	}
	made, err := t.Engine.ContainerCreate(ctx, c, h, nil, nil, t.base())
	if err == nil {
		on(progress.Event{Step: "start", State: progress.Running, Item: t.base(), Text: p.Release})
		err = t.Engine.ContainerStart(ctx, made.ID, container.StartOptions{})
	}
	if err != nil {
		err = explainStart(err, s)
	} else {
		var r *deploy.Release
		if r, err = t.await(ctx, s, made.ID, on); err == nil {
			t.clear(ctx, old)
			return r, nil
		}
	}
	return nil, t.putBack(ctx, p, made.ID, old, err)
}

// stepAside stops what runs and keeps it under another name.
func (t *Target) stepAside(ctx context.Context, list []container.Summary, on progress.Func) (string, error) {
	kept := ""
	for i, c := range list {
		if i > 0 || c.State != "running" {
			if err := t.Engine.ContainerRemove(ctx, c.ID, container.RemoveOptions{Force: true}); err != nil {
				return "", fmt.Errorf("removing container %s: %w", name(c), err)
			}
			continue
		}
		on(progress.Event{Step: "stop", State: progress.Running, Item: name(c), Text: c.Labels[labelRelease]})
		if err := t.Engine.ContainerStop(ctx, c.ID, container.StopOptions{}); err != nil {
			return "", fmt.Errorf("stopping container %s: %w", name(c), err)
		}
		if err := t.Engine.ContainerRename(ctx, c.ID, t.base()+"-before"); err != nil {
			return "", fmt.Errorf("renaming container %s: %w", name(c), err)
		}
		kept = c.ID
	}
	return kept, nil
}

func (t *Target) clear(ctx context.Context, old string) {
	if old != "" {
		_ = t.Engine.ContainerRemove(context.WithoutCancel(ctx), old, container.RemoveOptions{Force: true})
	}
}

// putBack removes a release that failed and starts the one before it.
func (t *Target) putBack(ctx context.Context, p *deploy.Plan, made, old string, cause error) error {
	clean, cancel := context.WithTimeout(context.WithoutCancel(ctx), 3*time.Minute)
	defer cancel()
	state := "nothing of " + t.Service + " runs there now"
	if made != "" && !p.Spec.KeepOnFailure {
		grace := 10
		_ = t.Engine.ContainerStop(clean, made, container.StopOptions{Timeout: &grace})
		_ = t.Engine.ContainerRemove(clean, made, container.RemoveOptions{Force: true})
	} else if made != "" {
		state = "container " + t.base() + " was kept for a look"
	}
	if old != "" && !p.Spec.KeepOnFailure {
		err := t.Engine.ContainerRename(clean, old, t.base())
		if err == nil {
			err = t.Engine.ContainerStart(clean, old, container.StartOptions{})
		}
		state = p.Before.Release + " serves again"
		if err != nil {
			state = fmt.Sprintf("%s could not be put back: %v", p.Before.Release, err)
		}
	}
	e, ok := cause.(*diag.Error) //nolint:errorlint // made just above, never wrapped
	if !ok {
		e = &diag.Error{Code: "deploy_failed", Class: diag.ClassFailed, Message: "release " + p.Release + " did not start", Err: cause}
	}
	e.Facts = append(e.Facts, [2]string{"state", state})
	return e
}

// explainStart turns Docker's words into a cause and a remedy.
func explainStart(err error, s *deploy.Spec) error {
	msg := err.Error()
	e := &diag.Error{Code: "container_start", Class: diag.ClassFailed, Message: "Docker did not start the container", Err: err}
	switch {
	case strings.Contains(msg, "port is already allocated"), strings.Contains(msg, "address already in use"):
		e.Code, e.Message, e.Err = "port_taken", fmt.Sprintf("port %d is taken", s.Port), nil
		e.Help = "stop what listens there, or choose another: `targets: { local: { type: docker, port: 8081 } }` or --port"
	case strings.Contains(msg, "could not select device driver"), strings.Contains(msg, "nvidia-container-cli"), strings.Contains(msg, "nvml error"):
		e.Code, e.Message = "no_gpu_runtime", "Docker cannot give the container a GPU"
		e.Help = "install the NVIDIA Container Toolkit, then `sudo nvidia-ctk runtime configure --runtime=docker` and restart Docker; `gpu: none` runs on the CPU"
	case strings.Contains(msg, "No such image"):
		e.Code, e.Message, e.Help = "image_missing", "Docker does not have the image "+s.Image, "`comfyctl pack --load` puts it there"
	}
	return e
}

// await waits until the release is ready and is the one that was meant. The
// engine's log is passed on while it boots.
func (t *Target) await(ctx context.Context, s *deploy.Spec, id string, on progress.Func) (*deploy.Release, error) {
	if !s.Wait {
		return t.release(ctx, id)
	}
	limit := s.ReadyTimeout
	if limit <= 0 {
		limit = time.Duration(s.Contract.Runner.Timeouts.StartMS) * time.Millisecond
	}
	if limit <= 0 {
		limit = 10 * time.Minute
	}
	start := time.Now()
	tick := time.NewTicker(300 * time.Millisecond)
	defer tick.Stop()
	shown := map[string]bool{}
	for {
		c, err := t.Engine.ContainerInspect(ctx, id)
		if err != nil {
			return nil, fmt.Errorf("looking at container %s: %w", id, err)
		}
		if !c.State.Running || c.RestartCount > 0 {
			return nil, t.died(ctx, id, c)
		}
		base := url(c)
		if got, err := t.readyz(ctx, base); err == nil {
			for _, line := range got.Engine.Log {
				if !shown[line] {
					shown[line] = true
					on(progress.Event{Step: "engine", State: progress.Running, Text: line})
				}
			}
			if got.Ready {
				return t.verified(ctx, s, id, base, got, on)
			}
			on(progress.Event{Step: "ready", State: progress.Running, Text: got.Engine.Stage, Done: int64(time.Since(start).Seconds()), Unit: "s"})
		}
		if time.Since(start) > limit {
			return nil, &diag.Error{Code: "not_ready", Class: diag.ClassFailed, Message: fmt.Sprintf("the release was not ready within %s", limit),
				Help: "raise runner.timeouts.start in the service file, or look at the log below", Facts: t.tail(ctx, id)}
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-tick.C:
		}
	}
}

func (t *Target) verified(ctx context.Context, s *deploy.Spec, id, base string, got *ready, on progress.Func) (*deploy.Release, error) {
	if want, err := s.Contract.Digest(); err == nil && got.Contract != want {
		return nil, &diag.Error{Code: "wrong_release", Class: diag.ClassFailed, Message: "another service answers at " + base,
			Help: "its contract is " + short(got.Contract) + ", deployed was " + short(want)}
	}
	if s.Verify != nil {
		if err := s.Verify(ctx, base); err != nil {
			return nil, err
		}
	}
	on(progress.Event{Step: "ready", State: progress.Done, Text: base})
	return t.release(ctx, id)
}

func (t *Target) died(ctx context.Context, id string, c container.InspectResponse) error {
	e := &diag.Error{Code: "engine_died", Class: diag.ClassFailed, Message: "the release stopped while it started: " + exitReason(c.State), Err: errGone, Facts: t.tail(ctx, id)}
	switch {
	case c.State.OOMKilled || c.State.ExitCode == 137:
		e.Help = "it was killed, most likely for memory; give the machine more, or serve fewer models"
	case c.State.ExitCode == 126 || c.State.ExitCode == 127:
		e.Help = "the image has no runner that can start here; was it packed for another platform?"
	}
	return e
}

// tail is the end of a container's log, as facts of an error.
func (t *Target) tail(ctx context.Context, id string) [][2]string {
	r, err := t.Engine.ContainerLogs(context.WithoutCancel(ctx), id, container.LogsOptions{ShowStdout: true, ShowStderr: true, Tail: "30"})
	if err != nil {
		return nil
	}
	defer r.Close()
	var b bytes.Buffer
	if _, err := stdcopy.StdCopy(&b, &b, r); err != nil {
		return nil
	}
	return [][2]string{{"last lines", diag.Safe(strings.TrimSpace(b.String()))}}
}
