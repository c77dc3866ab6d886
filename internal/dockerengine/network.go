package dockerengine

import (
	"context"
	"fmt"
	"path/filepath"

	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/api/types/mount"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/docker/api/types/volume"
)

// EnsureNetwork makes a bridge network if there is none of that name.
// Internal ones have no way out.
func (e *Engine) EnsureNetwork(ctx context.Context, name string, internal bool, labels map[string]string) error {
	_, err := e.api.NetworkInspect(ctx, name, network.InspectOptions{})
	if err == nil {
		return nil
	}
	if !IsNotFound(err) {
		return doing("looking up network "+name, err)
	}
	_, err = e.api.NetworkCreate(ctx, name, network.CreateOptions{Driver: "bridge", Internal: internal, Labels: labels})
	return doing("creating network "+name, err)
}

// Network is a network of the Engine.
type Network struct {
	ID, Name string
	Internal bool
	Labels   map[string]string
}

// Networks lists those that carry the labels.
func (e *Engine) Networks(ctx context.Context, labels map[string]string) ([]Network, error) {
	list, err := e.api.NetworkList(ctx, network.ListOptions{Filters: labelFilter(labels)})
	if err != nil {
		return nil, fmt.Errorf("listing networks: %w", err)
	}
	out := []Network{}
	for _, n := range list {
		out = append(out, Network{ID: n.ID, Name: n.Name, Internal: n.Internal, Labels: n.Labels})
	}
	return out, nil
}

// ConnectNetwork joins a container to a network under the aliases.
func (e *Engine) ConnectNetwork(ctx context.Context, name, container string, aliases []string) error {
	return doing("joining network "+name, e.api.NetworkConnect(ctx, name, container, &network.EndpointSettings{Aliases: aliases}))
}

// DisconnectNetwork takes a container out of a network.
func (e *Engine) DisconnectNetwork(ctx context.Context, name, container string) error {
	return doing("leaving network "+name, e.api.NetworkDisconnect(ctx, name, container, true))
}

// RemoveNetwork removes a network; one that is gone already is no error.
func (e *Engine) RemoveNetwork(ctx context.Context, name string) error {
	err := e.api.NetworkRemove(ctx, name)
	if IsNotFound(err) {
		return nil
	}
	return doing("removing network "+name, err)
}

// EnsureVolume makes a named volume if there is none.
func (e *Engine) EnsureVolume(ctx context.Context, name string, labels map[string]string) error {
	_, err := e.api.VolumeCreate(ctx, volume.CreateOptions{Name: name, Labels: labels})
	return doing("creating volume "+name, err)
}

// Volumes lists the names of those that carry the labels.
func (e *Engine) Volumes(ctx context.Context, labels map[string]string) ([]string, error) {
	r, err := e.api.VolumeList(ctx, volume.ListOptions{Filters: labelFilter(labels)})
	if err != nil {
		return nil, fmt.Errorf("listing volumes: %w", err)
	}
	out := []string{}
	for _, v := range r.Volumes {
		out = append(out, v.Name)
	}
	return out, nil
}

// RemoveVolume removes a volume and what is in it; one that is gone already is
// no error.
func (e *Engine) RemoveVolume(ctx context.Context, name string) error {
	err := e.api.VolumeRemove(ctx, name, false)
	if IsNotFound(err) {
		return nil
	}
	return doing("removing volume "+name, err)
}

func (m Mount) api() mount.Mount {
	t := mount.TypeBind
	source := m.Source
	if m.Volume {
		t = mount.TypeVolume
	} else if abs, err := filepath.Abs(source); err == nil {
		source = abs
	}
	return mount.Mount{Type: t, Source: source, Target: m.Target, ReadOnly: m.ReadOnly}
}

func imageFilter(labels map[string]string) filters.Args { return labelFilter(labels) }
