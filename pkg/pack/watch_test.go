package pack

import "github.com/comfyctl/comfyctl/internal/progress"

// watch keeps the largest number of bytes that a running step reported.
func watch(step string, n *int64) progress.Func {
	return func(e progress.Event) {
		if e.Step == step && e.State == progress.Running {
			*n = max(*n, e.Done)
		}
	}
}
