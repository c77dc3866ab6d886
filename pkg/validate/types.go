package validate

import (
	"bytes"
	"strings"

	"github.com/comfyctl/comfyctl/pkg/contract"
	"github.com/comfyctl/comfyctl/pkg/workflow"
)

// typeOf is the input type that a node input has for people.
func typeOf(p place) string {
	if s := p.spec; s != nil && s.Type != "*" {
		if s.File != "" {
			return fileType(p.node.Class, s.File)
		}
		switch s.Type {
		case "INT":
			if s.Seed || strings.HasSuffix(s.Name, "seed") {
				return contract.TypeSeed
			}
			return contract.TypeInt
		case "FLOAT":
			return contract.TypeFloat
		case "BOOLEAN":
			return contract.TypeBool
		case "COMBO", "COMFY_DYNAMICCOMBO_V3":
			return contract.TypeEnum
		case "STRING":
			if s.Multiline {
				return contract.TypeText
			}
			return contract.TypeString
		}
	}
	if p.in == nil {
		return contract.TypeString
	}
	switch p.in.Kind {
	case workflow.Bool:
		return contract.TypeBool
	case workflow.Number:
		switch {
		case bytes.ContainsAny(p.in.Raw, ".eE"):
			return contract.TypeFloat
		case strings.HasSuffix(p.in.Name, "seed"):
			return contract.TypeSeed
		}
		return contract.TypeInt
	case workflow.String:
		if strings.Contains(p.in.Text, "\n") || len(p.in.Text) > 80 {
			return contract.TypeText
		}
	}
	return contract.TypeString
}

func fileType(class, kind string) string {
	switch {
	case class == "LoadImageMask":
		return contract.TypeMask
	case kind == "image" || kind == "video" || kind == "audio" || kind == "latent":
		return kind
	case kind == "3d":
		return contract.TypeModel3
	}
	return contract.TypeFile
}

// isFile reports whether values of that type are uploads.
func isFile(t string) bool {
	switch t {
	case contract.TypeImage, contract.TypeMask, contract.TypeVideo, contract.TypeAudio, contract.TypeFile, contract.TypeModel3, contract.TypeLatent:
		return true
	}
	return false
}
