package cli

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"github.com/docker/go-units"
	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/spf13/cobra"

	"github.com/comfyctl/comfyctl/internal/diag"
	"github.com/comfyctl/comfyctl/internal/dockerengine"
	"github.com/comfyctl/comfyctl/internal/term"
	"github.com/comfyctl/comfyctl/pkg/contract"
)

// InspectOptions of `comfyctl inspect`.
type InspectOptions struct {
	Ref      string
	Contract bool
}

func newInspectCmd(a *App, f runFunc[InspectOptions]) *cobra.Command {
	o := &InspectOptions{}
	cmd := &cobra.Command{
		Use:     "inspect REF|DIR|FILE",
		Short:   "Show an image: contract, models, layers",
		Example: "comfyctl inspect image/\ncomfyctl inspect registry.example.com/portrait:1.4 -o json\ncomfyctl inspect image/ --contract",
		GroupID: groupBuild,
		Args:    oneArg("an image", "comfyctl inspect image/"),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.Ref = args[0]
			return f(cmd.Context(), a, o)
		},
	}
	cmd.Flags().BoolVar(&o.Contract, "contract", false, "print the contract alone, as JSON")
	return cmd
}

// inspected is what an image tells of itself.
type inspected struct {
	Image    string             `json:"image"`
	Where    string             `json:"where"` // layout, archive, docker, registry
	Digest   string             `json:"digest,omitempty"`
	Platform string             `json:"platform"`
	Size     int64              `json:"size"`
	Contract *contract.Contract `json:"contract"`
	// ContractDigest is what /readyz of a runner says too.
	ContractDigest string           `json:"contract_digest"`
	Layers         []inspectedLayer `json:"layers"`
}

type inspectedLayer struct {
	Digest string `json:"digest"`
	Size   int64  `json:"size"`
	Kind   string `json:"kind,omitempty"`
	Name   string `json:"name,omitempty"`
}

func runInspect(ctx context.Context, a *App, o *InspectOptions) error {
	in, labels, err := a.lookInto(ctx, o.Ref)
	if err != nil {
		return err
	}
	text, ok := labels[contract.Label]
	if !ok {
		return &diag.Error{Code: "not_ours", Class: diag.ClassCheck, Message: o.Ref + " is no image of comfyctl", Help: "it has no label " + contract.Label}
	}
	if in.Contract, err = contract.Decode([]byte(text)); err != nil {
		return &diag.Error{Code: "bad_contract", Class: diag.ClassCheck, Message: "the contract of " + o.Ref + " cannot be read", Err: err}
	}
	if in.ContractDigest, err = in.Contract.Digest(); err != nil {
		return err
	}
	a.reply.data = in
	if o.Contract {
		b, err := in.Contract.Encode()
		if err != nil {
			return err
		}
		return a.print(string(b))
	}
	return a.print(a.inspection(in))
}

// lookInto finds an image: a folder is an OCI layout, a file an archive,
// anything else a reference in Docker's store, then in a registry.
func (a *App) lookInto(ctx context.Context, ref string) (*inspected, map[string]string, error) {
	path, err := a.path(ref)
	if err != nil {
		return nil, nil, err
	}
	st, err := os.Stat(path)
	switch {
	case err == nil && st.IsDir():
		return lookIntoLayout(ref, path)
	case err == nil:
		return a.lookIntoArchive(ref, path)
	case strings.HasPrefix(ref, ".") || filepath.IsAbs(ref):
		return nil, nil, failure("no_image", "there is nothing at "+ref, "inspect takes an OCI layout, an archive or a reference", nil)
	}
	parsed, err := name.ParseReference(ref)
	if err != nil {
		return nil, nil, usageError("bad_reference", "`"+ref+"` is no image reference", "for example registry.example.com/portrait:1.4, or a folder or file that is there")
	}
	in, labels, derr := a.lookIntoDocker(ctx, ref)
	if derr == nil {
		return in, labels, nil
	}
	in, labels, err = lookIntoRegistry(ctx, parsed)
	var d *diag.Error
	if err != nil && errors.As(err, &d) && d.Class == diag.ClassFailed {
		d.Facts = append(d.Facts, [2]string{"docker", derr.Error()})
	}
	return in, labels, err
}

func lookIntoLayout(ref, path string) (*inspected, map[string]string, error) {
	index, err := layout.ImageIndexFromPath(path)
	if err != nil {
		return nil, nil, &diag.Error{Code: "not_a_layout", Class: diag.ClassCheck, Message: ref + " is no OCI layout", Help: "`comfyctl pack --oci DIR` writes one", Err: err}
	}
	m, err := index.IndexManifest()
	if err != nil || len(m.Manifests) == 0 {
		return nil, nil, &diag.Error{Code: "not_a_layout", Class: diag.ClassCheck, Message: ref + " holds no image", Err: err}
	}
	img, err := index.Image(m.Manifests[0].Digest)
	if err != nil {
		return nil, nil, &diag.Error{Code: "bad_image", Class: diag.ClassCheck, Message: "the image in " + ref + " cannot be read", Err: err}
	}
	return describeImage(img, ref, "layout")
}

func (a *App) lookIntoArchive(ref, path string) (*inspected, map[string]string, error) {
	img, err := tarball.ImageFromPath(path, nil)
	if err != nil {
		return nil, nil, &diag.Error{Code: "not_an_archive", Class: diag.ClassCheck, Message: ref + " is no image archive", Help: "`comfyctl pack --out FILE` writes one", Err: err}
	}
	in, labels, err := describeImage(img, ref, "archive")
	if err != nil {
		return nil, nil, err
	}
	// The archive's own index knows the digest that a registry would show.
	in.Digest, err = archiveDigest(path)
	return in, labels, err
}

