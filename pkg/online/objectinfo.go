package online

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/comfyctl/comfyctl/internal/diag"
	"github.com/comfyctl/comfyctl/internal/fetch"
)

const (
	// maxObjectInfo bounds the answer; one with many node packs has some MB.
	maxObjectInfo     = 256 << 20
	objectInfoTimeout = time.Minute
)

// ObjectInfo asks a running ComfyUI for its node definitions. address is that
// of the server, or of its /object_info.
func ObjectInfo(ctx context.Context, transport http.RoundTripper, address string) ([]byte, error) {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" {
		return nil, &diag.Error{Code: "bad_object_info", Class: diag.ClassUsage, Message: "`" + fetch.Redact(address) + "` is no address", Help: "write it like http://127.0.0.1:8188"}
	}
	if !strings.HasSuffix(u.Path, "/object_info") {
		u.Path = strings.TrimSuffix(u.Path, "/") + "/object_info"
	}
	ctx, cancel := context.WithTimeout(ctx, objectInfoTimeout)
	defer cancel()
	b, err := get(ctx, transport, u.String())
	if err != nil {
		if errors.Is(ctx.Err(), context.Canceled) {
			return nil, ctx.Err()
		}
		return nil, &diag.Error{Code: "object_info_unreachable", Class: diag.ClassFailed, Retryable: true, Err: err,
			Message: "ComfyUI at " + fetch.Redact(address) + " gives no node definitions", Help: "is it running there? --object-info takes a file too"}
	}
	return b, nil
}

func get(ctx context.Context, transport http.RoundTripper, address string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("User-Agent", "comfyctl")
	resp, err := (&http.Client{Transport: transport}).Do(req)
	if err != nil {
		return nil, cause(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, errors.New("it says " + resp.Status)
	}
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxObjectInfo+1))
	if err != nil {
		return nil, cause(err)
	}
	if len(b) > maxObjectInfo {
		return nil, fmt.Errorf("the answer is larger than %d bytes", maxObjectInfo)
	}
	return b, nil
}
