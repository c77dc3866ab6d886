package pack

import (
	"context"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/mutate"

	"github.com/comfyctl/comfyctl/internal/dockerengine"
	"github.com/comfyctl/comfyctl/pkg/contract"
)

// TestDockerSweeps: packing again under one tag leaves no image behind that
// nobody can find, and touches none that somebody uses or that has a name.
func TestDockerSweeps(t *testing.T) {
	e := engine(t)
	const tag, kept, other = "comfyctl-test/pack-sweep:latest", "comfyctl-test/pack-sweep:kept", "comfyctl-test/pack-sweep-other:latest"
	r := stub(t, t.TempDir())
	r.Models = r.Models[:1]
	whole := build(t, r, t.TempDir()).Image
	cfg, err := whole.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	// publish loads the image with another contract in its label.
	publish := func(service, description string, tags ...string) string {
		t.Helper()
		other := *r.Contract
		other.Name, other.Description = service, description
		text, err := other.Encode()
		if err != nil {
			t.Fatal(err)
		}
		c := cfg.Config.DeepCopy()
		c.Labels[contract.Label] = string(text)
		img, err := mutate.Config(whole, *c)
		if err != nil {
			t.Fatal(err)
		}
		id, err := Docker{Engine: e, Tags: tags}.Publish(t.Context(), img)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := e.RemoveImage(context.Background(), id, true); err != nil {
				t.Error(err)
			}
		})
		return id
	}
	there := func(id string) bool {
		t.Helper()
		_, err := e.Image(t.Context(), id)
		if err != nil && !dockerengine.IsNotFound(err) {
			t.Fatal(err)
		}
		return err == nil
	}
	foreign := publish("comfyctl-test-sweep-other", "other", other)
	first := publish("comfyctl-test-sweep", "1", tag, kept)
	second := publish("comfyctl-test-sweep", "2", tag)
	if !there(first) {
		t.Error("an image that has another name is gone")
	}
	container, err := e.CreateContainer(t.Context(), dockerengine.ContainerSpec{Name: "comfyctl-test-pack-sweep", Image: second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.RemoveContainer(context.Background(), container, true) })
	third := publish("comfyctl-test-sweep", "3", tag)
	if !there(second) {
		t.Error("an image that a container uses is gone")
	}
	if err := e.RemoveContainer(t.Context(), container, true); err != nil {
		t.Fatal(err)
	}
	untagged := publish("comfyctl-test-sweep", "untagged")
	fourth := publish("comfyctl-test-sweep", "4", tag)
	for name, tc := range map[string]struct {
		id   string
		want bool
	}{"another service": {foreign, true}, "kept by a name": {first, true}, "left before": {second, false}, "replaced": {third, false}, "never named": {untagged, true}, "newest": {fourth, true}} {
		if there(tc.id) != tc.want {
			t.Errorf("%s: there %v, want %v", name, !tc.want, tc.want)
		}
	}
	// The same again changes nothing.
	if again := publish("comfyctl-test-sweep", "4", tag); again != fourth || !there(fourth) {
		t.Errorf("%s, %s", again, fourth)
	}
}
