package boot

import (
	"errors"

	"github.com/comfyctl/comfyctl/pkg/runner/engine"
	"github.com/comfyctl/comfyctl/pkg/runner/engine/comfy"
)

// stubProcess is the stub engine inside this process.
func stubProcess(Options) (engine.Process, *comfy.Folders, error) {
	return nil, nil, errors.New("starting the runner: this build has no stub engine yet")
}
