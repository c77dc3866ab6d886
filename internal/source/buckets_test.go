package source

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// bucket speaks the parts of Google's JSON API and of Azure's that are used.
type bucket struct {
	*httptest.Server
	content []byte
	public  bool
	key     *rsa.PublicKey // of the service account
	seen    []string
}

func newBucket(t *testing.T, content []byte) *bucket {
	b := &bucket{content: content}
	mux := http.NewServeMux()
	mux.HandleFunc("/storage/v1/b/models/o/", b.google)
	mux.HandleFunc("/token", b.token)
	mux.HandleFunc("/acme/models/", b.azure)
	b.Server = httptest.NewServer(mux)
	t.Cleanup(b.Close)
	return b
}

func (b *bucket) google(w http.ResponseWriter, r *http.Request) {
	b.seen = append(b.seen, r.URL.RequestURI())
	if r.Header.Get("Authorization") != "Bearer "+token && !b.public {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	if r.URL.EscapedPath() != "/storage/v1/b/models/o/a%20dir%2Fm.safetensors" {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	if r.URL.Query().Get("alt") == "media" {
		w.Header().Set("ETag", `"g"`)
		http.ServeContent(w, r, "", time.Time{}, strings.NewReader(string(b.content)))
		return
	}
	_ = json.NewEncoder(w).Encode(map[string]string{"size": fmt.Sprint(len(b.content)), "generation": "17", "etag": "CAE="})
}

// token exchanges a signed assertion for an access token.
func (b *bucket) token(w http.ResponseWriter, r *http.Request) {
	parts := strings.Split(r.FormValue("assertion"), ".")
	if len(parts) != 3 {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	sum := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	sig, err := base64.RawURLEncoding.DecodeString(parts[2])
	if err != nil || rsa.VerifyPKCS1v15(b.key, crypto.SHA256, sum[:], sig) != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{"access_token": token, "token_type": "Bearer", "expires_in": 3600})
}

func (b *bucket) azure(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	signed := q.Get("sig") == token && q.Get("sv") != "" || r.Header.Get("Authorization") == "Bearer "+token && r.Header.Get("X-Ms-Version") != ""
	switch {
	case !signed && !b.public:
		w.WriteHeader(http.StatusForbidden)
	case r.URL.Path != "/acme/models/a dir/m.safetensors", q.Get("versionid") != "" && q.Get("versionid") != "v 1":
		w.WriteHeader(http.StatusNotFound)
	default:
		w.Header().Set("ETag", `"0x1"`)
		w.Header().Set("X-Ms-Version-Id", "v 1")
		http.ServeContent(w, r, "", time.Time{}, strings.NewReader(string(b.content)))
	}
}

func TestBuckets(t *testing.T) {
	content := safetensors(100_000)
	b := newBucket(t, content)
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	b.key = &key.PublicKey
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	account := func(private []byte) string {
		j, _ := json.Marshal(map[string]string{"type": "service_account", "client_email": "robot@example.test", "token_uri": b.URL + "/token",
			"private_key": string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}))})
		return string(j)
	}
	secrets := map[string]string{"TOKEN": token, "SAS": "?sv=2024&sp=r&sig=" + token, "ACCOUNT": account(der), "ODD": `{"type":"x"}`, "BROKEN": account([]byte("no key"))}
	const gs, az = "gs://models/a dir/m.safetensors", "az://acme/models/a dir/m.safetensors"
	for _, tc := range []struct{ source, auth, pinned, code string }{
		{gs, "TOKEN", gs + "#17", ""},
		{gs, "ACCOUNT", gs + "#17", ""},
		{gs, "ODD", "", "secret_unusable"},
		{gs, "BROKEN", "", "secret_unusable"},
		{gs, "", "", "not_signed_in"},
		{"gs://models/none.safetensors", "TOKEN", "", "model_not_found"},
		{"gs://models", "", "", "source_unsupported"},
		{"gs://models/x#y", "", "", "source_unsupported"},
		{az, "TOKEN", az + "?versionid=v+1", ""},
		{az, "SAS", az + "?versionid=v+1", ""},
		{az, "", "", "not_signed_in"},
		{"az://acme/models/none", "SAS", "", "model_not_found"},
		{"az://acme/models", "", "", "source_unsupported"},
		{az + "?sv=1&sig=" + token, "", "", "source_unsupported"},
	} {
		c := client(t, Endpoints{GoogleStorage: b.URL, AzureBlob: b.URL})
		c.o.Secret = func(name string) (string, bool) { return secrets[name], secrets[name] != "" }
		w := Want{Path: "x/m.safetensors", Sources: []string{tc.source}, Auth: tc.auth}
		facts, err := c.Describe(t.Context(), w)
		if tc.code != "" {
			wantCode(t, err, tc.code)
			continue
		}
		if err != nil || facts.Source != tc.pinned || !facts.Pinned || facts.Size != int64(len(content)) || facts.Header == nil {
			t.Errorf("%+v: %+v, %v", tc, facts, err)
			continue
		}
		w.Sources = []string{facts.Source}
		got, err := c.Fetch(t.Context(), w)
		if err != nil || got.SHA256 != sumOf(content) {
			t.Errorf("%s: %+v, %v", facts.Source, got, err)
		}
	}
	b.public = true
	for _, s := range []string{gs, az} {
		if _, err := client(t, Endpoints{GoogleStorage: b.URL, AzureBlob: b.URL}).Fetch(t.Context(), Want{Path: "m.safetensors", Sources: []string{s}}); err != nil {
			t.Errorf("public %s: %v", s, err)
		}
	}
	for _, uri := range b.seen {
		if strings.Contains(uri, token) {
			t.Errorf("the token is in the address %s", uri)
		}
	}
}
