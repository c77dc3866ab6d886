package validate

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/comfyctl/comfyctl/internal/diag"
	"github.com/comfyctl/comfyctl/pkg/catalog"
)

// Locked is what comfyctl.lock says, as far as the checks ask. Whoever reads
// the lock fills it: this package knows no file format of it.
type Locked struct {
	// File is the lock as findings name it.
	File string
	// Missing is set where there is no lock; everything else is empty then.
	Missing bool
	// Inputs is what LockInputs gave when the lock was made. Nil means that it
	// is not known whether the lock is out of date.
	Inputs map[string]string
	// Packs are the node packs, those of `nodes:` and those found for a class.
	Packs []LockedPack
	// Models are the model files by path, such as checkpoints/x.safetensors.
	Models map[string]LockedModel
	// Classes are the schemas of the packs' node classes; nil where there are
	// none.
	Classes *catalog.Catalog
}

// LockedPack is one node pack of the lock.
type LockedPack struct {
	// Key tells which entry of `nodes:` it is for, see PackKey; for a pack that
	// was found for a class, the address it was found at.
	Key string
	// Name is the pack's folder under custom_nodes.
	Name string
	// Commit is what its ref stood for; empty for a registry release or folder.
	Commit string
	// Classes are all node classes that the pack defines.
	Classes []string
	// Install lists what its install script would do, one line each; empty where
	// it has none.
	Install []string
}

// LockedModel is one model file of the lock.
type LockedModel struct {
	// SHA256 is in lower-case hexadecimal digits.
	SHA256 string
	// Size is in bytes; 0 where it is not known.
	Size int64
	// Gated is set where the source wants an account that accepted its terms.
	Gated bool
	// Tensors are the bytes of the file's tensors by type (F16, BF16, F8_E4M3 …),
	// from its header; nil where it was not read.
	Tensors map[string]int64
}

// PackKey is the name by which an entry of `nodes:` is known in the lock: its
// repository, registry id without the version, or path.
func PackKey(repo, registry, path string) string {
	switch {
	case repo != "":
		return strings.ToLower(strings.TrimSuffix(strings.TrimSuffix(repo, "/"), ".git"))
	case registry != "":
		id, _, _ := strings.Cut(registry, "@")
		return strings.ToLower(id)
	}
	return path
}

// LockInputs digests everything that a lock depends on, by name: comfyui,
// build, the package lists, models/PATH, nodes/KEY, and class/NAME for every
// class that the built-in catalog lacks. Two plans with equal inputs want the
// same lock. The GPU is not among them: one lock serves all environments.
func (p *Plan) LockInputs() map[string]string {
	s := p.Service
	if s == nil {
		return nil
	}
	in := map[string]string{}
	put := func(name string, parts ...any) {
		b, err := json.Marshal(parts)
		if err != nil { // texts, numbers and lists of them
			panic(fmt.Sprintf("validate: %s does not encode: %v", name, err))
		}
		sum := sha256.Sum256(b)
		in[name] = hex.EncodeToString(sum[:])
	}
	put("comfyui", s.ComfyUI.Version, s.ComfyUI.Source)
	put("build", s.Build.Base, s.Build.Profile, s.Build.Python, s.Build.Torch)
	put("system_packages", slices.Sorted(slices.Values(s.SystemPackages)))
	put("python_packages", slices.Sorted(slices.Values(s.PythonPackages)))
	for _, m := range p.Models {
		put("models/"+m.Path, m.Sources, m.SHA256, m.AllowPickle)
	}
	for _, n := range s.Nodes {
		put("nodes/"+PackKey(n.Repo, n.Registry, n.Path), n.Repo, n.Ref, n.Registry, n.Path, n.Install, n.Classes)
	}
	for _, w := range p.Workflows {
		for _, n := range w.Graph.Nodes {
			if _, builtIn := p.Core.Class(n.Class); !builtIn && n.Class != "" {
				put("class/"+n.Class, n.Class)
			}
		}
	}
	return in
}

// locked checks that there is a lock and that it is of this file.
func (l *loader) locked() {
	lock := l.o.Lock
	if lock == nil {
		return
	}
	if lock.Missing {
		l.add(diag.Diagnostic{Code: "CL001", Severity: diag.SeverityWarning, Span: diag.Span{File: l.plan.File},
			Message: "there is no lock", Help: "run `comfyctl lock`: it pins every ref, model and package"})
		return
	}
	if lock.Inputs == nil {
		return
	}
	moved := l.moved(lock.Inputs, l.plan.LockInputs())
	if len(moved) == 0 {
		return
	}
	d := diag.Diagnostic{Code: "CL002", Severity: diag.SeverityWarning, Span: diag.Span{File: l.plan.File},
		Message: lock.File + " is out of date", Help: "run `comfyctl lock`"}
	placed := false
	for _, m := range moved {
		switch {
		case m.at == "":
			d.Help += "\nmoved: " + m.what
		case !placed:
			placed = true
			d.Span, d.Pointer, d.Label = l.plan.Service.At(m.at), m.at, m.what
		default:
			d.Related = append(d.Related, diag.Related{Span: l.plan.Service.At(m.at), Label: m.what})
		}
	}
	l.add(d)
}

// move is one thing that a lock says in another way than the service file now.
type move struct{ what, at string }

// moved lists what differs, by name; at is its place in the service file where
// it has one.
func (l *loader) moved(then, now map[string]string) []move {
	names := map[string]bool{}
	for n := range then {
		names[n] = true
	}
	for n := range now {
		names[n] = true
	}
	var list []move
	for n := range names {
		old, was := then[n]
		current, is := now[n]
		switch {
		case was && !is:
			list = append(list, move{what: n + " is gone"})
		case is && !was:
			list = append(list, move{n + " is new", l.placeOf(n)})
		case old != current:
			list = append(list, move{n + " changed", l.placeOf(n)})
		}
	}
	slices.SortFunc(list, func(a, b move) int { return strings.Compare(a.what, b.what) })
	return list
}

// placeOf is the pointer of a lock input in the service file, or "".
func (l *loader) placeOf(name string) string {
	kind, rest, _ := strings.Cut(name, "/")
	switch kind {
	case "class":
		return ""
	case "models":
		for i, m := range l.plan.Models {
			if m.Path == rest {
				return "/models/" + itoa(i)
			}
		}
	case "nodes":
		for i, n := range l.plan.Service.Nodes {
			if PackKey(n.Repo, n.Registry, n.Path) == rest {
				return "/nodes/" + itoa(i)
			}
		}
	}
	if at := "/" + kind; l.plan.Service.Has(at) {
		return at
	}
	return ""
}
