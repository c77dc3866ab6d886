// Package source knows where model files come from: hf://, civitai://,
// https://, s3://, gs://, az://, oci:// and paths on this machine. It finds out
// what a hub says of a file without fetching it, and fetches files into the
// content store, from whichever mirror of the same bytes answers.
package source

import (
	"context"
	"fmt"
	"net/url"
	"path/filepath"
	"slices"
	"strings"

	"github.com/comfyctl/comfyctl/internal/diag"
	"github.com/comfyctl/comfyctl/internal/fetch"
	"github.com/comfyctl/comfyctl/internal/modelfile"
)

// Backend reads the sources of one scheme.
type Backend interface {
	// Locate reads what stands behind scheme://. It asks nobody.
	Locate(rest string) (Place, error)
}

// Place is a source that was read.
type Place interface {
	// Scope says where a secret for this source may go, such as a host: a
	// secret is never used for a place of another scope.
	Scope() string
	// Facts says what the hub knows of the file, without reading it. A place
	// that can only be asked for the file itself returns what it knows.
	Facts(ctx context.Context, a Asker) (*Facts, error)
	// Target is the address to fetch from, which may hold for a while only.
	Target(ctx context.Context, a Asker) (fetch.Target, error)
}

// Asker is what a place needs to ask its hub.
type Asker struct {
	Fetch *fetch.Client
	// Secret is the value behind the model's auth, or empty; AuthName its name.
	Secret, AuthName string
	// Name is the model's path, for messages and for a choice among files.
	Name string
	// SHA256 is the hash that is wanted, if it is known.
	SHA256 string
	// Terms asks for license and gate too, where that costs a request.
	Terms bool
}

// Facts are what is known of a file before its bytes are here.
type Facts struct {
	// Source is the same file, pinned as far as its hub can: it holds a commit,
	// a version or a digest. Pinned is false where the bytes may change under it.
	Source string
	Pinned bool
	// SHA256 and Size (bytes) are empty and 0 where the hub does not say.
	SHA256 string
	Size   int64
	ETag   string
	// License is the hub's word for it; Gated files need an account that has
	// accepted their terms.
	License string
	Gated   bool
	// Header is what the beginning of the file says; nil where it was not read.
	Header *modelfile.Info
}

// Ref is a source, split.
type Ref struct {
	// Raw is the source as written, without what may be secret in it.
	Raw string
	// Scheme is file for a path on this machine.
	Scheme string
	// Rest is what stands behind scheme://, or the path.
	Rest string
}

// Schemes lists those that Parse knows.
var Schemes = []string{"hf", "civitai", "https", "http", "s3", "gs", "az", "oci"}

// Parse reads a source of a service file; relative paths start in dir. An
// address of a file on Hugging Face or Civitai counts as hf:// or civitai://.
func Parse(source, dir string) (Ref, error) {
	scheme, rest, ok := strings.Cut(source, "://")
	if !ok || len(scheme) == 1 { // one letter is a Windows drive
		file := filepath.FromSlash(source)
		if !filepath.IsAbs(file) {
			file = filepath.Join(dir, file)
		}
		return Ref{Raw: source, Scheme: "file", Rest: file}, nil
	}
	scheme = strings.ToLower(scheme)
	switch {
	case scheme == "file":
		return Ref{Raw: source, Scheme: scheme, Rest: filepath.FromSlash(rest)}, nil
	case scheme == "http" || scheme == "https":
		u, err := url.Parse(source)
		if err != nil || u.Host == "" {
			return Ref{}, Unsupported(fetch.Redact(source), "it is no address")
		}
		if known, ok := hubAddress(u); ok {
			return known, nil
		}
		return Ref{Raw: fetch.Redact(source), Scheme: scheme, Rest: rest}, nil
	case slices.Contains(Schemes, scheme):
		return Ref{Raw: fetch.Redact(source), Scheme: scheme, Rest: rest}, nil
	}
	return Ref{}, Unsupported(fetch.Redact(source), "no such scheme is known")
}

// hubAddress recognises the addresses that browsers show for files of hubs.
func hubAddress(u *url.URL) (Ref, bool) {
	parts := strings.Split(strings.Trim(u.Path, "/"), "/")
	switch strings.TrimPrefix(u.Hostname(), "www.") {
	case "huggingface.co", "hf.co":
		prefix := ""
		if len(parts) > 0 && (parts[0] == "datasets" || parts[0] == "spaces") {
			prefix, parts = parts[0]+"/", parts[1:]
		}
		if len(parts) < 5 || parts[2] != "resolve" && parts[2] != "blob" && parts[2] != "raw" {
			return Ref{}, false
		}
		rest := prefix + strings.Join(parts[:2], "/") + "/" + strings.Join(parts[4:], "/") + "@" + parts[3]
		return Ref{Raw: "hf://" + rest, Scheme: "hf", Rest: rest}, true
	case "civitai.com":
		q := u.Query()
		rest := ""
		switch {
		case len(parts) == 4 && strings.Join(parts[:3], "/") == "api/download/models":
			rest = parts[3]
		case len(parts) >= 2 && parts[0] == "models" && q.Get("modelVersionId") != "":
			rest = q.Get("modelVersionId")
		default:
			return Ref{}, false
		}
		if id := q.Get("fileId"); id != "" {
			rest += "/" + id
		}
		return Ref{Raw: "civitai://" + rest, Scheme: "civitai", Rest: rest}, true
	}
	return Ref{}, false
}

// Unsupported is the error of a source that cannot be read.
func Unsupported(source, why string) error {
	return &diag.Error{Code: "source_unsupported", Class: diag.ClassCheck,
		Message: fmt.Sprintf("cannot fetch %q: %s", source, why),
		Help: "use a path on this machine, https://HOST/FILE, hf://OWNER/REPO/FILE@REVISION, civitai://VERSION, s3://BUCKET/KEY, gs://BUCKET/OBJECT, " +
			"az://ACCOUNT/CONTAINER/BLOB or oci://REGISTRY/REPOSITORY@DIGEST"}
}

// parts splits a path and refuses empty and dotted parts, which could lead
// somewhere else.
func parts(source, rest string, least int, form string) ([]string, error) {
	list := strings.Split(rest, "/")
	if len(list) < least {
		return nil, Unsupported(source, "write "+form)
	}
	for _, p := range list {
		if p == "" || p == "." || p == ".." {
			return nil, Unsupported(source, "its path has an empty or dotted part")
		}
	}
	return list, nil
}

func escape(list []string) string {
	out := make([]string, len(list))
	for i, p := range list {
		out[i] = url.PathEscape(p)
	}
	return strings.Join(out, "/")
}
