package boot

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/comfyctl/comfyctl/pkg/contract"
	"github.com/comfyctl/comfyctl/pkg/runner/engine"
	"github.com/comfyctl/comfyctl/pkg/runner/engine/comfy"
)

// process makes the engine's process, unstarted, and names its folders where
// this machine can reach them.
func process(o Options) (engine.Process, *comfy.Folders, error) {
	if err := check(o); err != nil {
		return nil, nil, err
	}
	switch {
	case o.EngineURL != "":
		return comfy.Remote(strings.TrimSuffix(o.EngineURL, "/")), nil, nil
	case o.Contract.Engine.Kind == contract.EngineStub:
		return stubProcess(o)
	case o.Contract.Engine.Kind == contract.EngineComfyUI:
		return childProcess(o)
	}
	return nil, nil, fmt.Errorf("starting the runner: the contract names an engine %q, known are comfyui and stub", o.Contract.Engine.Kind)
}

// childProcess is ComfyUI as a child of this process.
func childProcess(o Options) (engine.Process, *comfy.Folders, error) {
	dir, err := filepath.Abs(filepath.Join(o.StateDir, "engine"))
	if err != nil {
		return nil, nil, fmt.Errorf("finding the state folder: %w", err)
	}
	folders := comfy.Folders{
		Input: filepath.Join(dir, "input"), Output: filepath.Join(dir, "output"),
		Temp: filepath.Join(dir, "temp"), User: filepath.Join(dir, "user"),
	}
	e := o.Contract.Engine
	c := comfy.CommandConfig{
		Python: e.Python, Dir: e.Dir, Args: e.Args,
		Env: environment(o), Folders: folders,
		LogWriter: o.EngineLog, Log: o.Log,
	}
	if c.Dir == "" {
		c.Dir = contract.ComfyUIPath
	}
	switch {
	case slices.Contains(e.Args, "--cpu"):
	case o.Contract.GPU.Count == 0:
		c.CPU = true
	case !hasGPU():
		c.CPU = true
		o.Log.Warn("no GPU is visible here, so ComfyUI runs on the CPU", "wanted", o.Contract.GPU.Count)
	}
	return comfy.Command(c), &folders, nil
}

// environment is what the engine's process sees: what it inherits without the
// runner's own settings and keys, then the contract's env.
func environment(o Options) []string {
	hidden := map[string]bool{}
	if o.Contract.Auth != nil {
		for _, a := range *o.Contract.Auth {
			hidden[a.Keys] = true
		}
	}
	env := []string{}
	for _, kv := range o.Environ {
		name, _, _ := strings.Cut(kv, "=")
		if !hidden[name] && !strings.HasPrefix(name, "COMFYCTL_") {
			env = append(env, kv)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(o.Contract.Env)) {
		env = append(env, name+"="+o.Contract.Env[name])
	}
	return env
}

// hasGPU looks for the device files of NVIDIA's and AMD's drivers.
func hasGPU() bool {
	for _, p := range []string{"/dev/nvidiactl", "/dev/kfd", "/dev/dxg"} {
		if _, err := os.Stat(p); err == nil {
			return true
		}
	}
	return false
}
