package source

import (
	"context"
	"net/http"
	"net/url"
	"strings"

	"github.com/comfyctl/comfyctl/internal/fetch"
)

// Endpoints are the addresses of hubs; an empty one is the public hub's.
type Endpoints struct {
	HuggingFace, Civitai, GoogleStorage string
	// AzureBlob has %s where the account's name goes.
	AzureBlob string
}

// Hubs are the back ends that need nothing but HTTP.
func Hubs(e Endpoints) map[string]Backend {
	return map[string]Backend{
		"https": web{"https"}, "http": web{"http"},
		"hf": huggingFace{endpoint(e.HuggingFace, "https://huggingface.co")}, "civitai": civitai{endpoint(e.Civitai, "https://civitai.com")},
		"gs": google{endpoint(e.GoogleStorage, "https://storage.googleapis.com")}, "az": azure{endpoint(e.AzureBlob, "https://%s.blob.core.windows.net")},
	}
}

func endpoint(given, public string) string {
	if given == "" {
		return public
	}
	for len(given) > 0 && given[len(given)-1] == '/' {
		given = given[:len(given)-1]
	}
	return given
}

// web is any server.
type web struct{ scheme string }

// Locate takes any address.
func (w web) Locate(rest string) (Place, error) {
	u, err := url.Parse(w.scheme + "://" + rest)
	if err != nil || u.Host == "" {
		return nil, Unsupported(w.scheme+"://…", "it is no address")
	}
	return page{u}, nil
}

type page struct{ url *url.URL }

// Scope is the server.
func (p page) Scope() string { return p.url.Scheme + "://" + p.url.Host }

// Facts of a plain server are only those of its answers.
func (p page) Facts(context.Context, Asker) (*Facts, error) {
	return &Facts{Source: public(*p.url)}, nil
}

// secretive are the parts of names of query parameters that carry secrets.
var secretive = []string{"token", "sig", "key", "auth", "secret", "password", "credential", "x-amz", "x-goog", "expires"}

// public is an address without what may be secret in it.
func public(u url.URL) string {
	u.User, u.Fragment = nil, ""
	q := u.Query()
	for name := range q {
		for _, part := range secretive {
			if strings.Contains(strings.ToLower(name), part) {
				q.Del(name)
			}
		}
	}
	u.RawQuery = q.Encode()
	return u.String()
}

// Target is the address.
func (p page) Target(_ context.Context, a Asker) (fetch.Target, error) {
	return fetch.Target{URL: p.url.String(), Header: bearer(a.Secret)}, nil
}

func bearer(token string) http.Header {
	if token == "" {
		return nil
	}
	return http.Header{"Authorization": {"Bearer " + token}}
}
