// Package templates holds the text files that comfyctl writes or builds with.
package templates

import "embed"

// FS holds the files of this folder by name.
//
//go:embed *.yaml *.tmpl environment
var FS embed.FS
