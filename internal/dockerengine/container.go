package dockerengine

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/go-connections/nat"
)

// ContainerSpec is a container to create.
type ContainerSpec struct {
	Name       string
	Image      string // reference or id
	Entrypoint []string
	Cmd        []string
	Env        []string // KEY=value
	Labels     map[string]string
	User       string
	Ports      []Port
	Mounts     []Mount
	// Network is a network's name; empty means the default bridge.
	Network string
	Aliases []string // names on Network
	// GPUs is "all", a comma-separated list of device ids, or empty for none.
	GPUs     string
	Memory   int64  // bytes, 0 for no limit
	ShmSize  int64  // bytes, 0 for Docker's 64 MiB
	Restart  string // no, on-failure, unless-stopped, always
	ReadOnly bool   // of the root file system
	// StopTimeout is how long SIGTERM has before SIGKILL; 0 means Docker's 10 s.
	StopTimeout time.Duration
	CapDrop     []string
	NoNewPrivs  bool
	Tmpfs       map[string]string // path → options
	ExtraHosts  []string
	// LogSize and LogFiles bound the log, such as "10m" and 3; empty leaves
	// Docker's default.
	LogSize  string
	LogFiles int
	Health   *Health
}

// Health replaces the image's own health check.
type Health struct {
	Test     []string // after CMD
	Interval time.Duration
	Timeout  time.Duration
	Start    time.Duration
	Retries  int
	Disable  bool
}

// Port publishes a TCP port. HostPort 0 lets Docker choose.
type Port struct {
	HostIP    string
	HostPort  int
	Container int
}

// Mount binds a host folder or file, or a named volume.
type Mount struct {
	Volume   bool // Source is a volume's name; else a host path that must exist
	Source   string
	Target   string
	ReadOnly bool
}

// CreateContainer creates a container without starting it and returns its id.
func (e *Engine) CreateContainer(ctx context.Context, s ContainerSpec) (string, error) {
	cfg, host := s.config()
	var nets *network.NetworkingConfig
	if s.Network != "" {
		host.NetworkMode = container.NetworkMode(s.Network)
		nets = &network.NetworkingConfig{EndpointsConfig: map[string]*network.EndpointSettings{s.Network: {Aliases: s.Aliases}}}
	}
	r, err := e.api.ContainerCreate(ctx, cfg, host, nets, nil, s.Name)
	if err != nil {
		return "", fmt.Errorf("creating container %s: %w", s.Name, err)
	}
	return r.ID, nil
}

func (s ContainerSpec) config() (*container.Config, *container.HostConfig) {
	cfg := &container.Config{
		Image: s.Image, Entrypoint: s.Entrypoint, Cmd: s.Cmd, Env: s.Env, Labels: s.Labels, User: s.User,
		ExposedPorts: nat.PortSet{},
	}
	if s.StopTimeout > 0 {
		sec := int(s.StopTimeout.Round(time.Second) / time.Second)
		cfg.StopTimeout = &sec
	}
	if h := s.Health; h != nil {
		cfg.Healthcheck = &container.HealthConfig{Test: append([]string{"CMD"}, h.Test...), Interval: h.Interval, Timeout: h.Timeout, StartPeriod: h.Start, Retries: h.Retries}
		if h.Disable {
			cfg.Healthcheck = &container.HealthConfig{Test: []string{"NONE"}}
		}
	}
	host := &container.HostConfig{
		PortBindings: nat.PortMap{}, ShmSize: s.ShmSize, ReadonlyRootfs: s.ReadOnly, CapDrop: s.CapDrop,
		ExtraHosts: s.ExtraHosts, Tmpfs: s.Tmpfs,
		RestartPolicy: container.RestartPolicy{Name: container.RestartPolicyMode(s.Restart)},
		Resources:     container.Resources{Memory: s.Memory},
	}
	if s.NoNewPrivs {
		host.SecurityOpt = []string{"no-new-privileges"}
	}
	if s.LogSize != "" {
		host.LogConfig = container.LogConfig{Type: "json-file", Config: map[string]string{"max-size": s.LogSize, "max-file": fmt.Sprint(max(1, s.LogFiles))}}
	}
	for _, p := range s.Ports {
		port := nat.Port(fmt.Sprintf("%d/tcp", p.Container))
		cfg.ExposedPorts[port] = struct{}{}
		hp := ""
		if p.HostPort > 0 {
			hp = fmt.Sprint(p.HostPort)
		}
		host.PortBindings[port] = append(host.PortBindings[port], nat.PortBinding{HostIP: p.HostIP, HostPort: hp})
	}
	for _, m := range s.Mounts {
		host.Mounts = append(host.Mounts, m.api())
	}
	if s.GPUs != "" {
		r := container.DeviceRequest{Driver: "", Count: -1, Capabilities: [][]string{{"gpu"}}}
		if s.GPUs != "all" {
			r.Count, r.DeviceIDs = 0, strings.Split(s.GPUs, ",")
		}
		host.DeviceRequests = []container.DeviceRequest{r}
	}
	return cfg, host
}

