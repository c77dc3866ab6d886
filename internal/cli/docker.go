package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/comfyctl/comfyctl/internal/diag"
	"github.com/comfyctl/comfyctl/internal/dockerengine"
	"github.com/comfyctl/comfyctl/internal/progress"
	"github.com/comfyctl/comfyctl/internal/term"
	"github.com/comfyctl/comfyctl/pkg/contract"
	"github.com/comfyctl/comfyctl/pkg/deploy"
	"github.com/comfyctl/comfyctl/pkg/deploy/docker"
	"github.com/comfyctl/comfyctl/pkg/pack"
)

// docker connects to the Docker Engine that the environment names.
func (a *App) docker(ctx context.Context) (*dockerengine.Engine, error) {
	return dockerengine.New(ctx, dockerengine.WithEnv(a.lookup))
}

// spec is what a deploy wants on its target.
func (a *App) spec(ctx context.Context, o *DeployOptions, p *project, at *place) (*deploy.Spec, error) {
	s := &deploy.Spec{Service: p.Service.Name, Env: a.flags.Env, Target: at.name, Host: o.Host, Port: o.Port, NoGPU: o.GPUs == "none", GPUs: gpuList(o.GPUs),
		ReadyTimeout: o.Wait, Wait: !o.NoWait, KeepOnFailure: o.Keep, By: whoami(), Force: o.Force}
	if !o.PortSet && s.Port == 0 {
		if s.Port = at.conf.Port; s.Port == 0 {
			s.Port = defaultPort
		}
	}
	err := a.specImage(ctx, o, p, at.engine, at.conf.Models, s)
	return s, err
}

// defaultPort is where a service is published when nothing else is said. A
// port that Docker chose would be another one after each restart of Docker.
const defaultPort = 8080

// gpuFlag is what --gpus takes.
var gpuFlag = regexp.MustCompile(`^(all|none|[0-9A-Za-z][0-9A-Za-z-]*(,[0-9A-Za-z][0-9A-Za-z-]*)*)$`)

// gpuList are the devices that --gpus names.
func gpuList(flag string) []string {
	if flag == "all" || flag == "none" || flag == "" {
		return nil
	}
	return strings.Split(flag, ",")
}

// whoami names who deploys, for whoever finds the target busy.
func whoami() string {
	host, err := os.Hostname()
	if err != nil {
		host = "an unnamed machine"
	}
	return fmt.Sprintf("process %d on %s", os.Getpid(), host)
}

// specImage settles the image of a release: one that is given, or one that is
// packed now. Without --baked the models stay outside and are bound read-only.
func (a *App) specImage(ctx context.Context, o *DeployOptions, p *project, e *dockerengine.Engine, models string, s *deploy.Spec) (err error) {
	if o.Image != "" {
		err = givenImage(ctx, e, o.Image, s)
	} else {
		err = a.packedImage(ctx, o, p, e, models, s)
	}
	if err != nil {
		return err
	}
	s.Secrets, err = a.secretsOf(s.Contract)
	return err
}

// givenImage takes an image that the Docker Engine has.
func givenImage(ctx context.Context, e *dockerengine.Engine, ref string, s *deploy.Spec) error {
	i, err := e.Image(ctx, ref)
	if dockerengine.IsNotFound(err) {
		return failure("no_image", "Docker has no image "+ref, "docker pull "+ref+", or leave --image out to pack", nil)
	} else if err != nil {
		return err
	}
	if s.Contract, err = contract.Decode([]byte(i.Labels[contract.Label])); err != nil {
		return &diag.Error{Code: "not_ours", Class: diag.ClassCheck, Message: ref + " is no image of comfyctl", Err: err}
	}
	s.Image, s.ImageDigest = i.ID, i.ID
	return nil
}

func (a *App) packedImage(ctx context.Context, o *DeployOptions, p *project, e *dockerengine.Engine, models string, s *deploy.Spec) error {
	on, done := a.steps()
	defer done()
	shared := &share{app: a, engine: e}
	r, bo, err := a.packing(ctx, p, o.packFlags, false, on, shared)
	if err != nil {
		return err
	}
	on(progress.Event{Step: "check", State: progress.Done, Text: "no problems"})
	if o.Engine != contract.EngineStub {
		if s.Mounts, err = a.mounts(ctx, o, p, r, bo, models); err != nil {
			return err
		}
	}
	built, err := pack.Build(ctx, r, bo)
	if err != nil {
		return err
	}
	s.Contract = built.Contract
	s.Image, err = pack.Docker{Engine: e, Tags: []string{pack.ShortName(p.Service.Name) + ":latest"}, Progress: on}.Publish(ctx, built.Image)
	s.ImageDigest = s.Image
	return err
}

