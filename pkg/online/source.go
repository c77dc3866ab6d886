package online

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"

	"github.com/docker/go-units"

	"github.com/comfyctl/comfyctl/internal/diag"
	"github.com/comfyctl/comfyctl/internal/fetch"
	"github.com/comfyctl/comfyctl/pkg/service"
)

// hfEndpoint is Hugging Face's address.
const hfEndpoint = "https://huggingface.co"

// remote reports whether a source is an address and not a file.
func remote(source string) bool {
	scheme, _, ok := strings.Cut(source, "://")
	return ok && len(scheme) > 1 && !strings.EqualFold(scheme, "file")
}

// hubFile reads hf://OWNER/REPO/FILE[@REVISION], and the same as an address of
// the hub, into the address of the download.
func hubFile(source, endpoint string) (string, bool) {
	endpoint = strings.TrimSuffix(endpoint, "/")
	rest, ok := strings.CutPrefix(source, "hf://")
	if !ok {
		for _, base := range []string{endpoint, hfEndpoint, "https://hf.co", "https://huggingface.com"} {
			if rest, found := strings.CutPrefix(source, base+"/"); found {
				rest, _, _ = strings.Cut(rest, "?")
				return endpoint + "/" + strings.Replace(rest, "/blob/", "/resolve/", 1), strings.Contains(rest, "/resolve/") || strings.Contains(rest, "/blob/")
			}
		}
		return "", false
	}
	rest, rev, ok := strings.Cut(rest, "@")
	if !ok {
		rev = "main"
	}
	parts := strings.Split(rest, "/")
	if len(parts) < 3 {
		return "", false
	}
	for i, p := range parts {
		parts[i] = url.PathEscape(p)
	}
	return endpoint + "/" + strings.Join(parts[:2], "/") + "/resolve/" + url.PathEscape(rev) + "/" + strings.Join(parts[2:], "/"), true
}

// source asks one source of a model.
func (c *checker) source(ctx context.Context, at, source string, m service.Model) []diag.Diagnostic {
	token := ""
	if m.Auth != "" {
		value, ok := c.o.Secret(m.Auth)
		if token = strings.TrimSpace(value); !ok || token == "" {
			return nil // told as a secret that is not set
		}
	}
	var f file
	var err error
	if address, hub := hubFile(source, c.o.HFEndpoint); hub {
		f, err = c.hub(ctx, address, token)
	} else if isRepo(source) {
		f, err = c.plain(ctx, source, token)
	} else {
		scheme, _, _ := strings.Cut(source, "://")
		d := c.at(at, "CO006", "`"+scheme+"://` sources cannot be asked")
		d.Severity, d.Label = diag.SeverityNote, "not checked"
		return []diag.Diagnostic{d}
	}
	if err != nil {
		return []diag.Diagnostic{c.unanswered(at, fetch.Redact(source), source, err)}
	}
	if d, wrong := c.refused(at, m, f); wrong {
		return []diag.Diagnostic{d}
	}
	return c.differs(at, m, f)
}

// refused says what is wrong with an answer that is not the file.
func (c *checker) refused(at string, m service.Model, f file) (diag.Diagnostic, bool) {
	var d diag.Diagnostic
	where := fetch.Redact(f.url)
	switch {
	case f.gated && m.Auth == "":
		d = c.at(at, "CM006", "`"+m.Path+"` comes from a gated repository, and no secret is named")
		d.Label, d.Help = "asks for an account that accepted its terms", "accept the terms at the repository's page, then name a secret with a token: `auth: HF_TOKEN`"
	case f.gated:
		d = c.at(at, "CO004", "the account of `"+m.Auth+"` is not let in to `"+m.Path+"`")
		d.Label, d.Help = "a gated repository", "accept its terms on its page with the account that the token is of"
	case f.status == http.StatusUnauthorized, f.status == http.StatusForbidden:
		d = c.at(at, "CO004", "not allowed to fetch `"+m.Path+"`")
		d.Label, d.Help = f.said, "name a secret that holds a token: `auth: NAME`"
		if m.Auth != "" {
			d.Help = "the token in " + m.Auth + " was not accepted; is it of the right account, and does it still hold?"
		} else if f.hub {
			d.Help = "the hub says the same of a repository that does not exist: check the name, or name a secret with a token: `auth: HF_TOKEN`"
		}
	case f.insecure:
		d = c.at(at, "CO004", "the token in `"+m.Auth+"` is not sent over http")
		d.Label, d.Help = "anyone on the way could read it", "use the https address"
	case f.page != "":
		d = c.at(at, "CO001", where+" gives "+f.page+", not `"+m.Path+"`")
		d.Label, d.Help = "not a file", "use the address of the download itself; a page that asks to sign in needs `auth:` with the name of a secret"
	case f.status >= 400 && f.status < 500 && f.status != http.StatusTooManyRequests && f.status != http.StatusRequestTimeout:
		d = c.at(at, "CO001", "`"+m.Path+"` is not at "+where)
		d.Label, d.Help = f.said, "check owner, name, revision and path of its source"
	case f.status >= 400:
		return c.unanswered(at, where, f.url, fmt.Errorf("it says %s", f.said)), true
	default:
		return d, false
	}
	return d, true
}

var sha256Form = regexp.MustCompile(`^[0-9a-f]{64}$`)

// differs holds the file against what the service file and the lock say.
func (c *checker) differs(at string, m service.Model, f file) []diag.Diagnostic {
	want, wantSize, by := strings.ToLower(m.SHA256), int64(0), "the service file"
	if c.o.Lock != nil {
		if l, ok := c.o.Lock.Models[m.Path]; ok {
			wantSize = l.Size
			if want == "" {
				want, by = l.SHA256, "the lock"
			}
		}
	}
	switch {
	case want != "" && f.sha256 != "" && want != f.sha256:
		d := c.at(at, "CO002", "`"+m.Path+"` has another sha256 there than "+by+" says")
		d.Label, d.Help = "sha256 "+f.sha256, "the file changed at its source, or the hash is of another one"
		return []diag.Diagnostic{d}
	case wantSize > 0 && f.size > 0 && wantSize != f.size:
		d := c.at(at, "CO002", fmt.Sprintf("`%s` has %s there, the lock says %s", m.Path, bytes(f.size), bytes(wantSize)))
		d.Label, d.Help = "another size", "the file changed at its source; `comfyctl lock --update` takes it as it is now"
		return []diag.Diagnostic{d}
	}
	return nil
}

func bytes(n int64) string { return fmt.Sprintf("%d bytes (%s)", n, units.HumanSize(float64(n))) }

// unanswered is a question that got no answer, which may say nothing about the
// file. An address in the cause is shown without what it carries.
func (c *checker) unanswered(at, where, address string, err error) diag.Diagnostic {
	d := c.at(at, "CO006", where+" did not answer")
	text := strings.ReplaceAll(err.Error(), address, where)
	d.Label, d.Help = text, "try again; a proxy is taken from HTTPS_PROXY"
	return d
}