// archiveDigest reads the digest out of an archive's OCI index; "" where it
// has none.
func archiveDigest(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("reading the archive: %w", err)
	}
	defer f.Close()
	for r := tar.NewReader(f); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return "", nil
		} else if err != nil {
			return "", fmt.Errorf("reading the archive: %w", err)
		}
		if h.Name != "index.json" {
			continue
		}
		index, err := v1.ParseIndexManifest(io.LimitReader(r, 4<<20))
		if err != nil || len(index.Manifests) == 0 {
			return "", err
		}
		return index.Manifests[0].Digest.String(), nil
	}
}

func (a *App) lookIntoDocker(ctx context.Context, ref string) (*inspected, map[string]string, error) {
	e, err := a.docker(ctx)
	if err != nil {
		return nil, nil, err
	}
	defer e.Close()
	i, err := e.Image(ctx, ref)
	if dockerengine.IsNotFound(err) {
		return nil, nil, errors.New("no such image in Docker")
	}
	if err != nil {
		return nil, nil, err
	}
	in := &inspected{Image: ref, Where: "docker", Digest: i.ID, Platform: i.OS + "/" + i.Arch, Size: i.Size, Layers: []inspectedLayer{}}
	for _, d := range i.DiffIDs {
		in.Layers = append(in.Layers, inspectedLayer{Digest: d})
	}
	return in, i.Labels, nil
}

func lookIntoRegistry(ctx context.Context, ref name.Reference) (*inspected, map[string]string, error) {
	img, err := remote.Image(ref, remote.WithContext(ctx), remote.WithAuthFromKeychain(authn.DefaultKeychain))
	var t *transport.Error
	switch {
	case errors.As(err, &t) && (t.StatusCode == http.StatusUnauthorized || t.StatusCode == http.StatusForbidden):
		return nil, nil, &diag.Error{Code: "not_signed_in", Class: diag.ClassAuth, Message: "not allowed to read " + ref.Name(), Help: "docker login " + ref.Context().RegistryStr()}
	case errors.As(err, &t) && t.StatusCode == http.StatusNotFound:
		return nil, nil, failure("no_image", ref.Name()+" is not there", "", nil)
	case err != nil:
		return nil, nil, &diag.Error{Code: "no_registry", Class: diag.ClassFailed, Message: "the registry of " + ref.Name() + " does not answer", Err: err, Retryable: true}
	}
	return describeImage(img, ref.Name(), "registry")
}

// Annotations that the packer leaves on layers.
const (
	layerKind = "dev.comfyctl.layer.kind"
	layerName = "dev.comfyctl.layer.name"
)

func describeImage(img v1.Image, ref, where string) (*inspected, map[string]string, error) {
	bad := func(err error) error {
		return &diag.Error{Code: "bad_image", Class: diag.ClassCheck, Message: "the image " + ref + " cannot be read", Err: err}
	}
	m, err := img.Manifest()
	if err != nil {
		return nil, nil, bad(err)
	}
	c, err := img.ConfigFile()
	if err != nil {
		return nil, nil, bad(err)
	}
	digest, err := img.Digest()
	if err != nil {
		return nil, nil, bad(err)
	}
	in := &inspected{Image: ref, Where: where, Digest: digest.String(), Platform: c.OS + "/" + c.Architecture, Layers: []inspectedLayer{}}
	for _, l := range m.Layers {
		in.Size += l.Size
		in.Layers = append(in.Layers, inspectedLayer{Digest: l.Digest.String(), Size: l.Size, Kind: l.Annotations[layerKind], Name: l.Annotations[layerName]})
	}
	return in, c.Config.Labels, nil
}

func (a *App) inspection(in *inspected) string {
	s := a.console().Out
	var b strings.Builder
	row := func(key, value string) {
		fmt.Fprintf(&b, "%s %s\n", s.Paint(term.Bold, fmt.Sprintf("%-10s", key)), diag.Safe(value))
	}
	c := in.Contract
	row("image", in.Image)
	row("digest", in.Digest)
	row("platform", in.Platform)
	row("size", units.HumanSize(float64(in.Size)))
	row("service", c.Name+"  (packed by comfyctl "+c.Packer+")")
	engine := c.Engine.Kind + " " + c.Engine.Version
	if c.Engine.Kind == contract.EngineStub {
		engine += "  pictures are placeholders; no model runs"
	}
	row("engine", engine)
	row("contract", in.ContractDigest)
	for _, w := range c.Workflows {
		row("workflow", w.Name+"@"+w.Version)
		for _, i := range w.Inputs {
			text := "  " + i.Name + "  " + i.Type
			if i.Required {
				text += "  required"
			}
			row("  input", text)
		}
		for _, o := range w.Outputs {
			row("  output", "  "+o.Name+"  "+o.Type)
		}
	}
	for _, m := range c.Models {
		row("model", strings.TrimSpace(m.Path+"  "+m.Load+"  "+m.SHA256))
	}
	for _, l := range in.Layers {
		size := units.HumanSize(float64(l.Size))
		if l.Size == 0 {
			size = "-"
		}
		row("layer", fmt.Sprintf("%.19s  %9s  %s %s", l.Digest, size, l.Kind, l.Name))
	}
	return b.String()
}
