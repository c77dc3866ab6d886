package pack

import (
	"fmt"
	"net/url"
	"path/filepath"
	"strings"

	"github.com/comfyctl/comfyctl/internal/diag"
)

// location is a model's source, read.
type location struct {
	file string // a path on this machine
	url  string // http or https
	host string // of url, where the model's secret may go
}

// hfEndpoint is Hugging Face's address.
const hfEndpoint = "https://huggingface.co"

// locate reads a source: a path, https://… or hf://owner/repo/file[@revision].
func locate(source, dir, endpoint string) (location, error) {
	scheme, rest, ok := strings.Cut(source, "://")
	if !ok || len(scheme) == 1 { // one letter is a Windows drive
		file := source
		if !filepath.IsAbs(file) {
			file = filepath.Join(dir, filepath.FromSlash(file))
		}
		return location{file: file}, nil
	}
	switch strings.ToLower(scheme) {
	case "file":
		return location{file: filepath.FromSlash(rest)}, nil
	case "http", "https":
		u, err := url.Parse(source)
		if err != nil || u.Host == "" {
			return location{}, badSource(source, "it is no address")
		}
		return location{url: source, host: u.Host}, nil
	case "hf":
		return hugging(source, rest, endpoint)
	case "civitai", "s3", "gs", "az", "oci":
		return location{}, badSource(source, "this version cannot fetch from "+scheme+":// yet")
	}
	return location{}, badSource(source, "no such scheme is known")
}

func hugging(source, rest, endpoint string) (location, error) {
	rest, rev, ok := strings.Cut(rest, "@")
	if !ok {
		rev = "main"
	}
	parts := strings.Split(rest, "/")
	if len(parts) < 3 || rev == "" {
		return location{}, badSource(source, "write hf://OWNER/REPO/FILE or hf://OWNER/REPO/FILE@REVISION")
	}
	for i, p := range parts {
		if p == "" || p == "." || p == ".." {
			return location{}, badSource(source, "its path has an empty or dotted part")
		}
		parts[i] = url.PathEscape(p)
	}
	if endpoint == "" {
		endpoint = hfEndpoint
	}
	repo, file := strings.Join(parts[:2], "/"), strings.Join(parts[2:], "/")
	u, err := url.Parse(fmt.Sprintf("%s/%s/resolve/%s/%s", strings.TrimSuffix(endpoint, "/"), repo, url.PathEscape(rev), file))
	if err != nil {
		return location{}, badSource(source, "it makes no address")
	}
	return location{url: u.String(), host: u.Host}, nil
}

func badSource(source, why string) error {
	return &diag.Error{Code: "source_unsupported", Class: diag.ClassCheck,
		Message: fmt.Sprintf("cannot fetch %q: %s", source, why),
		Help:    "use a path on this machine, https://HOST/FILE, or hf://OWNER/REPO/FILE@REVISION"}
}
