package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"time"
)

// detach starts `run` in a process of its own and returns when it is ready.
func (a *App) detach(ctx context.Context, o *RunOptions, p *project) error {
	state := filepath.Join(p.Dir, stateDir)
	if r, ok := readRunning(state); ok && alive(r.PID) {
		return failure("runs_already", fmt.Sprintf("%s runs already (process %d)", r.URL, r.PID), "comfyctl destroy --stub", nil)
	}
	// The port is tried here, so that a taken one is said at once.
	l, err := listen(ctx, o.Host, o.Port)
	if err != nil {
		return err
	}
	if err := l.Close(); err != nil {
		return fmt.Errorf("closing the port: %w", err)
	}
	exe, err := os.Executable()
	if err != nil {
		return failure("no_executable", "comfyctl cannot find itself", "run without --detach", err)
	}
	if err := os.MkdirAll(state, 0o755); err != nil {
		return failure("cannot_write", a.shown(state)+" cannot be made", "", err)
	}
	logName := filepath.Join(state, "run.log")
	log, err := os.Create(logName)
	if err != nil {
		return failure("cannot_write", a.shown(logName)+" cannot be written", "", err)
	}
	defer log.Close()
	args := []string{"comfyctl", "run", "--file", p.abs(p.File), "--host", o.Host, "-p", strconv.Itoa(o.Port)}
	if a.flags.Env != "" {
		args = append(args, "-e", a.flags.Env)
	}
	if o.Stub {
		args = append(args, "--stub")
	} else {
		args = append(args, "--engine-url", o.EngineURL)
	}
	cmd := &exec.Cmd{Path: exe, Args: args, Env: a.environ(), Stdout: log, Stderr: log, SysProcAttr: detached()}
	if err := cmd.Start(); err != nil {
		return failure("not_started", "the service did not start", "", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	return a.awaitDetached(ctx, cmd, ended, state, logName)
}

func (a *App) awaitDetached(ctx context.Context, cmd *exec.Cmd, ended <-chan error, state, logName string) error {
	t := time.NewTicker(50 * time.Millisecond)
	defer t.Stop()
	late := time.After(readyTimeout)
	for {
		select {
		case <-t.C:
			if r, ok := readRunning(state); ok && r.PID == cmd.Process.Pid {
				a.reply.data = map[string]any{"url": r.URL, "engine": r.Engine, "pid": r.PID, "log": a.shown(logName)}
				a.console().Say("  it goes on in process %d; its log is %s; comfyctl destroy --stub ends it", r.PID, a.shown(logName))
				return a.print(r.URL)
			}
		case err := <-ended:
			b, _ := os.ReadFile(logName)
			return failure("not_started", "the service ended at once", "its log is "+a.shown(logName)+":\n"+tail(string(b), 20), err)
		case <-ctx.Done():
			return errors.Join(ctx.Err(), cmd.Process.Kill())
		case <-late:
			return errors.Join(failure("not_ready", fmt.Sprintf("the service was not ready within %s", readyTimeout), "its log is "+a.shown(logName), nil), cmd.Process.Kill())
		}
	}
}

// stopDetached ends what `run --detach` left running here.
func (a *App) stopDetached(ctx context.Context) error {
	state, err := a.state()
	if err != nil {
		return err
	}
	r, ok := readRunning(state)
	if !ok || !alive(r.PID) {
		if ok {
			err = os.Remove(runningFile(state))
		}
		a.console().Say("nothing runs here")
		return err
	}
	proc, err := os.FindProcess(r.PID)
	if err == nil {
		err = terminate(proc)
	}
	if err != nil {
		return failure("not_stopped", fmt.Sprintf("process %d cannot be stopped", r.PID), "", err)
	}
	t := time.NewTicker(50 * time.Millisecond)
	defer t.Stop()
	late := time.After(3 * time.Minute)
	for alive(r.PID) {
		select {
		case <-t.C:
		case <-ctx.Done():
			return ctx.Err()
		case <-late:
			return failure("not_stopped", fmt.Sprintf("process %d has not ended", r.PID), "", nil)
		}
	}
	a.console().Say("stopped %s", r.URL)
	return nil
}

func openBrowser(ctx context.Context, url string) error {
	name, args := "xdg-open", []string{url}
	switch runtime.GOOS {
	case "darwin":
		name = "open"
	case "windows":
		name, args = "rundll32", []string{"url.dll,FileProtocolHandler", url}
	}
	// The browser outlives this command.
	cmd := exec.CommandContext(context.WithoutCancel(ctx), name, args...)
	if err := cmd.Start(); err != nil {
		return err
	}
	go func() { _ = cmd.Wait() }()
	return nil
}
