package from

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"

	"github.com/comfyctl/comfyctl/pkg/workflow"
)

// save is what an editor save says about where its nodes and models are from.
type save struct {
	Nodes       []saveNode  `json:"nodes"`
	Models      []saveModel `json:"models"`
	Definitions struct {
		Subgraphs []struct {
			Nodes []saveNode `json:"nodes"`
		} `json:"subgraphs"`
	} `json:"definitions"`
}

type saveNode struct {
	Type       string          `json:"type"`
	Properties json.RawMessage `json:"properties"`
}

type saveProperties struct {
	// Registry is the pack's id, comfy-core for ComfyUI's own; Repo is owner/name
	// of one from GitHub; Version a release, or a commit.
	Registry string      `json:"cnr_id"`
	Repo     string      `json:"aux_id"`
	Version  string      `json:"ver"`
	Models   []saveModel `json:"models"`
}

type saveModel struct {
	Name      string `json:"name"`
	URL       string `json:"url"`
	Directory string `json:"directory"`
	Hash      string `json:"hash"`
	HashType  string `json:"hash_type"`
}

var (
	ownerRepo = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9-]*/[A-Za-z0-9._-]+$`)
	fullHash  = regexp.MustCompile(`^[0-9a-f]{40}$`)
)

// Hints reads the notes that the editor keeps with each node: the node pack
// and its release, and addresses of models. Only nodes that are in g count. ok
// is false where there are none.
func Hints(text []byte, g *workflow.Graph) (d *Description, ok bool) {
	var s save
	if len(text) > maxText || json.Unmarshal(text, &s) != nil {
		return nil, false
	}
	nodes := s.Nodes
	for _, sub := range s.Definitions.Subgraphs {
		nodes = append(nodes, sub.Nodes...)
	}
	d = &Description{}
	for _, n := range nodes {
		var p saveProperties
		if json.Unmarshal(n.Properties, &p) != nil {
			continue
		}
		s.Models = append(s.Models, p.Models...)
		if slices.ContainsFunc(g.Nodes, func(in *workflow.Node) bool { return in.Class == n.Type }) {
			d.hint(p)
		}
	}
	for _, m := range s.Models {
		sum := ""
		if strings.EqualFold(m.HashType, "sha256") {
			sum = digest(m.Hash)
		}
		d.model(m.Directory+"/"+m.Name, Model{SHA256: sum}, m.URL)
	}
	d.tidy()
	return d, len(d.Models)+len(d.Packs) > 0
}

// hint notes the pack of one node.
func (d *Description) hint(p saveProperties) {
	switch {
	case p.Registry == "comfy-core":
	case ownerRepo.MatchString(p.Repo):
		ref := ""
		if fullHash.MatchString(p.Version) {
			ref = p.Version
		}
		d.repo("https://github.com/"+p.Repo, ref, true)
	case p.Registry == "" || !packID.MatchString(p.Registry):
	case release.MatchString(p.Version):
		d.registry(p.Registry, p.Version)
	default:
		d.registry(p.Registry, "")
	}
}
