package packs

import (
	"path"
	"strings"
)

// leftOut are folders and files that no image needs.
var leftOut = map[string]bool{
	".git": true, ".github": true, ".gitlab": true, ".svn": true, ".hg": true, ".idea": true, ".vscode": true,
	"__pycache__": true, ".pytest_cache": true, ".mypy_cache": true, ".ruff_cache": true, ".cache": true, ".ipynb_checkpoints": true,
	".venv": true, "venv": true, ".tox": true, ".DS_Store": true, "Thumbs.db": true,
}

// Keep accepts the files of a node pack that go into an image.
func Keep(rel string, _ bool) bool {
	base := path.Base(rel)
	return !leftOut[base] && !strings.HasSuffix(base, ".pyc") && !strings.HasSuffix(base, ".pyo")
}
