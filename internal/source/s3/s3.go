// Package s3 fetches model files from S3 and what speaks like it. It is apart
// from its parent because the client of AWS is large.
package s3

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/comfyctl/comfyctl/internal/diag"
	"github.com/comfyctl/comfyctl/internal/fetch"
	"github.com/comfyctl/comfyctl/internal/source"
)

// Backend reads s3://BUCKET/KEY[?versionId=VERSION]. Without a secret it signs
// with AWS's default chain of credentials, and asks without a signature where
// there are none; a secret is ACCESS_KEY:SECRET_KEY or
// ACCESS_KEY:SECRET_KEY:SESSION. Region and endpoint come from AWS's own
// configuration.
type Backend struct {
	mu      sync.Mutex
	regions map[string]string // of buckets that are elsewhere
}

// New makes a back end.
func New() *Backend { return &Backend{regions: map[string]string{}} }

// Locate reads BUCKET/KEY.
func (b *Backend) Locate(rest string) (source.Place, error) {
	raw := fetch.Redact("s3://" + rest)
	rest, query, _ := strings.Cut(rest, "?")
	q, err := url.ParseQuery(query)
	if err != nil || len(q) > 1 || len(q) == 1 && q.Get("versionId") == "" {
		return nil, source.Unsupported(raw, "only ?versionId= may follow the key")
	}
	bucket, key, ok := strings.Cut(rest, "/")
	if !ok || bucket == "" || key == "" || strings.HasSuffix(key, "/") {
		return nil, source.Unsupported(raw, "write s3://BUCKET/KEY")
	}
	return object{back: b, bucket: bucket, key: key, version: q.Get("versionId")}, nil
}

type object struct {
	back                 *Backend
	bucket, key, version string
}

// Scope is the bucket.
func (o object) Scope() string { return "s3://" + o.bucket }

func (o object) source() string { return "s3://" + o.bucket + "/" + o.key }

func (o object) versionID() *string {
	if o.version == "" {
		return nil
	}
	return &o.version
}

// client signs for the bucket's region.
func (o object) client(ctx context.Context, a source.Asker) (*s3.Client, error) {
	var opts []func(*config.LoadOptions) error
	if a.Secret != "" {
		parts := strings.SplitN(a.Secret, ":", 3)
		if len(parts) < 2 {
			return nil, &diag.Error{Code: "secret_unusable", Class: diag.ClassAuth, Message: "the secret " + a.AuthName + " is no key of S3",
				Help: "it holds ACCESS_KEY:SECRET_KEY, or ACCESS_KEY:SECRET_KEY:SESSION; leave `auth:` out to use AWS's own configuration"}
		}
		opts = append(opts, config.WithCredentialsProvider(credentials.NewStaticCredentialsProvider(parts[0], parts[1], strings.Join(parts[2:], ""))))
	}
	conf, err := config.LoadDefaultConfig(ctx, opts...)
	if err != nil {
		return nil, fmt.Errorf("reading AWS's configuration: %w", err)
	}
	if _, err := conf.Credentials.Retrieve(ctx); err != nil && a.Secret == "" {
		conf.Credentials = aws.AnonymousCredentials{}
	}
	o.back.mu.Lock()
	if r := o.back.regions[o.bucket]; r != "" {
		conf.Region = r
	}
	o.back.mu.Unlock()
	if conf.Region == "" {
		conf.Region = "us-east-1"
	}
	return s3.NewFromConfig(conf, func(op *s3.Options) {
		// Other servers than AWS's rarely have a name for each bucket.
		op.UsePathStyle = op.BaseEndpoint != nil
		if a.Fetch != nil && a.Fetch.HTTP != nil {
			op.HTTPClient = a.Fetch.HTTP
		}
	}), nil
}

// Facts asks for the object's head. Its hash is known where it was uploaded
// with a SHA-256 of the whole.
func (o object) Facts(ctx context.Context, a source.Asker) (*source.Facts, error) {
	head, err := o.head(ctx, a)
	if o.moved(err) {
		head, err = o.head(ctx, a)
	}
	if err != nil {
		return nil, o.refused(err)
	}
	f := &source.Facts{Source: o.source(), Size: aws.ToInt64(head.ContentLength), ETag: aws.ToString(head.ETag)}
	if v := aws.ToString(head.VersionId); v != "" && v != "null" {
		f.Source, f.Pinned = f.Source+"?versionId="+url.QueryEscape(v), true
	}
	if sum, err := base64.StdEncoding.DecodeString(aws.ToString(head.ChecksumSHA256)); err == nil && len(sum) == 32 && head.ChecksumType != types.ChecksumTypeComposite {
		f.SHA256 = hex.EncodeToString(sum)
	}
	return f, nil
}

func (o object) head(ctx context.Context, a source.Asker) (*s3.HeadObjectOutput, error) {
	c, err := o.client(ctx, a)
	if err != nil {
		return nil, err
	}
	return c.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &o.bucket, Key: &o.key, VersionId: o.versionID(), ChecksumMode: types.ChecksumModeEnabled})
}

// moved learns the region of a bucket from a refusal.
func (o object) moved(err error) bool {
	var resp *smithyhttp.ResponseError
	if !errors.As(err, &resp) || resp.Response == nil {
		return false
	}
	region := resp.Response.Header.Get("X-Amz-Bucket-Region")
	o.back.mu.Lock()
	defer o.back.mu.Unlock()
	if region == "" || o.back.regions[o.bucket] == region {
		return false
	}
	o.back.regions[o.bucket] = region
	return true
}

// signedFor is how long an address holds; it is made again when it ran out.
const signedFor = time.Hour

// Target is a signed address.
func (o object) Target(ctx context.Context, a source.Asker) (fetch.Target, error) {
	c, err := o.client(ctx, a)
	if err != nil {
		return fetch.Target{}, err
	}
	in := &s3.GetObjectInput{Bucket: &o.bucket, Key: &o.key, VersionId: o.versionID()}
	req, err := s3.NewPresignClient(c).PresignGetObject(ctx, in, s3.WithPresignExpires(signedFor))
	if err != nil {
		return fetch.Target{}, o.refused(err)
	}
	h := req.SignedHeader.Clone()
	h.Del("Host")
	return fetch.Target{URL: req.URL, Header: h}, nil
}

func (o object) refused(err error) error {
	var d *diag.Error
	if errors.As(err, &d) {
		return err
	}
	var resp *smithyhttp.ResponseError
	if !errors.As(err, &resp) || resp.HTTPStatusCode() == 0 {
		return &diag.Error{Code: "fetch_failed", Class: diag.ClassFailed, Retryable: true, Message: "asking S3 for " + o.source() + " failed", Err: err, Help: "try again"}
	}
	e := &diag.Error{Code: "model_not_found", Class: diag.ClassCheck, Message: fmt.Sprintf("%s: S3 says %d %s", o.source(), resp.HTTPStatusCode(), http.StatusText(resp.HTTPStatusCode())), Help: "check bucket, key and version"}
	if code := resp.HTTPStatusCode(); code == http.StatusForbidden || code == http.StatusUnauthorized || code == http.StatusBadRequest {
		e.Code, e.Class = "not_signed_in", diag.ClassAuth
		e.Help = "sign in to AWS (environment, profile or role), or set `auth:` of the model to the name of a secret that holds ACCESS_KEY:SECRET_KEY; S3 says so too where the object is not there and listing is not allowed"
	}
	return e
}
