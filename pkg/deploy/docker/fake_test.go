package docker

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/docker/api/types/volume"
	"github.com/docker/docker/pkg/stdcopy"
	"github.com/docker/go-connections/nat"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// fake is a Docker Engine in memory. Its containers answer /readyz as their
// image says: "good", "dies", "slow" (never ready) or "broken" (an engine that
// does not start).
type fake struct {
	t *testing.T

	mu         sync.Mutex
	containers []*fakeContainer
	volumes    map[string]volume.Volume
	made       int
	changes    []string // every call that changes something
	// breakAt makes that change fail, counted from 1; after lets it happen first.
	breakAt int
	after   bool
	// contract is what the runners answer.
	contract string
}

type fakeContainer struct {
	id, name string
	config   *container.Config
	host     *container.HostConfig
	state    container.State
	created  time.Time
	server   *httptest.Server
}

var errBroken = errors.New("the engine broke off")

func newFake(t *testing.T, digest string) *fake {
	f := &fake{t: t, volumes: map[string]volume.Volume{}, contract: digest}
	t.Cleanup(func() {
		for _, c := range f.containers {
			c.halt(0)
		}
		http.DefaultClient.CloseIdleConnections()
	})
	return f
}

// change counts a call that changes something, and breaks it if asked.
func (f *fake) change(what string, do func() error) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.changes = append(f.changes, what)
	if broken := len(f.changes) == f.breakAt; broken {
		if f.after {
			_ = do()
		}
		return errBroken
	}
	return do()
}

func (f *fake) find(id string) (*fakeContainer, error) {
	for _, c := range f.containers {
		if c.id == id {
			return c, nil
		}
	}
	return nil, fmt.Errorf("no such container %s: %w", id, cerrdefs.ErrNotFound)
}

func (f *fake) named(name string) *fakeContainer {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, c := range f.containers {
		if c.name == name {
			return c
		}
	}
	return nil
}

func (f *fake) ContainerCreate(_ context.Context, c *container.Config, h *container.HostConfig, _ *network.NetworkingConfig, _ *ocispec.Platform, name string) (container.CreateResponse, error) {
	var made container.CreateResponse
	err := f.change("create "+name, func() error {
		if c.Image == "absent" {
			return fmt.Errorf("No such image: absent: %w", cerrdefs.ErrNotFound)
		}
		for _, o := range f.containers {
			if o.name == name {
				return fmt.Errorf("name in use: %w", cerrdefs.ErrConflict)
			}
		}
		f.made++
		made.ID = "id" + strconv.Itoa(f.made)
		for _, m := range h.Mounts {
			if m.VolumeOptions != nil {
				f.volumes[m.Source] = volume.Volume{Name: m.Source, Labels: m.VolumeOptions.Labels}
			}
		}
		f.containers = append(f.containers, &fakeContainer{id: made.ID, name: name, config: c, host: h, created: time.Now(), state: container.State{Status: "created"}})
		return nil
	})
	return made, err
}

func (f *fake) ContainerStart(_ context.Context, id string, _ container.StartOptions) error {
	return f.change("start "+id, func() error {
		c, err := f.find(id)
		if err != nil {
			return err
		}
		if c.state.Running {
			return nil
		}
		c.state = container.State{Status: "running", Running: true, StartedAt: time.Now().Format(time.RFC3339Nano)}
		if strings.HasPrefix(c.config.Image, "dies") {
			c.state = container.State{Status: "exited", ExitCode: 137, OOMKilled: true}
			return nil
		}
		c.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			image, _, _ := strings.Cut(c.config.Image, ":")
			stage := map[string]string{"good": "ready", "slow": "starting", "broken": "backoff"}[image]
			release := ""
			for _, kv := range c.config.Env {
				if v, ok := strings.CutPrefix(kv, "COMFYCTL_IMAGE_DIGEST="); ok {
					release = v
				}
			}
			_ = json.NewEncoder(w).Encode(map[string]any{"ready": stage == "ready", "release": release, "contract": f.contract,
				"engine": map[string]any{"kind": "comfyui", "stage": stage, "restarts": 3, "reason": "exit status 1"}})
		}))
		return nil
	})
}

