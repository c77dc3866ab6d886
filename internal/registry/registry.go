// Package registry talks to image registries: it signs in with what Docker has
// stored, sends images and reads them, and explains refusals.
package registry

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"path/filepath"

	dockerconfig "github.com/docker/cli/cli/config"
	"github.com/docker/cli/cli/config/configfile"
	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"github.com/comfyctl/comfyctl/internal/diag"
)

// Client reads and writes registries.
type Client struct {
	// ConfigDir is the folder of Docker's config.json, such as ~/.docker.
	ConfigDir string
	// Transport sends the requests; nil means a plain one.
	Transport http.RoundTripper
	// Sessions is a folder that remembers unfinished uploads between runs;
	// without it a push that was killed begins its open blobs anew.
	Sessions string

	tuning *tuning // nil means usual
}

// Parse reads a reference such as ghcr.io/acme/portrait:1.0. Without a tag it
// is latest. Registries on this machine are spoken to without TLS.
func Parse(ref string) (name.Reference, error) {
	r, err := name.ParseReference(ref)
	if err != nil {
		return nil, &diag.Error{Code: "image_name", Class: diag.ClassUsage, Err: err,
			Message: fmt.Sprintf("%q is no name of an image", ref), Help: "write it like ghcr.io/acme/portrait or ghcr.io/acme/portrait:1.0"}
	}
	return r, nil
}

// ConfigFile is the path of Docker's config that credentials come from.
func (c Client) ConfigFile() string { return filepath.Join(c.ConfigDir, "config.json") }

// Resolve finds the credentials for a registry in Docker's config and its
// credential helpers.
func (c Client) Resolve(r authn.Resource) (authn.Authenticator, error) {
	a, err := c.Login(r.RegistryStr())
	if err != nil {
		return nil, err
	}
	if a == (authn.AuthConfig{}) {
		return authn.Anonymous, nil
	}
	return authn.FromConfig(a), nil
}

// Login is what Docker's config has for a registry; it is empty where there is
// nothing.
func (c Client) Login(registry string) (authn.AuthConfig, error) {
	if c.ConfigDir == "" {
		return authn.AuthConfig{}, nil
	}
	cfg, err := dockerconfig.Load(c.ConfigDir)
	if err != nil {
		return authn.AuthConfig{}, c.unreadable(err)
	}
	key := registry
	if key == name.DefaultRegistry {
		key = authn.DefaultAuthKey
	}
	return c.login(cfg, key)
}

func (c Client) login(cfg *configfile.ConfigFile, key string) (authn.AuthConfig, error) {
	a, err := cfg.GetAuthConfig(key)
	if err != nil {
		return authn.AuthConfig{}, c.unreadable(err)
	}
	return authn.AuthConfig{Username: a.Username, Password: a.Password, Auth: a.Auth, IdentityToken: a.IdentityToken, RegistryToken: a.RegistryToken}, nil
}

func (c Client) unreadable(err error) error {
	return &diag.Error{Code: "docker_config", Class: diag.ClassAuth, Err: err,
		Message: "cannot read the credentials in " + c.ConfigFile(), Help: "mend the file, or sign in again with `docker login`"}
}

func (c Client) options(ctx context.Context) []remote.Option {
	o := []remote.Option{remote.WithContext(ctx), remote.WithAuthFromKeychain(c), remote.WithUserAgent("comfyctl")}
	if c.Transport != nil {
		o = append(o, remote.WithTransport(c.Transport))
	}
	return o
}

// Tag gives an image that was sent another tag.
func (c Client) Tag(ctx context.Context, ref name.Tag, img v1.Image) error {
	if err := remote.Tag(ref, img, c.options(ctx)...); err != nil {
		return c.explain(ctx, ref, "tagging", err)
	}
	return nil
}

// Image reads an image's manifest for the platform; its layers are read when
// asked for.
func (c Client) Image(ctx context.Context, ref name.Reference, platform v1.Platform) (v1.Image, error) {
	img, err := remote.Image(ref, append(c.options(ctx), remote.WithPlatform(platform))...)
	if err != nil {
		return nil, c.explain(ctx, ref, "reading", err)
	}
	return img, nil
}

// Digest is what a reference stands for today, such as sha256:…; of an image
// for several platforms it is that of the whole.
func (c Client) Digest(ctx context.Context, ref name.Reference) (string, error) {
	d, err := remote.Head(ref, c.options(ctx)...)
	if err != nil {
		return "", c.explain(ctx, ref, "reading", err)
	}
	return d.Digest.String(), nil
}

// explain turns a registry's refusal into what the user can do.
func (c Client) explain(ctx context.Context, ref name.Reference, act string, err error) error {
	var own *diag.Error
	if ctx.Err() != nil || errors.As(err, &own) {
		return fmt.Errorf("%s %s: %w", act, ref, err)
	}
	host := ref.Context().RegistryStr()
	var t *transport.Error
	var ne net.Error
	switch {
	case errors.As(err, &t) && (t.StatusCode == http.StatusUnauthorized || t.StatusCode == http.StatusForbidden):
		return c.refused(ref, host, err)
	case errors.As(err, &t) && t.StatusCode == http.StatusNotFound && act == "sending" && t.Request != nil && t.Request.Method == http.MethodPost:
		return &diag.Error{Code: "repository_not_found", Class: diag.ClassFailed, Err: err,
			Message: fmt.Sprintf("%s has no repository %s", host, ref.Context().RepositoryStr()), Help: "make it there first, or check its name and your rights"}
	case errors.As(err, &t) && t.StatusCode == http.StatusNotFound:
		return &diag.Error{Code: "image_not_found", Class: diag.ClassFailed, Err: err, Message: fmt.Sprintf("%s is not in the registry %s", ref, host), Help: "check name and tag"}
	case errors.As(err, &t):
		return &diag.Error{Code: "registry_refused", Class: diag.ClassFailed, Err: err, Retryable: t.Temporary(), Message: fmt.Sprintf("%s %s: the registry answers %d", act, ref, t.StatusCode)}
	case errors.As(err, &ne):
		return &diag.Error{Code: "registry_unreachable", Class: diag.ClassFailed, Err: err, Retryable: true, Message: "cannot reach the registry " + host, Help: "check its name and this machine's network"}
	}
	return fmt.Errorf("%s %s: %w", act, ref, err)
}

func (c Client) refused(ref name.Reference, host string, err error) error {
	e := &diag.Error{Code: "not_signed_in", Class: diag.ClassAuth, Err: err,
		Message: fmt.Sprintf("not signed in to %s as far as %s shows", host, c.ConfigFile()),
		Help:    "run `docker login " + host + "`"}
	a, lerr := c.Login(host)
	if lerr == nil && a != (authn.AuthConfig{}) {
		who := a.Username
		if who == "" {
			who = "a token"
		}
		e.Message = fmt.Sprintf("%s does not let %s (from %s) do this to %s", host, who, c.ConfigFile(), ref.Context())
		e.Help = "check the rights of this account there, or sign in as another with `docker login " + host + "`"
	}
	return e
}
