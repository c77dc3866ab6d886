package docker

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"

	"github.com/comfyctl/comfyctl/pkg/deploy"
)

// Observe implements deploy.Target.
func (t *Target) Observe(ctx context.Context) ([]deploy.Release, error) {
	list, err := t.list(ctx)
	if err != nil {
		return nil, err
	}
	releases := []deploy.Release{}
	for _, c := range list {
		r, err := t.release(ctx, c.ID)
		if cerrdefs.IsNotFound(err) { // gone since the list was made
			continue
		}
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
	if at, err := time.Parse(time.RFC3339Nano, c.State.StartedAt); err == nil && at.Year() > 1 {
		r.Since = at
	}
	switch {
	case c.State.Restarting:
		r.State, r.Reason = "unhealthy", "restarting after "+exitReason(c.State)
	case c.State.Running:
		r.URL = url(c)
		t.ask(ctx, r)
	case c.State.Status == "created":
		r.Reason = "not started yet"
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
	Draining bool   `json:"draining"`
	Engine   struct {
		Kind     string `json:"kind"`
		Stage    string `json:"stage"`
		Reason   string `json:"reason"`
		Restarts int    `json:"restarts"`
	} `json:"engine"`
}

func (t *Target) readyz(ctx context.Context, base string) (*ready, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/readyz", nil)
	if err != nil {
		return nil, fmt.Errorf("asking the runner: %w", err)
	}
	resp, err := t.client().Do(req)
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
	case got.Draining:
		r.State, r.Engine, r.Reason = "stopping", got.Engine.Kind, "letting its jobs end"
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
