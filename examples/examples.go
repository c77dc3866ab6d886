// Package examples holds the example services, for `comfyctl init --example`.
package examples

import "embed"

// FS holds a folder for each example.
//
//go:embed */comfyctl.yaml */workflow_api.json */README.md */*.png
var FS embed.FS
