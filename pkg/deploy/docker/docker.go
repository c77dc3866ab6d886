// Package docker deploys to a Docker Engine: one container for each service
// and target, hardened, with its state in a volume and a name that stays.
//
// The name of a container says what it is. NAME serves; NAME-next is a
// candidate that a deploy is starting; NAME-failed was kept for a look. A
// candidate takes the name when it is ready, and not before, so a deploy that
// is cut off anywhere leaves the last good release under its name.
package docker

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/docker/api/types/volume"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/comfyctl/comfyctl/pkg/deploy"
)

// Engine is what this target asks of Docker's client.
type Engine interface {
	ContainerCreate(ctx context.Context, c *container.Config, h *container.HostConfig, n *network.NetworkingConfig, p *ocispec.Platform, name string) (container.CreateResponse, error)
	ContainerStart(ctx context.Context, id string, o container.StartOptions) error
	ContainerStop(ctx context.Context, id string, o container.StopOptions) error
	ContainerRemove(ctx context.Context, id string, o container.RemoveOptions) error
	ContainerRename(ctx context.Context, id, name string) error
	ContainerUpdate(ctx context.Context, id string, c container.UpdateConfig) (container.UpdateResponse, error)
	ContainerInspect(ctx context.Context, id string) (container.InspectResponse, error)
	ContainerList(ctx context.Context, o container.ListOptions) ([]container.Summary, error)
	ContainerLogs(ctx context.Context, id string, o container.LogsOptions) (io.ReadCloser, error)
	VolumeInspect(ctx context.Context, name string) (volume.Volume, error)
	VolumeRemove(ctx context.Context, name string, force bool) error
}

// Labels that mark what is ours; they are the truth about a release.
const (
	labelService  = "dev.comfyctl.service"
	labelEnv      = "dev.comfyctl.env"
	labelTarget   = "dev.comfyctl.target"
	labelRelease  = "dev.comfyctl.release"
	labelSpec     = "dev.comfyctl.spec"
	labelDigest   = "dev.comfyctl.image-digest"
	labelBaked    = "dev.comfyctl.baked"
	labelGPU      = "dev.comfyctl.gpu"
	labelContract = "dev.comfyctl.contract-digest"
	labelBy       = "dev.comfyctl.by"
)

// Ends of the names of containers that do not serve.
const (
	endNext   = "-next"
	endFailed = "-failed"
)

// Target is one service on one Docker Engine.
type Target struct {
	Engine Engine
	// Service, Env and Name say whose containers these are.
	Service, Env, Name string
	// HasGPU says whether the engine can hand GPUs to containers.
	HasGPU bool
	// HTTP asks the runner whether it is ready; nil means http.DefaultClient.
	HTTP *http.Client
	// poll is how often a release that starts is looked at; 0 means pollEvery.
	poll time.Duration
}

var _ deploy.Target = (*Target)(nil)

var notName = regexp.MustCompile(`[^a-z0-9-]+`)

// base is the deterministic name of container and volume.
func (t *Target) base() string {
	parts := []string{"comfyctl", t.Service, t.Name}
	if t.Env != "" {
		parts = append(parts, t.Env)
	}
	return notName.ReplaceAllString(strings.ToLower(strings.Join(parts, "-")), "-")
}

// owner are the labels of everything that a deploy to this target makes.
func (t *Target) owner() map[string]string {
	return map[string]string{labelService: t.Service, labelEnv: t.Env, labelTarget: t.Name}
}

// owns reports whether labels say that an object is this target's.
func (t *Target) owns(labels map[string]string) bool {
	for k, v := range t.owner() {
		if labels[k] != v {
			return false
		}
	}
	return true
}

// standing is what is on the engine now.
type standing struct {
	// serving has the name, next is a candidate; either may be nil.
	serving, next *container.Summary
	// rest are kept failures, and what somebody renamed.
	rest []container.Summary
	// last is the highest number of a release.
	last int
}

func (t *Target) look(ctx context.Context) (*standing, error) {
	list, err := t.list(ctx)
	if err != nil {
		return nil, err
	}
	var s standing
	for i := range list {
		c := &list[i]
		s.last = max(s.last, number(c.Labels))
		switch name(*c) {
		case t.base():
			s.serving = c
		case t.base() + endNext:
			s.next = c
		default:
			s.rest = append(s.rest, *c)
		}
	}
	return &s, nil
}

// list gives the containers of this target: the serving one first, then by
// release, newest first.
func (t *Target) list(ctx context.Context) ([]container.Summary, error) {
	f := filters.NewArgs()
	for k, v := range t.owner() {
		f.Add("label", k+"="+v)
	}
	list, err := t.Engine.ContainerList(ctx, container.ListOptions{All: true, Filters: f})
	if err != nil {
		return nil, fmt.Errorf("listing containers of %s: %w", t.Service, err)
	}
	slices.SortFunc(list, func(a, b container.Summary) int {
		if x, y := name(a) == t.base(), name(b) == t.base(); x != y {
			if x {
				return -1
			}
			return 1
		}
		return number(b.Labels) - number(a.Labels)
	})
	return list, nil
}

func number(labels map[string]string) int {
	n, _ := strconv.Atoi(strings.TrimPrefix(labels[labelRelease], "v"))
	return n
}

func name(c container.Summary) string {
	if len(c.Names) > 0 {
		return strings.TrimPrefix(c.Names[0], "/")
	}
	return c.ID
}

func short(digest string) string {
	if len(digest) > 19 {
		return digest[:19]
	}
	return digest
}
