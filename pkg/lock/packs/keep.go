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

// KeepComfyUI accepts the files of ComfyUI itself: a folder that somebody works
// in also holds their models, pictures and node packs.
func KeepComfyUI(rel string, dir bool) bool {
	if !Keep(rel, dir) {
		return false
	}
	top, rest, deeper := strings.Cut(rel, "/")
	switch top {
	case "input", "output", "temp", "user":
		return false
	case "models":
		// The folders are what loaders list; configs are part of the source.
		return dir || strings.HasPrefix(rest, "configs/")
	case "custom_nodes":
		return !deeper && dir || deeper && !dir && !strings.Contains(rest, "/")
	}
	return true
}
