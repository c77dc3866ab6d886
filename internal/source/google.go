package source

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/jwt"

	"github.com/comfyctl/comfyctl/internal/diag"
	"github.com/comfyctl/comfyctl/internal/fetch"
)

// google is Google Cloud Storage by its JSON API. Public objects need no
// secret; else it is an access token, or the JSON key of a service account.
type google struct{ endpoint string }

// Locate reads BUCKET/OBJECT[#GENERATION].
func (g google) Locate(rest string) (Place, error) {
	raw := fetch.Redact("gs://" + rest)
	rest, generation, _ := strings.Cut(rest, "#")
	if _, err := strconv.ParseUint(generation, 10, 64); generation != "" && err != nil {
		return nil, Unsupported(raw, "behind # stands the number of a generation")
	}
	list, err := parts(raw, rest, 2, "gs://BUCKET/OBJECT")
	if err != nil {
		return nil, err
	}
	return googleObject{hub: g, bucket: list[0], object: strings.Join(list[1:], "/"), generation: generation}, nil
}

type googleObject struct {
	hub                        google
	bucket, object, generation string
}

// Scope is the bucket.
func (o googleObject) Scope() string { return "gs://" + o.bucket }

func (o googleObject) address(query url.Values) string {
	if o.generation != "" {
		query.Set("generation", o.generation)
	}
	return fmt.Sprintf("%s/storage/v1/b/%s/o/%s?%s", o.hub.endpoint, url.PathEscape(o.bucket), url.PathEscape(o.object), query.Encode())
}

// Facts asks for the object's record, which has no SHA-256.
func (o googleObject) Facts(ctx context.Context, a Asker) (*Facts, error) {
	h, err := o.sign(ctx, a)
	if err != nil {
		return nil, err
	}
	resp, err := a.Fetch.Ask(ctx, http.MethodGet, fetch.Target{URL: o.address(url.Values{}), Header: h}, a.Name)
	if err != nil {
		return nil, err
	}
	if resp.Code != http.StatusOK {
		return nil, refusedBy("Google Cloud Storage", "gs://"+o.bucket+"/"+o.object, resp, a)
	}
	var record struct {
		Size       string `json:"size"`
		Generation string `json:"generation"`
		ETag       string `json:"etag"`
	}
	if err := json.Unmarshal(resp.Body, &record); err != nil {
		return nil, fmt.Errorf("reading what Google Cloud Storage says of %s: %w", a.Name, err)
	}
	facts := &Facts{Source: "gs://" + o.bucket + "/" + o.object, ETag: record.ETag}
	if record.Generation != "" {
		facts.Source, facts.Pinned = facts.Source+"#"+record.Generation, true
	}
	facts.Size, _ = strconv.ParseInt(record.Size, 10, 64)
	return facts, nil
}

// Target is the object's content.
func (o googleObject) Target(ctx context.Context, a Asker) (fetch.Target, error) {
	h, err := o.sign(ctx, a)
	return fetch.Target{URL: o.address(url.Values{"alt": {"media"}}), Header: h}, err
}

const googleRead = "https://www.googleapis.com/auth/devstorage.read_only"

// sign turns the secret into a header.
func (o googleObject) sign(ctx context.Context, a Asker) (http.Header, error) {
	if !strings.HasPrefix(a.Secret, "{") {
		return bearer(a.Secret), nil
	}
	var key struct {
		Type     string `json:"type"`
		Email    string `json:"client_email"`
		Key      string `json:"private_key"`
		KeyID    string `json:"private_key_id"`
		TokenURI string `json:"token_uri"`
	}
	bad := &diag.Error{Code: "secret_unusable", Class: diag.ClassAuth, Message: "the secret " + a.AuthName + " is no key of a service account",
		Help: "it holds an access token, or the JSON key of a service account"}
	if err := json.Unmarshal([]byte(a.Secret), &key); err != nil || key.Type != "service_account" || key.Email == "" {
		return nil, bad
	}
	if key.TokenURI == "" {
		key.TokenURI = "https://oauth2.googleapis.com/token"
	}
	conf := jwt.Config{Email: key.Email, PrivateKey: []byte(key.Key), PrivateKeyID: key.KeyID, TokenURL: key.TokenURI, Scopes: []string{googleRead}}
	if a.Fetch.HTTP != nil {
		ctx = context.WithValue(ctx, oauth2.HTTPClient, a.Fetch.HTTP)
	}
	token, err := conf.TokenSource(ctx).Token()
	if err != nil {
		// The cause may quote what was sent.
		bad.Message = "the service account " + key.Email + " in the secret " + a.AuthName + " was not accepted"
		return nil, bad
	}
	return bearer(token.AccessToken), nil
}

// refusedBy explains what an object store answered.
func refusedBy(store, object string, resp *fetch.Reply, a Asker) error {
	e := &diag.Error{Code: "model_not_found", Class: diag.ClassCheck, Message: fmt.Sprintf("%s: %s says %s", object, store, resp.Status),
		Help: "check its name"}
	if resp.Code == http.StatusUnauthorized || resp.Code == http.StatusForbidden {
		e.Code, e.Class = "not_signed_in", diag.ClassAuth
		e.Help = "set `auth:` of the model to the name of a secret that may read it"
		if a.AuthName != "" {
			e.Help = "what " + a.AuthName + " holds was not accepted"
		}
	}
	return e
}
