package validate

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/comfyctl/comfyctl/internal/diag"
	"github.com/comfyctl/comfyctl/pkg/catalog"
	"github.com/comfyctl/comfyctl/pkg/contract"
	"github.com/comfyctl/comfyctl/pkg/service"
	"github.com/comfyctl/comfyctl/pkg/workflow"
)

func itoa(n int) string { return strconv.Itoa(n) }

// pickles are model formats that can run code when they are loaded.
var pickles = []string{".ckpt", ".pt", ".pt2", ".pth", ".bin", ".pkl"}

// models reads `models:` into the plan.
func (l *loader) models() {
	for i, m := range l.plan.Service.Models {
		at := "/models/" + itoa(i)
		p := Model{Path: m.Path, Sources: m.Source, SHA256: m.SHA256, Load: m.Load, Auth: m.Auth, AllowPickle: m.AllowPickle}
		if p.Load == "" {
			p.Load = contract.LoadBake
		}
		l.plan.Models = append(l.plan.Models, p)
		if m.Path == "" {
			continue
		}
		folder, _, _ := strings.Cut(m.Path, "/")
		if !catalog.KnownFolder(folder) && len(l.plan.Service.Nodes) == 0 {
			d := diag.Diagnostic{Code: "CM005", Message: "ComfyUI has no model folder `" + folder + "`", Label: "no loader reads this folder"}
			if best := diag.Suggest(folder, catalog.Folders()); best != "" {
				meant := best + "/" + strings.TrimPrefix(m.Path, folder+"/")
				l.meant = append(l.meant, meant)
				d.Help = "did you mean `" + meant + "`?"
				l.offer(&d, l.plan.Service.At(at+"/path"), m.Path, meant)
			} else {
				d.Help = "folders: " + strings.Join(catalog.Folders(), ", ")
			}
			l.at(at+"/path", d)
		}
		if slices.Contains(pickles, strings.ToLower(path.Ext(m.Path))) && !m.AllowPickle {
			l.at(at+"/path", diag.Diagnostic{Code: "CM004", Severity: diag.SeverityWarning, Message: "model `" + m.Path + "` is in a pickle format",
				Label: "loading it can run code", Help: "use a .safetensors file, or say `allow_pickle: true` and give its sha256"})
		}
		if len(m.Source) == 0 && p.Load != contract.LoadMount {
			l.at(at, diag.Diagnostic{Code: "CM009", Severity: diag.SeverityWarning, Message: "model `" + m.Path + "` has no `source`",
				Label: "`pack` cannot get it", Help: "add `source:` with hf://…, https://… or a local path"})
		}
		l.local(at, p)
		l.pinned(at, p)
		l.gated(at, p)
	}
}

// pinned checks that somebody wrote down which bytes a remote model is.
func (l *loader) pinned(at string, m Model) {
	if m.SHA256 != "" || m.Load == contract.LoadMount || l.lockedModel(m.Path).SHA256 != "" || !slices.ContainsFunc(m.Sources, isRemote) {
		return
	}
	l.at(at, diag.Diagnostic{Code: "CM003", Severity: diag.SeverityWarning, Message: "model `" + m.Path + "` has neither a `sha256` nor an entry in the lock",
		Label: "what the source gives may change", Help: "run `comfyctl lock`, or give its `sha256`"})
}

// gated checks that a source that asks for an account gets one.
func (l *loader) gated(at string, m Model) {
	if m.Auth != "" || m.Load == contract.LoadMount || len(m.Sources) == 0 {
		return
	}
	for _, s := range m.Sources {
		repo, gated := gatedRepo(s)
		if open := repo == "" || !l.lockedModel(m.Path).Gated; open && !gated {
			return // one mirror that anyone can read is enough
		}
	}
	where := at + "/source"
	if !l.plan.Service.Has(where) {
		where = at
	}
	l.at(where, diag.Diagnostic{Code: "CM006", Message: "the source of model `" + m.Path + "` is gated, and no secret is named", Label: "only for accounts that accepted its terms",
		Help: "accept the terms on its page, then write `auth: HF_TOKEN` and list HF_TOKEN under `secrets:`"})
}

func (l *loader) lockedModel(path string) LockedModel {
	if l.o.Lock == nil {
		return LockedModel{}
	}
	return l.o.Lock.Models[path]
}

// unlocked reports whether a pack of `nodes:` is not in the lock yet.
func (l *loader) unlocked() bool {
	if l.o.ObjectInfo != nil {
		return false
	}
	return slices.ContainsFunc(l.plan.Service.Nodes, func(n service.NodePack) bool { return l.lockedPack(n) == nil })
}

// lockedClass reports whether a pack of the lock defines a class.
func (l *loader) lockedClass(class string) bool {
	return l.o.Lock != nil && slices.ContainsFunc(l.o.Lock.Packs, func(p LockedPack) bool { return slices.Contains(p.Classes, class) })
}

// listed reports whether a pack is in `nodes:`.
func (l *loader) listed(p Pack) bool {
	key := PackKey(p.Repo, p.Registry, "")
	return slices.ContainsFunc(l.plan.Service.Nodes, func(n service.NodePack) bool { return PackKey(n.Repo, n.Registry, n.Path) == key })
}

