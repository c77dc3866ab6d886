package from

import (
	"path"
	"regexp"
	"slices"
	"strings"
)

// tools are packs that make or manage workflows and do nothing in one.
var tools = []string{"comfyui-manager", "comfy-cli", "comfyui-api"}

// marking are packs whose nodes mark inputs and outputs, and how their classes
// begin.
var marking = map[string][]string{"comfy-pack": {"CPack"}, "comfyui-deploy": {"ComfyUIDeploy", "ComfyDeploy"}}

// own are repositories of ComfyUI itself, listed by some tools as a pack.
var own = regexp.MustCompile(`(?i)/(comfyanonymous|comfy-org)/comfyui$`)

// repo notes a pack by its repository.
func (d *Description) repo(address, ref string, enabled bool) {
	at := repository(address)
	ref = strings.TrimSpace(ref)
	switch {
	case !enabled:
		d.lose("it is disabled there", "node pack %s", address)
	case at == "":
		d.lose("that is no git address", "node pack `%s`", address)
	case own.MatchString(at):
	case isTool(path.Base(at)):
		d.lose("a tool, not needed to serve", "node pack %s", at)
	case ref != "" && !gitRef.MatchString(ref):
		d.Packs = append(d.Packs, Pack{Repo: at})
		d.lose("that is no git ref", "ref `%s` of %s", ref, at)
	default:
		d.Packs = append(d.Packs, Pack{Repo: at, Ref: ref, Marks: marking[strings.ToLower(path.Base(at))]})
	}
}

var packID = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$`)

// registry notes a pack by its id in the node registry. Some lists say nightly
// or unknown for a pack that follows its repository.
func (d *Description) registry(id, version string) {
	id, version = strings.TrimSpace(id), strings.TrimSpace(version)
	p := Pack{Registry: id, Marks: marking[strings.ToLower(id)]}
	switch {
	case !packID.MatchString(id):
		d.lose("that is no id of the node registry", "node pack `%s`", id)
		return
	case id == "comfy-core":
		return
	case isTool(id):
		d.lose("a tool, not needed to serve", "node pack %s", id)
		return
	case version == "latest" || version == "":
	case version == "nightly" || version == "unknown":
		d.lose("it stands for the newest commit on that day; `lock` pins today's release", "version `%s` of node pack %s", version, id)
	case !packID.MatchString(version):
		d.lose("that is no version", "version `%s` of node pack %s", version, id)
	default:
		p.Version = version
	}
	d.Packs = append(d.Packs, p)
}

func isTool(name string) bool {
	return slices.ContainsFunc(tools, func(t string) bool { return strings.EqualFold(strings.TrimSuffix(name, ".git"), t) })
}

// model notes a model file.
func (d *Description) model(at string, m Model, addresses ...string) {
	p, ok := modelPath(at)
	if !ok {
		d.lose("it does not lie in a folder of ComfyUI's models", "model `%s`", at)
		return
	}
	m.Path = p
	for _, a := range addresses {
		d.address(&m, a)
	}
	d.Models = append(d.Models, m)
}

var requirement = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*(\[[A-Za-z0-9._, -]*\])?\s*([=<>!~]=?=?[^;@\s]+(\s*,\s*[=<>!~]=?=?[^;@\s]+)*)?(\s*;.*)?$`)

// requirements notes Python packages that somebody chose by hand.
func (d *Description) requirements(lines []string) {
	for _, l := range lines {
		l = strings.TrimSpace(l)
		if i := strings.Index(l, " #"); i >= 0 {
			l = strings.TrimSpace(l[:i])
		}
		switch {
		case l == "" || strings.HasPrefix(l, "#"):
		case requirement.MatchString(l):
			d.Packages = append(d.Packages, l)
		default:
			d.lose("only names with versions are taken; write what you need under `python_packages:`", "Python requirement `%s`", l)
		}
	}
}

// frozen says that a list of what was installed is not carried over.
func (d *Description) frozen(n int) {
	if n > 0 {
		d.lose("the list of one machine, with that machine's builds; `lock` resolves what ComfyUI and the packs ask for", "%s", count(n, "installed Python package", "installed Python packages"))
	}
}

// tidy drops what is there twice.
func (d *Description) tidy() {
	var packs []Pack
	for _, p := range d.Packs {
		if !slices.ContainsFunc(packs, func(q Pack) bool {
			return strings.EqualFold(p.Repo, q.Repo) && strings.EqualFold(p.Registry, q.Registry)
		}) {
			packs = append(packs, p)
		}
	}
	d.Packs = packs
	var models []Model
	for _, m := range d.Models {
		if !slices.ContainsFunc(models, func(q Model) bool { return q.Path == m.Path }) {
			models = append(models, m)
		}
	}
	d.Models = models
	d.System = unique(d.System)
	d.Packages = unique(d.Packages)
}

func unique(list []string) []string {
	var out []string
	for _, s := range list {
		if s = strings.TrimSpace(s); s != "" && !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return out
}
