package source

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/comfyctl/comfyctl/internal/fetch"
)

// azure is Azure Blob Storage by its HTTP API. Public blobs need no secret;
// else it is a shared access signature (sv=…&sig=…) or an access token.
type azure struct{ endpoint string }

// azureVersion of the API is the first that takes tokens and ranges as here.
const azureVersion = "2021-12-02"

// Locate reads ACCOUNT/CONTAINER/BLOB[?versionid=VERSION].
func (z azure) Locate(rest string) (Place, error) {
	raw := fetch.Redact("az://" + rest)
	rest, query, _ := strings.Cut(rest, "?")
	q, err := url.ParseQuery(query)
	if err != nil || len(q) > 1 || len(q) == 1 && q.Get("versionid") == "" {
		return nil, Unsupported(raw, "only ?versionid= may follow; a signature goes into the secret of `auth:`")
	}
	list, err := parts(raw, rest, 3, "az://ACCOUNT/CONTAINER/BLOB")
	if err != nil {
		return nil, err
	}
	return azureBlob{hub: z, path: list, version: q.Get("versionid")}, nil
}

type azureBlob struct {
	hub     azure
	path    []string // account, container, blob
	version string
}

// Scope is the account.
func (b azureBlob) Scope() string { return "az://" + b.path[0] }

func (b azureBlob) source() string { return "az://" + strings.Join(b.path, "/") }

// Target is the blob with what the secret adds.
func (b azureBlob) Target(_ context.Context, a Asker) (fetch.Target, error) {
	base := b.hub.endpoint
	if strings.Contains(base, "%s") {
		base = fmt.Sprintf(base, url.PathEscape(b.path[0]))
	} else {
		base += "/" + url.PathEscape(b.path[0])
	}
	query := url.Values{}
	h := http.Header{"X-Ms-Version": {azureVersion}}
	if sas, err := url.ParseQuery(strings.TrimPrefix(a.Secret, "?")); err == nil && sas.Get("sig") != "" {
		query = sas
	} else if a.Secret != "" {
		h.Set("Authorization", "Bearer "+a.Secret)
	}
	if b.version != "" {
		query.Set("versionid", b.version)
	}
	at := base + "/" + escape(b.path[1:])
	if len(query) > 0 {
		at += "?" + query.Encode()
	}
	return fetch.Target{URL: at, Header: h}, nil
}

// Facts asks for the blob's properties, which have no SHA-256.
func (b azureBlob) Facts(ctx context.Context, a Asker) (*Facts, error) {
	at, err := b.Target(ctx, a)
	if err != nil {
		return nil, err
	}
	resp, err := a.Fetch.Ask(ctx, http.MethodHead, at, a.Name)
	if err != nil {
		return nil, err
	}
	if resp.Code != http.StatusOK {
		return nil, refusedBy("Azure", b.source(), resp, a)
	}
	facts := &Facts{Source: b.source(), ETag: resp.Header.Get("Etag")}
	if v := resp.Header.Get("X-Ms-Version-Id"); v != "" {
		facts.Source, facts.Pinned = facts.Source+"?versionid="+url.QueryEscape(v), true
	}
	facts.Size, _ = strconv.ParseInt(resp.Header.Get("Content-Length"), 10, 64)
	return facts, nil
}
