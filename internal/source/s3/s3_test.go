package s3

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"go.uber.org/goleak"

	"github.com/comfyctl/comfyctl/internal/cas"
	"github.com/comfyctl/comfyctl/internal/diag"
	"github.com/comfyctl/comfyctl/internal/fetch"
	"github.com/comfyctl/comfyctl/internal/source"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const access, secret = "AKIACOMFYCTL", "s3cretkey"

// gateway starts a real S3 server on a folder. It is versitygw, which
// hack/test-setup.sh installs; with CI=true a missing one is a failure.
func gateway(t *testing.T) string {
	t.Helper()
	bin, err := exec.LookPath("versitygw")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("CI=true, and versitygw is not in PATH")
		}
		t.Skip("versitygw is not in PATH; hack/test-setup.sh installs it")
	}
	var lc net.ListenConfig
	l, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	_ = l.Close()
	data, versions := t.TempDir(), t.TempDir()
	cmd := exec.Command(bin, "--port", addr, "--access", access, "--secret", secret, "--region", "eu-test-1", "--quiet", "posix", "--versioning-dir", versions, data) //nolint:noctx // ended below
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-done
	})
	for range 200 {
		select {
		case err := <-done:
			done <- err
			t.Fatalf("versitygw ended: %v\n%s", err, out.String())
		default:
		}
		if conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", addr); err == nil {
			_ = conn.Close()
			return "http://" + addr
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatal("versitygw does not answer")
	return ""
}

func safetensors(n int) []byte {
	h, _ := json.Marshal(map[string]any{"w": map[string]any{"dtype": "U8", "shape": []int{n}, "data_offsets": []int{0, n}}})
	b := binary.LittleEndian.AppendUint64(nil, uint64(len(h)))
	return append(append(b, h...), bytes.Repeat([]byte{byte(n)}, n)...)
}

// fill makes a bucket with versions, and returns the versions of two.bin.
func fill(t *testing.T, url string, hc *http.Client, one, old, now []byte) (first string) {
	t.Helper()
	ctx := t.Context()
	conf, err := config.LoadDefaultConfig(ctx, config.WithRegion("eu-test-1"), config.WithBaseEndpoint(url),
		config.WithCredentialsProvider(credentials.NewStaticCredentialsProvider(access, secret, "")))
	if err != nil {
		t.Fatal(err)
	}
	c := s3.NewFromConfig(conf, func(o *s3.Options) { o.UsePathStyle, o.HTTPClient = true, hc })
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	bucket := aws.String("models")
	_, err = c.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: bucket})
	must(err)
	_, err = c.PutBucketVersioning(ctx, &s3.PutBucketVersioningInput{Bucket: bucket, VersioningConfiguration: &types.VersioningConfiguration{Status: types.BucketVersioningStatusEnabled}})
	must(err)
	put := func(key string, b []byte, sum types.ChecksumAlgorithm) string {
		out, err := c.PutObject(ctx, &s3.PutObjectInput{Bucket: bucket, Key: aws.String(key), Body: bytes.NewReader(b), ChecksumAlgorithm: sum})
		must(err)
		return aws.ToString(out.VersionId)
	}
	put("a dir/one.safetensors", one, types.ChecksumAlgorithmSha256)
	first = put("two.safetensors", old, types.ChecksumAlgorithmCrc32)
	put("two.safetensors", now, types.ChecksumAlgorithmCrc32)
	return first
}

func TestRealServer(t *testing.T) {
	url := gateway(t)
	tr := &http.Transport{}
	hc := &http.Client{Transport: tr}
	t.Cleanup(tr.CloseIdleConnections)
	one, old, now := safetensors(20_000_000), safetensors(1000), safetensors(2000)
	first := fill(t, url, hc, one, old, now)
	t.Setenv("AWS_ENDPOINT_URL_S3", url)
	t.Setenv("AWS_REGION", "eu-test-1")
	t.Setenv("AWS_ACCESS_KEY_ID", access)
	t.Setenv("AWS_SECRET_ACCESS_KEY", secret)
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	newClient := func() *source.Client {
		return source.New(cas.Open(t.TempDir()), source.Options{HTTP: hc, Backends: map[string]source.Backend{"s3": New()},
			Secret: func(n string) (string, bool) {
				return map[string]string{"GOOD": access + ":" + secret, "BAD": access + ":wrong" + secret, "ODD": "x"}[n], true
			}})
	}
	for _, tc := range []struct {
		source, auth string
		want         []byte
		hashed       bool
		code         string
	}{
		{"s3://models/a dir/one.safetensors", "", one, true, ""},
		{"s3://models/two.safetensors", "GOOD", now, false, ""},
		{"s3://models/two.safetensors?versionId=" + first, "", old, false, ""},
		{"s3://models/none.safetensors", "", nil, false, "model_not_found"},
		{"s3://models/two.safetensors", "BAD", nil, false, "not_signed_in"},
		{"s3://models/two.safetensors", "ODD", nil, false, "secret_unusable"},
		{"s3://models", "", nil, false, "source_unsupported"},
		{"s3://models/x?X-Amz-Signature=" + secret, "", nil, false, "source_unsupported"},
	} {
		c := newClient()
		w := source.Want{Path: "x/m.safetensors", Sources: []string{tc.source}, Auth: tc.auth}
		facts, err := c.Describe(t.Context(), w)
		if tc.code != "" {
			var e *diag.Error
			if !errors.As(err, &e) || e.Code != tc.code || e.Help == "" || strings.Contains(fmt.Sprint(e, e.Facts), secret) {
				t.Errorf("%s: %v", tc.source, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", tc.source, err)
			continue
		}
		if facts.Size != int64(len(tc.want)) || (facts.SHA256 != "") != tc.hashed || !facts.Pinned || facts.Header == nil {
			t.Errorf("%s: %+v", tc.source, facts)
		}
		w.Sources = []string{facts.Source}
		got, err := c.Fetch(t.Context(), w)
		if err != nil {
			t.Errorf("%s: %v", facts.Source, err)
			continue
		}
		b, err := os.ReadFile(got.File)
		if err != nil || !bytes.Equal(b, tc.want) || tc.hashed && got.SHA256 != facts.SHA256 {
			t.Errorf("%s: other bytes, %v", tc.source, err)
		}
	}
}

// A server that is not there is an error soon, without credentials in it.
func TestNoServer(t *testing.T) {
	t.Setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:1")
	t.Setenv("AWS_ACCESS_KEY_ID", access)
	t.Setenv("AWS_SECRET_ACCESS_KEY", secret)
	t.Setenv("AWS_MAX_ATTEMPTS", "1")
	p, err := New().Locate("b/k")
	if err != nil {
		t.Fatal(err)
	}
	_, err = p.Facts(context.Background(), source.Asker{Name: "m", Fetch: &fetch.Client{HTTP: &http.Client{Transport: &http.Transport{}}}})
	var e *diag.Error
	if !errors.As(err, &e) || e.Code != "fetch_failed" || strings.Contains(err.Error(), secret) {
		t.Errorf("got %v", err)
	}
}
