package from

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/comfyctl/comfyctl/internal/diag"
	"github.com/comfyctl/comfyctl/pkg/contract"
)

// Kind is what a file is.
type Kind string

// The kinds.
const (
	CPack     Kind = "comfy-pack archive"
	CPackList Kind = "comfy-pack snapshot"
	Manager   Kind = "ComfyUI-Manager snapshot"
	Desktop   Kind = "ComfyUI Desktop snapshot"
	Manifest  Kind = "comfyui-api manifest"
	Build     Kind = "comfy-build definition"
	Cog       Kind = "cog project"
	CogNodes  Kind = "cog-comfyui node list"
	ViewComfy Kind = "ViewComfy app"
)

// Description is what a file says about a service, whatever tool wrote it.
type Description struct {
	Kind Kind
	// Name and About are the author's, empty where there are none.
	Name, About string
	// Graph is the workflow that came along, in any form that
	// workflow.Parse takes; nil where there is none.
	Graph []byte
	// ComfyUI is a tag or commit, Python a release such as 3.12, Torch a tag
	// such as cu128; empty where the file does not say.
	ComfyUI, Python, Torch string
	// Inputs and Outputs are those that the file names, by node ids of Graph.
	// A Type left empty comes from the node's definition.
	Inputs  []contract.Input
	Outputs []contract.Output
	Packs   []Pack
	Models  []Model
	// System are Debian packages, Packages Python requirements.
	System, Packages []string
	// Lost is what could not be carried over.
	Lost []Lost
}

// Pack is a set of custom nodes: Repo with Ref, or Registry.
type Pack struct {
	// Repo is a git URL; Ref a commit, tag or branch, or empty.
	Repo, Ref string
	// Registry is an id in the node registry, Version its release or empty.
	Registry, Version string
	// Marks are how the classes begin by which this pack marks inputs and
	// outputs; without a node of one it is not needed.
	Marks []string
}

// Model is a model file.
type Model struct {
	// Path is folder/name under ComfyUI's models.
	Path string
	// Sources are addresses of the same bytes; none where it is not known.
	Sources []string
	// SHA256 is 64 hex digits in lower case, or empty; Size is in bytes, or 0.
	SHA256 string
	Size   int64
	// Unused says that the file's author marked it as not needed.
	Unused bool
}

// Lost is something that was left out.
type Lost struct {
	What string `json:"what"`
	Why  string `json:"why"`
}

// Options of Read.
type Options struct {
	// Beside reads a file in the folder of the one that is read; nil has none.
	Beside func(name string) ([]byte, error)
	// Pick says which one is meant where a file holds several workflows or
	// snapshots: its title, or its number from 1. Empty takes the first workflow
	// and the newest snapshot.
	Pick string
}

func (d *Description) lose(why, what string, args ...any) {
	d.Lost = append(d.Lost, Lost{What: fmt.Sprintf(what, args...), Why: why})
}

// count is a number of things.
func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// pick finds the one of several that is meant; def is taken where o says none.
func pick(kind Kind, o Options, def int, names []string) (int, error) {
	if o.Pick == "" {
		return def, nil
	}
	for i, n := range names {
		if strings.EqualFold(n, o.Pick) || strconv.Itoa(i+1) == o.Pick {
			return i, nil
		}
	}
	help := "there are " + strings.Join(names, ", ")
	if near := diag.Suggest(o.Pick, names); near != "" {
		help = "did you mean `" + near + "`?"
	}
	return 0, refuse(kind, help, "`%s` is none of what is in it", o.Pick)
}

// refuse is the error for a file that is not as it should be.
func refuse(kind Kind, help, message string, args ...any) error {
	return &diag.Error{Code: "unreadable_source", Class: diag.ClassCheck, Message: string(kind) + ": " + fmt.Sprintf(message, args...), Help: help}
}
