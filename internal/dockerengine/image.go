package dockerengine

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"time"

	dockerspec "github.com/moby/docker-image-spec/specs-go/v1"

	"github.com/docker/docker/api/types/image"
	"github.com/docker/docker/api/types/registry"
)

// Image is what is known of an image in the Engine's store.
type Image struct {
	ID      string // sha256 of its config
	Tags    []string
	Digests []string // name@sha256:… of registries that it came from or went to
	Labels  map[string]string
	OS      string
	Arch    string
	Variant string
	Size    int64    // bytes
	DiffIDs []string // of its layers, lowest first
	Created time.Time
	// Tagged is when it last got a name; zero where it never had one.
	Tagged time.Time
	Config ImageConfig
}

// ImageConfig is how containers of an image start.
type ImageConfig struct {
	User       string
	Env        []string
	Entrypoint []string
	Cmd        []string
	WorkDir    string
	Ports      []string // such as 8080/tcp
	Volumes    []string
	StopSignal string
	Shell      []string
}

// Image looks an image up by reference or id. Use IsNotFound on its error.
func (e *Engine) Image(ctx context.Context, ref string) (Image, error) {
	r, err := e.api.ImageInspect(ctx, ref)
	if err != nil {
		return Image{}, fmt.Errorf("looking up image %s: %w", ref, err)
	}
	i := Image{
		ID: r.ID, Tags: r.RepoTags, Digests: r.RepoDigests, OS: r.Os, Arch: r.Architecture, Variant: r.Variant,
		Size: r.Size, DiffIDs: r.RootFS.Layers, Created: parseTime(r.Created), Tagged: r.Metadata.LastTagTime,
	}
	if r.Config != nil {
		i.Labels, i.Config = r.Config.Labels, imageConfig(r.Config)
	}
	return i, nil
}

func imageConfig(c *dockerspec.DockerOCIImageConfig) ImageConfig {
	out := ImageConfig{User: c.User, Env: c.Env, Entrypoint: c.Entrypoint, Cmd: c.Cmd, WorkDir: c.WorkingDir, StopSignal: c.StopSignal, Shell: c.Shell}
	for p := range c.ExposedPorts {
		out.Ports = append(out.Ports, p)
	}
	for v := range c.Volumes {
		out.Volumes = append(out.Volumes, v)
	}
	slices.Sort(out.Ports)
	slices.Sort(out.Volumes)
	return out
}

// Images lists the images that carry the labels, newest first.
func (e *Engine) Images(ctx context.Context, labels map[string]string) ([]Image, error) {
	list, err := e.api.ImageList(ctx, image.ListOptions{Filters: imageFilter(labels)})
	if err != nil {
		return nil, fmt.Errorf("listing images: %w", err)
	}
	out := []Image{}
	for _, s := range list {
		i, err := e.Image(ctx, s.ID)
		if IsNotFound(err) {
			continue
		}
		if err != nil {
			return nil, err
		}
		out = append(out, i)
	}
	slices.SortStableFunc(out, func(a, b Image) int { return b.Created.Compare(a.Created) })
	return out, nil
}

// Tag gives an image another name.
func (e *Engine) Tag(ctx context.Context, source, target string) error {
	return doing("tagging "+source+" as "+target, e.api.ImageTag(ctx, source, target))
}

// RemoveImage removes a name and, with the last one, the image. One that is
// gone already is no error.
func (e *Engine) RemoveImage(ctx context.Context, ref string, force bool) error {
	_, err := e.api.ImageRemove(ctx, ref, image.RemoveOptions{Force: force, PruneChildren: true})
	if IsNotFound(err) {
		return nil
	}
	return doing("removing image "+ref, err)
}

// SaveImage streams an image as a docker-archive.
func (e *Engine) SaveImage(ctx context.Context, ref string) (io.ReadCloser, error) {
	r, err := e.api.ImageSave(ctx, []string{ref})
	if err != nil {
		return nil, fmt.Errorf("exporting image %s: %w", ref, err)
	}
	return r, nil
}

// LoadImage streams a docker-archive in. What the Engine says in its answer
// counts: it reports errors there under status 200.
func (e *Engine) LoadImage(ctx context.Context, archive io.Reader) error {
	r, err := e.api.ImageLoad(ctx, archive)
	if err != nil {
		return fmt.Errorf("loading the image: %w", err)
	}
	defer r.Body.Close()
	return doing("loading the image", messages(r.Body, nil))
}

// ImportImage makes an image of one layer from a root file system's tar, and
// returns its id.
func (e *Engine) ImportImage(ctx context.Context, rootfs io.Reader, ref string) (string, error) {
	r, err := e.api.ImageImport(ctx, image.ImportSource{Source: rootfs, SourceName: "-"}, ref, image.ImportOptions{})
	if err != nil {
		return "", fmt.Errorf("importing %s: %w", ref, err)
	}
	defer r.Close()
	if err := messages(r, nil); err != nil {
		return "", fmt.Errorf("importing %s: %w", ref, err)
	}
	i, err := e.Image(ctx, ref)
	return i.ID, err
}

// Credentials sign in to a registry. Token is an identity token.
type Credentials struct {
	Server, Username, Password, Token string
}

// PullImage fetches an image; progress gets the layer, the bytes done and the
// total of each step and may be nil.
func (e *Engine) PullImage(ctx context.Context, ref, platform string, c *Credentials, progress func(layer, status string, done, total int64)) error {
	o := image.PullOptions{Platform: platform}
	if c != nil {
		b, err := json.Marshal(registry.AuthConfig{ServerAddress: c.Server, Username: c.Username, Password: c.Password, IdentityToken: c.Token}) //nolint:gosec // this is the header that signs in
		if err != nil {
			return fmt.Errorf("encoding credentials: %w", err)
		}
		o.RegistryAuth = base64.URLEncoding.EncodeToString(b)
	}
	r, err := e.api.ImagePull(ctx, ref, o)
	if err != nil {
		return fmt.Errorf("pulling %s: %w", ref, err)
	}
	defer r.Close()
	return doing("pulling "+ref, messages(r, func(m message) {
		if progress != nil && m.Progress != nil {
			progress(m.ID, m.Status, m.Progress.Current, m.Progress.Total)
		}
	}))
}
