package fetch

import (
	"fmt"
	"net/http"
	"net/url"
	"regexp"

	"github.com/comfyctl/comfyctl/internal/diag"
)

var addresses = regexp.MustCompile(`https?://[^\s"]+`)

// Redact is an address without password and query, where tokens live.
func Redact(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return "an unreadable address"
	}
	if u.User != nil {
		u.User = url.User("…")
	}
	if u.RawQuery != "" {
		u.RawQuery = "…"
	}
	u.Fragment = ""
	s, err := url.PathUnescape(u.String())
	if err != nil {
		return u.String()
	}
	return s
}

// status turns a refusal into an error that says what to do.
func status(r Request, resp *http.Response) error {
	where := Redact(r.URL)
	switch resp.StatusCode {
	case http.StatusUnauthorized, http.StatusForbidden:
		help := "set `auth:` of the model to the name of a secret that holds a token, and put the token in the environment under that name"
		if r.AuthName != "" {
			help = fmt.Sprintf("the token in %s was not accepted; for a gated model, accept its terms with the same account", r.AuthName)
		}
		return &diag.Error{Code: "not_signed_in", Class: diag.ClassAuth,
			Message: fmt.Sprintf("not allowed to fetch %s from %s (%s)", r.Name, where, resp.Status), Help: help}
	case http.StatusNotFound, http.StatusGone:
		return &diag.Error{Code: "model_not_found", Class: diag.ClassCheck,
			Message: fmt.Sprintf("%s is not at %s (%s)", r.Name, where, resp.Status), Help: "check owner, name, revision and path of its source"}
	}
	return &diag.Error{Code: "fetch_failed", Class: diag.ClassFailed, Retryable: resp.StatusCode >= 500 || resp.StatusCode == http.StatusTooManyRequests,
		Message: fmt.Sprintf("fetching %s from %s: the server says %s", r.Name, where, resp.Status)}
}