// addPack is the edit that lists a pack in the service file.
func (l *loader) addPack(p Pack) *diag.Fix {
	file, edit, ok := l.plan.Service.Append("/nodes", p.lines())
	if !ok {
		return nil
	}
	return &diag.Fix{Title: "add " + strings.Join(p.lines(), ", ") + " under `nodes:`", Safe: true, File: file, Edits: []diag.Edit{edit}}
}

// local checks that a model from this machine is there.
func (l *loader) local(at string, m Model) {
	if l.o.Stub || m.Load == contract.LoadMount || len(m.Sources) == 0 {
		return
	}
	for _, s := range m.Sources {
		if !isLocal(s) {
			return
		}
		file := s
		if !filepath.IsAbs(file) {
			file = filepath.Join(l.plan.Dir, filepath.FromSlash(s))
		}
		if _, err := os.Stat(file); err == nil || !errors.Is(err, fs.ErrNotExist) {
			return
		}
	}
	where := at + "/source"
	if !l.plan.Service.Has(where) {
		where = at
	}
	l.at(where, diag.Diagnostic{Code: "CM010", Message: "model file `" + m.Sources[0] + "` is not there", Label: "no such file beside the service file",
		Help: "put it there, or name another source"})
}

func isLocal(source string) bool { return !strings.Contains(source, "://") }

func isRemote(source string) bool { return !isLocal(source) }

// around is what the graph rules know from the service file.
func (l *loader) around(g *workflow.Graph, inputs []contract.Input) GraphOptions {
	var paths []string
	for _, m := range l.plan.Models {
		paths = append(paths, m.Path)
	}
	provided := map[contract.Target]bool{}
	for _, in := range inputs {
		for _, t := range in.To {
			provided[t] = provided[t] || in.Required || in.Random || in.Default != nil && !l.ownDefault(g, t, in)
		}
	}
	for _, n := range g.Nodes {
		if _, ok := l.plan.Catalog.Class(n.Class); !ok {
			l.opaque = true
		}
	}
	return GraphOptions{
		ComfyUI: l.comfyUI(), Models: paths, Unlocked: l.unlocked(), Packs: l.o.Packs, addPack: l.addPack, listed: l.listed, Locked: l.lockedClass,
		HasModel: func(need string) bool {
			l.used = append(l.used, need)
			same := func(have string) bool { return catalog.SameFile(have, need) }
			return slices.ContainsFunc(paths, same) || slices.ContainsFunc(l.meant, same)
		},
		HasFile: func(_, _, name string) bool { return name == shippedImage },
		Written: func(node, input string) bool { return provided[contract.Target{Node: node, Input: input}] },
	}
}

// ownDefault reports whether an input's default is the graph's own value.
func (l *loader) ownDefault(g *workflow.Graph, t contract.Target, in contract.Input) bool {
	n := g.Node(t.Node)
	if n == nil || n.Input(t.Input) == nil {
		return false
	}
	return bytes.Equal(in.Default, fromGraph(n.Input(t.Input), in.Type))
}

// shippedImage lies in the input folder of ComfyUI's own repository.
const shippedImage = "example.png"

// comfyUI is the release as the service file says it.
func (l *loader) comfyUI() string {
	if v := l.plan.Service.ComfyUI.Version; v != "" {
		return v
	}
	return l.plan.Catalog.Version
}

// unusedModels reports models that no graph names. Embeddings are named in
// texts, and what packs read is not known.
func (l *loader) unusedModels() {
	if l.opaque || len(l.plan.Workflows) == 0 {
		return
	}
	for i, m := range l.plan.Models {
		folder, _, _ := strings.Cut(m.Path, "/")
		if !catalog.KnownFolder(folder) || strings.HasPrefix(m.Path, "embeddings/") || strings.HasPrefix(m.Path, "vae_approx/") || l.offered(m.Path) {
			continue
		}
		if !slices.ContainsFunc(l.used, func(need string) bool { return catalog.SameFile(m.Path, need) }) {
			at := "/models/" + itoa(i)
			d := diag.Diagnostic{Code: "CM002", Severity: diag.SeverityWarning, Message: "model `" + m.Path + "` is listed but never used",
				Label: "no node names it", Help: "remove it, unless callers choose it"}
			if file, edit, ok := l.plan.Service.Remove(at); ok {
				d.Fix = &diag.Fix{Title: "remove the entry", File: file, Edits: []diag.Edit{edit}}
			}
			l.at(at, d)
		}
	}
}

// offered reports whether callers may choose the model by an input.
func (l *loader) offered(model string) bool {
	for _, w := range l.plan.Workflows {
		for _, in := range w.Inputs {
			for _, t := range in.To {
				n := w.Graph.Node(t.Node)
				if n == nil {
					continue
				}
				folder, ok := catalog.LoaderFolder(n.Class, t.Input)
				if !ok {
					continue
				}
				for _, e := range in.Enum {
					if catalog.SameFile(model, folder+"/"+text(e)) {
						return true
					}
				}
			}
		}
	}
	return false
}