// StartContainer starts a created or stopped container.
func (e *Engine) StartContainer(ctx context.Context, id string) error {
	return doing("starting container "+short(id), e.api.ContainerStart(ctx, id, container.StartOptions{}))
}

// StopContainer sends SIGTERM, then SIGKILL after grace; grace below a second
// means the container's own.
func (e *Engine) StopContainer(ctx context.Context, id string, grace time.Duration) error {
	var o container.StopOptions
	if grace >= time.Second {
		sec := int(grace / time.Second)
		o.Timeout = &sec
	}
	return doing("stopping container "+short(id), e.api.ContainerStop(ctx, id, o))
}

// KillContainer sends a signal such as SIGKILL.
func (e *Engine) KillContainer(ctx context.Context, id, signal string) error {
	return doing("signalling container "+short(id), e.api.ContainerKill(ctx, id, signal))
}

// RemoveContainer removes it, running or not, with its anonymous volumes when
// volumes is true. One that is gone already is no error.
func (e *Engine) RemoveContainer(ctx context.Context, id string, volumes bool) error {
	err := e.api.ContainerRemove(ctx, id, container.RemoveOptions{Force: true, RemoveVolumes: volumes})
	if IsNotFound(err) {
		return nil
	}
	return doing("removing container "+short(id), err)
}

// RenameContainer gives a container another name.
func (e *Engine) RenameContainer(ctx context.Context, id, name string) error {
	return doing("renaming container "+short(id), e.api.ContainerRename(ctx, id, name))
}

// Container is what is known of one container.
type Container struct {
	ID, Name  string
	Image     string // as it was asked for
	ImageID   string
	Labels    map[string]string
	State     string // created, running, paused, restarting, removing, exited, dead
	Health    string // starting, healthy, unhealthy, or empty without a check
	ExitCode  int
	OOMKilled bool
	Error     string // of a start that failed
	Restarts  int
	Created   time.Time
	Started   time.Time
	Finished  time.Time
	Ports     []Port
	Env       []string
	Mounts    []Mount
	// Networks maps a network's name to the container's address on it.
	Networks map[string]string
	GPU      bool
}

// Running reports whether its process runs.
func (c Container) Running() bool { return c.State == "running" || c.State == "restarting" }

