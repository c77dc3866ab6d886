package cli

import "context"

// targetURL is the address of what is deployed on a target.
func (a *App) targetURL(_ context.Context, name string) (string, error) {
	return "", usageError("unknown_target", "nothing is deployed on `"+name+"`", "")
}
