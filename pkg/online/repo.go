package online

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/comfyctl/comfyctl/internal/diag"
	"github.com/comfyctl/comfyctl/internal/fetch"
)

// repo asks a git repository over HTTP whether it is there and has a ref;
// empty means its default branch.
func (c *checker) repo(ctx context.Context, address, ref, at, refAt string) []diag.Diagnostic {
	where := fetch.Redact(address)
	g := &gitServer{c: c, url: strings.TrimSuffix(address, "/")}
	err := g.discover(ctx)
	var status *gitStatus
	switch {
	case errors.As(err, &status) && (status.code == http.StatusTooManyRequests || status.code >= 500):
		return []diag.Diagnostic{c.unanswered(at, where, address, err)}
	case errors.As(err, &status):
		d := c.at(at, "CO003", "there is no repository at "+where+", or it is private")
		d.Label, d.Help = status.said, "check the address; a server says the same of a repository that it does not show"
		return []diag.Diagnostic{d}
	case errors.Is(err, errNoGit):
		d := c.at(at, "CO003", where+" is no git repository")
		d.Label, d.Help = "answers, but not as git does", "use the address that `git clone` takes"
		return []diag.Diagnostic{d}
	case err != nil:
		return []diag.Diagnostic{c.unanswered(at, where, address, err)}
	}
	found, names, err := g.has(ctx, ref)
	if err != nil {
		return []diag.Diagnostic{c.unanswered(refAt, where, address, err)}
	}
	if found || ref == "" && len(names) > 0 {
		return nil
	}
	if shortCommit.MatchString(ref) {
		d := c.at(refAt, "CO006", "whether "+where+" has the commit `"+ref+"` cannot be asked")
		d.Severity, d.Label, d.Help = diag.SeverityNote, "not a whole commit", "write all 40 digits"
		return []diag.Diagnostic{d}
	}
	d := c.at(refAt, "CO003", where+" has no branch, tag or commit `"+ref+"`")
	d.Label = "not there"
	if near := diag.Suggest(ref, names); near != "" {
		d.Help = "did you mean `" + near + "`?"
	}
	if ref == "" {
		d.Message, d.Label = where+" is empty", "no branch"
	}
	return []diag.Diagnostic{d}
}
