package ui

import "github.com/comfyctl/comfyctl/internal/jsonpos"

func (b *builder) groupNodes(_ *jsonpos.Value) {}