// mounts finds the model files of a recipe on this machine and takes them out
// of the image. Under --baked only those that were never in it are mounted.
func (a *App) mounts(ctx context.Context, o *DeployOptions, p *project, r *pack.Recipe, bo pack.BuildOptions, models string) ([]deploy.Mount, error) {
	folder := models
	if folder != "" && !filepath.IsAbs(folder) {
		folder = filepath.Join(p.Dir, folder)
	}
	var list []deploy.Mount
	there := map[string]bool{}
	for _, m := range r.Models {
		file := filepath.Join(folder, filepath.FromSlash(m.Path))
		if _, err := os.Stat(file); folder != "" && m.Load == contract.LoadMount && err == nil {
			list = append(list, deploy.Mount{Source: file, Target: path.Join(contract.ModelsPath, m.Path)})
			there[m.Path] = true
		}
	}
	if err := a.holdCache(ctx); err != nil {
		return nil, err
	}
	want := *r
	want.Models = nil
	for _, m := range r.Models {
		if !there[m.Path] && (!o.Baked || m.Load == contract.LoadMount) {
			want.Models = append(want.Models, m)
		}
	}
	if err := pack.Models(ctx, &want, pack.ModelOptions{Store: bo.Store(), All: true, Sources: bo.Sources, Progress: bo.Progress}); err != nil {
		return nil, err
	}
	for _, m := range want.Models {
		list = append(list, deploy.Mount{Source: m.File, Target: path.Join(contract.ModelsPath, m.Path)})
		i := slices.IndexFunc(r.Models, func(o pack.Model) bool { return o.Path == m.Path })
		r.Models[i].Load, r.Models[i].SHA256, r.Models[i].Size = contract.LoadMount, m.SHA256, m.Size
	}
	return list, nil
}

// secretsOf gives the values of the secrets that the runner reads.
func (a *App) secretsOf(c *contract.Contract) (map[string]string, error) {
	set := map[string]string{}
	for _, n := range c.Secrets {
		if v, ok := a.secret(n); ok {
			set[n] = v
		}
	}
	if c.Auth == nil {
		return set, nil
	}
	for _, auth := range *c.Auth {
		if _, ok := set[auth.Keys]; auth.Keys != "" && !ok {
			return nil, &diag.Error{Code: "secret_missing", Class: diag.ClassAuth, Message: "the secret " + auth.Keys + " is not set; auth needs it",
				Help: "export " + auth.Keys + ", or set " + auth.Keys + "_FILE to a file that holds it"}
		}
	}
	return set, nil
}

// temporary runs the packed image on Docker under a name of its own, and gives
// the function that removes it again.
func (a *App) temporary(ctx context.Context, o *DeployOptions, p *project, name string) (*deploy.Release, *docker.Target, func() error, error) {
	e, err := a.docker(ctx)
	if err != nil {
		return nil, nil, nil, err
	}
	s := &deploy.Spec{Service: p.Service.Name, Env: a.flags.Env, Target: name, Host: o.Host, Port: o.Port, NoGPU: o.GPUs == "none", GPUs: gpuList(o.GPUs), Wait: true, By: whoami()}
	models := ""
	for _, t := range p.Service.Targets {
		if t.Type == "docker" && models == "" {
			models = t.Models
		}
	}
	if err := a.specImage(ctx, o, p, e, models, s); err != nil {
		return nil, nil, nil, errors.Join(err, e.Close())
	}
	t := &docker.Target{Engine: e.API(), Service: p.Service.Name, Env: a.flags.Env, Name: name, HasGPU: e.HasGPU()}
	stop := func() error {
		// The context is over when somebody pressed Ctrl-C; removing takes its own time.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 3*time.Minute)
		defer cancel()
		_, err := t.Destroy(ctx, false)
		return errors.Join(err, e.Close())
	}
	plan, err := t.Plan(ctx, s)
	if err != nil {
		return nil, nil, nil, errors.Join(err, e.Close())
	}
	for _, n := range plan.Notes {
		a.console().Line(term.Warn, "note", n)
	}
	on, done := a.steps()
	r, err := t.Apply(ctx, plan, on)
	done()
	if err != nil {
		return nil, nil, nil, errors.Join(err, stop())
	}
	return r, t, stop, nil
}

// runDocker serves the packed image until Ctrl-C, then removes the container.
func (a *App) runDocker(ctx context.Context, o *RunOptions, p *project) error {
	port := o.Port
	if port == 0 {
		l, err := listen(ctx, o.Host, 0)
		if err != nil {
			return err
		}
		port = portOf(l)
		if err := l.Close(); err != nil {
			return fmt.Errorf("closing the port: %w", err)
		}
	}
	do := &DeployOptions{Host: o.Host, Port: port, GPUs: o.GPUs, packFlags: packFlags{Engine: contract.EngineComfyUI}}
	began := time.Now()
	r, t, stop, err := a.temporary(ctx, do, p, "run")
	if err != nil {
		return err
	}
	state := filepath.Join(p.Dir, stateDir)
	remove := stop
	stop = func() error { return errors.Join(forgetRunning(state), remove()) }
	if err := a.serving(ctx, o, p, state, r.URL, r.Engine, time.Since(began)); err != nil {
		return errors.Join(err, stop())
	}
	w := &logWriter{app: a, story: true}
	err = t.Logs(ctx, deploy.LogOptions{Follow: true}, w)
	w.flush()
	if ctx.Err() != nil {
		a.console().Say("stopping")
		return stop()
	}
	if err == nil {
		err = failure("engine_ended", "the container ended", "comfyctl run again, or comfyctl doctor", nil)
	}
	return errors.Join(err, stop())
}

// startPacked runs the packed image for a test.
func (a *App) startPacked(ctx context.Context, p *project) (string, func() error, error) {
	o := &DeployOptions{Host: "127.0.0.1", GPUs: "all", packFlags: packFlags{Engine: contract.EngineComfyUI}}
	r, _, stop, err := a.temporary(ctx, o, p, "test")
	if err != nil {
		return "", nil, err
	}
	return r.URL, stop, nil
}
