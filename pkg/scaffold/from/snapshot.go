package from

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"
)

// snapshot is what ComfyUI-Manager saves and comfy-pack extends. Older ones of
// comfy-pack have custom_nodes as a list; Manager's YAML nests all in it.
type snapshot struct {
	ComfyUI string             `json:"comfyui" yaml:"comfyui"`
	Python  string             `json:"python" yaml:"python"`
	Git     map[string]gitNode `json:"git_custom_nodes" yaml:"git_custom_nodes"`
	CNR     map[string]string  `json:"cnr_custom_nodes" yaml:"cnr_custom_nodes"`
	Files   []fileNode         `json:"file_custom_nodes" yaml:"file_custom_nodes"`
	Pips    map[string]any     `json:"pips" yaml:"pips"`
	Nodes   customNodes        `json:"custom_nodes" yaml:"custom_nodes"`
	Models  []snapshotModel    `json:"models" yaml:"models"`
}

type gitNode struct {
	Hash     string `json:"hash" yaml:"hash"`
	Disabled bool   `json:"disabled" yaml:"disabled"`
}

type fileNode struct {
	Filename string `json:"filename" yaml:"filename"`
	Disabled bool   `json:"disabled" yaml:"disabled"`
}

type snapshotModel struct {
	Filename string      `json:"filename" yaml:"filename"`
	Size     int64       `json:"size" yaml:"size"`
	SHA256   string      `json:"sha256" yaml:"sha256"`
	Disabled bool        `json:"disabled" yaml:"disabled"`
	Source   modelSource `json:"source" yaml:"source"`
}

type modelSource struct {
	Source   string `json:"source" yaml:"source"`
	Repo     string `json:"repo" yaml:"repo"`
	Commit   string `json:"commit" yaml:"commit"`
	Path     string `json:"path" yaml:"path"`
	Download string `json:"download_url" yaml:"download_url"`
	URL      string `json:"url" yaml:"url"`
}

// customNodes is a list of repositories, or a snapshot within the snapshot.
type customNodes struct {
	list []oldNode
	in   *snapshot
}

type oldNode struct {
	URL      string `json:"url" yaml:"url"`
	Commit   string `json:"commit_hash" yaml:"commit_hash"`
	Disabled bool   `json:"disabled" yaml:"disabled"`
}

// UnmarshalJSON takes both forms.
func (c *customNodes) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && b[0] == '{' {
		return json.Unmarshal(b, &c.in)
	}
	return json.Unmarshal(b, &c.list)
}

// UnmarshalYAML takes both forms.
func (c *customNodes) UnmarshalYAML(n *yaml.Node) error {
	if n.Kind == yaml.MappingNode {
		return n.Decode(&c.in)
	}
	return n.Decode(&c.list)
}

// readSnapshot reads a snapshot of ComfyUI-Manager or of comfy-pack.
func readSnapshot(d *Description, src []byte, _ Options) error {
	var s snapshot
	if err := into(d.Kind, src, &s); err != nil {
		return err
	}
	d.ComfyUI = tag(s.ComfyUI)
	if in := s.Nodes.in; in != nil {
		if d.ComfyUI == "" {
			d.ComfyUI = tag(in.ComfyUI)
		}
		d.nodes(in)
	}
	d.Python = minor(s.Python)
	for _, n := range s.Nodes.list {
		d.repo(n.URL, n.Commit, !n.Disabled)
	}
	d.nodes(&s)
	for _, m := range s.Models {
		d.model(m.Filename, Model{SHA256: digest(m.SHA256), Size: max(m.Size, 0), Unused: m.Disabled}, m.Source.address())
	}
	return nil
}

// nodes notes the packs of a snapshot.
func (d *Description) nodes(s *snapshot) {
	for _, url := range sorted(s.Git) {
		n := s.Git[url]
		d.repo(url, n.Hash, !n.Disabled)
	}
	for _, id := range sorted(s.CNR) {
		d.registry(id, s.CNR[id])
	}
	for _, f := range s.Files {
		if !f.Disabled {
			d.lose("a single file of that machine, which the snapshot does not hold; copy it and list it as `path:` under `nodes:`", "node file %s", f.Filename)
		}
	}
	d.frozen(len(s.Pips))
}

// address prefers the pin of a hub's repository over a link to its newest file.
func (m modelSource) address() string {
	if m.Source == "huggingface" && strings.Count(m.Repo, "/") == 1 && m.Path != "" {
		return fmt.Sprintf("https://huggingface.co/%s/resolve/%s/%s", m.Repo, orMain(m.Commit), strings.TrimPrefix(m.Path, "/"))
	}
	if m.Download != "" {
		return m.Download
	}
	return m.URL
}

func orMain(s string) string {
	if s == "" {
		return "main"
	}
	return s
}

func sorted[V any](m map[string]V) []string {
	list := make([]string, 0, len(m))
	for k := range m {
		list = append(list, k)
	}
	slices.Sort(list)
	return list
}
