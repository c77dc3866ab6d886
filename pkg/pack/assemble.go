package pack

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/comfyctl/comfyctl/internal/cas"
	"github.com/comfyctl/comfyctl/internal/layer"
	"github.com/comfyctl/comfyctl/internal/progress"
	"github.com/comfyctl/comfyctl/pkg/contract"
)

// Annotations of layers and images, and labels.
const (
	annotationKind   = "dev.comfyctl.layer.kind"
	annotationName   = "dev.comfyctl.layer.name"
	annotationSize   = "dev.comfyctl.layer.size.uncompressed"
	annotationPacker = "dev.comfyctl.packer"
	annotationSchema = "dev.comfyctl.contract.version"
	annotationEngine = "dev.comfyctl.engine"
	annotationTitle  = "org.opencontainers.image.title"
	annotationText   = "org.opencontainers.image.description"
	annotationBase   = "org.opencontainers.image.base.name"
)

// rememberLayer records the digest of the layer that holds one model.
func rememberLayer(s *cas.Store, model, content, sum string) error {
	return s.SetFact("layer", layerKey(model, content), sum)
}

func layerKey(model, content string) string {
	return layer.Envelope + "\n" + imagePath(model) + "\n" + content
}

// make turns a plan into a layer.
func (p *LayerPlan) make(ctx context.Context, s *cas.Store, report progress.Func) (v1.Layer, error) {
	if !p.raw {
		l, cached, err := layer.Zip(ctx, s, p.entries)
		if err != nil {
			return nil, err
		}
		p.Cached = cached
		d, err := l.Digest()
		p.Digest = d.String()
		return l, err
	}
	a, err := layer.NewArchive(p.entries)
	if err != nil {
		return nil, err
	}
	var sum string
	if p.model != nil {
		p.Cached = s.Fact("layer", layerKey(p.model.Path, p.model.SHA256), &sum)
	}
	if sum == "" {
		ev := progress.Event{Step: "image", State: progress.Running, Item: p.Name, Total: a.Size()}
		sum, err = layer.HashArchive(ctx, a, func(done int64) {
			ev.Done = done
			report(ev)
		})
		if err != nil {
			return nil, err
		}
		if p.model != nil {
			if err := rememberLayer(s, p.model.Path, p.model.SHA256, sum); err != nil {
				return nil, err
			}
		}
	}
	p.Digest = "sha256:" + sum
	return layer.NewRaw(a, sum), nil
}

// assemble puts the made layers on top of the base. It is pure but for the
// base, whose layers may not have been exported yet.
func assemble(c *contract.Contract, base *environmentImage, platform string, plans []LayerPlan, layers []v1.Layer, created time.Time) (*image, error) {
	os, arch, _ := strings.Cut(platform, "/")
	cfg := &v1.ConfigFile{OS: os, Architecture: arch, Created: v1.Time{Time: created}, RootFS: v1.RootFS{Type: "layers", DiffIDs: []v1.Hash{}}}
	list := []annotated{}
	if base != nil {
		cfg.Config.Env, cfg.Config.WorkingDir, cfg.Config.Shell = base.config.Env, base.config.WorkDir, base.config.Shell
		for i, l := range base.layers {
			list = append(list, annotated{l, map[string]string{annotationKind: KindEnvironment, annotationName: base.key}})
			cfg.History = append(cfg.History, v1.History{Created: cfg.Created, CreatedBy: fmt.Sprintf("comfyctl environment %s %d", base.key, i+1)})
		}
	}
	for i, p := range plans {
		list = append(list, annotated{layers[i], map[string]string{annotationKind: p.Kind, annotationName: p.Name, annotationSize: fmt.Sprint(p.Size)}})
		cfg.History = append(cfg.History, v1.History{Created: cfg.Created, CreatedBy: "comfyctl " + p.Kind + " " + p.Name})
	}
	for _, l := range list {
		d, err := l.DiffID()
		if err != nil {
			return nil, err
		}
		cfg.RootFS.DiffIDs = append(cfg.RootFS.DiffIDs, d)
	}
	annotations := map[string]string{
		annotationTitle: c.Name, annotationPacker: layer.Envelope, annotationSchema: c.Schema, annotationEngine: c.Engine.Kind,
	}
	if c.Description != "" {
		annotations[annotationText] = c.Description
	}
	if base != nil {
		annotations[annotationBase] = base.base
	}
	if err := configure(cfg, c, annotations); err != nil {
		return nil, err
	}
	return newImage(cfg, list, annotations)
}

// configure says how a container of the image starts.
func configure(cfg *v1.ConfigFile, c *contract.Contract, annotations map[string]string) error {
	label, err := json.Marshal(c)
	if err != nil {
		return fmt.Errorf("encoding the contract: %w", err)
	}
	cfg.Config.Labels = maps.Clone(annotations)
	cfg.Config.Labels[contract.Label] = string(label)
	cfg.Config.Entrypoint = []string{contract.RunnerPath}
	port := c.Runner.Port
	if port == 0 {
		port = 8080
	}
	cfg.Config.ExposedPorts = map[string]struct{}{fmt.Sprintf("%d/tcp", port): {}}
	cfg.Config.Volumes = map[string]struct{}{contract.StatePath: {}}
	cfg.Config.StopSignal = "SIGTERM"
	start := time.Duration(c.Runner.Timeouts.StartMS) * time.Millisecond
	if start == 0 {
		start = 10 * time.Minute
	}
	// Docker's own extension of the config; others pass over it.
	cfg.Config.Healthcheck = &v1.HealthConfig{
		Test:     []string{"CMD", contract.RunnerPath, "healthcheck"},
		Interval: 10 * time.Second, Timeout: 6 * time.Second, StartPeriod: start, Retries: 3,
	}
	if c.Engine.Kind == contract.EngineComfyUI && c.GPU.Count > 0 {
		setEnv(cfg, "NVIDIA_VISIBLE_DEVICES", "all")
		setEnv(cfg, "NVIDIA_DRIVER_CAPABILITIES", "compute,utility")
	}
	if !slices.ContainsFunc(cfg.Config.Env, func(kv string) bool { return strings.HasPrefix(kv, "PATH=") }) {
		setEnv(cfg, "PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
	}
	return nil
}

// setEnv replaces a variable, or adds it.
func setEnv(cfg *v1.ConfigFile, name, value string) {
	env := slices.DeleteFunc(slices.Clone(cfg.Config.Env), func(kv string) bool { return strings.HasPrefix(kv, name+"=") })
	cfg.Config.Env = append(env, name+"="+value)
}
