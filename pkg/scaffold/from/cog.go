package from

import (
	"strings"
)

// cogFile is cog.yaml.
type cogFile struct {
	Build struct {
		GPU          bool     `json:"gpu" yaml:"gpu"`
		CUDA         string   `json:"cuda" yaml:"cuda"`
		Python       string   `json:"python_version" yaml:"python_version"`
		Packages     []string `json:"python_packages" yaml:"python_packages"`
		Requirements string   `json:"python_requirements" yaml:"python_requirements"`
		System       []string `json:"system_packages" yaml:"system_packages"`
		Run          []any    `json:"run" yaml:"run"`
	} `json:"build" yaml:"build"`
	Predict any    `json:"predict" yaml:"predict"`
	Train   any    `json:"train" yaml:"train"`
	Image   string `json:"image" yaml:"image"`
}

// cogNode is an entry of cog-comfyui's custom_nodes.json.
type cogNode struct {
	Repo   string `json:"repo" yaml:"repo"`
	Commit string `json:"commit" yaml:"commit"`
}

func readCog(d *Description, src []byte, o Options) error {
	var c cogFile
	if err := into(Cog, src, &c); err != nil {
		return err
	}
	b := c.Build
	d.Python = minor(b.Python)
	if n := strings.ReplaceAll(b.CUDA, ".", ""); len(n) == 3 {
		d.Torch = "cu" + n
	}
	for _, p := range b.System {
		if debian.MatchString(p) {
			d.System = append(d.System, p)
		}
	}
	d.requirements(b.Packages)
	if b.Requirements != "" {
		err := d.beside(o, b.Requirements, func(text []byte) error {
			d.requirements(strings.Split(string(text), "\n"))
			return nil
		})
		if err != nil {
			return err
		}
	}
	if len(b.Run) > 0 {
		d.lose("commands are not run while packing; put what they install under `system_packages:` and `python_packages:`", "%s of build.run", count(len(b.Run), "command", "commands"))
	}
	if c.Predict != nil {
		d.lose("Python code is not read; the inputs are inferred from the workflow", "the inputs of the predictor")
	}
	if c.Train != nil {
		d.lose("a service runs workflows only", "the trainer")
	}
	if err := d.beside(o, "custom_nodes.json", func(text []byte) error { return readCogNodes(d, text, o) }); err != nil {
		return err
	}
	return d.beside(o, "weights.json", func([]byte) error {
		d.lose("it names files without source and digest; the workflow says which it needs", "weights.json")
		return nil
	})
}

// beside reads another file of the project, where it is there.
func (d *Description) beside(o Options, name string, read func([]byte) error) error {
	if o.Beside == nil {
		return nil
	}
	if !localName(name) {
		d.lose("it does not lie beside the file", "`%s`", name)
		return nil
	}
	text, err := o.Beside(name)
	if err != nil || len(text) > maxText {
		return nil //nolint:nilerr // a project may do without
	}
	return read(text)
}

func localName(name string) bool {
	return name != "" && name != "." && name != ".." && !strings.ContainsAny(name, "/\\:\x00")
}

func readCogNodes(d *Description, src []byte, _ Options) error {
	var list []cogNode
	if err := into(CogNodes, src, &list); err != nil {
		return err
	}
	for _, n := range list {
		d.repo(n.Repo, n.Commit, true)
	}
	return nil
}
