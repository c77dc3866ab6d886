package git

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/comfyctl/comfyctl/internal/diag"
)

// Pointer is a file that Git LFS keeps outside of the repository.
type Pointer struct {
	Path   string `json:"path"`
	SHA256 string `json:"sha256"`
	Size   int64  `json:"size"` // bytes

	remote *mirror
}

// maxPointer is the size up to which a file is looked at as a pointer, in
// bytes.
const maxPointer = 1024

var pointerForm = regexp.MustCompile(`^version https://git-lfs\.github\.com/spec/v1\n(?:[a-z0-9.-]+ .*\n)*?oid sha256:([0-9a-f]{64})\nsize ([0-9]{1,15})\n`)

func parsePointer(b []byte) (Pointer, bool) {
	m := pointerForm.FindSubmatch(b)
	if m == nil {
		return Pointer{}, false
	}
	size, err := strconv.ParseInt(string(m[2]), 10, 64)
	return Pointer{SHA256: string(m[1]), Size: size}, err == nil
}

// large replaces pointers by their files.
func (m *mirror) large(ctx context.Context, root *os.Root, list []Pointer) error {
	var total int64
	for _, p := range list {
		if total += p.Size; total > maxBytes {
			return &diag.Error{Code: "source_too_big", Class: diag.ClassCheck, Message: "the LFS files of " + Redact(m.URL) + " are bigger than a node pack may be", Help: "list them under models: instead"}
		}
	}
	for _, p := range list {
		r, err := p.remote.object(ctx, p)
		if err == nil {
			err = replace(root, p, r)
		}
		if err != nil {
			var e *diag.Error
			if errors.As(err, &e) || ctx.Err() != nil {
				return err
			}
			return &diag.Error{Code: "git_fetch", Class: diag.ClassFailed, Retryable: true, Err: err, Message: fmt.Sprintf("cannot fetch %s of %s, which Git LFS keeps", p.Path, Redact(p.remote.URL)),
				Help: "without it the pack would hold a pointer in place of the file"}
		}
	}
	return nil
}

func replace(root *os.Root, p Pointer, r io.ReadCloser) error {
	defer r.Close()
	f, err := root.OpenFile(p.Path, os.O_TRUNC|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	h := sha256.New()
	n, err := io.Copy(io.MultiWriter(f, h), io.LimitReader(r, p.Size+1))
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	if got := hex.EncodeToString(h.Sum(nil)); n != p.Size || got != p.SHA256 {
		return &diag.Error{Code: "wrong_hash", Class: diag.ClassCheck, Message: p.Path + " is not the file that its Git LFS pointer names",
			Facts: [][2]string{{"expected", p.SHA256}, {"got", got}}, Help: "the server of the repository gave other bytes; nothing was kept"}
	}
	return nil
}

// object opens an LFS file: beside a repository of this machine, else by the
// batch protocol.
func (m *mirror) object(ctx context.Context, p Pointer) (io.ReadCloser, error) {
	if isFile(m.URL) {
		dir := strings.TrimPrefix(m.URL, "file://")
		var f *os.File
		var err error
		for _, base := range []string{dir, filepath.Join(dir, ".git")} {
			if f, err = os.Open(filepath.Join(base, "lfs", "objects", p.SHA256[:2], p.SHA256[2:4], p.SHA256)); err == nil {
				return f, nil
			}
		}
		return nil, err
	}
	if m.host() == "" {
		return nil, errors.New("it can be fetched over https only")
	}
	if m.cache.Offline {
		return nil, offline(p.Path + " of " + Redact(m.URL))
	}
	href, header, err := m.batch(ctx, p)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, href, nil)
	if err != nil {
		return nil, errors.New("the server gave no address for it")
	}
	for k, v := range header {
		req.Header.Set(k, v)
	}
	return m.send(req)
}

// batch asks where a file is.
func (m *mirror) batch(ctx context.Context, p Pointer) (href string, header map[string]string, err error) {
	type object struct {
		OID  string `json:"oid"`
		Size int64  `json:"size"`
	}
	body, err := json.Marshal(map[string]any{"operation": "download", "transfers": []string{"basic"}, "objects": []object{{p.SHA256, p.Size}}})
	if err != nil {
		return "", nil, err
	}
	address := strings.TrimSuffix(strings.TrimSuffix(m.URL, "/"), ".git") + ".git/info/lfs/objects/batch"
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader(body))
	if err != nil {
		return "", nil, err
	}
	req.Header.Set("Accept", "application/vnd.git-lfs+json")
	req.Header.Set("Content-Type", "application/vnd.git-lfs+json")
	if m.Token != "" {
		req.SetBasicAuth("x-access-token", m.Token)
	}
	r, err := m.send(req)
	if err != nil {
		return "", nil, err
	}
	defer r.Close()
	var answer struct {
		Objects []struct {
			Actions struct {
				Download struct {
					Href   string            `json:"href"`
					Header map[string]string `json:"header"`
				} `json:"download"`
			} `json:"actions"`
			Error struct {
				Message string `json:"message"`
			} `json:"error"`
		} `json:"objects"`
	}
	if err := json.NewDecoder(io.LimitReader(r, 1<<20)).Decode(&answer); err != nil {
		return "", nil, fmt.Errorf("reading the answer of the LFS server: %w", err)
	}
	if len(answer.Objects) != 1 {
		return "", nil, errors.New("the LFS server does not know it")
	}
	o := answer.Objects[0]
	if o.Actions.Download.Href == "" {
		return "", nil, errors.New("the LFS server does not give it: " + o.Error.Message)
	}
	return o.Actions.Download.Href, o.Actions.Download.Header, nil
}

// send returns the body of a 200. Go drops Authorization on the way to another
// host.
func (m *mirror) send(req *http.Request) (io.ReadCloser, error) {
	req.Header.Set("User-Agent", "comfyctl")
	client := http.Client{Timeout: time.Hour}
	resp, err := client.Do(req)
	if err != nil {
		return nil, errors.New(m.hide(err.Error()))
	}
	if resp.StatusCode != http.StatusOK {
		return nil, errors.Join(fmt.Errorf("the server of %s answers %s", Redact(m.URL), resp.Status), resp.Body.Close())
	}
	return resp.Body, nil
}
