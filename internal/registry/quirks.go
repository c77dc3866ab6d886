package registry

import (
	"fmt"
	"strings"

	"github.com/docker/go-units"
	"github.com/google/go-containerregistry/pkg/name"

	"github.com/comfyctl/comfyctl/internal/diag"
)

// Uploads above chunkFrom bytes go in chunks of chunkSize, each of which is
// kept by the registry if a later one fails. Proxies in front of registries
// commonly allow bodies of 100 MiB.
const (
	chunkFrom = 128 << 20
	chunkSize = 64 << 20
	minChunk  = 4 << 20
)

// quirks are what a registry is known to do otherwise than the distribution
// specification has it.
type quirks struct {
	// whole registries want a blob in one request: they refuse a second chunk,
	// or end the upload after the first.
	whole bool
	// noMount registries do not mount blobs across repositories.
	noMount bool
	// limit is the size of the largest layer, in bytes; 0 means unknown.
	limit int64
}

// known are the quirks of registries by the end of their host. The limits are
// those that the registries' documentation states.
var known = []struct {
	suffix string
	quirks
}{
	{"ghcr.io", quirks{whole: true, limit: 10_000_000_000}},
	{"public.ecr.aws", quirks{whole: true, limit: 10_000 << 20}},
	{".amazonaws.com", quirks{whole: true, limit: 52_000 << 20}},
	{"-docker.pkg.dev", quirks{whole: true}},
	{"gcr.io", quirks{whole: true}},
	{name.DefaultRegistry, quirks{noMount: true}},
}

func quirksOf(host string) quirks {
	for _, k := range known {
		if host == k.suffix || strings.HasPrefix(k.suffix, ".") && strings.HasSuffix(host, k.suffix) ||
			strings.HasPrefix(k.suffix, "-") && strings.HasSuffix(host, k.suffix) {
			return k.quirks
		}
	}
	if strings.HasSuffix(host, ".gcr.io") {
		return quirks{whole: true}
	}
	return quirks{}
}

// fits says, before a byte is sent, that a layer is larger than the registry
// takes.
func (q quirks) fits(host string, blobs []blob) error {
	for _, b := range blobs {
		if q.limit > 0 && b.size > q.limit {
			return &diag.Error{Code: "layer_too_big", Class: diag.ClassCheck,
				Message: fmt.Sprintf("layer %s%s has %s; %s takes layers of at most %s", short(b.digest.String()), b.label(),
					units.BytesSize(float64(b.size)), host, units.BytesSize(float64(q.limit))),
				Help: "give the model `load: start` or `load: mount`, or push to another registry"}
		}
	}
	return nil
}

func short(digest string) string { return digest[:min(len(digest), 19)] }
