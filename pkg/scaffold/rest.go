package scaffold

import (
	"io/fs"
	"regexp"
	"slices"
	"strings"

	"github.com/comfyctl/comfyctl/pkg/contract"
	"github.com/comfyctl/comfyctl/pkg/workflow"
	"github.com/comfyctl/comfyctl/templates"
)

// mainModels are the inputs by which people choose a model.
var mainModels = map[string]string{"CheckpointLoaderSimple": "ckpt_name", "UNETLoader": "unet_name"}

// choice shows how callers may choose among several models. It is a comment:
// with one model there is nothing to choose.
func (w *writer) choice() {
	for _, n := range w.g.Nodes {
		in := n.Input(mainModels[n.Class])
		if in == nil || in.Kind != workflow.String || in.Text == "" {
			continue
		}
		at := contract.Target{Node: n.ID, Input: in.Name}
		if slices.ContainsFunc(w.list, func(i contract.Input) bool { return slices.Contains(i.To, at) }) {
			return // callers choose it already
		}
		name := scalar(in.Text)
		if !plainFile.MatchString(in.Text) {
			name = flow(in.Raw)
		}
		w.line("  # To let callers choose a model, list each file here and under `models:`:")
		w.line("  # model: { to: %s, type: enum, enum: [%s], default: %s }",
			flowTarget(n.ID+"."+in.Name), name, name)
		return
	}
}

var plainFile = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_./-]*$`)

var topKey = regexp.MustCompile(`^([a-z_]+):`)

// rest appends the blocks of the annotated file whose key is not written yet,
// as comments.
func (w *writer) rest() {
	src, err := fs.ReadFile(templates.FS, "comfyctl.full.yaml")
	if err != nil {
		return // embedded; a test reads it
	}
	have := []string{"workflows", "name", "requires"}
	for _, l := range strings.Split(w.b.String(), "\n") {
		if m := topKey.FindStringSubmatch(l); m != nil {
			have = append(have, m[1])
		}
	}
	w.line("")
	w.line("# Everything else that may stand in this file, with examples; take the `# ` away to use it.")
	skip := true
	for _, l := range strings.Split(strings.TrimRight(string(src), "\n"), "\n") {
		switch m := topKey.FindStringSubmatch(l); {
		case m != nil:
			skip = slices.Contains(have, m[1])
		case strings.HasPrefix(l, "# ──"):
			w.line("#")
			w.line("%s", l)
			skip = true
			continue
		case l == "" || strings.HasPrefix(l, "#"):
			skip = skip || strings.HasPrefix(l, "#")
			continue
		}
		if !skip {
			w.line("# %s", l)
		}
	}
}
