// Package oci fetches model files that lie in a registry as layers of an
// artifact, as ORAS and the model packers write them.
package oci

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"path"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"github.com/comfyctl/comfyctl/internal/diag"
	"github.com/comfyctl/comfyctl/internal/fetch"
	"github.com/comfyctl/comfyctl/internal/source"
)

// Backend reads oci://REGISTRY/REPOSITORY[:TAG|@DIGEST][#FILE]. A secret is
// USER:PASSWORD, or a token; without one, Keychain signs in.
type Backend struct {
	// Keychain is where Docker's logins are; nil signs in nowhere.
	Keychain authn.Keychain
}

// Locate reads what follows oci://.
func (b Backend) Locate(rest string) (source.Place, error) {
	rest, file, _ := strings.Cut(rest, "#")
	ref, err := name.ParseReference(rest)
	if err != nil || !strings.Contains(rest, "/") {
		return nil, source.Unsupported("oci://"+rest, "write oci://REGISTRY/REPOSITORY@sha256:DIGEST, with #FILE behind it where the artifact has several")
	}
	return artifact{back: b, ref: ref, file: file}, nil
}

type artifact struct {
	back Backend
	ref  name.Reference
	file string
}

// Scope is the registry.
func (f artifact) Scope() string { return "oci://" + f.ref.Context().RegistryStr() }

func (f artifact) auth(ctx context.Context, a source.Asker) (authn.Authenticator, error) {
	if a.Secret != "" {
		if user, password, ok := strings.Cut(a.Secret, ":"); ok {
			return &authn.Basic{Username: user, Password: password}, nil
		}
		return &authn.Bearer{Token: a.Secret}, nil
	}
	if f.back.Keychain == nil {
		return authn.Anonymous, nil
	}
	return authn.Resolve(ctx, f.back.Keychain, f.ref.Context())
}

func base(a source.Asker) http.RoundTripper {
	if a.Fetch != nil && a.Fetch.HTTP != nil && a.Fetch.HTTP.Transport != nil {
		return a.Fetch.HTTP.Transport
	}
	return remote.DefaultTransport
}

// Facts reads the manifest: a layer's digest is the file's SHA-256.
func (f artifact) Facts(ctx context.Context, a source.Asker) (*source.Facts, error) {
	layer, manifest, err := f.find(ctx, a)
	if err != nil {
		return nil, err
	}
	s := "oci://" + f.ref.Context().Name() + "@" + manifest.String()
	if f.file != "" {
		s += "#" + f.file
	}
	return &source.Facts{Source: s, Pinned: true, SHA256: layer.Digest.Hex, Size: layer.Size}, nil
}

// Target is the blob, asked for as its registry wants it.
func (f artifact) Target(ctx context.Context, a source.Asker) (fetch.Target, error) {
	digest := v1.Hash{Algorithm: "sha256", Hex: a.SHA256}
	if a.SHA256 == "" {
		layer, _, err := f.find(ctx, a)
		if err != nil {
			return fetch.Target{}, err
		}
		digest = layer.Digest
	}
	auth, err := f.auth(ctx, a)
	if err != nil {
		return fetch.Target{}, fmt.Errorf("finding the login for %s: %w", f.ref.Context().RegistryStr(), err)
	}
	repo := f.ref.Context()
	signed, err := transport.NewWithContext(ctx, repo.Registry, auth, base(a), []string{repo.Scope(transport.PullScope)})
	if err != nil {
		return fetch.Target{}, f.refused(err, a)
	}
	return fetch.Target{URL: fmt.Sprintf("%s://%s/v2/%s/blobs/%s", repo.Scheme(), repo.RegistryStr(), repo.RepositoryStr(), digest), Transport: signed}, nil
}

// title names a file of an artifact.
const title = "org.opencontainers.image.title"

func (f artifact) find(ctx context.Context, a source.Asker) (v1.Descriptor, v1.Hash, error) {
	auth, err := f.auth(ctx, a)
	if err != nil {
		return v1.Descriptor{}, v1.Hash{}, fmt.Errorf("finding the login for %s: %w", f.ref.Context().RegistryStr(), err)
	}
	got, err := remote.Get(f.ref, remote.WithContext(ctx), remote.WithAuth(auth), remote.WithTransport(base(a)))
	if err != nil {
		return v1.Descriptor{}, v1.Hash{}, f.refused(err, a)
	}
	var m v1.Manifest
	if err := json.Unmarshal(got.Manifest, &m); err != nil || got.MediaType.IsIndex() {
		return v1.Descriptor{}, v1.Hash{}, source.Unsupported("oci://"+f.ref.String(), "it is an index; name the digest of one of its manifests")
	}
	layer, err := f.choose(m.Layers, a)
	return layer, got.Digest, err
}

// choose finds the layer that is meant: by the hash, the file's name, the name
// of the model, or because there is one only.
func (f artifact) choose(layers []v1.Descriptor, a source.Asker) (v1.Descriptor, error) {
	is := func(fits func(v1.Descriptor) bool) int { return slices.IndexFunc(layers, fits) }
	var at int
	if f.file != "" {
		at = is(func(d v1.Descriptor) bool { return d.Annotations[title] == f.file })
	} else {
		if at = is(func(d v1.Descriptor) bool { return a.SHA256 != "" && d.Digest.Hex == a.SHA256 }); at < 0 {
			at = is(func(d v1.Descriptor) bool { return path.Base(d.Annotations[title]) == path.Base(a.Name) })
		}
		if at < 0 && len(layers) == 1 {
			at = 0
		}
	}
	if at >= 0 {
		if t := string(layers[at].MediaType); strings.Contains(t, "tar") || strings.HasSuffix(t, "+gzip") || strings.HasSuffix(t, "+zstd") {
			return v1.Descriptor{}, source.Unsupported("oci://"+f.ref.String(), "its layer is an archive ("+t+"), not the file itself")
		}
		return layers[at], nil
	}
	e := &diag.Error{Code: "model_ambiguous", Class: diag.ClassCheck, Message: fmt.Sprintf("%s has %d files, and none is called %s", f.ref, len(layers), path.Base(a.Name)),
		Help: "write #FILE behind it with one of these names"}
	for _, d := range layers {
		e.Facts = append(e.Facts, [2]string{"file", diag.Safe(d.Annotations[title])})
	}
	return v1.Descriptor{}, e
}

func (f artifact) refused(err error, a source.Asker) error {
	var t *transport.Error
	if !errors.As(err, &t) {
		return &diag.Error{Code: "fetch_failed", Class: diag.ClassFailed, Retryable: true, Message: "asking " + f.ref.Context().RegistryStr() + " for " + a.Name + " failed", Err: err, Help: "try again"}
	}
	e := &diag.Error{Code: "model_not_found", Class: diag.ClassCheck, Message: fmt.Sprintf("%s: the registry says %d %s", f.ref, t.StatusCode, http.StatusText(t.StatusCode)), Help: "check repository and digest"}
	if t.StatusCode == http.StatusUnauthorized || t.StatusCode == http.StatusForbidden {
		e.Code, e.Class = "not_signed_in", diag.ClassAuth
		e.Help = "docker login " + f.ref.Context().RegistryStr() + ", or set `auth:` of the model to the name of a secret that holds USER:PASSWORD or a token"
	}
	return e
}
