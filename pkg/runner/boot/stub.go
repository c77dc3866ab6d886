package boot

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/comfyctl/comfyctl/pkg/catalog"
	"github.com/comfyctl/comfyctl/pkg/contract"
	"github.com/comfyctl/comfyctl/pkg/runner/engine"
	"github.com/comfyctl/comfyctl/pkg/runner/engine/comfy"
	"github.com/comfyctl/comfyctl/pkg/runner/engine/stub"
)

// stubProcess is the stub engine inside this process. Model files that the
// contract or its graphs name count as present: nothing reads them.
func stubProcess(o Options) (engine.Process, *comfy.Folders, error) {
	dir, err := filepath.Abs(filepath.Join(o.StateDir, "engine"))
	if err != nil {
		return nil, nil, fmt.Errorf("finding the state folder: %w", err)
	}
	p, err := stub.New(stub.Options{Version: o.Contract.Engine.Version, Dir: dir, Pace: o.Pace, Previews: true, ModelFiles: modelFiles(o.Contract)})
	if err != nil {
		return nil, nil, err
	}
	return p, &comfy.Folders{Input: filepath.Join(dir, "input"), Output: filepath.Join(dir, "output"), Temp: filepath.Join(dir, "temp"), User: filepath.Join(dir, "user")}, nil
}

// modelFiles lists the model names of a contract by folder.
func modelFiles(c *contract.Contract) map[string][]string {
	files := map[string][]string{}
	for _, m := range c.Models {
		if folder, name, ok := strings.Cut(m.Path, "/"); ok {
			files[folder] = append(files[folder], name)
		}
	}
	for _, w := range c.Workflows {
		var graph map[string]struct {
			Class  string                     `json:"class_type"`
			Inputs map[string]json.RawMessage `json:"inputs"`
		}
		if json.Unmarshal(w.Graph, &graph) != nil {
			continue
		}
		for _, n := range graph {
			for input, raw := range n.Inputs {
				var name string
				if folder, ok := catalog.LoaderFolder(n.Class, input); ok && json.Unmarshal(raw, &name) == nil {
					files[folder] = append(files[folder], name)
				}
			}
		}
	}
	return files
}
