package cli

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"

	"github.com/comfyctl/comfyctl/internal/diag"
	"github.com/comfyctl/comfyctl/internal/dockerengine"
	"github.com/comfyctl/comfyctl/pkg/deploy"
	"github.com/comfyctl/comfyctl/pkg/deploy/docker"
	"github.com/comfyctl/comfyctl/pkg/service"
)

// localTarget is implied where a service file has no targets.
const localTarget = "local"

// place is a target of the service, connected to.
type place struct {
	deploy.Target
	name   string
	conf   service.Target
	engine *dockerengine.Engine
	// protected is true where the chosen environment wants its name typed.
	protected bool
}

func (p *place) close() error { return p.engine.Close() }

// targetNames are those of the service file; `local` is implied where there
// are none.
func targetNames(s *service.Service) []string {
	var names []string
	for _, t := range s.Targets {
		names = append(names, t.Name)
	}
	if len(names) == 0 {
		names = []string{localTarget}
	}
	return names
}

// chooseTarget settles which target is meant: the argument, the environment's,
// or the only one.
func (a *App) chooseTarget(s *service.Service, arg string) (service.Target, bool, error) {
	names := targetNames(s)
	protected := false
	name := arg
	for _, e := range s.Environments {
		if e.Name == a.flags.Env {
			protected = e.Protected
			if name == "" {
				name = e.Target
			}
		}
	}
	switch {
	case name == "" && len(names) == 1:
		name = names[0]
	case name == "" && slices.Contains(names, localTarget):
		name = localTarget
	case name == "":
		return service.Target{}, false, usageError("which_target", "the service has several targets", "name one: "+strings.Join(names, ", "))
	}
	for _, t := range s.Targets {
		if t.Name != name {
			continue
		}
		if t.Type != "docker" {
			return t, false, usageError("target_type", fmt.Sprintf("target `%s` is of type %s, which this comfyctl does not deploy to", name, t.Type), "targets of type docker work")
		}
		return t, protected, nil
	}
	if name == localTarget && len(s.Targets) == 0 {
		return service.Target{Name: localTarget, Type: "docker"}, protected, nil
	}
	help := "the targets are " + strings.Join(names, ", ")
	if near := diag.Suggest(name, names); near != "" {
		help = "did you mean `" + near + "`?"
	}
	return service.Target{}, false, usageError("unknown_target", "there is no target `"+name+"`", help)
}

// place connects to a target.
func (a *App) place(ctx context.Context, s *service.Service, arg string) (*place, error) {
	conf, protected, err := a.chooseTarget(s, arg)
	if err != nil {
		return nil, err
	}
	if host, _ := a.lookup("DOCKER_HOST"); elsewhere(host) {
		return nil, usageError("docker_elsewhere", "DOCKER_HOST names a Docker on another machine, "+diag.Safe(host)+"; targets of type docker are this machine's",
			"unset DOCKER_HOST for this command")
	}
	e, err := a.docker(ctx)
	if err != nil {
		return nil, err
	}
	t := &docker.Target{Engine: e.API(), Service: s.Name, Env: a.flags.Env, Name: conf.Name, HasGPU: e.HasGPU()}
	return &place{Target: t, name: conf.Name, conf: conf, engine: e, protected: protected}, nil
}

// elsewhere reports whether an address of Docker is on another machine, where
// neither model files can be bound nor a port on 127.0.0.1 be reached.
func elsewhere(host string) bool {
	u, err := url.Parse(host)
	if err != nil || u.Scheme != "tcp" && u.Scheme != "ssh" && u.Scheme != "http" && u.Scheme != "https" {
		return false
	}
	ip := net.ParseIP(u.Hostname())
	return u.Hostname() != "localhost" && (ip == nil || !ip.IsLoopback())
}

// serviceOnly reads the service file at hand without its workflows: status,
// logs and destroy must work on a project that no longer passes its checks.
func (a *App) serviceOnly() (*service.Service, error) {
	if _, err := a.serviceFile(); err != nil {
		return nil, err
	}
	s := a.localService()
	if s == nil || s.Name == "" {
		return nil, checkError("invalid_service", "the service file cannot be read", nil)
	}
	return s, nil
}

// targetURL is the address of what is deployed on a target.
func (a *App) targetURL(ctx context.Context, name string) (string, error) {
	s, err := a.serviceOnly()
	if err != nil {
		return "", err
	}
	p, err := a.place(ctx, s, name)
	if err != nil {
		return "", err
	}
	defer func() { _ = p.close() }()
	list, err := p.Observe(ctx)
	if err != nil {
		return "", err
	}
	for _, r := range list {
		if r.URL != "" {
			return r.URL, nil
		}
	}
	return "", failure("not_deployed", fmt.Sprintf("nothing of %s runs on target %s", s.Name, name), "comfyctl deploy "+name, nil)
}
