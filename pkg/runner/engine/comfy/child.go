package comfy

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"sync"
	"syscall"
	"time"
)

// command is ComfyUI as a child process in a process group of its own.
type command struct {
	c   CommandConfig
	log *logRing

	mu   sync.Mutex
	url  string
	cmd  *exec.Cmd
	done chan struct{}
	err  error
}

// exitError says how the child ended.
type exitError struct {
	code int // -1 when a signal ended it
	text string
}

func (e *exitError) Error() string { return "ComfyUI ended: " + e.text }

func (p *command) URL() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.url
}

func (p *command) Done() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.done
}

func (p *command) Err() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.err
}

// LogTail are the last lines that it wrote.
func (p *command) LogTail() []string { return p.log.tail() }

// OnLog calls f for every line until the returned function is called. f must
// not block.
func (p *command) OnLog(f func(line string)) (stop func()) { return p.log.watch(f) }

func (p *command) Start(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.done:
	default:
		return errors.New("starting ComfyUI: it is running already")
	}
	if err := p.c.prepare(); err != nil {
		return err
	}
	port := p.c.Port
	if port == 0 {
		var err error
		if port, err = freePort(ctx, p.c.Host); err != nil {
			return err
		}
	}
	cmd := exec.Command(p.c.Python, p.c.arguments(port)...) //nolint:noctx // it outlives the start; Stop ends it
	cmd.Dir = p.c.Dir
	cmd.Env = p.c.Env
	cmd.Stdout, cmd.Stderr = p.log, p.log
	cmd.WaitDelay = pipeGrace
	cmd.SysProcAttr = processGroup()

	started := make(chan error)
	done := make(chan struct{})
	go p.run(cmd, started, done)
	if err := <-started; err != nil {
		err = fmt.Errorf("starting ComfyUI: %w", err)
		if errors.Is(err, exec.ErrNotFound) || errors.Is(err, os.ErrNotExist) || errors.Is(err, os.ErrPermission) {
			err = &configError{err}
		}
		return err
	}
	p.cmd, p.done, p.err = cmd, done, nil
	p.url = "http://" + net.JoinHostPort(p.c.Host, strconv.Itoa(port))
	p.c.Log.Info("engine started", "pid", cmd.Process.Pid, "url", p.url)
	return nil
}

// run starts the child and waits for it on one system thread, because Linux
// ties the signal that a child gets at its parent's death to the thread that
// made the child.
func (p *command) run(cmd *exec.Cmd, started chan<- error, done chan struct{}) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	kills := oomKills(p.c.MemoryEvents)
	err := cmd.Start()
	started <- err
	if err != nil {
		return
	}
	err = cmd.Wait()
	killGroup(cmd.Process.Pid)
	p.log.flush()
	end := &exitError{code: cmd.ProcessState.ExitCode(), text: cmd.ProcessState.String()}
	if now := oomKills(p.c.MemoryEvents); end.code == -1 && now > kills {
		end.text += ", for the kernel's want of memory: the machine or container is too small"
	}
	if err != nil && !errors.As(err, new(*exec.ExitError)) && !errors.Is(err, exec.ErrWaitDelay) {
		end.text += ": " + err.Error()
	}
	p.c.Log.Info("engine ended", "pid", cmd.Process.Pid, "state", cmd.ProcessState.String())
	p.mu.Lock()
	p.err = end
	p.mu.Unlock()
	close(done)
}

// Stop ends the child: SIGINT lets an idle ComfyUI leave cleanly, SIGTERM and
// SIGKILL follow. When ctx is over, SIGKILL comes at once.
func (p *command) Stop(ctx context.Context) error {
	p.mu.Lock()
	cmd, done := p.cmd, p.done
	p.mu.Unlock()
	if cmd == nil {
		return nil
	}
	for _, step := range []struct {
		signal syscall.Signal
		grace  time.Duration
	}{{syscall.SIGINT, interruptGrace}, {syscall.SIGTERM, terminateGrace}} {
		select {
		case <-done:
			return nil
		case <-ctx.Done():
			continue
		default:
		}
		signalGroup(cmd.Process.Pid, step.signal)
		t := time.NewTimer(step.grace)
		select {
		case <-done:
			t.Stop()
			return nil
		case <-ctx.Done():
			t.Stop()
		case <-t.C:
		}
	}
	signalGroup(cmd.Process.Pid, syscall.SIGKILL)
	<-done
	return nil
}
