package files

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/url"
	"strings"

	"github.com/comfyctl/comfyctl/pkg/contract"
	"github.com/comfyctl/comfyctl/pkg/runner/inputs"
)

// Resolver turns what a caller gave for a file input into a stored file.
type Resolver struct {
	Store   *Store
	Fetcher *Fetcher
	Owner   Owner
	// Output stores another job's output, given as /v1/jobs/ID/outputs/NAME,
	// as a file; nil means that this is not taken.
	Output func(ctx context.Context, path string) (*Info, error)
}

// Resolve implements inputs.FileResolver.
func (r *Resolver) Resolve(ctx context.Context, value string, in contract.Input, fetch bool) (*inputs.StoredFile, error) {
	info, err := r.find(ctx, value, in.MaxSize, fetch)
	if err != nil || info == nil {
		return nil, err
	}
	if in.MaxSize > 0 && info.SizeBytes > in.MaxSize {
		return nil, fmt.Errorf("has %d bytes, at most %d are taken", info.SizeBytes, in.MaxSize)
	}
	if err := fits(info, in.Type); err != nil {
		return nil, err
	}
	return &inputs.StoredFile{SHA256: info.Hash[7:], Ext: extension(info, in.Type)}, nil
}

func (r *Resolver) find(ctx context.Context, value string, max int64, fetch bool) (*Info, error) {
	switch {
	case strings.HasPrefix(value, "file_"), strings.HasPrefix(value, "sha256:"):
		info, err := r.Store.Get(value, r.Owner)
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
		if !fetch {
			if err := r.Fetcher.Check(value); err != nil {
				return nil, fmt.Errorf("cannot be fetched: %w", err)
			}
			return nil, nil
		}
		info, err := r.Fetcher.Fetch(ctx, r.Store, value, max, r.Owner)
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
	var info *Info
	var err error
	if declared, is64 := strings.CutSuffix(meta, ";base64"); is64 {
		info, err = r.Store.Add(base64.NewDecoder(base64.StdEncoding, strings.NewReader(body)), "", max, r.Owner, true)
		var corrupt base64.CorruptInputError
		if errors.As(err, &corrupt) || errors.Is(err, io.ErrUnexpectedEOF) {
			return nil, errors.New("is not a data URI: the base64 is broken")
		}
		meta = declared
	} else {
		text, unescaped := url.PathUnescape(body)
		if unescaped != nil {
			return nil, errors.New("is not a data URI: the escapes are broken")
		}
		info, err = r.Store.Add(strings.NewReader(text), "", max, r.Owner, true)
	}
	if err != nil {
		return nil, err
	}
	return info, Declared(info, meta)
}

// Declared is an error where the sender called the content a picture, a film or
// a sound and it is none. Which format of it does not matter: the content
// decides.
func Declared(info *Info, contentType string) error {
	media, _, _ := mime.ParseMediaType(contentType) // empty where nothing was declared
	family, _, _ := strings.Cut(media, "/")
	switch family {
	case "image", "video", "audio":
		if actual, _, _ := strings.Cut(info.ContentType, "/"); actual != family {
			return fmt.Errorf("is sent as %s, and its content is %s", media, info.ContentType)
		}
	}
	return nil
}

// fits checks a file's content against the type of the input.
func fits(info *Info, typ string) error {
	want := typ
	switch typ {
	case contract.TypeFile:
		return nil
	case contract.TypeModel3:
		// Many formats, most of them text or without a mark of their own.
		switch info.Type {
		case "image", "video", "audio":
			return fmt.Errorf("takes a 3D model, and the file is %s", info.ContentType)
		}
		return nil
	case contract.TypeLatent:
		if info.Type != "latent" && info.Ext != ".safetensors" {
			return fmt.Errorf("takes a latent, and the file is %s", info.ContentType)
		}
		return nil
	case contract.TypeMask:
		want = contract.TypeImage
	}
	if info.Type == want {
		return nil
	}
	err := fmt.Errorf("takes %s, and the file is %s", article(want), info.ContentType)
	if want == contract.TypeImage {
		return fmt.Errorf("%w; pictures are PNG, JPEG, WebP, GIF, BMP or TIFF", err)
	}
	return err
}

// extension is the file's name ending at the engine, whose loaders choose by
// it.
func extension(info *Info, typ string) string {
	if typ == contract.TypeLatent {
		return ".latent"
	}
	return info.Ext
}

func article(typ string) string {
	if strings.ContainsAny(typ[:1], "aeiou") {
		return "an " + typ
	}
	return "a " + typ
}
