package cli

import (
	"context"
	"os"
	"strings"

	"github.com/comfyctl/comfyctl/internal/diag"
	"github.com/comfyctl/comfyctl/pkg/online"
)

// objectInfo reads node definitions from a file or a running ComfyUI; nil where
// none are named.
func (a *App) objectInfo(ctx context.Context, from string) ([]byte, error) {
	if from == "" {
		return nil, nil
	}
	if strings.HasPrefix(from, "http://") || strings.HasPrefix(from, "https://") {
		return online.ObjectInfo(ctx, nil, from)
	}
	path, err := a.path(from)
	if err != nil {
		return nil, err
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, usageError("unreadable_file", "`"+from+"` cannot be read", pathReason(err))
	}
	return b, nil
}

// online asks the network and adds what it finds to the other findings.
func (a *App) online(ctx context.Context, p *project, list []diag.Diagnostic, strict bool) ([]diag.Diagnostic, error) {
	on, done := a.steps()
	defer done()
	more, err := online.Check(ctx, p.Plan, online.Options{HFEndpoint: a.env["HF_ENDPOINT"], Secret: a.secret, Known: list, Progress: on})
	if err != nil {
		return nil, err
	}
	return p.Later(list, more, strict), nil
}

// ruleCount is how many rules a check applies.
func ruleCount(chosen map[string]bool, online bool) int {
	n := 0
	for _, r := range diag.Rules() {
		if (online || !r.Online) && (chosen == nil || chosen[r.ID]) {
			n++
		}
	}
	return n
}
