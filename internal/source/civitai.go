package source

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"github.com/comfyctl/comfyctl/internal/diag"
	"github.com/comfyctl/comfyctl/internal/fetch"
)

// civitai is Civitai, or a server that speaks like it.
type civitai struct{ endpoint string }

var civitaiForm = regexp.MustCompile(`^(?:[0-9]+@)?([0-9]+)(?:/([0-9]+)|\?fileId=([0-9]+))?$`)

// Locate reads [MODEL@]VERSION[/FILE].
func (c civitai) Locate(rest string) (Place, error) {
	m := civitaiForm.FindStringSubmatch(rest)
	if m == nil {
		return nil, Unsupported(fetch.Redact("civitai://"+rest), "write civitai://VERSION or civitai://VERSION/FILE with the numbers that its page shows")
	}
	return civitaiFile{hub: c, version: m[1], file: m[2] + m[3]}, nil
}

type civitaiFile struct {
	hub           civitai
	version, file string
}

// Scope is the hub.
func (f civitaiFile) Scope() string { return "civitai" }

// version is what the hub says of a version of a model.
type version struct {
	Name                 string        `json:"name"`
	Availability         string        `json:"availability"`
	EarlyAccessEndsAt    string        `json:"earlyAccessEndsAt"`
	Files                []versionFile `json:"files"`
	AllowCommercialUse   any           `json:"allowCommercialUse"`
	EarlyAccessTimeFrame float64       `json:"earlyAccessTimeFrame"`
}

type versionFile struct {
	ID      json.Number `json:"id"`
	Name    string      `json:"name"`
	Type    string      `json:"type"`
	Primary bool        `json:"primary"`
	Hashes  struct {
		SHA256 string `json:"SHA256"`
	} `json:"hashes"`
}

func (v versionFile) sum() string {
	if s := strings.ToLower(v.Hashes.SHA256); hex64.MatchString(s) {
		return s
	}
	return ""
}

// Facts asks for the version's record. Its sizes are rounded, so none is given.
func (f civitaiFile) Facts(ctx context.Context, a Asker) (*Facts, error) {
	file, err := f.find(ctx, a)
	if err != nil {
		return nil, err
	}
	return &Facts{Source: "civitai://" + f.version + "/" + file.ID.String(), Pinned: true, SHA256: file.sum()}, nil
}

// Target names the file, because the hub would else choose by the account's
// preferences.
func (f civitaiFile) Target(ctx context.Context, a Asker) (fetch.Target, error) {
	if f.file == "" {
		file, err := f.find(ctx, a)
		if err != nil {
			return fetch.Target{}, err
		}
		f.file = file.ID.String()
	}
	return fetch.Target{URL: f.hub.endpoint + "/api/download/models/" + f.version + "?fileId=" + f.file, Header: bearer(a.Secret)}, nil
}

func (f civitaiFile) find(ctx context.Context, a Asker) (versionFile, error) {
	at := fetch.Target{URL: f.hub.endpoint + "/api/v1/model-versions/" + f.version, Header: bearer(a.Secret)}
	resp, err := a.Fetch.Ask(ctx, http.MethodGet, at, a.Name)
	if err != nil {
		return versionFile{}, err
	}
	var v version
	switch {
	case resp.Code == http.StatusUnauthorized || resp.Code == http.StatusForbidden || resp.Code/100 == 3:
		return versionFile{}, f.signIn(a, resp.Status)
	case resp.Code != http.StatusOK:
		return versionFile{}, &diag.Error{Code: "model_not_found", Class: diag.ClassCheck,
			Message: fmt.Sprintf("Civitai has no version %s, or hides it (%s)", f.version, resp.Status),
			Help:    "the number is the one behind modelVersionId= in the address of its page; some models show only to those who sign in: give `auth:`"}
	case json.Unmarshal(resp.Body, &v) != nil:
		return versionFile{}, &diag.Error{Code: "fetch_failed", Class: diag.ClassFailed, Retryable: true,
			Message: "Civitai's answer about version " + f.version + " cannot be read", Help: "try again later"}
	}
	return f.choose(v, a)
}

func (f civitaiFile) signIn(a Asker, says string) error {
	help := "set `auth:` of the model to the name of a secret that holds an API key of Civitai"
	if a.AuthName != "" {
		help = "the key in " + a.AuthName + " was not accepted"
	}
	return &diag.Error{Code: "not_signed_in", Class: diag.ClassAuth, Message: fmt.Sprintf("Civitai does not show version %s of %s (%s)", f.version, a.Name, says), Help: help}
}

// choose finds the file that is meant: by its number, by the hash, or the
// primary one.
func (f civitaiFile) choose(v version, a Asker) (versionFile, error) {
	is := func(fits func(versionFile) bool) (versionFile, bool) {
		i := slices.IndexFunc(v.Files, fits)
		if i < 0 {
			return versionFile{}, false
		}
		return v.Files[i], true
	}
	if f.file != "" {
		if file, ok := is(func(x versionFile) bool { return x.ID.String() == f.file }); ok {
			return file, nil
		}
	} else {
		if file, ok := is(func(x versionFile) bool { return a.SHA256 != "" && x.sum() == a.SHA256 }); ok {
			return file, nil
		}
		if file, ok := is(func(x versionFile) bool { return x.Primary || len(v.Files) == 1 }); ok {
			return file, nil
		}
	}
	e := &diag.Error{Code: "model_ambiguous", Class: diag.ClassCheck, Message: fmt.Sprintf("version %s on Civitai has %d files", f.version, len(v.Files)),
		Help: "write civitai://" + f.version + "/FILE with one of these numbers"}
	if f.file != "" {
		e.Code, e.Message = "model_not_found", fmt.Sprintf("version %s on Civitai has no file %s", f.version, f.file)
	}
	for _, x := range v.Files {
		e.Facts = append(e.Facts, [2]string{x.ID.String(), diag.Safe(x.Name + ", " + x.Type)})
	}
	return versionFile{}, e
}
