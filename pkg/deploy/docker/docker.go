// Package docker deploys to a Docker Engine: one container for each service
// and target, hardened, with its state in a volume and a name that stays.
package docker

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"sort"
	"strconv"
	"strings"
	"time"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/docker/pkg/stdcopy"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/comfyctl/comfyctl/internal/diag"
	"github.com/comfyctl/comfyctl/pkg/deploy"
)

// Engine is what this target asks of Docker's client.
type Engine interface {
	ContainerCreate(ctx context.Context, c *container.Config, h *container.HostConfig, n *network.NetworkingConfig, p *ocispec.Platform, name string) (container.CreateResponse, error)
	ContainerStart(ctx context.Context, id string, o container.StartOptions) error
	ContainerStop(ctx context.Context, id string, o container.StopOptions) error
	ContainerRemove(ctx context.Context, id string, o container.RemoveOptions) error
	ContainerRename(ctx context.Context, id, name string) error
	ContainerInspect(ctx context.Context, id string) (container.InspectResponse, error)
	ContainerList(ctx context.Context, o container.ListOptions) ([]container.Summary, error)
	ContainerLogs(ctx context.Context, id string, o container.LogsOptions) (io.ReadCloser, error)
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

func (t *Target) list(ctx context.Context) ([]container.Summary, error) {
	f := filters.NewArgs(filters.Arg("label", labelService+"="+t.Service), filters.Arg("label", labelTarget+"="+t.Name), filters.Arg("label", labelEnv+"="+t.Env))
	list, err := t.Engine.ContainerList(ctx, container.ListOptions{All: true, Filters: f})
	if err != nil {
		return nil, fmt.Errorf("listing containers of %s: %w", t.Service, err)
	}
	sort.Slice(list, func(i, j int) bool { return number(list[i].Labels) > number(list[j].Labels) })
	return list, nil
}

func number(labels map[string]string) int {
	n, _ := strconv.Atoi(strings.TrimPrefix(labels[labelRelease], "v"))
	return n
}

// Observe implements deploy.Target.
func (t *Target) Observe(ctx context.Context) ([]deploy.Release, error) {
	list, err := t.list(ctx)
	if err != nil {
		return nil, err
	}
	releases := []deploy.Release{}
	for _, c := range list {
		r, err := t.release(ctx, c.ID)
		if err != nil {
			return nil, err
		}
		releases = append(releases, *r)
	}
	return releases, nil
}

func (t *Target) release(ctx context.Context, id string) (*deploy.Release, error) {
	c, err := t.Engine.ContainerInspect(ctx, id)
	if err != nil {
		return nil, fmt.Errorf("looking at container %s: %w", id, err)
	}
	l := c.Config.Labels
	r := &deploy.Release{Service: t.Service, Env: t.Env, Target: t.Name, Release: l[labelRelease], Image: c.Config.Image, Digest: l[labelDigest],
		ID: c.ID, State: "stopped", Baked: l[labelBaked] == "true", GPU: l[labelGPU]}
	r.Since, _ = time.Parse(time.RFC3339Nano, c.State.StartedAt)
	switch {
	case c.State.Running && c.State.Restarting:
		r.State, r.Reason = "unhealthy", "restarting"
	case c.State.Running:
		r.URL = url(c)
		t.ask(ctx, r)
	default:
		r.Reason = exitReason(c.State)
	}
	return r, nil
}

// url is where the API of a running container is published.
func url(c container.InspectResponse) string {
	if c.NetworkSettings == nil {
		return ""
	}
	bound := c.NetworkSettings.Ports[apiPort]
	if len(bound) == 0 {
		return ""
	}
	host := bound[0].HostIP
	if host == "" || host == "0.0.0.0" || host == "::" {
		host = "127.0.0.1"
	}
	return "http://" + net.JoinHostPort(host, bound[0].HostPort)
}

// ready is the part of /readyz that a deploy reads.
type ready struct {
	Ready    bool   `json:"ready"`
	Release  string `json:"release"`
	Contract string `json:"contract"`
	Engine   struct {
		Kind   string   `json:"kind"`
		Stage  string   `json:"stage"`
		Reason string   `json:"reason"`
		Log    []string `json:"log"`
	} `json:"engine"`
}

func (t *Target) readyz(ctx context.Context, base string) (*ready, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/readyz", nil)
	if err != nil {
		return nil, fmt.Errorf("asking the runner: %w", err)
	}
	client := t.HTTP
	if client == nil {
		client = http.DefaultClient
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("asking the runner: %w", err)
	}
	defer resp.Body.Close()
	var r ready
	if err := json.NewDecoder(io.LimitReader(resp.Body, 4<<20)).Decode(&r); err != nil {
		return nil, fmt.Errorf("reading the runner's answer: %w", err)
	}
	return &r, nil
}

func (t *Target) ask(ctx context.Context, r *deploy.Release) {
	got, err := t.readyz(ctx, r.URL)
	switch {
	case err != nil:
		r.State, r.Reason = "starting", "the runner does not answer yet"
	case got.Ready:
		r.State, r.Engine = "ready", got.Engine.Kind
	default:
		r.State, r.Engine, r.Reason = "starting", got.Engine.Kind, got.Engine.Stage
		if got.Engine.Reason != "" {
			r.Reason += ": " + got.Engine.Reason
		}
		if got.Engine.Stage == "failed" || got.Engine.Stage == "backoff" {
			r.State = "unhealthy"
		}
	}
}

func exitReason(s *container.State) string {
	switch {
	case s.OOMKilled:
		return fmt.Sprintf("exit %d, killed for memory", s.ExitCode)
	case s.Error != "":
		return s.Error
	}
	return fmt.Sprintf("exit %d", s.ExitCode)
}

// specHash is the identity of what runs: equal hashes need no change. Values
// of secrets count only as hashes.
func specHash(c *container.Config, h *container.HostConfig) string {
	b, _ := json.Marshal(struct {
		C *container.Config
		H *container.HostConfig
	}{c, h})
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])[:32]
}