func (c *fakeContainer) halt(code int) {
	if c.server != nil {
		c.server.Close()
		c.server = nil
	}
	if c.state.Running {
		c.state = container.State{Status: "exited", ExitCode: code}
	}
}

func (f *fake) ContainerStop(_ context.Context, id string, _ container.StopOptions) error {
	return f.change("stop "+id, func() error {
		c, err := f.find(id)
		if err == nil {
			c.halt(0)
		}
		return err
	})
}

func (f *fake) ContainerRemove(_ context.Context, id string, _ container.RemoveOptions) error {
	return f.change("remove "+id, func() error {
		c, err := f.find(id)
		if err == nil {
			c.halt(0)
			f.containers = slices.DeleteFunc(f.containers, func(o *fakeContainer) bool { return o == c })
		}
		return err
	})
}

func (f *fake) ContainerRename(_ context.Context, id, name string) error {
	return f.change("rename "+id+" "+name, func() error {
		for _, o := range f.containers {
			if o.name == name {
				return fmt.Errorf("name in use: %w", cerrdefs.ErrConflict)
			}
		}
		c, err := f.find(id)
		if err == nil {
			c.name = name
		}
		return err
	})
}

func (f *fake) ContainerUpdate(_ context.Context, id string, u container.UpdateConfig) (container.UpdateResponse, error) {
	return container.UpdateResponse{}, f.change("update "+id, func() error {
		c, err := f.find(id)
		if err == nil {
			c.host.RestartPolicy = u.RestartPolicy
		}
		return err
	})
}

func (f *fake) ContainerInspect(_ context.Context, id string) (container.InspectResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	c, err := f.find(id)
	if err != nil {
		return container.InspectResponse{}, err
	}
	state := c.state
	r := container.InspectResponse{ContainerJSONBase: &container.ContainerJSONBase{ID: id, Name: "/" + c.name, State: &state, HostConfig: c.host},
		Config: c.config, NetworkSettings: &container.NetworkSettings{}}
	if c.server != nil {
		host, port, _ := strings.Cut(strings.TrimPrefix(c.server.URL, "http://"), ":")
		r.NetworkSettings.Ports = nat.PortMap{apiPort: {{HostIP: host, HostPort: port}}}
	}
	return r, nil
}

func (f *fake) ContainerList(_ context.Context, o container.ListOptions) ([]container.Summary, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	list := []container.Summary{}
	for _, c := range f.containers {
		if ports := o.Filters.Get("publish"); len(ports) > 0 {
			if b := c.host.PortBindings[apiPort]; !c.state.Running || len(b) == 0 || b[0].HostPort != ports[0] {
				continue
			}
		}
		if o.Filters.MatchKVList("label", c.config.Labels) {
			list = append(list, container.Summary{ID: c.id, Names: []string{"/" + c.name}, Labels: c.config.Labels, State: c.state.Status, Created: c.created.Unix()})
		}
	}
	return list, nil
}

func (f *fake) ContainerLogs(ctx context.Context, _ string, o container.LogsOptions) (io.ReadCloser, error) {
	var b bytes.Buffer
	out, bad := stdcopy.NewStdWriter(&b, stdcopy.Stdout), stdcopy.NewStdWriter(&b, stdcopy.Stderr)
	fmt.Fprintln(out, "loading")
	fmt.Fprintln(bad, `{"level":"INFO","msg":"torch.OutOfMemoryError: CUDA out of memory","source":"engine"}`)
	if !o.Follow {
		return io.NopCloser(&b), nil
	}
	r, w := io.Pipe()
	context.AfterFunc(ctx, func() { _ = w.Close() })
	go func() { _, _ = w.Write(b.Bytes()) }()
	return r, nil
}

func (f *fake) VolumeInspect(_ context.Context, name string) (volume.Volume, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	v, ok := f.volumes[name]
	if !ok {
		return v, fmt.Errorf("no such volume: %w", cerrdefs.ErrNotFound)
	}
	return v, nil
}

func (f *fake) VolumeRemove(_ context.Context, name string, _ bool) error {
	return f.change("remove volume "+name, func() error {
		delete(f.volumes, name)
		return nil
	})
}
