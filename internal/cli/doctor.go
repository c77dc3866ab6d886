package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/docker/go-units"
	"github.com/spf13/cobra"

	"github.com/comfyctl/comfyctl/internal/diag"
	"github.com/comfyctl/comfyctl/internal/diskspace"
	"github.com/comfyctl/comfyctl/internal/dockerengine"
	"github.com/comfyctl/comfyctl/internal/runnerbin"
	"github.com/comfyctl/comfyctl/internal/term"
	"github.com/comfyctl/comfyctl/pkg/pack"
)

// DoctorOptions of `comfyctl doctor`.
type DoctorOptions struct{}

func newDoctorCmd(a *App, f runFunc[DoctorOptions]) *cobra.Command {
	return &cobra.Command{
		Use:     "doctor",
		Short:   "Check Docker, GPU, disk and tools",
		Example: "comfyctl doctor\ncomfyctl doctor -o json",
		GroupID: groupHelp,
		Args:    noArgs,
		RunE:    run(a, &DoctorOptions{}, f),
	}
}

// checkup is one line of the doctor.
type checkup struct {
	Name  string `json:"name"`
	State string `json:"state"` // ok, failed, absent
	Text  string `json:"text"`
	// Help is the command that mends it.
	Help string `json:"help,omitempty"`
	// Needed is true where the service file at hand needs it.
	Needed bool `json:"needed"`
}

const (
	checkOK     = "ok"
	checkFailed = "failed"
	checkAbsent = "absent" // not there, and not needed by everybody
)

// needs is what the service file at hand asks of a machine.
type needs struct {
	file    string
	gpu     bool
	disk    int64
	secrets []string
	models  int
}

func runDoctor(ctx context.Context, a *App, _ *DoctorOptions) error {
	need := a.needs()
	list := []checkup{{Name: "comfyctl", State: checkOK, Text: fmt.Sprintf("%s, %s/%s", version, runtime.GOOS, runtime.GOARCH)}}
	engine, docker := a.checkDocker(ctx)
	list = append(list, docker...)
	if engine != nil {
		defer engine.Close()
	}
	list = append(list, a.checkGPU(ctx, engine, need), a.checkDisk(engine, need))
	list = append(list, checkTool(ctx, "git", "git fetches ComfyUI and node packs", "--version"), checkRunner(ctx))
	list = append(list, a.checkService(need)...)
	a.reply.data = map[string]any{"checks": list, "service": need.file}
	broken := 0
	var b strings.Builder
	con := a.console()
	for _, c := range list {
		mark := con.Mark(con.Out, term.OK)
		switch {
		case c.State == checkFailed && c.Needed:
			mark = con.Mark(con.Out, term.Fail)
			broken++
		case c.State == checkFailed:
			mark = con.Mark(con.Out, term.Warn)
		case c.State == checkAbsent:
			mark = con.Mark(con.Out, term.Idle)
		}
		fmt.Fprintf(&b, "  %s %-9s %s\n", mark, c.Name, diag.Safe(c.Text))
		if c.Help != "" {
			fmt.Fprintf(&b, "              = help: %s\n", strings.ReplaceAll(diag.Safe(c.Help), "\n", "\n                      "))
		}
	}
	if err := a.print(b.String()); err != nil {
		return err
	}
	if broken > 0 {
		return checkError("unhealthy", fmt.Sprintf("%s that %s needs %s broken", count(broken, "thing"), need.file, map[bool]string{true: "is", false: "are"}[broken == 1]), nil)
	}
	return nil
}

// needs reads the service file at hand; without one nothing is needed.
func (a *App) needs() needs {
	var n needs
	s := a.localService()
	if s == nil {
		return n
	}
	n.file = s.File
	n.gpu = s.GPU.Set && !s.GPU.None
	n.disk = s.Disk.Bytes
	n.secrets = s.Secrets
	n.models = len(s.Models)
	return n
}

func (a *App) checkDocker(ctx context.Context) (*dockerengine.Engine, []checkup) {
	e, err := a.docker(ctx)
	if err != nil {
		c := checkup{Name: "docker", State: checkAbsent, Text: err.Error(), Help: "sudo apt-get install docker.io && sudo systemctl start docker"}
		var d *diag.Error
		if errors.As(err, &d) {
			c.Text = d.Message
			if d.Help != "" {
				c.Help = d.Help
			}
		}
		c.Text += " (needed for all but the stub engine)"
		return nil, []checkup{c}
	}
	i := e.Info()
	list := []checkup{{Name: "docker", State: checkOK, Text: fmt.Sprintf("engine %s, API %s, %s/%s", i.Version, i.API, i.OS, i.Arch)}}
	build := checkup{Name: "buildkit", State: checkOK, Text: "in the engine"}
	major, _, _ := strings.Cut(i.Version, ".")
	if n, err := strconv.Atoi(major); err == nil && n < 19 {
		build = checkup{Name: "buildkit", State: checkFailed, Text: "engine " + i.Version + " is too old to build images", Help: "install Docker Engine 20.10 or later"}
	}
	return e, append(list, build)
}

