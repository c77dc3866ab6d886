package from

import (
	"net/url"
	"regexp"
	"strings"
)

// manifest is what comfyui-api reads at a container's start.
type manifest struct {
	Apt    []string `json:"apt" yaml:"apt"`
	Pip    []string `json:"pip" yaml:"pip"`
	Nodes  []string `json:"custom_nodes" yaml:"custom_nodes"`
	Models struct {
		Before []manifestModel `json:"before_start" yaml:"before_start"`
		After  []manifestModel `json:"after_start" yaml:"after_start"`
	} `json:"models" yaml:"models"`
}

type manifestModel struct {
	URL  string `json:"url" yaml:"url"`
	Path string `json:"local_path" yaml:"local_path"`
}

func readManifest(d *Description, src []byte, _ Options) error {
	var m manifest
	if err := into(Manifest, src, &m); err != nil {
		return err
	}
	for _, p := range m.Apt {
		if !debian.MatchString(strings.TrimSpace(p)) {
			d.lose("that is no name of a Debian package", "system package `%s`", p)
			continue
		}
		d.System = append(d.System, p)
	}
	d.requirements(m.Pip)
	for _, n := range m.Nodes {
		if strings.Contains(n, "://") || strings.HasPrefix(n, "git@") {
			at, ref := splitRef(n)
			d.repo(at, ref, true)
			continue
		}
		id, version, _ := strings.Cut(n, "@")
		d.registry(id, version)
	}
	for _, model := range append(m.Models.Before, m.Models.After...) {
		d.model(model.Path, Model{}, model.URL)
	}
	return nil
}

var (
	debian = regexp.MustCompile(`^[a-z0-9][a-z0-9.+:~=-]*$`)
	// inPath finds a ref in the path of a repository's page on GitHub, GitLab
	// and Bitbucket.
	inPath = regexp.MustCompile(`^(/[^/]+/[^/]+?)(?:\.git)?/(?:-/)?(?:tree|commit|commits|releases/tag|src|tags)/(.+)$`)
)

// splitRef takes the ref out of a repository's address.
func splitRef(s string) (repo, ref string) {
	u, err := url.Parse(s)
	if err != nil || u.Host == "" {
		return s, ""
	}
	if m := inPath.FindStringSubmatch(u.Path); m != nil {
		u.Path, ref = m[1], strings.Trim(m[2], "/")
		return u.String(), ref
	}
	if i := strings.LastIndex(u.Path, "@"); i > 0 {
		u.Path, ref = u.Path[:i], u.Path[i+1:]
	}
	return u.String(), ref
}
