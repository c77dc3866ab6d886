package docker

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/mount"
	"github.com/docker/go-connections/nat"

	"github.com/comfyctl/comfyctl/pkg/contract"
	"github.com/comfyctl/comfyctl/pkg/deploy"
)

// apiPort is where the runner listens inside the container.
const apiPort = nat.Port("8080/tcp")

// What a container may use.
const (
	shmSize = 8 << 30 // bytes; a bound, not a reservation
	pids    = 4096
	// tmp is writable and, unlike Docker's default, executable: compilers of
	// kernels, Triton's among them, write libraries there and load them.
	tmp = "rw,exec,nosuid,nodev"
)

// desired is a spec as Docker takes it, without the number of the release.
type desired struct {
	config *container.Config
	host   *container.HostConfig
	// gpu is none where no GPU is wanted, cpu where none can be had, else what
	// the container gets.
	gpu string
	// hash is the identity of all of it: equal hashes need no change.
	hash string
}

func (t *Target) desire(s *deploy.Spec) desired {
	d := desired{gpu: "none"}
	var devices []container.DeviceRequest
	switch {
	case s.Contract.GPU.Count == 0:
	case s.NoGPU || !t.HasGPU:
		d.gpu = "cpu"
	case len(s.GPUs) > 0:
		d.gpu = strings.Join(s.GPUs, ",")
		devices = []container.DeviceRequest{{DeviceIDs: s.GPUs, Capabilities: [][]string{{"gpu"}}}}
	default:
		d.gpu = strconv.Itoa(s.Contract.GPU.Count)
		devices = []container.DeviceRequest{{Count: s.Contract.GPU.Count, Capabilities: [][]string{{"gpu"}}}}
	}
	limit := int64(pids)
	d.config = &container.Config{Image: s.Image, Env: environment(s), ExposedPorts: nat.PortSet{apiPort: {}}, StopTimeout: grace(s), Labels: t.owner()}
	d.host = &container.HostConfig{
		PortBindings:   nat.PortMap{apiPort: {{HostIP: address(s.Host), HostPort: portText(s.Port)}}},
		RestartPolicy:  container.RestartPolicy{Name: container.RestartPolicyUnlessStopped},
		ReadonlyRootfs: true, Tmpfs: map[string]string{"/tmp": tmp},
		CapDrop: []string{"ALL"}, SecurityOpt: []string{"no-new-privileges"},
		ShmSize:   shmSize,
		LogConfig: container.LogConfig{Type: "local", Config: map[string]string{"max-size": "50m", "max-file": "5"}},
		Mounts: []mount.Mount{{Type: mount.TypeVolume, Source: t.base(), Target: contract.StatePath,
			VolumeOptions: &mount.VolumeOptions{Labels: t.owner()}}},
		Resources: container.Resources{PidsLimit: &limit, DeviceRequests: devices},
	}
	for _, m := range s.Mounts {
		d.host.Mounts = append(d.host.Mounts, mount.Mount{Type: mount.TypeBind, Source: m.Source, Target: m.Target, ReadOnly: true})
	}
	maps.Copy(d.config.Labels, map[string]string{labelDigest: s.ImageDigest, labelBaked: strconv.FormatBool(len(s.Mounts) == 0), labelGPU: d.gpu})
	if digest, err := s.Contract.Digest(); err == nil {
		d.config.Labels[labelContract] = digest
	}
	d.hash = hash(d.config, d.host)
	d.config.Labels[labelSpec] = d.hash
	return d
}

// environment of the runner: its settings and the secrets of the service.
func environment(s *deploy.Spec) []string {
	env := map[string]string{"PORT": apiPort.Port(), "COMFYCTL_IMAGE_DIGEST": s.ImageDigest}
	maps.Copy(env, s.RunnerEnv)
	maps.Copy(env, s.Secrets)
	if loopback(s.Host) && s.Contract.Auth == nil {
		env["COMFYCTL_AUTH"] = "off" // inside, the runner cannot see that only this machine reaches it
	}
	list := []string{}
	for _, k := range slices.Sorted(maps.Keys(env)) {
		list = append(list, k+"="+env[k])
	}
	return list
}

// grace is how many seconds a stop may take: the drain, and half a minute for
// the engine.
func grace(s *deploy.Spec) *int {
	n := int(s.Contract.Runner.Timeouts.DrainMS / 1000)
	if n == 0 {
		n = 120
	}
	n += 30
	return &n
}

func address(host string) string {
	switch host {
	case "", "localhost":
		return "127.0.0.1"
	}
	return host
}

func portText(port int) string {
	if port == 0 {
		return ""
	}
	return strconv.Itoa(port)
}

func loopback(host string) bool {
	a, err := netip.ParseAddr(address(host))
	return err == nil && a.IsLoopback()
}

// hash is the identity of what runs. Values of secrets are in it, but cannot
// be had back from it.
func hash(c *container.Config, h *container.HostConfig) string {
	b, err := json.Marshal(struct {
		C *container.Config
		H *container.HostConfig
	}{c, h})
	if err != nil {
		return ""
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])[:32]
}
