//go:build e2e

package e2e

import (
	"os"
	"path/filepath"
	"testing"
)

// TestURL checks a service of the nodes folder that runs already, at E2E_URL:
// what is left of the test where packing is not what is looked for. With
// E2E_PICTURES it is a service whose workflow of that name draws pictures.
func TestURL(t *testing.T) {
	url := os.Getenv("E2E_URL")
	if url == "" {
		t.Skip("E2E_URL is not set: it names a running service of e2e/nodes")
	}
	s := &service{url: url, out: filepath.Join(t.TempDir(), "pictures")}
	s.ready(t)
	if workflow := os.Getenv("E2E_PICTURES"); workflow != "" {
		checkPictures(t, s, workflow)
		return
	}
	t.Run("outputs", func(t *testing.T) { checkNodes(t, s) })
	t.Run("error", func(t *testing.T) { checkNodeError(t, s) })
	t.Run("cancel", func(t *testing.T) { checkCancel(t, s) })
}
