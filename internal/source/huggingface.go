package source

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"

	"github.com/comfyctl/comfyctl/internal/diag"
	"github.com/comfyctl/comfyctl/internal/fetch"
)

// huggingFace is a Hugging Face hub, or a mirror of it.
type huggingFace struct{ endpoint string }

const hfForm = "hf://OWNER/REPO/FILE or hf://OWNER/REPO/FILE@REVISION"

// Locate reads [datasets/|spaces/]OWNER/REPO/FILE[@REVISION].
func (h huggingFace) Locate(rest string) (Place, error) {
	raw := fetch.Redact("hf://" + rest)
	if strings.Contains(rest, "?") {
		return nil, Unsupported(raw, "nothing follows the file; a token goes into the secret of `auth:`")
	}
	f := hfFile{hub: h, rev: "main"}
	if i := strings.LastIndex(rest, "@"); i >= 0 {
		rest, f.rev = rest[:i], rest[i+1:]
	}
	for _, kind := range []string{"datasets", "spaces"} {
		if r, ok := strings.CutPrefix(rest, kind+"/"); ok {
			f.kind, rest = kind, r
		}
	}
	list, err := parts(raw, rest, 3, hfForm)
	if err != nil {
		return nil, err
	}
	if f.rev == "" || f.rev == "." || f.rev == ".." {
		return nil, Unsupported(raw, "write "+hfForm)
	}
	f.repo, f.path = list[:2], list[2:]
	return f, nil
}

// hfFile is a file of a repository at a revision.
type hfFile struct {
	hub        huggingFace
	kind       string // datasets, spaces, or empty for models
	repo, path []string
	rev        string
}

// Scope is the hub.
func (f hfFile) Scope() string { return "hf" }

func (f hfFile) prefix() string {
	if f.kind == "" {
		return ""
	}
	return f.kind + "/"
}

func (f hfFile) address() string {
	return fmt.Sprintf("%s/%s%s/resolve/%s/%s", f.hub.endpoint, f.prefix(), escape(f.repo), url.PathEscape(f.rev), escape(f.path))
}

// Target is the address that redirects to the storage.
func (f hfFile) Target(_ context.Context, a Asker) (fetch.Target, error) {
	return fetch.Target{URL: f.address(), Header: bearer(a.Secret)}, nil
}

var (
	hex40 = regexp.MustCompile(`^[0-9a-f]{40}$`)
	hex64 = regexp.MustCompile(`^[0-9a-f]{64}$`)
)

// maxMoves is how often a repository may have been renamed.
const maxMoves = 3

// Facts asks the hub about the file. It knows the hash of every large one.
func (f hfFile) Facts(ctx context.Context, a Asker) (*Facts, error) {
	at := fetch.Target{URL: f.address(), Header: bearer(a.Secret)}
	var resp *fetch.Reply
	for moves := 0; ; moves++ {
		var err error
		if resp, err = a.Fetch.Ask(ctx, http.MethodHead, at, a.Name); err != nil {
			return nil, err
		}
		// A renamed repository sends to its new name on the hub itself, a file
		// in the storage to another host.
		to, err := resp.URL.Parse(resp.Header.Get("Location"))
		if resp.Code/100 != 3 || err != nil || to.Host != resp.URL.Host || resp.Header.Get("X-Linked-Etag") != "" || moves == maxMoves {
			break
		}
		at.URL = to.String()
	}
	if resp.Code >= http.StatusBadRequest {
		return nil, f.refused(resp, a)
	}
	facts := &Facts{ETag: strings.Trim(strings.TrimPrefix(resp.Header.Get("Etag"), "W/"), `"`)}
	commit := resp.Header.Get("X-Repo-Commit")
	if facts.Pinned = hex40.MatchString(commit); facts.Pinned {
		f.rev = commit
	}
	facts.Source = "hf://" + f.prefix() + strings.Join(f.repo, "/") + "/" + strings.Join(f.path, "/") + "@" + f.rev
	if sum := strings.Trim(resp.Header.Get("X-Linked-Etag"), `"`); hex64.MatchString(sum) {
		facts.SHA256 = sum
	}
	size := resp.Header.Get("X-Linked-Size")
	if size == "" && resp.Code == http.StatusOK {
		size = resp.Header.Get("Content-Length")
	}
	facts.Size, _ = strconv.ParseInt(size, 10, 64)
	if !a.Terms {
		return facts, nil
	}
	return facts, f.terms(ctx, a, facts)
}

// terms asks for license and gate of the repository. A hub that does not tell
// is no error: mirrors often have no such API.
func (f hfFile) terms(ctx context.Context, a Asker, facts *Facts) error {
	kind := f.kind
	if kind == "" {
		kind = "models"
	}
	resp, err := a.Fetch.Ask(ctx, http.MethodGet, fetch.Target{Header: bearer(a.Secret),
		URL: fmt.Sprintf("%s/api/%s/%s/revision/%s", f.hub.endpoint, kind, escape(f.repo), url.PathEscape(f.rev))}, a.Name)
	if err != nil {
		return err
	}
	var info struct {
		Gated    any `json:"gated"` // false, or how access is given
		CardData struct {
			License any `json:"license"`
		} `json:"cardData"`
	}
	if resp.Code == http.StatusOK && json.Unmarshal(resp.Body, &info) != nil {
		info.Gated = nil
	}
	_, facts.Gated = info.Gated.(string)
	facts.License, _ = info.CardData.License.(string)
	return nil
}

// refused explains what the hub says. It calls private what it hides.
func (f hfFile) refused(resp *fetch.Reply, a Asker) error {
	repo := strings.Join(f.repo, "/")
	says := resp.Header.Get("X-Error-Message")
	e := &diag.Error{Class: diag.ClassCheck, Code: "model_not_found", Help: "check owner, name, revision and path of its source"}
	if says != "" {
		e.Facts = [][2]string{{"the hub says", diag.Safe(says)}}
	}
	switch code := resp.Header.Get("X-Error-Code"); {
	case code == "GatedRepo":
		e.Code, e.Class, e.Message = "not_signed_in", diag.ClassAuth, repo+" wants its terms accepted before "+a.Name+" can be fetched"
		e.Help = "accept them at " + f.hub.endpoint + "/" + f.prefix() + repo + ", then give the model `auth:` with the name of a secret that holds a token of that account"
	case code == "RevisionNotFound":
		e.Message = fmt.Sprintf("%s has no revision %s", repo, f.rev)
	case code == "EntryNotFound":
		e.Message = fmt.Sprintf("%s has no file %s at %s", repo, strings.Join(f.path, "/"), f.rev)
	case code == "RepoNotFound" || resp.Code == http.StatusUnauthorized || resp.Code == http.StatusForbidden:
		e.Code, e.Class, e.Message = "not_signed_in", diag.ClassAuth, fmt.Sprintf("%s does not exist, or is private (%s)", repo, resp.Status)
		e.Help = "check its name; for a private repository, give the model `auth:` with the name of a secret that holds a token"
		if a.AuthName != "" {
			e.Help = "check its name, and what the token in " + a.AuthName + " may read"
		}
	default:
		e.Message = fmt.Sprintf("the hub says %s for %s", resp.Status, a.Name)
	}
	return e
}
