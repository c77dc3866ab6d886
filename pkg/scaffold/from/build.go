package from

import (
	"regexp"
	"strings"
)

// buildSpec is comfy-build.yaml, or the definition in it alone.
type buildSpec struct {
	Schema      string      `json:"schema" yaml:"schema"`
	Name        string      `json:"name" yaml:"name"`
	Description string      `json:"description" yaml:"description"`
	Definition  *definition `json:"definition" yaml:"definition"`
	definition  `yaml:",inline"`
}

type definition struct {
	Base        string `json:"baseComfyVersion" yaml:"baseComfyVersion"`
	Image       string `json:"baseImage" yaml:"baseImage"`
	Environment struct {
		Python string `json:"pythonVersion" yaml:"pythonVersion"`
	} `json:"environment" yaml:"environment"`
	Pip    string `json:"pipDependencies" yaml:"pipDependencies"`
	Models []struct {
		Type     string `json:"type" yaml:"type"`
		Filename string `json:"filename" yaml:"filename"`
		SHA256   string `json:"sha256" yaml:"sha256"`
		Size     int64  `json:"sizeBytes" yaml:"sizeBytes"`
		Source   string `json:"sourceUri" yaml:"sourceUri"`
		Blob     string `json:"blobId" yaml:"blobId"`
	} `json:"models" yaml:"models"`
	Nodes []struct {
		Name     string `json:"name" yaml:"name"`
		ID       string `json:"id" yaml:"id"`
		Version  string `json:"registryVersion" yaml:"registryVersion"`
		Repo     string `json:"repository" yaml:"repository"`
		Ref      string `json:"gitRef" yaml:"gitRef"`
		Commit   string `json:"commit" yaml:"commit"`
		Blob     string `json:"blobId" yaml:"blobId"`
		Disabled bool   `json:"disabled" yaml:"disabled"`
	} `json:"customNodes" yaml:"customNodes"`
	ModelPolicy   any `json:"modelPolicy" yaml:"modelPolicy"`
	PartnerPolicy any `json:"partnerNodePolicy" yaml:"partnerNodePolicy"`
	NodePolicy    any `json:"customNodePolicy" yaml:"customNodePolicy"`
}

// baseImage is an id of the builder's images: cuda130-py312.
var baseImage = regexp.MustCompile(`^cuda([0-9]{3})-py([0-9])([0-9]+)$`)

func readBuild(d *Description, src []byte, _ Options) error {
	var s buildSpec
	if err := into(Build, src, &s); err != nil {
		return err
	}
	def := s.Definition
	if def == nil {
		def = &s.definition
	}
	d.Name, d.About = s.Name, s.Description
	d.ComfyUI = tag(def.Base)
	d.Python = minor(def.Environment.Python)
	if m := baseImage.FindStringSubmatch(def.Image); m != nil {
		d.Torch, d.Python = "cu"+m[1], m[2]+"."+m[3]
	} else if def.Image != "" {
		d.lose("an image of that service's own", "base image %s", def.Image)
	}
	d.frozen(countLines(def.Pip))
	for _, m := range def.Models {
		name := m.Filename
		if name == "" {
			name = lastOf(m.Source)
		}
		if m.Blob != "" {
			d.lose("it lies in that service's private storage; name another source", "the content of model %s/%s", m.Type, name)
		}
		d.model(m.Type+"/"+name, Model{SHA256: digest(m.SHA256), Size: max(m.Size, 0)}, m.Source)
	}
	for _, n := range def.Nodes {
		switch {
		case n.Repo != "":
			ref := n.Commit
			if ref == "" {
				ref = n.Ref
			}
			d.repo(n.Repo, ref, !n.Disabled)
		case n.Disabled:
			d.lose("it is disabled there", "node pack %s", n.Name)
		case n.ID != "" && n.Version != "":
			d.registry(n.ID, n.Version)
		default:
			d.lose("it lies in that service's private storage or on that machine; copy it and list it as `path:` under `nodes:`", "node pack %s", n.Name)
		}
	}
	if def.ModelPolicy != nil || def.PartnerPolicy != nil || def.NodePolicy != nil {
		d.lose("a record for that service's clients", "the policies")
	}
	return nil
}

func countLines(text string) int {
	n := 0
	for _, l := range strings.Split(text, "\n") {
		if l = strings.TrimSpace(l); l != "" && !strings.HasPrefix(l, "#") {
			n++
		}
	}
	return n
}

// lastOf is the file's name in an address.
func lastOf(address string) string {
	address, _, _ = strings.Cut(address, "?")
	return address[strings.LastIndex(address, "/")+1:]
}
