package boot

import (
	"fmt"
	"path/filepath"
	"strings"

	"github.com/comfyctl/comfyctl/pkg/contract"
	"github.com/comfyctl/comfyctl/pkg/runner/engine"
	"github.com/comfyctl/comfyctl/pkg/runner/engine/comfy"
	"github.com/comfyctl/comfyctl/pkg/runner/engine/stub"
)

// stubProcess is the stub engine inside this process. The contract's models
// count as present, whether their files are or not.
func stubProcess(o Options) (engine.Process, *comfy.Folders, error) {
	dir, err := filepath.Abs(filepath.Join(o.StateDir, "engine"))
	if err != nil {
		return nil, nil, fmt.Errorf("finding the state folder: %w", err)
	}
	s, err := stub.New(stub.Options{
		Version: o.Contract.Engine.Version, Dir: dir, Pace: o.Pace, Previews: true, ModelFiles: modelFiles(o.Contract.Models),
	})
	if err != nil {
		return nil, nil, err
	}
	return s, &comfy.Folders{Input: filepath.Join(dir, "input"), Output: filepath.Join(dir, "output"), Temp: filepath.Join(dir, "temp")}, nil
}

// modelFiles sorts the models by their folder under models.
func modelFiles(models []contract.Model) map[string][]string {
	files := map[string][]string{}
	for _, m := range models {
		if folder, name, ok := strings.Cut(m.Path, "/"); ok {
			files[folder] = append(files[folder], name)
		}
	}
	return files
}
