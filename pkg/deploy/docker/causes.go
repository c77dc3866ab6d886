package docker

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"syscall"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/pkg/stdcopy"

	"github.com/comfyctl/comfyctl/internal/diag"
	"github.com/comfyctl/comfyctl/pkg/deploy"
)

// cause is a text of Docker, CUDA or Python, and what to do about it.
type cause struct {
	match *regexp.Regexp
	code  string
	help  string
}

// causes are looked for in the end of a log, first one first. A code replaces
// the error's own.
func causes() []cause {
	return []cause{
		{regexp.MustCompile(`CUDA out of memory|torch\.(cuda\.)?OutOfMemoryError|CUDA error: out of memory|HIP out of memory`), "",
			"the GPU's memory is too small for these models; raise gpu.vram, or serve fewer or smaller ones"},
		{regexp.MustCompile(`no kernel image is available for execution`), "", "this GPU is too old or too new for the torch in the image; set build.torch"},
		{regexp.MustCompile(`(?i)driver/library version mismatch`), "", "the NVIDIA driver was updated under a running kernel; restart the machine"},
		{regexp.MustCompile(`CUDA driver version is insufficient|driver on your system is too old`), "", "the NVIDIA driver is older than this CUDA; update it, or set build.torch to an earlier one"},
		{regexp.MustCompile(`Found no NVIDIA driver|Torch not compiled with CUDA enabled`), "", "this image and this machine do not agree on a GPU; `gpu: none` or --gpus none runs on the CPU"},
		{regexp.MustCompile(`ModuleNotFoundError: No module named`), "", "a Python package is missing in the image; add it to python_packages and pack again"},
		{regexp.MustCompile(`No space left on device|disk I/O error`), "disk_full", "`docker system df` shows what fills the disk of Docker"},
		{regexp.MustCompile(`(?i)permission denied: '?/opt/comfy/models`), "", "the model file is not readable for everybody; chmod a+r makes it so"},
		{regexp.MustCompile(`(?i)exec format error`), "", "the image was packed for another processor; pack with --platform"},
	}
}

// explainLog sets code and help from the first known cause in the facts.
func explainLog(e *diag.Error) {
	var text strings.Builder
	for _, f := range e.Facts {
		text.WriteString(f[1] + "\n")
	}
	if e.Err != nil {
		text.WriteString(e.Err.Error())
	}
	for _, c := range causes() {
		if c.match.MatchString(text.String()) {
			e.Help = c.help
			if c.code != "" {
				e.Code = c.code
			}
			return
		}
	}
}

// explainStart turns Docker's words into a cause and a remedy.
func explainStart(err error, s *deploy.Spec) error {
	msg := err.Error()
	e := &diag.Error{Code: "container_start", Class: diag.ClassFailed, Message: "Docker did not start the container", Err: err}
	has := func(parts ...string) bool {
		for _, p := range parts {
			if strings.Contains(msg, p) {
				return true
			}
		}
		return false
	}
	switch {
	case has("port is already allocated", "address already in use"):
		return taken(s.Port, "")
	case has("cannot assign requested address"):
		e.Code, e.Class, e.Message, e.Err = "bad_host", diag.ClassUsage, s.Host+" is no address of the machine that runs Docker", nil
		e.Help = "--host 127.0.0.1, or 0.0.0.0 for all of them"
	case has("version mismatch"):
		e.Code, e.Message = "no_gpu_runtime", "Docker cannot give the container a GPU"
		explainLog(e)
	case has("could not select device driver", "nvidia-container", "nvml error", "unresolvable CDI devices"):
		e.Code, e.Message = "no_gpu_runtime", "Docker cannot give the container a GPU"
		e.Help = "install the NVIDIA Container Toolkit, then `sudo nvidia-ctk runtime configure --runtime=docker` and restart Docker; --gpus none runs on the CPU"
	case has("No such image"):
		e.Code, e.Message, e.Help = "image_missing", "Docker does not have the image "+s.Image, "`comfyctl pack` puts it there"
	case has("bind source path does not exist"):
		e.Code, e.Message = "model_missing", "a model file is not on the machine that runs Docker"
		e.Help = "with a Docker elsewhere, or in a virtual machine that does not share this folder, --baked takes the models along in the image"
	default:
		explainLog(e)
	}
	return e
}

// taken is the error of a port that something else holds.
func taken(port int, by string) *diag.Error {
	e := &diag.Error{Code: "port_taken", Class: diag.ClassFailed, Message: "port " + strconv.Itoa(port) + " is taken",
		Help:    "stop what listens there, or choose another: `targets: { local: { type: docker, port: 8081 } }`, or -p PORT; -p 0 takes a free one",
		Details: map[string]any{"port": port}}
	if by != "" {
		e.Message += " by " + by
	}
	return e
}

