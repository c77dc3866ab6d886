package files

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/comfyctl/comfyctl/pkg/contract"
	"github.com/comfyctl/comfyctl/pkg/runner/inputs"
)

// Resolver turns what a caller gave for a file input into a stored file.
type Resolver struct {
	Store   *Store
	Fetcher *Fetcher
	// Output finds the hash of another job's output, given as
	// /v1/jobs/ID/outputs/NAME; nil means that this is not taken.
	Output func(ctx context.Context, path string) (*Info, error)
}

// Resolve implements inputs.FileResolver.
func (r *Resolver) Resolve(ctx context.Context, value string, in contract.Input) (*inputs.StoredFile, error) {
	info, err := r.find(ctx, value, in.MaxSize)
	if err != nil {
		return nil, err
	}
	if in.MaxSize > 0 && info.SizeBytes > in.MaxSize {
		return nil, fmt.Errorf("has %d bytes, at most %d are taken", info.SizeBytes, in.MaxSize)
	}
	if err := fits(info, in.Type); err != nil {
		return nil, err
	}
	return &inputs.StoredFile{SHA256: info.Hash[7:], Ext: info.Ext}, nil
}

func (r *Resolver) find(ctx context.Context, value string, max int64) (*Info, error) {
	switch {
	case strings.HasPrefix(value, "file_"), strings.HasPrefix(value, "sha256:"):
		info, err := r.Store.Get(value)
		if errors.Is(err, ErrNotFound) {
			return nil, errors.New("names a file that is not here; send it to POST /v1/files first")
		}
		return info, err
	case strings.HasPrefix(value, "data:"):
		return r.data(value, max)
	case strings.HasPrefix(value, "/v1/jobs/") && r.Output != nil:
		return r.Output(ctx, value)
	case strings.HasPrefix(value, "https://"), strings.HasPrefix(value, "http://"):
		if r.Fetcher == nil {
			return nil, errors.New("is a URL, and this service fetches none")
		}
		info, err := r.Fetcher.Fetch(ctx, r.Store, value, max)
		if err != nil {
			return nil, fmt.Errorf("cannot be fetched: %w", err)
		}
		return info, nil
	}
	return nil, errors.New("is not a file: send an id (file_…), a hash (sha256:…), a data: or https: URL, or the file itself as multipart")
}

func (r *Resolver) data(value string, max int64) (*Info, error) {
	meta, body, ok := strings.Cut(strings.TrimPrefix(value, "data:"), ",")
	if !ok {
		return nil, errors.New("is not a data URI: there is no comma")
	}
	if strings.HasSuffix(meta, ";base64") {
		info, err := r.Store.Add(base64.NewDecoder(base64.StdEncoding, strings.NewReader(body)), "", max)
		var corrupt base64.CorruptInputError
		if errors.As(err, &corrupt) {
			return nil, errors.New("is not a data URI: the base64 is broken")
		}
		return info, err
	}
	text, err := url.PathUnescape(body)
	if err != nil {
		return nil, errors.New("is not a data URI: the escapes are broken")
	}
	return r.Store.Add(strings.NewReader(text), "", max)
}

// fits checks a file's content against the type of the input; what the caller
// said the content was does not count.
func fits(info *Info, typ string) error {
	want := typ
	switch typ {
	case contract.TypeFile:
		return nil
	case contract.TypeMask:
		want = contract.TypeImage
	}
	if info.Type != want {
		return fmt.Errorf("takes %s, and the file is %s", article(want), info.ContentType)
	}
	return nil
}

func article(typ string) string {
	if strings.ContainsAny(typ[:1], "aeiou") {
		return "an " + typ
	}
	return "a " + typ
}