// Logs implements deploy.Target.
func (t *Target) Logs(ctx context.Context, o deploy.LogOptions, w io.Writer) error {
	list, err := t.list(ctx)
	if err != nil {
		return err
	}
	if len(list) == 0 {
		return t.nothing()
	}
	lo := container.LogsOptions{ShowStdout: true, ShowStderr: true, Follow: o.Follow}
	if o.Tail >= 0 {
		lo.Tail = strconv.Itoa(o.Tail)
	}
	if o.Since > 0 {
		lo.Since = time.Now().Add(-o.Since).Format(time.RFC3339Nano)
	}
	r, err := t.Engine.ContainerLogs(ctx, list[0].ID, lo)
	if err != nil {
		return fmt.Errorf("reading logs: %w", err)
	}
	defer r.Close()
	if _, err = stdcopy.StdCopy(w, w, r); err != nil && ctx.Err() == nil {
		return fmt.Errorf("reading logs: %w", err)
	}
	return nil
}

func (t *Target) nothing() error {
	return &diag.Error{Code: "not_deployed", Class: diag.ClassFailed, Message: fmt.Sprintf("nothing of %s runs on target %s", t.Service, t.Name), Help: "`comfyctl deploy " + t.Name + "` starts it"}
}

// Destroy implements deploy.Target.
func (t *Target) Destroy(ctx context.Context, keepData bool) ([]string, error) {
	list, err := t.list(ctx)
	if err != nil {
		return nil, err
	}
	gone := []string{}
	for _, c := range list {
		grace := 30
		if err := t.Engine.ContainerStop(ctx, c.ID, container.StopOptions{Timeout: &grace}); err != nil && !cerrdefs.IsNotFound(err) {
			return gone, fmt.Errorf("stopping container %s: %w", name(c), err)
		}
		if err := t.Engine.ContainerRemove(ctx, c.ID, container.RemoveOptions{Force: true}); err != nil && !cerrdefs.IsNotFound(err) {
			return gone, fmt.Errorf("removing container %s: %w", name(c), err)
		}
		gone = append(gone, "container "+name(c))
	}
	if keepData {
		return gone, nil
	}
	err = t.Engine.VolumeRemove(ctx, t.base(), false)
	switch {
	case err == nil:
		gone = append(gone, "volume "+t.base())
	case !cerrdefs.IsNotFound(err):
		return gone, fmt.Errorf("removing volume %s: %w", t.base(), err)
	}
	return gone, nil
}

func name(c container.Summary) string {
	if len(c.Names) > 0 {
		return strings.TrimPrefix(c.Names[0], "/")
	}
	return c.ID
}

var errGone = errors.New("the container stopped")