// portFree is an error where a port cannot be had, said before anything is
// stopped. What this target itself publishes does not count.
func (t *Target) portFree(ctx context.Context, s *deploy.Spec, now *standing) error {
	if s.Port == 0 {
		return nil
	}
	list, err := t.Engine.ContainerList(ctx, container.ListOptions{Filters: filters.NewArgs(filters.Arg("publish", strconv.Itoa(s.Port)))})
	if err != nil {
		return fmt.Errorf("looking for what publishes port %d: %w", s.Port, err)
	}
	ours := false
	for _, c := range list {
		switch {
		case now.serving != nil && c.ID == now.serving.ID:
			ours = true
		case c.Labels[labelService] != "":
			return taken(s.Port, fmt.Sprintf("container %s, service %s on target %s", name(c), c.Labels[labelService], c.Labels[labelTarget]))
		default:
			return taken(s.Port, "container "+name(c))
		}
	}
	if ours {
		return nil
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", net.JoinHostPort(address(s.Host), strconv.Itoa(s.Port)))
	if err == nil {
		return l.Close()
	}
	if errors.Is(err, syscall.EADDRINUSE) {
		return taken(s.Port, "")
	}
	return nil // Docker may be allowed what this user is not
}

// died explains a container that stopped before it was ready.
func (t *Target) died(ctx context.Context, id string, st *container.State) error {
	e := &diag.Error{Code: "engine_died", Class: diag.ClassFailed, Message: "the release stopped while it started: " + exitReason(st),
		Facts: t.tail(ctx, id), Details: map[string]any{"exit_code": st.ExitCode, "oom_killed": st.OOMKilled}}
	switch {
	case st.OOMKilled, st.ExitCode == 137:
		e.Help = "it was killed, most likely for memory; give the machine more, or serve fewer models"
	case st.ExitCode == 126, st.ExitCode == 127:
		e.Help = "the image has no runner that can start here; was it packed for another platform?"
	case st.ExitCode == 139:
		e.Help = "it crashed inside a library; the last lines say which was loaded"
	}
	if e.Help == "" {
		explainLog(e)
	}
	return e
}

// engineFailed explains a runner whose engine does not come up.
func (t *Target) engineFailed(ctx context.Context, id string, got *ready) error {
	e := &diag.Error{Code: "engine_died", Class: diag.ClassFailed, Message: "the engine cannot be started", Facts: t.tail(ctx, id)}
	if got.Engine.Stage == "backoff" {
		e.Message = fmt.Sprintf("the engine stopped %d times while it started", got.Engine.Restarts+1)
	}
	if got.Engine.Reason != "" {
		e.Facts = append([][2]string{{"reason", diag.Safe(got.Engine.Reason)}}, e.Facts...)
	}
	explainLog(e)
	return e
}

func (t *Target) late(ctx context.Context, s *deploy.Spec, id string) error {
	e := &diag.Error{Code: "not_ready", Class: diag.ClassFailed, Message: fmt.Sprintf("the release was not ready within %s", readyLimit(s)), Facts: t.tail(ctx, id)}
	explainLog(e)
	if e.Help == "" {
		e.Help = "raise runner.timeouts.start in the service file or pass --wait, if the last lines show that it was getting there"
	}
	return e
}

// tail is the end of a container's log, as facts of an error.
func (t *Target) tail(ctx context.Context, id string) [][2]string {
	r, err := t.Engine.ContainerLogs(context.WithoutCancel(ctx), id, container.LogsOptions{ShowStdout: true, ShowStderr: true, Tail: "30"})
	if err != nil {
		return nil
	}
	defer r.Close()
	var b bytes.Buffer
	if _, err := stdcopy.StdCopy(&b, &b, r); err != nil || b.Len() == 0 {
		return nil
	}
	return [][2]string{{"last lines", diag.Safe(strings.TrimSpace(plain(b.String())))}}
}

func exitReason(s *container.State) string {
	switch {
	case s.OOMKilled:
		return fmt.Sprintf("exit %d, killed for memory", s.ExitCode)
	case s.Error != "":
		return s.Error
	}
	return fmt.Sprintf("exit %d", s.ExitCode)
}

// client is what asks the runner.
func (t *Target) client() *http.Client {
	if t.HTTP != nil {
		return t.HTTP
	}
	return http.DefaultClient
}
