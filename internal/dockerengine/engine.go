// Package dockerengine is the only place that talks to the Docker Engine: a
// thin, typed layer over its client, so that moving to another client is a
// change of one package. It negotiates the API version, so every Engine since
// 1.24 will do; building needs BuildKit, which is in 18.09 and later.
package dockerengine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/docker/docker/client"

	"github.com/comfyctl/comfyctl/internal/diag"
	"github.com/comfyctl/comfyctl/internal/diskspace"
)

// Engine is a connection to one Docker Engine.
type Engine struct {
	api  *client.Client
	info Info
}

// Info is what an Engine says about itself.
type Info struct {
	Version  string // of the Engine, such as 20.10.24
	API      string // negotiated, such as 1.41
	OS, Arch string // of the machine that runs containers, in Go's words
	Root     string // its data folder on that machine
	Runtimes []string
	CPUs     int
	Memory   int64 // bytes
	// ContainerdStore is true where images live in containerd's store, which
	// takes no placeholders for layers that it has.
	ContainerdStore bool
	Rootless        bool
}

type settings struct {
	lookup func(string) (string, bool)
}

// Option changes how New connects.
type Option func(*settings)

// WithEnv reads DOCKER_HOST, DOCKER_TLS_VERIFY, DOCKER_CERT_PATH and
// DOCKER_API_VERSION through lookup, as Docker's own command does. Without it
// the Engine of this machine is used.
func WithEnv(lookup func(string) (string, bool)) Option {
	return func(s *settings) { s.lookup = lookup }
}

// New connects and asks the Engine about itself. An Engine that does not
// answer is an error of code docker_unavailable, which says why and what to do.
func New(ctx context.Context, opts ...Option) (*Engine, error) {
	s := settings{lookup: func(string) (string, bool) { return "", false }}
	for _, o := range opts {
		o(&s)
	}
	api, err := dial(s.lookup)
	if err != nil {
		return nil, unavailable("", err)
	}
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	if _, err := api.Ping(ctx); err != nil {
		host := api.DaemonHost()
		_ = api.Close()
		return nil, unavailable(host, err)
	}
	i, err := api.Info(ctx)
	if err != nil {
		host := api.DaemonHost()
		_ = api.Close()
		return nil, unavailable(host, err)
	}
	e := &Engine{api: api, info: Info{
		Version: i.ServerVersion, API: api.ClientVersion(), OS: i.OSType, Arch: goArch(i.Architecture),
		Root: i.DockerRootDir, CPUs: i.NCPU, Memory: i.MemTotal,
	}}
	for name := range i.Runtimes {
		e.info.Runtimes = append(e.info.Runtimes, name)
	}
	slices.Sort(e.info.Runtimes)
	for _, kv := range i.DriverStatus {
		if kv[0] == "driver-type" && strings.HasPrefix(kv[1], "io.containerd.snapshotter") {
			e.info.ContainerdStore = true
		}
	}
	e.info.Rootless = slices.ContainsFunc(i.SecurityOptions, func(o string) bool { return strings.Contains(o, "rootless") })
	return e, nil
}

func dial(lookup func(string) (string, bool)) (*client.Client, error) {
	opts := []client.Opt{client.WithAPIVersionNegotiation(), client.WithUserAgent("comfyctl")}
	if dir, ok := lookup("DOCKER_CERT_PATH"); ok && dir != "" {
		if v, _ := lookup("DOCKER_TLS_VERIFY"); v != "" {
			opts = append(opts, client.WithTLSClientConfig(dir+"/ca.pem", dir+"/cert.pem", dir+"/key.pem"))
		}
	}
	if host, ok := lookup("DOCKER_HOST"); ok && host != "" {
		opts = append(opts, client.WithHost(host))
	}
	if v, ok := lookup("DOCKER_API_VERSION"); ok && v != "" {
		opts = append(opts, client.WithVersion(v))
	}
	return client.NewClientWithOpts(opts...)
}

// unavailable explains why the Engine does not answer.
func unavailable(host string, err error) error {
	e := &diag.Error{
		Code: "docker_unavailable", Class: diag.ClassFailed, Retryable: true,
		Message: "Docker does not answer", Err: err,
		Help: "start Docker (`sudo systemctl start docker`, or Docker Desktop), or set DOCKER_HOST to where it listens;\n`comfyctl pack --engine stub` and `comfyctl run --stub` need no Docker",
	}
	if host != "" {
		e.Message = "Docker does not answer at " + host
	}
	path, isSocket := strings.CutPrefix(host, "unix://")
	switch {
	case errors.Is(err, os.ErrPermission):
		e.Message = "not allowed to use Docker at " + host
		e.Help = "add this user to the group docker (`sudo usermod -aG docker $USER`, then log in again), or use rootless Docker"
	case isSocket:
		if _, serr := os.Stat(path); errors.Is(serr, os.ErrNotExist) {
			e.Message = "Docker is not running here: there is no " + path
		}
	}
	return e
}

// Close gives the connection back.
func (e *Engine) Close() error { return e.api.Close() }

// Info is what the Engine said about itself when it was connected to.
func (e *Engine) Info() Info { return e.info }

// Host is the address of the Engine, such as unix:///var/run/docker.sock.
func (e *Engine) Host() string { return e.api.DaemonHost() }

// Local reports whether the Engine's files are those of this machine, so that
// its folders can be bound and its disk measured.
func (e *Engine) Local() bool {
	if !strings.HasPrefix(e.api.DaemonHost(), "unix://") {
		return false
	}
	_, err := os.Stat(e.info.Root)
	// Docker Desktop's socket is local, its data folder is in a virtual machine.
	return err == nil || errors.Is(err, os.ErrPermission)
}

// HasGPU reports whether containers can be given GPUs. Where this machine has
// the devices but Docker lacks the runtime for them it is true as well: asking
// then gives an error that says what is missing, which is better than the CPU
// without a word.
func (e *Engine) HasGPU() bool {
	if slices.Contains(e.info.Runtimes, "nvidia") {
		return true
	}
	if !e.Local() {
		return false
	}
	for _, device := range []string{"/dev/nvidiactl", "/dev/dxg"} {
		if _, err := os.Stat(device); err == nil {
			return true
		}
	}
	return false
}

// FreeDisk is the number of bytes free in the Engine's data folder; ok is
// false where it cannot be known from here.
func (e *Engine) FreeDisk() (free int64, ok bool) {
	if !e.Local() {
		return 0, false
	}
	n, err := diskspace.Free(e.info.Root)
	return n, err == nil
}

// IsNotFound reports whether an error of this package says that the image,
// container, network or volume does not exist.
func IsNotFound(err error) bool { return cerrdefs.IsNotFound(err) }

// IsConflict reports whether a name is taken or an object is in use.
func IsConflict(err error) bool { return cerrdefs.IsConflict(err) }

// goArch turns uname's words into Go's.
func goArch(arch string) string {
	switch arch {
	case "x86_64":
		return "amd64"
	case "aarch64":
		return "arm64"
	}
	return arch
}

func doing(act string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", act, err)
}

// API is the client itself, for packages that declare what they need of it.
func (e *Engine) API() client.APIClient { return e.api }