func (a *App) checkGPU(ctx context.Context, e *dockerengine.Engine, need needs) checkup {
	c := checkup{Name: "gpu", Needed: need.gpu}
	name, err := output(ctx, "nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader")
	name = strings.Join(strings.Split(strings.TrimSpace(name), "\n"), "; ")
	runtimeThere := e != nil && slices.Contains(e.Info().Runtimes, "nvidia")
	switch {
	case err != nil && !need.gpu:
		c.State, c.Text = checkAbsent, "no NVIDIA driver; ComfyUI runs on the CPU"
	case err != nil:
		c.State, c.Text = checkFailed, "no NVIDIA driver, and "+need.file+" asks for a GPU; here ComfyUI runs on the CPU"
		c.Help, c.Needed = "install the NVIDIA driver: https://docs.nvidia.com/datacenter/tesla/driver-installation-guide/", false
	case e != nil && !runtimeThere:
		c.State, c.Text = checkFailed, name+": nvidia-smi works, Docker has no nvidia runtime"
		c.Help = "sudo nvidia-ctk runtime configure --runtime=docker && sudo systemctl restart docker"
	default:
		c.State, c.Text = checkOK, name
	}
	return c
}

// enoughDisk is what a small image and its build want.
const enoughDisk = 10 << 30

func (a *App) checkDisk(e *dockerengine.Engine, need needs) checkup {
	c := checkup{Name: "disk", State: checkOK}
	where, err := a.dir()
	if err != nil {
		c.State, c.Text = checkFailed, err.Error()
		return c
	}
	free, err := diskspace.Free(where)
	ok := err == nil
	if e != nil {
		if f, there := e.FreeDisk(); there {
			free, where, ok = f, e.Info().Root, true
		}
	}
	if !ok {
		c.State, c.Text = checkAbsent, "free space is not known"
		return c
	}
	c.Text = units.HumanSize(float64(free)) + " free in " + where
	want := max(need.disk, enoughDisk)
	if free < want {
		c.State, c.Needed = checkFailed, need.disk > 0
		c.Text += ", " + units.HumanSize(float64(want)) + " wanted"
		c.Help = "docker system prune"
	}
	return c
}

func output(ctx context.Context, name string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	b, err := exec.CommandContext(ctx, name, args...).Output()
	return string(b), err
}

func checkTool(ctx context.Context, name, why string, args ...string) checkup {
	out, err := output(ctx, name, args...)
	if err != nil {
		return checkup{Name: name, State: checkAbsent, Text: "not found; " + why, Help: "sudo apt-get install " + name}
	}
	return checkup{Name: name, State: checkOK, Text: strings.TrimSpace(out)}
}

func checkRunner(ctx context.Context) checkup {
	c := checkup{Name: "runner", State: checkOK}
	switch out, err := output(ctx, "go", "version"); {
	case runnerbin.Embedded(pack.DefaultPlatform):
		c.Text = "built in"
	case err == nil:
		c.Text = "compiled by " + strings.TrimSpace(out)
	default:
		c.State, c.Text = checkAbsent, "this build holds no comfy-runner and there is no Go toolchain; pack needs --runner FILE"
		c.Help = "install a release build of comfyctl"
	}
	return c
}

// checkService looks for what the service file at hand names.
func (a *App) checkService(need needs) []checkup {
	if need.file == "" {
		return []checkup{{Name: "service", State: checkAbsent, Text: "no comfyctl.yaml here", Help: "comfyctl init WORKFLOW"}}
	}
	list := []checkup{{Name: "service", State: checkOK, Text: fmt.Sprintf("%s, %s", need.file, count(need.models, "model"))}}
	for _, s := range need.secrets {
		if _, ok := a.secret(s); !ok {
			list = append(list, checkup{Name: "secret", State: checkFailed, Needed: true, Text: s + " is not set", Help: "export " + s + "=…, or " + s + "_FILE=/path"})
		}
	}
	s := a.localService()
	for _, m := range s.Models {
		for _, src := range m.Source {
			if strings.Contains(src, "://") || src == "" {
				continue
			}
			if _, err := os.Stat(a.besideService(src)); errors.Is(err, fs.ErrNotExist) {
				list = append(list, checkup{Name: "model", State: checkFailed, Needed: true, Text: src + " is not there", Help: "put the file there, or give " + m.Path + " another source"})
			}
		}
	}
	return list
}

// besideService resolves a path of the service file.
func (a *App) besideService(name string) string {
	file, err := a.serviceFile()
	if err != nil || filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(filepath.Dir(file), name)
}

// secret gives a secret's value from NAME or the file that NAME_FILE names.
func (a *App) secret(name string) (string, bool) {
	if v, ok := a.env[name]; ok && v != "" {
		return v, true
	}
	file, ok := a.env[name+"_FILE"]
	if !ok || file == "" {
		return "", false
	}
	if file == "-" {
		return a.fromStdin()
	}
	b, err := os.ReadFile(file)
	if err != nil {
		return "", false
	}
	return strings.TrimSpace(string(b)), true
}

// fromStdin is a secret that was piped in; stdin can be read once.
func (a *App) fromStdin() (string, bool) {
	if a.stdinSecret == nil {
		b, err := io.ReadAll(io.LimitReader(a.in, 1<<20))
		text := strings.TrimSpace(string(b))
		if err != nil {
			text = ""
		}
		a.stdinSecret = &text
	}
	return *a.stdinSecret, *a.stdinSecret != ""
}