// Container looks one up by id or name.
func (e *Engine) Container(ctx context.Context, id string) (Container, error) {
	r, err := e.api.ContainerInspect(ctx, id)
	if err != nil {
		return Container{}, fmt.Errorf("looking up container %s: %w", short(id), err)
	}
	c := Container{
		ID: r.ID, Name: strings.TrimPrefix(r.Name, "/"), ImageID: r.Image, Restarts: r.RestartCount,
		Created: parseTime(r.Created), Networks: map[string]string{},
	}
	if r.Config != nil {
		c.Image, c.Labels, c.Env = r.Config.Image, r.Config.Labels, r.Config.Env
	}
	if s := r.State; s != nil {
		c.State, c.ExitCode, c.OOMKilled, c.Error = s.Status, s.ExitCode, s.OOMKilled, s.Error
		c.Started, c.Finished = parseTime(s.StartedAt), parseTime(s.FinishedAt)
		if s.Health != nil {
			c.Health = s.Health.Status
		}
	}
	if r.HostConfig != nil {
		c.GPU = len(r.HostConfig.DeviceRequests) > 0
	}
	for _, m := range r.Mounts {
		mount := Mount{Source: m.Source, Target: m.Destination, ReadOnly: !m.RW}
		if m.Type == "volume" {
			mount.Volume, mount.Source = true, m.Name
		}
		c.Mounts = append(c.Mounts, mount)
	}
	if r.NetworkSettings != nil {
		c.Ports = published(r.NetworkSettings.Ports)
		for name, n := range r.NetworkSettings.Networks {
			c.Networks[name] = n.IPAddress
		}
	}
	return c, nil
}

// Containers lists those that carry every one of the labels (an empty value
// asks for the label alone), oldest first; all includes stopped ones.
func (e *Engine) Containers(ctx context.Context, labels map[string]string, all bool) ([]Container, error) {
	list, err := e.api.ContainerList(ctx, container.ListOptions{All: all, Filters: labelFilter(labels)})
	if err != nil {
		return nil, fmt.Errorf("listing containers: %w", err)
	}
	out := []Container{}
	for _, s := range list {
		c, err := e.Container(ctx, s.ID)
		if IsNotFound(err) { // gone since the list was made
			continue
		}
		if err != nil {
			return nil, err
		}
		out = append(out, c)
	}
	slices.SortFunc(out, func(a, b Container) int { return a.Created.Compare(b.Created) })
	return out, nil
}

// WaitContainer blocks until the container's process has ended and returns its
// exit code.
func (e *Engine) WaitContainer(ctx context.Context, id string) (int, error) {
	done, errs := e.api.ContainerWait(ctx, id, container.WaitConditionNotRunning)
	select {
	case r := <-done:
		if r.Error != nil && r.Error.Message != "" {
			return 0, fmt.Errorf("waiting for container %s: %w", short(id), errors.New(r.Error.Message))
		}
		return int(r.StatusCode), nil
	case err := <-errs:
		return 0, doing("waiting for container "+short(id), err)
	}
}

func labelFilter(labels map[string]string) filters.Args {
	f := filters.NewArgs()
	for k, v := range labels {
		if v == "" {
			f.Add("label", k)
		} else {
			f.Add("label", k+"="+v)
		}
	}
	return f
}

func published(m nat.PortMap) []Port {
	out := []Port{}
	for p, binds := range m {
		for _, b := range binds {
			hp, err := nat.ParsePort(b.HostPort)
			if err != nil {
				continue
			}
			out = append(out, Port{HostIP: b.HostIP, HostPort: hp, Container: p.Int()})
		}
	}
	slices.SortFunc(out, func(a, b Port) int {
		if d := a.Container - b.Container; d != 0 {
			return d
		}
		// IPv4 first, so that the first one is what people can use.
		return is6(a.HostIP) - is6(b.HostIP)
	})
	return out
}

func is6(ip string) int {
	if a, err := netip.ParseAddr(ip); err == nil && a.Is6() {
		return 1
	}
	return 0
}

// parseTime reads the Engine's timestamps; the year 1 stands for never.
func parseTime(s string) time.Time {
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil || t.Year() <= 1 {
		return time.Time{}
	}
	return t
}

func short(id string) string {
	if len(id) == 64 {
		return id[:12]
	}
	return id
}
