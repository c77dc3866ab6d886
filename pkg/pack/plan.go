package pack

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"path"
	"slices"

	"github.com/comfyctl/comfyctl/internal/layer"
	"github.com/comfyctl/comfyctl/pkg/contract"
)

// Kinds of layers, lowest first: by how often they change, because a registry
// keeps what is below a change.
const (
	KindEnvironment = "environment"
	KindWeights     = "weights"
	KindComfyUI     = "comfyui"
	KindNodes       = "nodes"
	KindModels      = "models"
	KindRunner      = "runner"
	KindService     = "service"
)

// Where a model stops being small: it then is a layer of its own, without
// compression. Small ones are bundled up to bundleSize.
const (
	bigModel   = 64 << 20
	bundleSize = 256 << 20
)

// LayerPlan is a layer before it is made. It prints, and compares.
type LayerPlan struct {
	Kind string `json:"kind"`
	Name string `json:"name"`
	// Size is in bytes before compression; -1 where it is not known yet.
	Size int64 `json:"size"`
	// Digest is set once the layer is made, or where it is known before.
	Digest string `json:"digest,omitempty"`
	Cached bool   `json:"cached"`
	// Source says where the content comes from.
	Source string `json:"source,omitempty"`

	raw     bool
	entries []layer.Entry
	// model is the only file of a raw layer that was hashed with its model.
	model *Model
}

// imagePath is where a model lies in the image.
func imagePath(model string) string { return path.Join(contract.ModelsPath, model)[1:] }

// contents are the files that go into an image, above its environment.
type contents struct {
	contract *contract.Contract
	models   []Model // baked, with File and Size
	comfyui  []layer.Entry
	comfySrc string
	nodes    []nodeTree
	runner   []byte
	origin   string // of the runner
	scratch  bool   // no environment below
}

// nodeTree is a node pack, ready to copy.
type nodeTree struct {
	name, source string
	entries      []layer.Entry
}

// layers lays the contents out. It is pure: equal contents give equal plans.
func (c contents) layers() ([]LayerPlan, error) {
	big, small := split(c.models)
	plan := []LayerPlan{}
	for _, m := range big {
		e, err := modelEntry(m)
		if err != nil {
			return nil, err
		}
		plan = append(plan, LayerPlan{Kind: KindWeights, Name: m.Path, Source: m.File, raw: true, entries: []layer.Entry{e}, model: &m})
	}
	if len(c.comfyui) > 0 {
		plan = append(plan, LayerPlan{Kind: KindComfyUI, Name: c.contract.Engine.Version, Source: c.comfySrc, entries: c.comfyui})
	}
	for _, n := range c.nodes {
		plan = append(plan, LayerPlan{Kind: KindNodes, Name: n.name, Source: n.source, entries: n.entries})
	}
	for i, bundle := range bundles(small) {
		p := LayerPlan{Kind: KindModels, Name: fmt.Sprintf("bundle %d, %d files", i+1, len(bundle)), raw: true}
		for _, m := range bundle {
			e, err := modelEntry(m)
			if err != nil {
				return nil, err
			}
			p.entries = append(p.entries, e)
		}
		plan = append(plan, p)
	}
	plan = append(plan, c.runnerLayer())
	service, err := c.serviceLayer()
	if err != nil {
		return nil, err
	}
	plan = append(plan, service)
	for i := range plan {
		plan[i].Size = 0
		for _, e := range plan[i].entries {
			plan[i].Size += e.Size
		}
	}
	return plan, nil
}

// modelEntry has one mode whatever the file's is, so that its layer's digest
// depends on its bytes and its name alone.
func modelEntry(m Model) (layer.Entry, error) {
	e, err := layer.File(imagePath(m.Path), m.File)
	if err != nil {
		return e, err
	}
	e.Mode = layer.ModeFile
	if e.Size != m.Size {
		return e, fmt.Errorf("packing %s: the file changed after it was hashed", m.File)
	}
	return e, nil
}

// split puts big models first, the largest lowest.
func split(models []Model) (big, small []Model) {
	for _, m := range models {
		if m.Size >= bigModel {
			big = append(big, m)
		} else {
			small = append(small, m)
		}
	}
	slices.SortFunc(big, func(a, b Model) int { return cmp.Or(cmp.Compare(b.Size, a.Size), cmp.Compare(a.Path, b.Path)) })
	slices.SortFunc(small, func(a, b Model) int { return cmp.Compare(a.Path, b.Path) })
	return big, small
}

func bundles(small []Model) [][]Model {
	out := [][]Model{}
	var size int64
	for _, m := range small {
		if len(out) == 0 || size+m.Size > bundleSize {
			out, size = append(out, nil), 0
		}
		out[len(out)-1] = append(out[len(out)-1], m)
		size += m.Size
	}
	return out
}

// runnerLayer holds the runner and the folders that it needs. The contract is
// not in it: it changes with every edit of the workflow, the runner only with
// comfyctl.
func (c contents) runnerLayer() LayerPlan {
	p := LayerPlan{Kind: KindRunner, Name: "comfy-runner", Source: c.origin, entries: []layer.Entry{
		layer.Bytes(contract.RunnerPath[1:], c.runner, layer.ModeExec),
		layer.Folder(contract.StatePath[1:], layer.ModeDir),
	}}
	if c.scratch {
		p.entries = append(p.entries, layer.Folder("tmp", 0o1777))
	}
	return p
}

func (c contents) serviceLayer() (LayerPlan, error) {
	p := LayerPlan{Kind: KindService, Name: c.contract.Name}
	b, err := c.contract.Encode()
	if err != nil {
		return p, err
	}
	p.entries = append(p.entries, layer.Bytes(contract.Path[1:], b, layer.ModeFile))
	for _, w := range c.contract.Workflows {
		var pretty bytes.Buffer
		if err := json.Indent(&pretty, w.Graph, "", "  "); err != nil {
			return p, fmt.Errorf("packing the workflow %s: %w", w.Name, err)
		}
		pretty.WriteByte('\n')
		name := w.Name + ".json"
		if hasOtherVersion(c.contract.Workflows, w) {
			name = w.Name + "@" + w.Version + ".json"
		}
		p.entries = append(p.entries, layer.Bytes(path.Join(contract.WorkflowsPath, name)[1:], pretty.Bytes(), layer.ModeFile))
	}
	// Folders that models are mounted into, or that a loader lists, must exist.
	seen := map[string]bool{}
	for _, m := range c.contract.Models {
		dir := path.Dir(imagePath(m.Path))
		if m.Load != contract.LoadBake && !seen[dir] {
			seen[dir] = true
			p.entries = append(p.entries, layer.Folder(dir, layer.ModeDir))
		}
	}
	return p, nil
}

func hasOtherVersion(list []contract.Workflow, w contract.Workflow) bool {
	n := 0
	for _, o := range list {
		if o.Name == w.Name {
			n++
		}
	}
	return n > 1
}
