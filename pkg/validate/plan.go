package validate

import (
	"github.com/comfyctl/comfyctl/pkg/catalog"
	"github.com/comfyctl/comfyctl/pkg/contract"
	"github.com/comfyctl/comfyctl/pkg/service"
	"github.com/comfyctl/comfyctl/pkg/workflow"
)

// Plan is a service with everything resolved that needs no network. It is
// filled as far as the files allow: Service is nil where the YAML cannot be
// read, and a workflow that cannot be read is left out.
type Plan struct {
	// File is the service file as findings name it, Dir its folder.
	File, Dir string
	Env       string
	Service   *service.Service
	Workflows []Workflow
	Models    []Model
	// Catalog holds the node classes that the graphs were checked against.
	Catalog *catalog.Catalog
	// Core are the built-in classes of the release.
	Core *catalog.Catalog

	files map[string][]byte
}

// Workflow is one callable graph.
type Workflow struct {
	Name string
	// Version is the service file's, else 12 hex digits of the graph's hash.
	Version     string
	Description string
	Aliases     []string
	// File is the graph's file as findings name it.
	File    string
	Graph   *workflow.Graph
	Inputs  []contract.Input
	Outputs []contract.Output

	at string // pointer in the service file
	// own is what the service file says of it.
	own service.Workflow
}

// Model is a model file that goes with the service.
type Model struct {
	// Path is under ComfyUI's models folder, with slashes.
	Path string
	// Sources are tried in order; a local one is as written in the file.
	Sources []string
	SHA256  string
	// Load is contract.LoadBake, LoadStart or LoadMount.
	Load        string
	Auth        string
	AllowPickle bool
}

// Source returns the bytes of a file that was read, by the name that findings
// use; nil for any other.
func (p *Plan) Source(file string) []byte { return p.files[file] }

// Files lists the files that were read, by the names that findings use.
func (p *Plan) Files() []string {
	list := []string{p.File}
	for _, w := range p.Workflows {
		list = append(list, w.File)
	}
	return list
}
